#include "tests/contract/database_contract.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "log/annotate.h"
#include "tests/simulation/random.h"
#include "tests/support/row_writes.h"
#include "tools/host/log_gate.h"

namespace assay::test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Outcome = ProjectReply::Outcome;
using Operation = RowWrite::Operation;

const TableName kItems{"public", "items"};
const TableName kLines{"public", "lines"};
const std::vector<std::string> kItemColumns = {"name", "price", "sku", "note"};

#define ASSERT_OK(expr)                                   \
  do {                                                    \
    const absl::Status contract_status = (expr);          \
    ASSERT_TRUE(contract_status.ok()) << contract_status; \
  } while (false)

std::string Show(const ColumnText& text) { return text ? *text : "NULL"; }

std::string ShowTuple(const std::vector<TupleValue>& tuple) {
  std::vector<std::string> texts;
  for (const TupleValue& value : tuple) {
    texts.push_back(value.kind == TupleValue::Kind::kText   ? std::string(value.text)
                    : value.kind == TupleValue::Kind::kNull ? "NULL"
                                                            : "unchanged");
  }
  return absl::StrCat("(", absl::StrJoin(texts, ", "), ")");
}

std::string ShowItem(const CaptureItem& item) {
  switch (item.kind) {
    case CaptureItem::Kind::kInsert:
      return absl::StrCat("INSERT ", item.relation->name.ToString(), " ", ShowTuple(item.new_tuple));
    case CaptureItem::Kind::kUpdate:
      return absl::StrCat("UPDATE ", item.relation->name.ToString(), " ", ShowTuple(item.old_tuple), " -> ",
                          ShowTuple(item.new_tuple));
    case CaptureItem::Kind::kDelete:
      return absl::StrCat("DELETE ", item.relation->name.ToString(), " ", ShowTuple(item.old_tuple));
    case CaptureItem::Kind::kTruncate:
      return absl::StrCat("TRUNCATE ", item.relation->name.ToString());
    default:
      return absl::StrCat("MESSAGE ", item.prefix, " ", item.content);
  }
}

std::string ShowRow(const ReadReply::Row& row) {
  if (!row.exists) return "absent";
  return absl::StrCat(
      "(", absl::StrJoin(row.values, ", ", [](std::string* out, const ColumnText& v) { *out += Show(v); }), ")");
}

ProjectRequest Batch(uint64_t batch, std::vector<TableWrites> writes) {
  return {batch, absl::StrCat("tag ", batch), std::move(writes), false};
}

}  // namespace

std::string ShowShape(const TableShape& shape) {
  std::vector<std::string> columns;
  for (uint32_t i = 0; i < shape.columns.size(); ++i) {
    const TableColumn& column = shape.columns[i];
    const bool in_key = std::count(shape.key.begin(), shape.key.end(), i) > 0;
    columns.push_back(absl::StrCat(column.name, " ", column.type, column.not_null ? "" : " null", " #", column.number,
                                   in_key ? " key" : ""));
  }
  return absl::StrCat(shape.name.ToString(), " (", absl::StrJoin(columns, ", "), ")");
}

std::string StreamReader::Show(const CaptureItem& item) {
  std::string text = ShowItem(item);
  if (!shapes_ || item.relation == nullptr) return text;
  std::string& shown = shown_[item.relation->name.ToString()];
  std::string shape = ShowShape(*item.relation);
  if (shape != shown) text = absl::StrCat(text, " OF ", shape);
  shown = std::move(shape);
  return text;
}

absl::StatusOr<std::vector<Captured>> StreamReader::ReadUntil(const std::string& nonce) {
  std::vector<Captured> transactions;
  const std::string fence = absl::StrCat("MESSAGE ", kFencePrefix, " ", nonce);
  for (int idle = 0; idle < 50;) {
    ASSAY_ASSIGN_OR_RETURN(CaptureBatch batch, body_->capture().Next(absl::Milliseconds(100)));
    if (batch.items.empty()) ++idle;
    for (const CaptureItem& item : batch.items) {
      if (item.kind == CaptureItem::Kind::kKeepalive) {
        if (open_) return absl::InternalError("a keepalive inside a transaction");
      } else if (item.kind == CaptureItem::Kind::kBegin) {
        if (open_) return absl::InternalError("a transaction inside another");
        open_ = Captured{item.commit_lsn, {}, {}};
      } else if (!open_) {
        return absl::InternalError("an item outside a transaction");
      } else if (item.kind == CaptureItem::Kind::kCommit) {
        if (item.commit_lsn != open_->commit_lsn || item.end_lsn <= item.commit_lsn)
          return absl::InternalError("bad LSNs");
        open_->end_lsn = item.end_lsn;
        const bool done = open_->items == std::vector<std::string>{fence};
        const bool is_fence =
            open_->items.size() == 1 && open_->items[0].find(kFencePrefix.data()) != std::string::npos;
        // A transaction that changed nothing of ours may come, empty, or not at all.
        if (!is_fence && !open_->items.empty()) transactions.push_back(*std::move(open_));
        open_.reset();
        if (done) return transactions;
      } else {
        if (item.kind != CaptureItem::Kind::kRelation) open_->items.push_back(Show(item));
      }
    }
  }
  return absl::DeadlineExceededError(absl::StrCat("the fence ", nonce, " never came"));
}

