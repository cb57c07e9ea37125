// What stands on the event log: names, row versions, and what the stages remember.
#include <limits>

#include "tests/log/test_events.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const OriginId kA = test::Origin(0xaa);
const OriginId kB = test::Origin(0xbb);

Version V(uint64_t stamp, const OriginId& origin, uint64_t sequence) { return {{stamp}, origin, {sequence}}; }
RowRef Row(uint32_t table, const std::string& key) { return {{table}, HashKey({key})}; }

class StoresTest : public ::testing::Test, protected TestLog {
 protected:
  v1::TableSchema SchemaOf(const std::string& table, const std::vector<std::string>& columns) {
    v1::TableSchema schema;
    schema.set_schema_name("public");
    schema.set_table_name(table);
    for (const std::string& column : columns) schema.add_columns()->set_name(column);
    schema.add_key(0);
    return schema;
  }
  absl::Status CommitSchema(const v1::TableSchema& schema) {
    TestTransaction transaction = Next(kA, {"public.t"});
    *transaction.events[0].mutable_schema() = schema;
    ASSAY_RETURN_IF_ERROR(file->Begin());
    ASSAY_RETURN_IF_ERROR(AppendAll(*log, transaction));
    return file->Commit();
  }
};

// ---- Names ----

TEST_F(StoresTest, NumbersOfNamesStay) {
  ASSERT_OK(file->Begin());
  ASSERT_OK_AND_ASSIGN(const TableId products, names->IdOf({"public", "products"}));
  ASSERT_OK_AND_ASSIGN(const TableId odd, names->IdOf({"public", "My \"odd\" näme"}));
  ASSERT_OK_AND_ASSIGN(const ColumnId id, names->ColumnIdOf(products, "id"));
  ASSERT_OK_AND_ASSIGN(const ColumnId price, names->ColumnIdOf(products, "price"));
  ASSERT_OK(file->Commit());
  ASSERT_OK(Reopen());
  EXPECT_EQ(*names->IdOf({"public", "products"}), products);
  EXPECT_EQ(*names->IdOf({"public", "My \"odd\" näme"}), odd);
  EXPECT_NE(products, odd);
  EXPECT_EQ(*names->ColumnIdOf(products, "price"), price);
  EXPECT_EQ(id.value, 0u);
  EXPECT_EQ(price.value, 1u);
  EXPECT_EQ(names->ColumnNameOf(products, price), "price");
  EXPECT_EQ(names->NameOf(odd).table, "My \"odd\" näme");
}

TEST_F(StoresTest, RolledBackNameIsForgotten) {
  ASSERT_OK(file->Begin());
  ASSERT_OK(names->IdOf({"public", "one"}).status());
  file->Rollback();
  EXPECT_EQ(names->IdOf({"public", "two"})->value, 0u);
}

TEST_F(StoresTest, NamesAreQuotedWhereSqlNeedsIt) {
  EXPECT_EQ((TableName{"public", "products_2"}.ToString()), "public.products_2");
  EXPECT_EQ((TableName{"public", "My \"odd\" name"}.ToString()), "public.\"My \"\"odd\"\" name\"");
  EXPECT_EQ((TableName{"2nd", "Products"}.ToString()), "\"2nd\".\"Products\"");
  EXPECT_EQ((TableName{"a.b", "größe"}.ToString()), "\"a.b\".\"größe\"");
}

TEST_F(StoresTest, SchemaIsResolvedToNumbers) {
  ASSERT_OK(CommitSchema(SchemaOf("products", {"id", "price"})));
  ASSERT_OK(CommitSchema(SchemaOf("products", {"id", "name", "price"})));
  ASSERT_OK(file->Begin());
  const auto before = *names->Schema(kA, {1});
  const auto after = *names->Schema(kA, {2});
  ASSERT_OK(file->Commit());
  EXPECT_EQ(before->table, after->table);
  EXPECT_EQ(before->name.ToString(), "public.products");
  EXPECT_THAT(before->columns, ElementsAre(ColumnId{0}, ColumnId{1}));
  EXPECT_THAT(after->columns, ElementsAre(ColumnId{0}, ColumnId{2}, ColumnId{1}));
  EXPECT_THAT(after->key, ElementsAre(0u));
  EXPECT_EQ(*names->Schema(kA, {1}), before) << "cached";
}

