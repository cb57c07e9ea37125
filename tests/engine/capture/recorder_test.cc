// Goal: what is captured becomes events with stamps, images and versions as promised in engine/capture/recorder.h.
// Method: feed hand-made capture items into a Recorder over a real log file, and read the chain back.
#include "engine/capture/recorder.h"

#include "absl/strings/str_cat.h"
#include "tests/engine/capture/recorder_fixture.h"

namespace assay {
namespace {

TEST_F(RecorderTest, ATransactionIsOneStampAndEndsOnce) {
  Begin(100);
  Insert({"1", "10.00", "5"});
  Insert({"2", "20.00", "6"});
  Commit(100);
  const auto events = Events();
  ASSERT_EQ(events.size(), 3u);  // The schema, then two rows.
  EXPECT_TRUE(events[0].has_schema());
  EXPECT_TRUE(events[0].has_transaction());
  for (const v1::Event& event : events) {
    EXPECT_EQ(event.stamp(), events[0].stamp());
    EXPECT_EQ(event.transaction_first(), events[0].sequence());
    EXPECT_EQ(event.ends_transaction(), event.sequence() == events[2].sequence());
  }
}

TEST_F(RecorderTest, AnUpdateCarriesChangedColumnsWithImagesAndTheVersionsReplaced) {
  Begin(100);
  Insert({"1", "10.00", "5"});
  Commit(100);
  Begin(200);
  Update({"1", "10.00", "5"}, {"1", "12.00", "5"});
  Commit(200);
  const auto events = Events();
  ASSERT_EQ(events.size(), 3u);
  const v1::RowChange& row = events[2].row();
  ASSERT_EQ(row.columns_size(), 1);
  EXPECT_EQ(row.columns(0).value(), "12.00");
  EXPECT_EQ(row.columns(0).old_value(), "10.00");
  ASSERT_EQ(row.columns(0).replaced(), 1u);
  EXPECT_EQ(row.replaced(0).sequence(), events[1].sequence());
  EXPECT_EQ(row.row_replaced(), 1u);
}

TEST_F(RecorderTest, SettingAColumnToItselfIsNoEvent) {
  Begin(100);
  Update({"1", "10.00", "5"}, {"1", "10.00", "5"});
  Commit(100);
  EXPECT_TRUE(Events().empty());
}

TEST_F(RecorderTest, AChangedKeyIsADeleteAndAWholeInsert) {
  Begin(100);
  Insert({"1", "10.00", "5"});
  Commit(100);
  Begin(200);
  Update({"1", "10.00", "5"}, {"9", "10.00", "5"});
  Commit(200);
  const auto events = Events();
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[2].row().operation(), v1::RowChange::DELETE);
  EXPECT_EQ(events[3].row().operation(), v1::RowChange::INSERT);
  EXPECT_EQ(events[3].row().moved_from(0), "1");
  EXPECT_EQ(events[3].row().columns_size(), 2);
  EXPECT_EQ(events[2].stamp(), events[3].stamp());
}

TEST_F(RecorderTest, APartOfTheKeyThatIsNotSentIsTakenFromTheRowBefore) {
  shape_ = std::make_shared<TableShape>(
      TableShape{{"public", "shelves"}, {{"no", "integer", true}, {"region", "text", true}, {"note", "text"}}, {0, 1}});
  Begin(100);
  Insert({"1", "far away", "a"});
  Commit(100);
  Begin(200);
  CaptureItem item{.kind = CaptureItem::Kind::kUpdate};
  item.relation = shape_;
  const Row before = {"1", "far away", "a"};
  item.old_tuple = Tuple(before);
  item.new_tuple = {{TupleValue::Kind::kText, "2"}, {TupleValue::Kind::kUnchanged, {}}, {TupleValue::Kind::kText, "b"}};
  Feed(item);
  Commit(200);
  const auto events = Events();
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[2].row().operation(), v1::RowChange::DELETE);
  EXPECT_THAT(events[3].row().key(), testing::ElementsAre("2", "far away"));
}