absl::StatusOr<std::vector<Captured>> StreamReader::Drain() {
  const std::string nonce = absl::StrCat("drain ", ++fences_);
  ASSAY_RETURN_IF_ERROR(body_->database().Read({.fence = nonce}).status());
  return ReadUntil(nonce);
}

void DatabaseContract::SetUp() {
  body_ = GetParam().make();
  if (body_ == nullptr) GTEST_SKIP() << GetParam().name << " cannot run here";
  reader_ = std::make_unique<StreamReader>(body_.get());
  ASSERT_OK(body_->capture().Start());
}

void DatabaseContract::Insert(const TableName& table, const Values& values) {
  auto app = body_->Begin();
  ASSERT_OK(app->Insert(table, values));
  ASSERT_OK(app->Commit());
}

void DatabaseContract::Update(const TableName& table, const RowKey& key,
                              const std::map<std::string, ColumnText>& sets) {
  auto app = body_->Begin();
  ASSERT_OK(app->Update(table, key, sets));
  ASSERT_OK(app->Commit());
}

void DatabaseContract::Delete(const TableName& table, const RowKey& key) {
  auto app = body_->Begin();
  ASSERT_OK(app->Delete(table, key));
  ASSERT_OK(app->Commit());
}

std::vector<std::vector<std::string>> DatabaseContract::Stream() {
  auto transactions = reader_->Drain();
  EXPECT_TRUE(transactions.ok()) << transactions.status();
  std::vector<std::vector<std::string>> items;
  if (transactions.ok()) {
    for (Captured& transaction : *transactions) items.push_back(std::move(transaction.items));
  }
  return items;
}

ReadReply::Row DatabaseContract::ReadRow(const TableName& table, const RowKey& key) {
  auto reply = body_->database().Read({.tables = {{table, {key}}}, .fence = "read row"});
  EXPECT_TRUE(reply.ok()) << reply.status();
  if (!reply.ok() || reply->tables.size() != 1 || reply->tables[0].rows.size() != 1) return {};
  return reply->tables[0].rows[0];
}

// ---- Capture ----

TEST_P(DatabaseContract, TransactionsComeWholeAndInCommitOrder) {
  auto first = body_->Begin(), second = body_->Begin(), dropped = body_->Begin();
  ASSERT_OK(first->Insert(kLines, {"1", "1", "5"}));
  ASSERT_OK(second->Insert(kLines, {"2", "1", "7"}));
  ASSERT_OK(dropped->Insert(kLines, {"3", "1", "9"}));
  ASSERT_OK(first->Insert(kLines, {"1", "2", "6"}));
  ASSERT_OK(second->Commit());
  ASSERT_OK(first->Commit());
  dropped.reset();
  auto transactions = reader_->Drain();
  ASSERT_OK(transactions.status());
  ASSERT_EQ(transactions->size(), 2u);
  EXPECT_THAT((*transactions)[0].items, ElementsAre("INSERT public.lines (2, 1, 7)"));
  EXPECT_THAT((*transactions)[1].items, ElementsAre("INSERT public.lines (1, 1, 5)", "INSERT public.lines (1, 2, 6)"));
  EXPECT_LE((*transactions)[0].end_lsn, (*transactions)[1].commit_lsn);
}

TEST_P(DatabaseContract, UpdateAndDeleteCarryTheRowBefore) {
  Insert(kItems, {"1", "ring", "100", "R-1", std::nullopt});
  Update(kItems, {"1"}, {{"price", "120"}, {"sku", std::nullopt}});
  Delete(kItems, {"1"});
  EXPECT_THAT(Stream(),
              ElementsAre(ElementsAre("INSERT public.items (1, ring, 100, R-1, NULL)"),
                          ElementsAre("UPDATE public.items (1, ring, 100, R-1, NULL) -> (1, ring, 120, NULL, NULL)"),
                          ElementsAre("DELETE public.items (1, ring, 120, NULL, NULL)")));
}

TEST_P(DatabaseContract, ChangedKeyIsOneUpdateWithBothKeys) {
  Insert(kLines, {"1", "1", "5"});
  Update(kLines, {"1", "1"}, {{"line", "2"}});
  EXPECT_THAT(Stream(), Contains(ElementsAre("UPDATE public.lines (1, 1, 5) -> (1, 2, 5)")));
}

TEST_P(DatabaseContract, TruncateNamesItsTable) {
  Insert(kLines, {"1", "1", "5"});
  auto app = body_->Begin();
  ASSERT_OK(app->Truncate(kLines));
  ASSERT_OK(app->Insert(kLines, {"2", "1", "5"}));
  ASSERT_OK(app->Commit());
  EXPECT_THAT(Stream(), ElementsAre(ElementsAre("INSERT public.lines (1, 1, 5)"),
                                    ElementsAre("TRUNCATE public.lines", "INSERT public.lines (2, 1, 5)")));
  EXPECT_EQ(body_->Rows(kLines).size(), 1u);
}

