// Goal: what a batch makes of pending events, row by row.
// Method: put events of another branch into a small real log, gather them, and look at the rows.
#include "engine/fold/batch.h"

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

// Delhi's events in a small log, and mumbai that folds them.
class BatchTest : public ::testing::Test {
 protected:
  // `key`'s name is `name`.
  void Write(v1::RowChange::Operation operation, const std::string& key, const std::string& name) {
    v1::Event event = small_.Next(small_.delhi());
    test::SmallLog::Fill(operation, key, {{{}, name}}, event.mutable_row());
    small_.AppendRaw(event, "public.items");
  }
  // The chain of a third branch, which has the same table.
  void OpenPune() {
    v1::Event opened = small_.Next(pune_);
    opened.mutable_origin_opened()->set_branch_name("pune");
    small_.AppendRaw(opened, "");
    v1::Event schema = small_.Next(pune_);
    schema.mutable_schema()->set_schema_name("public");
    schema.mutable_schema()->set_table_name("items");
    for (const char* name : {"id", "name", "price"}) schema.mutable_schema()->add_columns()->set_name(name);
    schema.mutable_schema()->add_key(0);
    small_.AppendRaw(schema, "public.items");
  }
  void EditAtPune(const std::string& key, const std::string& name) {
    v1::Event event = small_.Next(pune_);
    test::SmallLog::Fill(v1::RowChange::UPDATE, key, {{"ring", name}}, event.mutable_row());
    small_.AppendRaw(event, "public.items");
  }
  // What was written is there to fold from now on.
  void Open() {
    file_ = LogFile::Open(path_, {}).value();
    log_ = EventLog::Open(file_.get()).value();
    names_ = TableNames::Open(file_.get(), log_.get()).value();
    state_ = LocalState::Open(file_.get(), log_.get()).value();
    ASSERT_TRUE(file_->Begin().ok());
  }
  std::unique_ptr<Batch> NewBatch() {
    return std::make_unique<Batch>(small_.mumbai(), log_.get(), names_.get(), state_.get());
  }

  test::TempDirectory directory_{"batch"};
  const std::string path_ = directory_.path() + "/log.db";
  test::SmallLog small_{path_};
  const OriginId pune_{{0xcc}};
  std::unique_ptr<LogFile> file_;
  std::unique_ptr<EventLog> log_;
  std::unique_ptr<TableNames> names_;
  std::unique_ptr<LocalState> state_;
};

// A column that an event names without a value holds one too large for an event (engine/capture/recorder.h): its
// version counts, and nothing may be written in its place, not even the empty text.
TEST_F(BatchTest, AColumnNamedWithoutAValueHasAVersionAndNothingToWrite) {
  for (const char* key : {"7", "8"}) {
    v1::Event event = small_.Next(small_.delhi());
    test::SmallLog::Fill(v1::RowChange::INSERT, key, {{{}, "ring"}}, event.mutable_row());
    event.mutable_row()->add_columns()->set_ordinal(2);
    small_.AppendRaw(event, "public.items");
  }
  // A value that was folded before gives way to it.
  v1::Event event = small_.Next(small_.delhi());
  event.mutable_row()->set_operation(v1::RowChange::UPDATE);
  event.mutable_row()->set_schema(2);
  event.mutable_row()->add_key("8");
  event.mutable_row()->add_columns()->set_ordinal(1);
  small_.AppendRaw(event, "public.items");

  ASSERT_NO_FATAL_FAILURE(Open());
  const std::unique_ptr<Batch> batch = NewBatch();
  ASSERT_TRUE(batch->Gather(100).ok());
  ASSERT_EQ(batch->rows().size(), 2u);
  for (const PendingRow& row : batch->rows()) {
    ASSERT_EQ(row.incoming().columns.size(), 2u);
    EXPECT_EQ(row.ValueAt(1).kind, PendingRow::Kind::kNone);
    if (row.key() == EncodeKey({"8"})) {
      EXPECT_EQ(row.ValueAt(0).kind, PendingRow::Kind::kNone);
    } else {
      EXPECT_EQ(row.ValueAt(0).kind, PendingRow::Kind::kText);
      EXPECT_EQ(row.ValueAt(0).text, "ring");
    }
  }
}