TEST_F(StoresTest, EventThatIsNoValidSchemaIsRefused) {
  ASSERT_OK(Commit(kA, {"public.t"}));
  v1::TableSchema twice = SchemaOf("t", {"id", "id"}), keyless = SchemaOf("t", {"id"}), wild = keyless,
                  nameless = SchemaOf("", {"id"});
  keyless.clear_key();
  wild.add_key(7);
  for (const v1::TableSchema& schema : {twice, keyless, wild, nameless}) ASSERT_OK(CommitSchema(schema));
  for (uint64_t sequence = 1; sequence <= 5; ++sequence) {
    EXPECT_TRUE(absl::IsDataLoss(names->Schema(kA, {sequence}).status())) << sequence;
  }
  EXPECT_TRUE(absl::IsNotFound(names->Schema(kA, {6}).status()));
  EXPECT_TRUE(absl::IsNotFound(names->Schema(kB, {1}).status()));
}

TEST_F(StoresTest, ReaderInAnotherConnectionFollowsTheWriter) {
  ASSERT_OK_AND_ASSIGN(const auto reader, LogFile::Open("log.db", {.vfs = vfs.name(), .read_only = true}));
  ASSERT_OK_AND_ASSIGN(const auto read_log, EventLog::Open(reader.get()));
  ASSERT_OK_AND_ASSIGN(const auto read_names, TableNames::Open(reader.get(), read_log.get()));
  ASSERT_OK_AND_ASSIGN(const auto read_rows, RowVersionStore::Open(reader.get(), read_log.get()));
  ASSERT_OK_AND_ASSIGN(const auto read_state, LocalState::Open(reader.get(), read_log.get()));
  EXPECT_EQ(*read_state->Seen(kA, {5}, kB), Sequence{0});
  EXPECT_EQ(*read_rows->Get(Row(1, "k")), nullptr);

  ASSERT_OK(CommitSchema(SchemaOf("products", {"id", "price"})));
  ASSERT_OK(file->Begin());
  ASSERT_OK(names->IdOf({"public", "other"}).status());
  ASSERT_OK(names->Schema(kA, {1}).status());
  ASSERT_OK(rows->Put(Row(1, "k"), {.written = V(1, kB, 1)}));
  ASSERT_OK(state->SetProjected(kA, {1}));
  ASSERT_OK(state->AddSeen(kA, {1}, kB, {7}));
  ASSERT_OK(file->Commit());

  ASSERT_OK(read_log->Refresh());
  // Before it asks, the reader gives the table a number of its own; afterwards it has the writer's.
  EXPECT_EQ((*read_names->Schema(kA, {1}))->table, TableId{0});
  ASSERT_OK(read_names->Refresh());
  ASSERT_OK(read_state->Refresh());
  EXPECT_EQ((*read_names->Schema(kA, {1}))->table, TableId{1});
  EXPECT_EQ((*read_rows->Get(Row(1, "k")))->written, V(1, kB, 1));
  EXPECT_EQ(read_state->Projected(kA), Sequence{1});
  EXPECT_EQ(*read_state->Seen(kA, {5}, kB), Sequence{7});
}

// ---- Row versions ----

TEST_F(StoresTest, RowVersionsAreReadBack) {
  RowVersions versions;
  versions.written = V(10, kA, 3);
  versions.deleted = V(9, kB, 1);
  versions.columns = {{{0}, V(10, kA, 3)}, {{1}, V(10, kA, 3)}, {{9}, V(8, kB, 7)}, {{1599}, V(10, kA, 3)}};
  EXPECT_TRUE(versions.IsLive());
  EXPECT_EQ(*versions.Find({9}), V(8, kB, 7));
  EXPECT_EQ(versions.Find({2}), nullptr);
  ASSERT_OK(file->Begin());
  ASSERT_OK(rows->Put(Row(1, "k"), versions));
  ASSERT_OK(rows->Put(Row(1, "gone"), {.deleted = V(1, kA, 1)}));
  EXPECT_EQ(**rows->Get(Row(1, "k")), versions) << "before the commit";
  ASSERT_OK(file->Commit());
  ASSERT_OK(Reopen());
  EXPECT_EQ(**rows->Get(Row(1, "k")), versions);
  EXPECT_FALSE((*rows->Get(Row(1, "gone")))->IsLive());
  EXPECT_EQ(*rows->Get(Row(2, "k")), nullptr);
  EXPECT_EQ(*rows->Get(Row(1, "other")), nullptr);
}