TEST_P(DatabaseContract, MessagesComeInTheirPlace) {
  auto app = body_->Begin();
  ASSERT_OK(app->Message("assay.attribution", "{\"reason\": \"stocktaking\"}"));
  ASSERT_OK(app->Insert(kLines, {"1", "1", "5"}));
  ASSERT_OK(app->Message("assay.another", "thing"));
  ASSERT_OK(app->Message("anothers", "is no concern of ours"));
  ASSERT_OK(app->Commit());
  auto rolled_back = body_->Begin();
  ASSERT_OK(rolled_back->Message("assay.another", "never"));
  rolled_back.reset();
  EXPECT_THAT(Stream(), ElementsAre(ElementsAre("MESSAGE assay.attribution {\"reason\": \"stocktaking\"}",
                                                "INSERT public.lines (1, 1, 5)", "MESSAGE assay.another thing")));
}

TEST_P(DatabaseContract, UnconfirmedComesAgain) {
  Insert(kLines, {"1", "1", "5"});
  Insert(kLines, {"2", "1", "5"});
  auto once = reader_->Drain();
  ASSERT_OK(once.status());
  ASSERT_OK(body_->capture().Start());
  auto again = reader_->Drain();
  ASSERT_OK(again.status());
  ASSERT_EQ(again->size(), 2u);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ((*again)[i].items, (*once)[i].items);
    EXPECT_EQ((*again)[i].commit_lsn, (*once)[i].commit_lsn);
  }
}

TEST_P(DatabaseContract, ConfirmedMayStayAwayAndTheRestComes) {
  Insert(kLines, {"1", "1", "5"});
  Insert(kLines, {"2", "1", "5"});
  auto once = reader_->Drain();
  ASSERT_OK(once.status());
  ASSERT_EQ(once->size(), 2u);
  body_->capture().Confirm((*once)[0].end_lsn);
  Insert(kLines, {"3", "1", "5"});
  ASSERT_OK(reader_->Drain().status());
  ASSERT_OK(body_->capture().Start());
  std::vector<std::vector<std::string>> items = Stream();
  ASSERT_GE(items.size(), 2u);
  EXPECT_THAT(items[items.size() - 2], ElementsAre("INSERT public.lines (2, 1, 5)"));
  EXPECT_THAT(items[items.size() - 1], ElementsAre("INSERT public.lines (3, 1, 5)"));
}

TEST_P(DatabaseContract, PositionFromTheFutureIsNotConfirmed) {
  Insert(kLines, {"1", "1", "5"});
  body_->capture().Confirm(Lsn{uint64_t{1} << 50});
  ASSERT_OK(reader_->Drain().status());
  ASSERT_OK(body_->capture().Start());
  EXPECT_THAT(Stream(), ElementsAre(ElementsAre("INSERT public.lines (1, 1, 5)")));
}

TEST_P(DatabaseContract, CrashKeepsWhatWasCommitted) {
  Insert(kLines, {"1", "1", "5"});
  auto open = body_->Begin();
  ASSERT_OK(open->Insert(kLines, {"2", "1", "5"}));
  ASSERT_OK(reader_->Drain().status());
  body_->Crash();
  EXPECT_FALSE(open->Commit().ok());
  EXPECT_FALSE(body_->capture().Next(absl::Milliseconds(100)).ok());
  ASSERT_OK(body_->capture().Start());
  Insert(kLines, {"3", "1", "5"});
  EXPECT_THAT(Stream(),
              ElementsAre(ElementsAre("INSERT public.lines (1, 1, 5)"), ElementsAre("INSERT public.lines (3, 1, 5)")));
  EXPECT_EQ(body_->Rows(kLines).size(), 2u);
}

// ---- Reading ----

TEST_P(DatabaseContract, ReadGivesShapesRowsAndAbsences) {
  Insert(kItems, {"1", "ring", "100", std::nullopt, "engraved"});
  auto reply = body_->database().Read(
      {.tables = {{kItems, {{"1"}, {"2"}, {"not a number"}}}, {{"public", "nowhere"}, {{"1"}}}, {kLines, {}}},
       .fence = "f"});
  ASSERT_OK(reply.status());
  ASSERT_EQ(reply->tables.size(), 3u);
  const ReadReply::Table& items = reply->tables[0];
  ASSERT_TRUE(items.shape.has_value());
  EXPECT_EQ(items.shape->name, kItems);
  EXPECT_EQ(items.shape->columns[1], (TableColumn{.name = "name", .type = "text", .not_null = true, .number = 2}));
  EXPECT_EQ(items.shape->columns[3], (TableColumn{.name = "sku", .type = "character varying(8)", .number = 4}));
  EXPECT_THAT(items.shape->key, ElementsAre(0));
  ASSERT_EQ(items.rows.size(), 3u);
  EXPECT_EQ(ShowRow(items.rows[0]), "(1, ring, 100, NULL, engraved)");
  EXPECT_FALSE(items.rows[1].exists);
  EXPECT_FALSE(items.rows[2].exists);
  EXPECT_FALSE(reply->tables[1].shape.has_value());
  EXPECT_NE(reply->tables[1].refusal, "");
  ASSERT_TRUE(reply->tables[2].shape.has_value());
  EXPECT_THAT(reply->tables[2].shape->key, ElementsAre(0, 1));
}