// Goal: one row that nobody can read never holds up its chain, and is not left out in silence.
// Method: another branch declares a table without a key, and sends rows of it and misfits between good ones.
TEST_F(BatchTest, RowsThatNobodyCanReadAreLeftOutByNameAndTheChainGoesOn) {
  v1::Event keyless = small_.Next(small_.delhi());
  keyless.mutable_schema()->set_schema_name("public");
  keyless.mutable_schema()->set_table_name("import");
  keyless.mutable_schema()->add_columns()->set_name("id");
  small_.AppendRaw(keyless, "public.import");
  Write(v1::RowChange::INSERT, "1", "ring");
  const auto misfit = [&](absl::string_view table, uint64_t schema, int keys, uint32_t ordinal) {
    v1::Event event = small_.Next(small_.delhi());
    event.mutable_row()->set_operation(v1::RowChange::INSERT);
    event.mutable_row()->set_schema(schema);
    for (int i = 0; i < keys; ++i) event.mutable_row()->add_key("2");
    event.mutable_row()->add_columns()->set_ordinal(ordinal);
    small_.AppendRaw(event, std::string(table));
    return Sequence{event.sequence()};
  };
  const Sequence first = misfit("public.import", keyless.sequence(), 0, 0);
  misfit("public.import", keyless.sequence(), 0, 0);
  const Sequence wild = misfit("public.items", 2, 1, 3);
  misfit("public.items", 2, 2, 1);
  Write(v1::RowChange::INSERT, "3", "chain");

  ASSERT_NO_FATAL_FAILURE(Open());
  for (int again = 0; again < 2; ++again) {
    const std::unique_ptr<Batch> batch = NewBatch();
    ASSERT_TRUE(batch->Gather(100).ok());
    EXPECT_TRUE(batch->stopped().empty());
    EXPECT_EQ(batch->rows().size(), 2u);
    EXPECT_EQ(batch->to().at(small_.delhi()), log_->Head(small_.delhi()).complete);
  }
  const UnreadableTables unreadable = state_->Read(kUnreadableNote).value();
  ASSERT_EQ(unreadable.size(), 2u);
  EXPECT_EQ(unreadable.at({small_.delhi(), "public.import"}).first, first);
  EXPECT_NE(unreadable.at({small_.delhi(), "public.import"}).cause.find("a table without a primary key"),
            std::string::npos);
  EXPECT_EQ(unreadable.at({small_.delhi(), "public.items"}).first, wild);
}

// Goal: a batch that is gathered while the one before it is being written goes on exactly where that one ends.
TEST_F(BatchTest, TheNextBatchFollowsTheOneThatIsNotMergedYet) {
  for (int i = 0; i < 40; ++i) Write(v1::RowChange::INSERT, std::to_string(i), "ring");
  ASSERT_NO_FATAL_FAILURE(Open());
  const std::unique_ptr<Batch> first = NewBatch(), next = NewBatch();
  first->set_rows_cap(25);
  ASSERT_TRUE(first->Gather(100).value());
  EXPECT_TRUE(first->Full());
  next->Clear(first->to());
  ASSERT_TRUE(next->Gather(100).value());
  EXPECT_FALSE(next->Full());
  EXPECT_EQ(first->rows().size() + next->rows().size(), 40u);
  EXPECT_EQ(next->to().at(small_.delhi()), log_->Head(small_.delhi()).complete);
  for (const PendingRow& row : next->rows()) {
    for (const PendingRow& other : first->rows()) EXPECT_NE(row.key(), other.key());
  }
}

// Goal: rows that come once do not wait for others, and rows that may come again do.
TEST_F(BatchTest, NewRowsFillABatchSoonerThanChangedOnes) {
  for (int i = 0; i < 60; ++i) Write(v1::RowChange::INSERT, std::to_string(i), "ring");
  for (int i = 0; i < 60; ++i) Write(v1::RowChange::UPDATE, std::to_string(i), "chain");
  ASSERT_NO_FATAL_FAILURE(Open());
  const std::unique_ptr<Batch> inserts = NewBatch(), updates = NewBatch();
  for (Batch* batch : {inserts.get(), updates.get()}) batch->set_rows_cap(40), batch->set_new_rows_cap(20);
  ASSERT_TRUE(inserts->Gather(100).value());
  EXPECT_EQ(inserts->rows().size(), 20u);
  updates->Clear({{small_.delhi(), Sequence{log_->Head(small_.delhi()).complete.value - 60}}});
  ASSERT_TRUE(updates->Gather(100).value());
  EXPECT_EQ(updates->rows().size(), 40u);
}

// Goal: catch-up costs what changed, not what happened.
// Method: rows that are changed round and round, more of them than a batch has that finds little waiting.
TEST_F(BatchTest, ABacklogOfChangesOfTheSameRowsIsOneBatch) {
  constexpr int kRows = 6000, kRounds = 17;
  small_.Together([&] {
    for (int i = 0; i < kRows * kRounds; ++i) {
      Write(v1::RowChange::UPDATE, std::to_string(i % kRows), std::to_string(i));
    }
  });
  ASSERT_NO_FATAL_FAILURE(Open());
  const std::unique_ptr<Batch> batch = NewBatch();
  batch->set_rows_cap(EngineConfig().batch_rows_max);
  while (!batch->Gather(4000).value()) {
  }
  EXPECT_EQ(batch->to().at(small_.delhi()), log_->Head(small_.delhi()).complete)
      << "it ended before the rows came round again";
  ASSERT_EQ(batch->rows().size(), static_cast<size_t>(kRows));
  for (const PendingRow& row : batch->rows()) {
    EXPECT_EQ(row.ValueAt(0).text, std::to_string(std::stoi(DecodeKey(row.key()).value()[0]) + kRows * (kRounds - 1)));
  }
}