TEST_F(StoresTest, RolledBackRowVersionsAreForgotten) {
  ASSERT_OK(file->Begin());
  ASSERT_OK(rows->Put(Row(1, "k"), {.written = V(1, kA, 1)}));
  ASSERT_OK(file->Commit());
  ASSERT_OK(file->Begin());
  ASSERT_OK(rows->Put(Row(1, "k"), {.written = V(2, kB, 2)}));
  ASSERT_OK(rows->Put(Row(1, "l"), {.written = V(2, kB, 2)}));
  file->Rollback();
  EXPECT_EQ((*rows->Get(Row(1, "k")))->written, V(1, kA, 1));
  EXPECT_EQ(*rows->Get(Row(1, "l")), nullptr);
}

TEST_F(StoresTest, MoreRowsThanTheCacheHoldsAreAllKept) {
  constexpr uint64_t kRows = 30000;
  ASSERT_OK(file->Begin());
  for (uint64_t i = 1; i <= kRows; ++i) ASSERT_OK(rows->Put(Row(1, absl::StrCat(i)), {.written = V(i, kA, i)}));
  const auto expect_all = [&] {
    for (uint64_t i = 1; i <= kRows; ++i) {
      ASSERT_OK_AND_ASSIGN(const auto* versions, rows->Get(Row(1, absl::StrCat(i))));
      ASSERT_NE(versions, nullptr) << i;
      ASSERT_EQ(versions->written, V(i, kA, i));
    }
  };
  ASSERT_NO_FATAL_FAILURE(expect_all());
  ASSERT_OK(file->Commit());
  ASSERT_NO_FATAL_FAILURE(expect_all());
  ASSERT_OK(file->Begin());
  for (uint64_t i = 1; i <= kRows / 2; ++i) ASSERT_OK(rows->Put(Row(1, absl::StrCat(i)), {.written = V(i, kA, i)}));
  ASSERT_OK(rows->Rest());
  file->ReleaseMemory();
  ASSERT_NO_FATAL_FAILURE(expect_all());
  ASSERT_OK(file->Commit());
  ASSERT_NO_FATAL_FAILURE(expect_all());
  ASSERT_OK(Reopen());
  uint64_t count = 0;
  KeyHash last{};
  ASSERT_OK(rows->ForEach({1}, [&](const KeyHash& key, const RowVersions&) {
    EXPECT_LT(last, key);
    last = key;
    ++count;
    return absl::OkStatus();
  }));
  EXPECT_EQ(count, kRows);
}