TEST_F(RecorderTest, TruncateIsTheDeleteOfTheRowsThatWereThere) {
  Begin(100);
  Insert({"1", "10.00", "5"});
  Insert({"2", "20.00", std::nullopt});
  Commit(100);
  Begin(200);
  Delete({"1", "10.00", "5"});
  Change(CaptureItem::Kind::kTruncate, {}, {});
  Commit(200);
  const auto events = Events();
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(events[4].row().operation(), v1::RowChange::DELETE);
  EXPECT_EQ(events[4].row().key(0), "2");
  EXPECT_EQ(events[4].row().columns(0).old_value(), "20.00");
  EXPECT_TRUE(events[4].row().columns(1).old_is_null());
}

// Seed 241: the event of the newest row was still held back when its last values were looked up in the log.
TEST_F(RecorderTest, TruncateDeletesRowsOfItsOwnTransactionToo) {
  Begin(100);
  Insert({"1", "10.00", "5"});
  Insert({"2", "20.00", "6"});
  Change(CaptureItem::Kind::kTruncate, {}, {});
  Insert({"3", "30.00", "7"});
  Commit(100);
  const auto events = Events();
  ASSERT_EQ(events.size(), 6u);
  EXPECT_EQ(events[3].row().operation(), v1::RowChange::DELETE);
  EXPECT_EQ(events[4].row().operation(), v1::RowChange::DELETE);
  EXPECT_EQ(events[5].row().key(0), "3");
}

// Its rows are of another key than it has now: nothing can follow the event before them, which has to end.
TEST_F(RecorderTest, ATransactionEndsWhenNoneOfWhatItTruncatesIsTold) {
  Begin(100);
  Insert({"1", "10.00", "5"});
  Commit(100);
  TableShape rekeyed = *shape_;
  rekeyed.key = {1};
  const auto products = std::make_shared<const TableShape>(rekeyed);
  const auto other = std::make_shared<const TableShape>(
      TableShape{{"public", "other"}, {{"id", "text", true}, {"price", "text"}, {"stock", "text"}}, {0}});
  Begin(200);
  shape_ = products;
  Insert({"2", "20.00", "6"});
  Delete({"2", "20.00", "6"});
  Commit(200);
  Begin(300);
  shape_ = other;
  Insert({"1", "", ""});
  shape_ = products;
  Change(CaptureItem::Kind::kTruncate, {}, {});
  Commit(300);
  Begin(400);
  shape_ = other;
  Insert({"2", "", ""});
  Commit(400);
  const auto events = Events();
  EXPECT_TRUE(events.back().ends_transaction());
  EXPECT_TRUE(events[events.size() - 2].ends_transaction());
  EXPECT_EQ(recorder_->unrecorded().size(), 1u);
}

TEST_F(RecorderTest, WhatTheSlotSendsAgainIsPassedOver) {
  Begin(100);
  Insert({"1", "10.00", "5"});
  Commit(100);
  ASSERT_TRUE(file_->Commit().ok());
  Open();
  Begin(100);
  Insert({"1", "10.00", "5"});
  Commit(100);
  Begin(200);
  Insert({"2", "20.00", "6"});
  Commit(200);
  const auto events = Events();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[2].row().key(0), "2");
  EXPECT_GT(events[2].stamp(), events[1].stamp());
}

// A table dropped before its last rows were captured: the catalog knows its key no more, the chain does.
TEST_F(RecorderTest, RowsOfADroppedTableKeepTheKeyItWasDeclaredWith) {
  Begin(100);
  Insert({"1", "10.00", "5"});
  Commit(100);
  TableShape keyless = *shape_;
  keyless.key.clear();
  for (TableColumn& column : keyless.columns) column.not_null = false;
  shape_ = std::make_shared<const TableShape>(keyless);
  Begin(200);
  Update({"1", "10.00", "5"}, {"1", "11.00", "5"});
  Delete({"1", "11.00", "5"});
  Change(CaptureItem::Kind::kTruncate, {}, {});
  Commit(200);
  const auto events = Events();
  ASSERT_EQ(events.size(), 4u);  // One schema only.
  EXPECT_EQ(events[2].row().key(0), "1");
  EXPECT_EQ(events[2].row().columns_size(), 1);
  EXPECT_EQ(events[3].row().key(0), "1");
}