TEST_P(DatabaseContract, EveryWriteChangesXmin) {
  Insert(kItems, {"1", "ring", "100", "R-1", std::nullopt});
  const ReadReply::Row first = ReadRow(kItems, {"1"});
  EXPECT_EQ(ReadRow(kItems, {"1"}).xmin, first.xmin);
  Update(kItems, {"1"}, {{"price", "100"}});
  const ReadReply::Row second = ReadRow(kItems, {"1"});
  EXPECT_NE(second.xmin, first.xmin);
  Delete(kItems, {"1"});
  Insert(kItems, {"1", "ring", "100", "R-1", std::nullopt});
  EXPECT_NE(ReadRow(kItems, {"1"}).xmin, second.xmin);
}

// By this a row is known to be in the log (engine/projection/xid_horizon.h): whoever was writing when the fence was
// emitted must not be taken to have ended.
TEST_P(DatabaseContract, AReadTellsWhichTransactionsHadEnded) {
  const auto precedes = [](uint32_t a, uint32_t b) { return static_cast<int32_t>(a - b) < 0; };
  Insert(kItems, {"1", "ring", "100", "R-1", std::nullopt});
  Insert(kItems, {"2", "chain", "30", "C-2", std::nullopt});
  auto writing = body_->Begin();
  ASSERT_OK(writing->Update(kItems, {"1"}, {{"price", "110"}}));
  Insert(kItems, {"3", "coin", "5", "C-3", std::nullopt});  // Younger, and ends before.
  const ReadRequest request{.tables = {{kItems, {{"1"}, {"2"}}}}, .fence = "one"};
  const auto first = body_->database().Read(request);
  ASSERT_OK(first.status());
  ASSERT_NE(first->ended_before, 0u);
  EXPECT_TRUE(precedes(first->tables[0].rows[1].xmin, first->ended_before));
  ASSERT_OK(writing->Commit());
  const auto second = body_->database().Read(request);
  ASSERT_OK(second.status());
  EXPECT_FALSE(precedes(second->tables[0].rows[0].xmin, first->ended_before))
      << "it was under way when that fence was emitted";
  EXPECT_TRUE(precedes(second->tables[0].rows[0].xmin, second->ended_before));
  EXPECT_EQ(first->session, second->session);
}

TEST_P(DatabaseContract, AProjectionTellsTheXminOfWhatItWrote) {
  Insert(kItems, {"1", "ring", "100", "R-1", std::nullopt});
  TableWrites inserts{kItems, kItemColumns, {}};
  for (int i = 2; i < 60; ++i)
    inserts.rows.push_back(InsertOf({absl::StrCat(i)}, {"coin", "1", absl::StrCat("C-", i), std::nullopt}));
  const ProjectReply reply = body_->database().Project(
      Batch(1, {{kItems, {"price"}, {UpdateOf({"1"}, {"120"}, ReadRow(kItems, {"1"}).xmin)}}, std::move(inserts)}));
  ASSERT_EQ(reply.outcome, Outcome::kCommitted) << reply.status;
  ASSERT_NE(reply.xmin, 0u);
  for (const char* key : {"1", "2", "59"}) EXPECT_EQ(ReadRow(kItems, {key}).xmin, reply.xmin) << key;
  const auto read = body_->database().Read({.fence = "two"});
  ASSERT_OK(read.status());
  EXPECT_EQ(read->session, reply.session);
  body_->Crash();
  auto after = body_->database().Read({.fence = "three"});
  for (int i = 0; i < 100 && !after.ok(); ++i) {
    absl::SleepFor(absl::Milliseconds(50));
    after = body_->database().Read({.fence = "three"});
  }
  ASSERT_OK(after.status());
  EXPECT_NE(after->session, reply.session);
}

TEST_P(DatabaseContract, FenceComesAfterEverythingTheReadSaw) {
  for (int i = 1; i <= 20; ++i) {
    Insert(kLines, {absl::StrCat(i), "1", "5"});
    const std::string fence = absl::StrCat("fence ", i);
    auto reply = body_->database().Read({.tables = {{kLines, {{absl::StrCat(i), "1"}}}}, .fence = fence});
    ASSERT_OK(reply.status());
    ASSERT_TRUE(reply->tables[0].rows[0].exists);
    auto transactions = reader_->ReadUntil(fence);
    ASSERT_OK(transactions.status());
    ASSERT_EQ(transactions->size(), 1u);
    EXPECT_THAT((*transactions)[0].items, ElementsAre(absl::StrCat("INSERT public.lines (", i, ", 1, 5)")));
  }
}

// ---- Projecting ----