TEST_F(StoresTest, WhatWasCommittedLastCountsWhereverItIsStored) {
  // Enough for several lists; each round changes some rows again, so that they are in the table, in several runs and on
  // the list.
  constexpr uint64_t kRows = 30000;
  uint64_t stamp = 0;
  std::map<KeyHash, uint64_t> expected;
  ASSERT_OK_AND_ASSIGN(const auto reader, LogFile::Open("log.db", {.vfs = vfs.name(), .read_only = true}));
  ASSERT_OK_AND_ASSIGN(const auto read_log, EventLog::Open(reader.get()));
  ASSERT_OK_AND_ASSIGN(const auto read_rows, RowVersionStore::Open(reader.get(), read_log.get()));
  const auto expect_all = [&](RowVersionStore& store) {
    std::vector<std::pair<KeyHash, uint64_t>> found;
    ASSERT_OK(store.ForEach({1}, [&](const KeyHash& key, const RowVersions& versions) {
      found.push_back({key, versions.written.stamp.value});
      return absl::OkStatus();
    }));
    EXPECT_EQ(found, (std::vector<std::pair<KeyHash, uint64_t>>(expected.begin(), expected.end())));
    for (uint64_t i = 0; i < kRows; i += 17) {
      ASSERT_EQ((*store.Get(Row(1, absl::StrCat(i))))->written.stamp.value, expected[HashKey({absl::StrCat(i)})]) << i;
    }
    EXPECT_EQ(*store.Get(Row(1, "unknown")), nullptr);
  };
  for (const uint64_t step : {1, 3, 7, 1000, 5}) {
    SCOPED_TRACE(step);
    ASSERT_OK(file->Begin());
    for (uint64_t i = 0; i < kRows; i += step) {
      ASSERT_OK(rows->Put(Row(1, absl::StrCat(i)), {.written = V(++stamp, kA, stamp)}));
      expected[HashKey({absl::StrCat(i)})] = stamp;
    }
    ASSERT_OK(rows->Put(Row(2, "other"), {.written = V(1, kA, 1)}));
    ASSERT_OK(file->Commit());
    EXPECT_TRUE(rows->untidy());
    for (const bool reopened : {false, true}) {
      if (reopened) {
        ASSERT_OK(Reopen());
      }
      ASSERT_NO_FATAL_FAILURE(expect_all(*rows));
      ASSERT_NO_FATAL_FAILURE(expect_all(*read_rows));
    }
    ASSERT_OK(file->Begin());
    ASSERT_OK(rows->Tidy(3000));
    ASSERT_NO_FATAL_FAILURE(expect_all(*rows));
    file->Rollback();
    ASSERT_NO_FATAL_FAILURE(expect_all(*rows)) << "rolled back";
    ASSERT_OK(file->Begin());
    ASSERT_OK(rows->Tidy(3000));
    ASSERT_OK(file->Commit());
    ASSERT_NO_FATAL_FAILURE(expect_all(*read_rows)) << "by a reader that had opened before";
  }
  while (rows->untidy()) {
    ASSERT_OK(file->Begin());
    ASSERT_OK(rows->Tidy(5000));
    ASSERT_OK(file->Commit());
  }
  ASSERT_NO_FATAL_FAILURE(expect_all(*rows));
  ASSERT_NO_FATAL_FAILURE(expect_all(*read_rows));
  ASSERT_OK(Reopen());
  EXPECT_FALSE(rows->untidy());
  ASSERT_NO_FATAL_FAILURE(expect_all(*rows));
}

TEST_F(StoresTest, ValuesAreThoseOfTheTransactionUntilItEnds) {
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->SetNumber("clock", 7));
  ASSERT_OK(state->SetNumber("clock", 8));
  EXPECT_EQ(*state->GetNumber("clock", 0), 8u);
  ASSERT_OK(file->Commit());
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->SetNumber("clock", 9));
  file->Rollback();
  EXPECT_EQ(*state->GetNumber("clock", 0), 8u);
  ASSERT_OK(file->Begin());
  ASSERT_OK(file->Commit());
  ASSERT_OK(Reopen());
  EXPECT_EQ(*state->GetNumber("clock", 0), 8u);
}

TEST_F(StoresTest, DamagedRowVersionsAreRefused) {
  RowVersions versions{.written = V(10, kA, 3), .columns = {{{0}, V(10, kA, 3)}, {{1}, V(8, kB, 7)}}};
  const std::string bytes = versions.Encode(*log);
  EXPECT_EQ(*RowVersions::Decode(bytes, *log), versions);
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_TRUE(absl::IsDataLoss(RowVersions::Decode(bytes.substr(0, size), *log).status()));
  EXPECT_TRUE(absl::IsDataLoss(RowVersions::Decode(bytes + "x", *log).status()));
  std::string column_0_twice = bytes;
  ASSERT_EQ(column_0_twice.back(), 0x02);  // The columns of the second version, as bits.
  column_0_twice.back() = 0x03;
  EXPECT_TRUE(absl::IsDataLoss(RowVersions::Decode(column_0_twice, *log).status()));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] ^= static_cast<char>(1 << bit % 8);
    (void)RowVersions::Decode(flipped, *log);  // Any answer, but an answer.
  }
}