// ---- Time ----

// A dead battery: one commit in 2099, and the clock is set right afterwards.
TEST_F(RecorderTest, ACommitFarAheadOfTheClockIsEvidenceAndNoStamp) {
  constexpr int64_t kNowMs = 1'700'000'000'000, k2099Ms = 4'070'908'800'000;
  recorder_->SetNow(absl::FromUnixMillis(kNowMs));
  Begin(100, k2099Ms);
  Insert({"1", "10.00", "5"});
  Commit(100);
  Begin(200, kNowMs + 5000);
  Insert({"2", "10.00", "5"});
  Commit(200);
  const auto events = Events();
  EXPECT_EQ(events[0].transaction().commit_time_us(), k2099Ms * 1000) << "it is what PostgreSQL said";
  EXPECT_EQ(HlcStamp{events[0].stamp()}.millis(), kNowMs);
  EXPECT_EQ(HlcStamp{events[2].stamp()}.millis(), kNowMs + 5000) << "the clock has not moved away";
  EXPECT_EQ(recorder_->counters().ahead, Sequence{3});
  EXPECT_EQ(recorder_->counters().ahead_until, absl::FromUnixMillis(k2099Ms));
}

TEST_F(RecorderTest, ACommitThatIsALittleAheadIsBelieved) {
  recorder_->SetNow(absl::FromUnixMillis(1'700'000'000'000));
  Begin(100, 1'700'000'000'000 + absl::ToInt64Milliseconds(kCommitAheadMax));
  Insert({"1", "10.00", "5"});
  Commit(100);
  EXPECT_EQ(HlcStamp{Events()[0].stamp()}.millis(), 1'700'000'000'000 + absl::ToInt64Milliseconds(kCommitAheadMax));
  EXPECT_EQ(recorder_->counters().ahead, Sequence{});
}

TEST_F(RecorderTest, AChainAtTheEndOfAllStampsSaysSo) {
  ASSERT_TRUE(state_->Write(kClockNote, HlcStamp{UINT64_MAX - 1}).ok());
  ASSERT_TRUE(recorder_->Load().ok());
  Begin(100);
  Insert({"1", "10.00", "5"});
  Commit(100);
  Begin(200);
  CaptureItem item;
  item.kind = CaptureItem::Kind::kInsert;
  item.relation = shape_;
  item.new_tuple = {Text("2"), Text("10.00"), Text("5")};
  EXPECT_TRUE(absl::IsResourceExhausted(recorder_->Record(item)));
}

TEST_F(RecorderTest, RollbackForgetsTheTransactionAndItsStamp) {
  Begin(100);
  Insert({"1", "10.00", "5"});
  file_->Rollback();
  ASSERT_TRUE(recorder_->Load().ok());
  ASSERT_TRUE(file_->Begin().ok());
  Begin(100);
  Insert({"1", "10.00", "5"});
  Commit(100);
  const auto events = Events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].sequence(), 2u);
  EXPECT_TRUE(events[0].has_schema());
}

TEST_F(RecorderTest, WholeRowPolicyClaimsEveryColumn) {
  config_.policies[{"public", "products"}].whole_row = true;
  Begin(100);
  Update({"1", "10.00", "5"}, {"1", "12.00", "5"});
  Commit(100);
  const auto events = Events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].row().columns_size(), 2);
}