TEST_P(DatabaseContract, ProjectionIsOneTaggedTransaction) {
  Insert(kLines, {"1", "1", "5"});
  Insert(kLines, {"2", "1", "5"});
  const uint32_t first = ReadRow(kLines, {"1", "1"}).xmin, second = ReadRow(kLines, {"2", "1"}).xmin;
  Stream();
  const ProjectReply reply = body_->database().Project(
      Batch(7, {{kLines, {"quantity"}, {InsertOf({"3", "1"}, {"8"}), UpdateOf({"2", "1"}, {std::nullopt}, second)}},
                {kLines, {}, {DeleteOf({"1", "1"}, first)}},
                {kItems, kItemColumns, {InsertOf({"1"}, {"ring", "100", "R-1", std::nullopt})}}}));
  ASSERT_EQ(reply.outcome, Outcome::kCommitted) << reply.status;
  auto items = Stream();
  ASSERT_EQ(items.size(), 1u);
  ASSERT_EQ(items[0].size(), 5u);
  EXPECT_EQ(items[0][0], "MESSAGE assay.projection tag 7");
  EXPECT_EQ(items[0][1], "DELETE public.lines (1, 1, 5)");
  EXPECT_EQ(items[0][2], "UPDATE public.lines (2, 1, 5) -> (2, 1, NULL)");
  EXPECT_THAT(items[0], Contains("INSERT public.lines (3, 1, 8)"));
  EXPECT_THAT(items[0], Contains("INSERT public.items (1, ring, 100, R-1, NULL)"));
  EXPECT_EQ(*body_->database().LastBatch(), 7u);
}

TEST_P(DatabaseContract, UpdateLeavesUnnamedColumnsAlone) {
  Insert(kItems, {"1", "ring", "100", "R-1", "engraved"});
  const uint32_t xmin = ReadRow(kItems, {"1"}).xmin;
  ASSERT_EQ(body_->database().Project(Batch(1, {{kItems, {"price"}, {UpdateOf({"1"}, {"120"}, xmin)}}})).outcome,
            Outcome::kCommitted);
  EXPECT_EQ(body_->Rows(kItems)[{"1"}], (Values{"1", "ring", "120", "R-1", "engraved"}));
}

TEST_P(DatabaseContract, ARowsTextsGoWhereItsOrderSays) {
  Insert(kItems, {"3", "chain", "30", "C-3", "engraved"});
  const uint32_t xmin = ReadRow(kItems, {"3"}).xmin;
  TableWrites inserts{
      kItems, {"price", "name"}, {InsertOf({"1"}, {"ring", "not written", "10"}), InsertOf({"2"}, {"20", "bangle"})}};
  inserts.orders = {{2, 0}, {0, 1}};
  inserts.rows[1].order = 1;
  TableWrites updates{kItems, {"price", "note"}, {UpdateOf({"3"}, {std::nullopt, "33"}, xmin)}};
  updates.orders = {{1, 0}};
  ASSERT_EQ(body_->database().Project(Batch(1, {inserts, updates})).outcome, Outcome::kCommitted);
  EXPECT_EQ(body_->Rows(kItems)[{"1"}], (Values{"1", "ring", "10", std::nullopt, std::nullopt}));
  EXPECT_EQ(body_->Rows(kItems)[{"2"}], (Values{"2", "bangle", "20", std::nullopt, std::nullopt}));
  EXPECT_EQ(body_->Rows(kItems)[{"3"}], (Values{"3", "chain", "33", "C-3", std::nullopt}));
}

TEST_P(DatabaseContract, EmptyProjectionStillLeavesItsTagAndProgress) {
  ASSERT_EQ(body_->database().Project(Batch(3, {})).outcome, Outcome::kCommitted);
  EXPECT_THAT(Stream(), ElementsAre(ElementsAre("MESSAGE assay.projection tag 3")));
  EXPECT_EQ(*body_->database().LastBatch(), 3u);
}

TEST_P(DatabaseContract, MovedRowsStopTheWholeProjectionAndAreNamed) {
  for (const char* id : {"1", "2", "3"}) Insert(kLines, {id, "1", "5"});
  auto read =
      body_->database().Read({.tables = {{kLines, {{"1", "1"}, {"2", "1"}, {"3", "1"}, {"4", "1"}}}}, .fence = "f"});
  ASSERT_OK(read.status());
  const std::vector<ReadReply::Row>& rows = read->tables[0].rows;
  Update(kLines, {"1", "1"}, {{"quantity", "6"}});
  Delete(kLines, {"2", "1"});
  Insert(kLines, {"4", "1", "5"});
  const TableWrites writes{kLines,
                           {"quantity"},
                           {UpdateOf({"1", "1"}, {"0"}, rows[0].xmin), UpdateOf({"2", "1"}, {"0"}, rows[1].xmin),
                            UpdateOf({"3", "1"}, {"0"}, rows[2].xmin), InsertOf({"4", "1"}, {"0"})}};
  for (size_t moved : {0, 1, 3}) {
    TableWrites two = writes;
    two.rows = {writes.rows[2], writes.rows[moved]};
    const ProjectReply reply = body_->database().Project(Batch(1, {two}));
    ASSERT_EQ(reply.outcome, Outcome::kMoved);
    ASSERT_EQ(reply.rows.size(), 1u);
    EXPECT_EQ(reply.rows[0].row, 1u);
  }
  const ProjectReply deleted =
      body_->database().Project(Batch(1, {{kLines, {}, {DeleteOf({"1", "1"}, rows[0].xmin)}}}));
  EXPECT_EQ(deleted.outcome, Outcome::kMoved);
  EXPECT_EQ(body_->Rows(kLines)[(RowKey{"3", "1"})][2], "5");
  EXPECT_EQ(body_->Rows(kLines)[(RowKey{"1", "1"})][2], "6");
  EXPECT_EQ(*body_->database().LastBatch(), 0u);
}