TEST_F(StoresTest, KeysThatDifferOnlyInTheirCutsHashApart) {
  EXPECT_NE(HashKey({"ab", "c"}), HashKey({"a", "bc"}));
  EXPECT_NE(HashKey({"a"}), HashKey({"a", ""}));
  const std::vector<std::string> key = {"", std::string("\0x", 2), std::string(1000, 'y')};
  EXPECT_EQ(*DecodeKey(EncodeKey(key)), key);
  EXPECT_TRUE(absl::IsDataLoss(DecodeKey("\x05x").status()));
}

// ---- Stages ----

TEST_F(StoresTest, NamedValuesAreKept) {
  EXPECT_EQ(*state->Get("clock"), std::nullopt);
  EXPECT_EQ(*state->GetNumber("clock", 7), 7u);
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->SetNumber("clock", std::numeric_limits<uint64_t>::max()));
  ASSERT_OK(state->Set("slot", ""));
  ASSERT_OK(file->Commit());
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->SetNumber("clock", 1));
  file->Rollback();
  ASSERT_OK(Reopen());
  EXPECT_EQ(*state->GetNumber("clock", 7), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(*state->Get("slot"), "");
  EXPECT_TRUE(absl::IsDataLoss(state->GetNumber("slot", 7).status()));
}

TEST_F(StoresTest, CursorsMoveWithTheTransaction) {
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->SetProjected(kA, {5}));
  ASSERT_OK(file->Commit());
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->SetProjected(kA, {9}));
  EXPECT_EQ(state->Projected(kA), Sequence{9});
  file->Rollback();
  EXPECT_EQ(state->Projected(kA), Sequence{5});
  ASSERT_OK(Reopen());
  EXPECT_EQ(state->Projected(kA), Sequence{5});
  EXPECT_EQ(state->Projected(kB), Sequence{0});
}

TEST_F(StoresTest, SeenIsTheLastEntryAtOrBefore) {
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->AddSeen(kA, {10}, kB, {100}));
  ASSERT_OK(state->AddSeen(kA, {20}, kB, {200}));
  ASSERT_OK(file->Commit());
  EXPECT_EQ(*state->Seen(kA, {9}, kB), Sequence{0});
  EXPECT_EQ(*state->Seen(kA, {10}, kB), Sequence{100});
  EXPECT_EQ(*state->Seen(kA, {19}, kB), Sequence{100});
  EXPECT_EQ(*state->Seen(kA, {1000}, kB), Sequence{200});
  EXPECT_EQ(*state->Seen(kB, {1000}, kA), Sequence{0});
}

TEST_F(StoresTest, IntentsAreInTheOrderOfTheirNumbersAndGoAway) {
  EXPECT_THAT(*state->Intents(), IsEmpty());
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->PutIntent(10, "second"));
  ASSERT_OK(state->PutIntent(9, "first, as it was"));
  ASSERT_OK(state->PutIntent(9, "first"));
  ASSERT_OK(file->Commit());
  ASSERT_OK(Reopen());
  EXPECT_THAT(*state->Intents(), ElementsAre("first", "second"));
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->EraseIntent(9));
  ASSERT_OK(file->Commit());
  EXPECT_THAT(*state->Intents(), ElementsAre("second"));
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->ClearIntents());
  ASSERT_OK(file->Commit());
  EXPECT_THAT(*state->Intents(), IsEmpty());
}