TEST_F(RecorderTest, AttributionIsKeptAndItsAbsenceCounted) {
  Begin(100);
  CaptureItem message;
  message.kind = CaptureItem::Kind::kMessage;
  message.prefix = kAttributionPrefix;
  message.content = R"({"database_user":"till","application_user":"asha","unknown":1})";
  Feed(message);
  Insert({"1", "10.00", "5"});
  Commit(100);
  Begin(200);
  Insert({"2", "10.00", "5"});
  Commit(200);
  const auto events = Events();
  EXPECT_EQ(events[0].transaction().attribution().application_user(), "asha");
  EXPECT_FALSE(events[2].transaction().has_attribution());
  EXPECT_EQ(recorder_->counters().unattributed_transactions, 1u);
}

TEST_F(RecorderTest, ATagNobodyMeantIsAnOrdinaryTransaction) {
  Begin(100);
  CaptureItem message;
  message.kind = CaptureItem::Kind::kMessage;
  message.prefix = kProjectionPrefix;
  message.content = "forged";
  Feed(message);
  Insert({"1", "10.00", "5"});
  Commit(100);
  EXPECT_EQ(Events().size(), 2u);
}

TEST_F(RecorderTest, AColumnAddedLaterIsANewSchemaInTheChain) {
  Begin(100);
  Insert({"1", "10.00", "5"});
  Commit(100);
  shape_ = std::make_shared<TableShape>(
      TableShape{{"public", "products"},
                 {{"id", "integer", true}, {"price", "numeric"}, {"stock", "integer"}, {"tray", "text"}},
                 {0}});
  Begin(200);
  Update({"1", "10.00", "5", std::nullopt}, {"1", "10.00", "5", "T7"});
  Commit(200);
  const auto events = Events();
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[2].schema().columns_size(), 4);
  EXPECT_EQ(events[3].row().schema(), events[2].sequence());
  EXPECT_EQ(events[3].row().columns(0).ordinal(), 3u);
}

TEST_F(RecorderTest, AColumnDroppedAndMadeAnewIsANewSchemaThoughItLooksTheSame) {
  const auto products = [](uint32_t number) {
    return std::make_shared<TableShape>(TableShape{
        {"public", "products"}, {{"id", "integer", true, false, 1}, {"price", "numeric", false, false, number}}, {0}});
  };
  for (const auto& [number, lsn] : {std::pair<uint32_t, uint64_t>{2, 100}, {5, 200}}) {
    shape_ = products(number);
    Begin(lsn);
    Insert({std::to_string(lsn), "10.00"});
    Commit(lsn);
  }
  const auto events = Events();
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].schema().columns(1).number(), 2u);
  EXPECT_EQ(events[2].schema().columns(1).number(), 5u);
  EXPECT_NE(events[0].schema().fingerprint(), events[2].schema().fingerprint());
}

// A value that no hub and no other database would take: the change is recorded, its version counts, and the value stays
// here.
TEST_F(RecorderTest, AValueTooLargeForAnEventIsNamedAndLeftOut) {
  config_.row_bytes_max = 100;
  const std::string large(90, 'x'), larger(101, 'y');
  Begin(100);
  Insert({"1", "ring", larger});
  Insert({"2", "band", "5"});
  Commit(100);
  std::vector<v1::Event> events = Events();
  ASSERT_EQ(events.size(), 3u);  // The schema first.
  const v1::ColumnChange& left_out = events[1].row().columns(1);
  EXPECT_EQ(left_out.ordinal(), 2u) << "the column is named, so that its version moves";
  EXPECT_FALSE(left_out.has_value() || left_out.is_null());
  EXPECT_EQ(events[1].row().columns(0).value(), "ring");
  EXPECT_EQ(events[2].row().columns(1).value(), "5") << "every row has its own room";
  ASSERT_EQ(recorder_->withheld().size(), 1u);
  EXPECT_EQ(recorder_->withheld()[0].column, shape_->columns[2].name);
  EXPECT_EQ(recorder_->withheld()[0].bytes, 101u);

  // Known after a restart, and forgotten once a value that fits is written.
  ASSERT_TRUE(file_->Commit().ok());
  Open();
  ASSERT_EQ(recorder_->withheld().size(), 1u);
  Begin(200);
  Update({"1", "ring", larger}, {"1", "rings", larger});
  Commit(200);
  EXPECT_EQ(recorder_->withheld().size(), 1u) << "another column says nothing of it";
  Begin(300);
  Update({"1", "rings", larger}, {"1", "rings", large});
  Commit(300);
  EXPECT_TRUE(recorder_->withheld().empty());
  const v1::ColumnChange smaller = Events().back().row().columns(0);
  EXPECT_EQ(smaller.value(), large);
  EXPECT_FALSE(smaller.has_old_value()) << "the value before gives way to the new one";
  Begin(400);
  Update({"1", "rings", large}, {"1", "rings", larger});
  Commit(400);
  EXPECT_EQ(recorder_->withheld().size(), 1u);
  EXPECT_EQ(Events().back().row().columns(0).old_value(), large);
  Begin(500);
  Delete({"1", "rings", larger});
  Commit(500);
  EXPECT_TRUE(recorder_->withheld().empty());
}