TEST_P(DatabaseContract, ARowToBeKeptIsGuardedAndNotWritten) {
  Insert(kItems, {"1", "kept", "1", "a", "n"});
  Insert(kItems, {"2", "other", "1", "b", "n"});
  ASSERT_TRUE(reader_->Drain().ok());
  const uint32_t kept = ReadRow(kItems, {"1"}).xmin, other = ReadRow(kItems, {"2"}).xmin;
  const TableWrites keep{kItems, {}, {KeepOf({"1"}, kept)}};
  const ProjectReply reply =
      body_->database().Project(Batch(1, {{kItems, {"name"}, {UpdateOf({"2"}, {"written"}, other)}}, keep}));
  ASSERT_EQ(reply.outcome, Outcome::kCommitted) << reply.status;
  EXPECT_EQ(ReadRow(kItems, {"1"}).xmin, kept);
  const auto drained = reader_->Drain();
  ASSERT_TRUE(drained.ok()) << drained.status();
  ASSERT_EQ(drained->size(), 1u);
  EXPECT_EQ((*drained)[0].items.size(), 2u) << "the tag, and the one row that was written";

  auto app = body_->Begin();
  ASSERT_OK(app->Update(kItems, {"1"}, {{"name", "moved"}}));
  ASSERT_OK(app->Commit());
  const ProjectReply moved = body_->database().Project(
      Batch(2, {{kItems, {"name"}, {UpdateOf({"2"}, {"again"}, ReadRow(kItems, {"2"}).xmin)}}, keep}));
  EXPECT_EQ(moved.outcome, Outcome::kMoved) << moved.status;
  EXPECT_EQ(ShowRow(ReadRow(kItems, {"2"})), "(2, written, 1, b, n)");
}

TEST_P(DatabaseContract, TableThatIsNotWhatItWasTakenToBeStopsTheWholeProjection) {
  auto read = body_->database().Read({.tables = {{kLines, {}}, {kItems, {}}}, .fence = "f"});
  ASSERT_OK(read.status());
  const TableShape shape = *read->tables[0].shape;
  TableWrites lines{kLines, {"quantity"}, {InsertOf({"1", "1"}, {"5"})}};
  TableWrites items{kItems, kItemColumns, {InsertOf({"1"}, {"ring", "100", "R-1", std::nullopt})}};
  items.planned_on = std::make_shared<const TableShape>(*read->tables[1].shape);
  TableShape retyped = shape, shorter = shape, renamed = shape;
  retyped.columns.back().type = "numeric(9,3)";
  shorter.columns.pop_back();
  renamed.columns.back().name = "count";
  for (const TableShape& other : {retyped, shorter, renamed}) {
    lines.planned_on = std::make_shared<const TableShape>(other);
    const ProjectReply reply = body_->database().Project(Batch(1, {items, lines}));
    EXPECT_EQ(reply.outcome, Outcome::kMoved);
    EXPECT_THAT(reply.rows, IsEmpty());
  }
  EXPECT_THAT(body_->Rows(kItems), IsEmpty());
  EXPECT_EQ(*body_->database().LastBatch(), 0u);
  ASSERT_OK(body_->database().Read({.fence = "g"}).status());
  lines.planned_on = std::make_shared<const TableShape>(shape);
  EXPECT_EQ(body_->database().Project(Batch(1, {items, lines})).outcome, Outcome::kCommitted);
  EXPECT_EQ(body_->Rows(kLines).size(), 1u);
}

// A key's texts name another row once the key is another column: one that the same transaction wrote has the same xmin.
TEST_P(DatabaseContract, ARowIsWrittenOnlyToTheTableThatItWasPlannedOn) {
  auto app = body_->Begin();
  ASSERT_OK(app->Insert(kItems, {"1", "2", "10", "A-1", std::nullopt}));
  ASSERT_OK(app->Insert(kItems, {"2", "1", "20", "B-1", std::nullopt}));
  ASSERT_OK(app->Commit());
  const auto read = body_->database().Read({.tables = {{kItems, {{"1"}}}}, .fence = "f"});
  ASSERT_OK(read.status());
  const uint32_t xmin = read->tables[0].rows[0].xmin;
  // Another batch meets somebody, and the catalog is looked at anew.
  const ProjectReply other =
      body_->database().Project(Batch(1, {{kItems, {"price"}, {UpdateOf({"2"}, {"30"}, xmin + 1)}}}));
  ASSERT_EQ(other.outcome, Outcome::kMoved);
  ASSERT_OK(body_->SetKey({"name"}));
  TableWrites writes{kItems, {}, {DeleteOf({"1"}, xmin)}};
  writes.planned_on = std::make_shared<const TableShape>(*read->tables[0].shape);
  const ProjectReply reply = body_->database().Project(Batch(2, {writes}));
  EXPECT_EQ(reply.outcome, Outcome::kMoved);
  EXPECT_THAT(reply.rows, IsEmpty());
  EXPECT_EQ(body_->Rows(kItems).size(), 2u);
}