TEST_F(StoresTest, UnsettledRowsAreDueInOrderAndCounted) {
  const auto row_of = [](const std::string& key, std::string cause, int64_t since, int64_t retry) {
    return UnsettledRow{.row = Row(1, key),
                        .key = EncodeKey({key}),
                        .held = RowVersions{.written = V(3, kB, 4)},
                        .cause = std::move(cause),
                        .sqlstate = "23505",
                        .origin = kA,
                        .sequence = {4},
                        .since_ms = since,
                        .retry_at_ms = retry,
                        .attempts = 2};
  };
  ASSERT_OK(file->Begin());
  ASSERT_OK(unsettled->Put(row_of("parked", "unique violation", 30, 500)));
  ASSERT_OK(unsettled->Put(row_of("late", "", 20, 100)));
  ASSERT_OK(unsettled->Put(row_of("early", "", 10, 100)));
  UnsettledRow unknown = row_of("unknown", "", 40, 1000);
  unknown.held.reset();
  unknown.held_known = false;
  ASSERT_OK(unsettled->Put(unknown));
  ASSERT_OK(unsettled->Put(unknown)) << "again";
  ASSERT_OK(file->Commit());
  ASSERT_OK(Reopen());
  EXPECT_EQ(unsettled->count(), 4);
  EXPECT_EQ(unsettled->parked_count(), 1);
  const auto due = *unsettled->Due(100, 10);
  ASSERT_THAT(due, SizeIs(2));
  EXPECT_EQ(due[0].row, Row(1, "early"));
  EXPECT_EQ(due[1].row, Row(1, "late"));
  EXPECT_THAT(*unsettled->Due(99, 10), IsEmpty());
  EXPECT_THAT(*unsettled->Due(10000, 3), SizeIs(3));
  EXPECT_EQ(*unsettled->NextRetryMs(), 100);
  const auto parked = *unsettled->List(true, 10);
  ASSERT_THAT(parked, SizeIs(1));
  EXPECT_EQ(parked[0].cause, "unique violation");
  EXPECT_EQ(parked[0].sqlstate, "23505");
  EXPECT_EQ(parked[0].origin, kA);
  EXPECT_EQ(parked[0].sequence, Sequence{4});
  EXPECT_EQ(parked[0].attempts, 2u);
  EXPECT_EQ(parked[0].held->written, V(3, kB, 4));
  EXPECT_EQ(*DecodeKey(parked[0].key), std::vector<std::string>{"parked"});
  const auto found = *unsettled->Find(Row(1, "unknown"));
  ASSERT_TRUE(found.has_value());
  EXPECT_FALSE(found->held_known);
  EXPECT_EQ(found->held, std::nullopt);

  ASSERT_OK(file->Begin());
  EXPECT_EQ(*unsettled->RetryNow(TableId{2}), 0);
  EXPECT_EQ(*unsettled->RetryNow(std::nullopt), 4);
  EXPECT_THAT(*unsettled->Due(0, 10), SizeIs(4));
  ASSERT_OK(unsettled->Erase(Row(1, "parked")));
  ASSERT_OK(unsettled->Erase(Row(1, "parked"))) << "not there any more";
  EXPECT_EQ(unsettled->count(), 3);
  EXPECT_EQ(unsettled->parked_count(), 0);
  file->Rollback();
  EXPECT_EQ(unsettled->count(), 4);
  EXPECT_EQ(unsettled->parked_count(), 1);
}

TEST_F(StoresTest, ConflictsAreListedInOrder) {
  ASSERT_OK(file->Begin());
  for (int i = 0; i < 3; ++i) {
    Conflict conflict{.row = Row(1, "k"),
                      .key = EncodeKey({"k"}),
                      .winner = V(9, kA, 1),
                      .loser = V(8, kB, 2),
                      .rule = "newest",
                      .found_ms = i};
    if (i > 0) conflict.column = ColumnId{3};
    ASSERT_OK(conflicts->Add(conflict));
  }
  ASSERT_OK(file->Commit());
  ASSERT_OK(Reopen());
  EXPECT_EQ(conflicts->count(), 3);
  const auto first = *conflicts->List(0, 2);
  ASSERT_THAT(first, SizeIs(2));
  EXPECT_EQ(first[0].column, std::nullopt);
  EXPECT_EQ(first[1].column, ColumnId{3});
  EXPECT_EQ(first[0].winner, V(9, kA, 1));
  EXPECT_EQ(first[0].loser, V(8, kB, 2));
  EXPECT_EQ(first[0].rule, "newest");
  const auto rest = *conflicts->List(first[1].id, 10);
  ASSERT_THAT(rest, SizeIs(1));
  EXPECT_EQ(rest[0].found_ms, 2);
}

}  // namespace
}  // namespace assay