// Goal: transactions are whole: of one that is damaged in the middle nothing stays in the batch.
TEST_F(BatchTest, ATransactionThatIsDamagedInsideLeavesNothingBehind) {
  Write(v1::RowChange::INSERT, "1", "ring");
  small_.Together([&] {
    v1::Event first = small_.Next(small_.delhi());
    first.set_ends_transaction(false);
    test::SmallLog::Fill(v1::RowChange::INSERT, "2", {{{}, "ring"}}, first.mutable_row());
    small_.AppendRaw(first, "public.items");
    v1::Event second = small_.Next(small_.delhi());
    second.set_stamp(first.stamp());
    second.set_transaction_first(first.sequence());
    second.clear_transaction();
    test::SmallLog::Fill(v1::RowChange::INSERT, "3", {{{}, "box"}}, second.mutable_row());
    second.mutable_row()->set_schema(999);  // There is none.
    small_.AppendRaw(second, "public.items");
  });
  ASSERT_NO_FATAL_FAILURE(Open());
  const std::unique_ptr<Batch> batch = NewBatch();
  ASSERT_TRUE(batch->Gather(100).value());
  EXPECT_TRUE(batch->stopped().contains(small_.delhi()));
  EXPECT_TRUE(batch->Empty()) << "whoever asks for the cursors must not be told of half a transaction";
  EXPECT_EQ(batch->rows().size(), 0u);
  EXPECT_EQ(batch->event_count(), 0u);
}

// Goal: the list of conflicts is the same whether two writes meet in one batch or in two.
// Method: two other branches that have not heard of each other, one of which deletes the row.
TEST_F(BatchTest, WritesThatMeetInsideOneBatchCanBeTakenOneByOne) {
  OpenPune();
  Write(v1::RowChange::DELETE, "7", "ring");
  EditAtPune("7", "chain");
  ASSERT_NO_FATAL_FAILURE(Open());
  const std::unique_ptr<Batch> batch = NewBatch();
  ASSERT_TRUE(batch->Gather(100).value());
  ASSERT_EQ(batch->rows().size(), 1u);
  EXPECT_TRUE(batch->rows()[0].incoming().IsLive()) << "the newer edit brings it back";
  ASSERT_EQ(batch->rows()[0].steps().size(), 2u);
  EXPECT_EQ(batch->rows()[0].steps()[0].deleted.origin, small_.delhi());
  EXPECT_EQ(batch->rows()[0].steps()[1].written.origin, pune_);
}

// Goal: the list of conflicts does not depend on a restart, after which a batch is gathered again.
// Method: delhi, whose chain is the first by its name, deletes what pune wrote before.
TEST_F(BatchTest, WhatIsGatheredAgainComesInTheSameOrder) {
  OpenPune();
  EditAtPune("7", "chain");
  Write(v1::RowChange::DELETE, "7", "chain");
  ASSERT_NO_FATAL_FAILURE(Open());
  const std::unique_ptr<Batch> gathered = NewBatch(), again = NewBatch();
  ASSERT_TRUE(gathered->Gather(100).value());
  ASSERT_TRUE(again->Regather(gathered->to()).ok());
  EXPECT_EQ(again->to(), gathered->to());
  for (const Batch* batch : {gathered.get(), again.get()}) {
    ASSERT_EQ(batch->rows().size(), 1u);
    ASSERT_EQ(batch->rows()[0].steps().size(), 2u);
    EXPECT_EQ(batch->rows()[0].steps()[0].written.origin, pune_);
    EXPECT_EQ(batch->rows()[0].steps()[1].deleted.origin, small_.delhi());
  }
}

TEST_F(BatchTest, AChainIsSaidToWaitOnlyAsLongAsItDoes) {
  const OriginId pune{{0xcc}};
  v1::Event event = small_.Next(small_.delhi());
  v1::Seen* seen = event.mutable_transaction()->add_seen();
  seen->set_origin(std::string(pune.AsBytes()));
  seen->set_sequence(1);
  test::SmallLog::Fill(v1::RowChange::INSERT, "7", {{{}, "ring"}}, event.mutable_row());
  small_.AppendRaw(event, "public.items");
  ASSERT_NO_FATAL_FAILURE(Open());
  const std::unique_ptr<Batch> batch = NewBatch();
  ASSERT_TRUE(batch->Gather(100).value());
  ASSERT_EQ(batch->waiting_for().size(), 1u);
  EXPECT_EQ(batch->waiting_for().at(small_.delhi()), std::pair(pune, Sequence{1}));
  batch->GiveUp({pune});
  ASSERT_TRUE(batch->Gather(100).value());
  EXPECT_EQ(batch->rows().size(), 1u);
  EXPECT_TRUE(batch->waiting_for().empty());
}

}  // namespace
}  // namespace assay