TEST_P(DatabaseContract, RefusedRowsAreNamedWithTheirCauseAndNothingIsWritten) {
  Insert(kItems, {"1", "ring", "100", "R-1", std::nullopt});
  Stream();
  const TableWrites writes{
      kItems,
      kItemColumns,
      {InsertOf({"2"}, {"fine", "1", "F-1", std::nullopt}), InsertOf({"3"}, {"twin", "1", "R-1", std::nullopt}),
       InsertOf({"4"}, {std::nullopt, "1", "N-1", std::nullopt}),
       InsertOf({"5"}, {"long", "1", "longer than eight", std::nullopt})}};
  const std::vector<std::string> sqlstates = {"", "23505", "23502", "22001"};
  for (size_t bad : {1, 2, 3}) {
    TableWrites two = writes;
    two.rows = {writes.rows[0], writes.rows[bad]};
    const ProjectReply reply = body_->database().Project(Batch(1, {two}));
    ASSERT_EQ(reply.outcome, Outcome::kRefused) << bad;
    ASSERT_EQ(reply.rows.size(), 1u) << bad;
    EXPECT_EQ(reply.rows[0].row, 1u);
    EXPECT_EQ(reply.rows[0].sqlstate, sqlstates[bad]);
    EXPECT_NE(reply.rows[0].cause, "");
  }
  EXPECT_EQ(body_->Rows(kItems).size(), 1u);
  EXPECT_EQ(*body_->database().LastBatch(), 0u);
  EXPECT_THAT(Stream(), IsEmpty());
}

TEST_P(DatabaseContract, DeletedUniqueValueMayBeUsedInTheSameProjection) {
  Insert(kItems, {"1", "ring", "100", "R-1", std::nullopt});
  const uint32_t xmin = ReadRow(kItems, {"1"}).xmin;
  const ProjectReply reply = body_->database().Project(
      Batch(1, {{kItems, kItemColumns, {InsertOf({"2"}, {"ring", "100", "R-1", std::nullopt})}},
                {kItems, {}, {DeleteOf({"1"}, xmin)}}}));
  EXPECT_EQ(reply.outcome, Outcome::kCommitted) << reply.status;
}

TEST_P(DatabaseContract, RowLockedByTheAppMakesTheProjectionWaitAndGiveUp) {
  Insert(kLines, {"1", "1", "5"});
  const uint32_t xmin = ReadRow(kLines, {"1", "1"}).xmin;
  auto app = body_->Begin();
  ASSERT_OK(app->Update(kLines, {"1", "1"}, {{"quantity", "6"}}));
  const ProjectReply reply =
      body_->database().Project(Batch(1, {{kLines, {"quantity"}, {UpdateOf({"1", "1"}, {"0"}, xmin)}}}));
  EXPECT_EQ(reply.outcome, Outcome::kUnavailable);
  EXPECT_FALSE(reply.status.ok());
  ASSERT_OK(app->Commit());
  EXPECT_EQ(body_->Rows(kLines)[(RowKey{"1", "1"})][2], "6");
}

TEST_P(DatabaseContract, AShutGateKeepsAProjectionFromHappening) {
  ProjectRequest request = Batch(1, {{kLines, {"quantity"}, {InsertOf({"1", "1"}, {"5"})}}});
  auto gate = std::make_shared<LogGate>();
  gate->Decide(false);
  request.gate = gate;
  const ProjectReply kept = body_->database().Project(request);
  EXPECT_EQ(kept.outcome, Outcome::kUnavailable);
  EXPECT_FALSE(kept.status.ok());
  EXPECT_THAT(body_->Rows(kLines), IsEmpty());
  EXPECT_EQ(*body_->database().LastBatch(), 0u);
  EXPECT_THAT(Stream(), IsEmpty());
  request.gate = gate = std::make_shared<LogGate>();
  gate->Decide(true);
  const ProjectReply reply = body_->database().Project(request);
  EXPECT_EQ(reply.outcome, Outcome::kCommitted) << reply.status;
  EXPECT_EQ(body_->Rows(kLines).size(), 1u);
}