// PostgreSQL's commit records may touch: the LSN of the next one is where the one before ends.
TEST_F(RecorderTest, ACommitThatFollowsTheLastOneAtOnceIsNewsAfterARestart) {
  Begin(100);
  Insert({"1", "10.00", "5"});
  Commit(100);
  ASSERT_TRUE(file_->Commit().ok());
  Open();
  Begin(100);  // The server sends again what it does not know to be durable.
  Insert({"1", "10.00", "5"});
  Commit(100);
  Begin(108);
  Insert({"2", "10.00", "5"});
  Commit(108);
  EXPECT_EQ(Events().size(), 3u) << "the schema and two rows, each once";
}

// Goal: each transaction says all that its branch had projected before it, whatever became of an earlier try.
TEST_F(RecorderTest, WhatWasSeenIsSaidAgainWhenItsTransactionWasRolledBack) {
  const OriginId other{{7, 7}};
  ASSERT_TRUE(log_->IndexOf(other).ok());
  ASSERT_TRUE(state_->SetProjected(other, Sequence{5}).ok());
  ASSERT_TRUE(file_->Commit().ok());
  ASSERT_TRUE(file_->Begin().ok());
  Begin(100);
  Insert({"1", "10.00", "5"});
  file_->Rollback();
  ASSERT_TRUE(recorder_->Load().ok());
  ASSERT_TRUE(file_->Begin().ok());
  Begin(100);
  Insert({"1", "10.00", "5"});
  Commit(100);
  ASSERT_EQ(Events()[0].transaction().seen_size(), 1);
  EXPECT_EQ(Events()[0].transaction().seen(0).sequence(), 5u);
}

// A remote version was adopted for the row while this change, which is older, was still on its way to the log:
// PostgreSQL holds the older one, so the row is to be written again.
TEST_F(RecorderTest, ALocalChangeThatLosesToAnAdoptedVersionMakesItsRowDue) {
  Begin(100);
  Insert({"1", "10.00", "5"});
  Commit(100);
  const OriginId other{{7, 7}};
  const RowRef ref = RowOf(names_->IdOf(shape_->name).value(), KeyColumns({"id"}), RowKey{"1"});
  RowVersions newer = *rows_->Get(ref).value();
  newer.written = {HlcStamp::FromMillis(1'900'000'000'000), other, Sequence{5}};
  newer.columns.Set(0, newer.written);
  ASSERT_TRUE(log_->IndexOf(other).ok());
  ASSERT_TRUE(rows_->Put(ref, newer).ok());
  Begin(200);
  Update({"1", "10.00", "5"}, {"1", "12.00", "5"});
  Commit(200);
  const std::optional<UnsettledRow> unsettled = unsettled_->Find(ref).value();
  ASSERT_TRUE(unsettled.has_value());
  EXPECT_FALSE(unsettled->held_known) << "read it, and write every column";
  EXPECT_EQ(unsettled->retry_at_ms, 0) << "at once";
}

}  // namespace
}  // namespace assay