TEST_P(DatabaseContract, InDoubtIsSettledByTheLastBatch) {
  ASSERT_EQ(body_->database().Project(Batch(1, {{kLines, {"quantity"}, {InsertOf({"1", "1"}, {"5"})}}})).outcome,
            Outcome::kCommitted);
  for (bool arrives : {false, true}) {
    const uint64_t batch = arrives ? 3 : 2;
    const ProjectReply reply = body_->ProjectLosingReply(
        Batch(batch, {{kLines, {"quantity"}, {InsertOf({absl::StrCat(batch), "1"}, {"5"})}}}), arrives);
    ASSERT_EQ(reply.outcome, Outcome::kInDoubt);
    absl::StatusOr<uint64_t> last = body_->database().LastBatch();
    for (int i = 0; i < 100 && absl::IsUnavailable(last.status()); ++i) last = body_->database().LastBatch();
    ASSERT_OK(last.status());
    EXPECT_EQ(*last, arrives ? 3u : 1u);
    EXPECT_EQ(body_->Rows(kLines).contains({absl::StrCat(batch), "1"}), arrives);
  }
}

// ---- Under locks ----

TEST_P(DatabaseContract, LockingReadKeepsTheAppOutUntilTheProjection) {
  Insert(kLines, {"1", "1", "5"});
  Stream();
  auto read = body_->database().Read(
      {.tables = {{kLines, {{"1", "1"}, {"2", "1"}}}}, .fence = "locked", .lock = true, .tag = "tag 4"});
  ASSERT_OK(read.status());
  EXPECT_EQ(ShowRow(read->tables[0].rows[0]), "(1, 1, 5)");
  EXPECT_FALSE(read->tables[0].rows[1].exists);
  EXPECT_TRUE(absl::IsAborted(body_->Begin()->Update(kLines, {"1", "1"}, {{"quantity", "9"}})));
  EXPECT_TRUE(absl::IsAborted(body_->Begin()->Insert(kLines, {"2", "1", "9"})));
  // The fence gets out although the locks are held.
  auto before = reader_->ReadUntil("locked");
  ASSERT_OK(before.status());
  EXPECT_THAT(*before, IsEmpty());
  ProjectRequest request =
      Batch(4, {{kLines, {"quantity"}, {UpdateOf({"1", "1"}, {"6"}, 0), InsertOf({"2", "1"}, {"7"})}}});
  request.locked = true;
  const ProjectReply reply = body_->database().Project(request);
  ASSERT_EQ(reply.outcome, Outcome::kCommitted) << reply.status;
  EXPECT_THAT(Stream(),
              ElementsAre(ElementsAre("MESSAGE assay.projection tag 4", "UPDATE public.lines (1, 1, 5) -> (1, 1, 6)",
                                      "INSERT public.lines (2, 1, 7)")));
  Update(kLines, {"1", "1"}, {{"quantity", "9"}});
  EXPECT_EQ(*body_->database().LastBatch(), 4u);
}

TEST_P(DatabaseContract, AbandonLetsTheLocksGoAndLeavesNothing) {
  Insert(kLines, {"1", "1", "5"});
  Stream();
  ASSERT_OK(body_->database()
                .Read({.tables = {{kLines, {{"1", "1"}, {"2", "1"}}}}, .fence = "f", .lock = true, .tag = "tag 1"})
                .status());
  body_->database().Abandon();
  body_->database().Abandon();
  Update(kLines, {"1", "1"}, {{"quantity", "6"}});
  Insert(kLines, {"2", "1", "7"});
  EXPECT_THAT(Stream(), ElementsAre(ElementsAre("UPDATE public.lines (1, 1, 5) -> (1, 1, 6)"),
                                    ElementsAre("INSERT public.lines (2, 1, 7)")));
}

TEST_P(DatabaseContract, LockingReadGivesUpOnRowsTheAppHolds) {
  Insert(kLines, {"1", "1", "5"});
  auto app = body_->Begin();
  ASSERT_OK(app->Update(kLines, {"1", "1"}, {{"quantity", "6"}}));
  ASSERT_OK(app->Insert(kLines, {"2", "1", "6"}));
  for (const char* id : {"1", "2"}) {
    auto read = body_->database().Read({.tables = {{kLines, {{id, "1"}}}}, .fence = "f", .lock = true, .tag = "tag 1"});
    EXPECT_TRUE(absl::IsAborted(read.status())) << read.status();
  }
  ASSERT_OK(app->Commit());
  EXPECT_TRUE(
      body_->database().Read({.tables = {{kLines, {{"1", "1"}}}}, .fence = "f", .lock = true, .tag = "tag 1"}).ok());
  body_->database().Abandon();
}

TEST_P(DatabaseContract, CrashEndsALockingRead) {
  Insert(kLines, {"1", "1", "5"});
  ASSERT_OK(body_->database()
                .Read({.tables = {{kLines, {{"1", "1"}}}}, .fence = "f", .lock = true, .tag = "tag 1"})
                .status());
  body_->Crash();
  ProjectRequest request = Batch(1, {{kLines, {"quantity"}, {UpdateOf({"1", "1"}, {"6"}, 0)}}});
  request.locked = true;
  EXPECT_EQ(body_->database().Project(request).outcome, Outcome::kUnavailable);
  EXPECT_EQ(body_->Rows(kLines)[(RowKey{"1", "1"})][2], "5");
}

}  // namespace assay::test
