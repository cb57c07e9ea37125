// Goal: after a restore each difference between database and log is put down to the database's age or to a change that
// the log never got, as promised in engine/recovery/row_repair.h. Method: chains made by recorders, a database of rows
// written down by hand, and a test that says which versions that database is known to have held.
#include "engine/recovery/row_repair.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/engine/recovery/recorded_branch.h"

namespace assay {
namespace {

using test::kNowMs;
using test::RecordedBranch;
using test::Row;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RowRepairTest : public ::testing::Test {
 protected:
  // What `assay repair` does with the rows it reads; the database is known to have held events up to `held_to`.
  RowRepairReport Repair(const std::vector<Row>& rows, uint64_t held_to, bool make_due = true) {
    const std::unique_ptr<FoldIndex> fold = here_.Fold();
    const RowRepair::Held held = [&](const RowRef&, std::optional<ColumnId>, const Version& version) {
      return version.sequence.value <= held_to;
    };
    RowRepair repair(here_.Parts(), fold.get(), held, {.make_due = make_due});
    for (const RowRepair::Pass pass : {RowRepair::Pass::kCompare, RowRepair::Pass::kWrite}) {
      EXPECT_TRUE(repair.BeginPass(pass, Lsn{100}, kNowMs * 1000).ok());
      EXPECT_TRUE(repair.BeginTable(here_.shape).ok());
      for (const Row& row : rows) EXPECT_TRUE(repair.Row(test::Tuple(row)).ok());
      EXPECT_TRUE(repair.EndTable().ok());
      EXPECT_TRUE(repair.EndPass().ok());
    }
    here_.recorder->SetSource(v1::TransactionHeader::LIVE, v1::RowChange::EDIT);
    return repair.report();
  }
  // The fleet's chain: opening 1, schema 2, then these, each a transaction.
  void FleetInserts(const Row& row) { fleet_.Insert(row, kNowMs - 10'000 + 1000 * ++seconds_); }
  void FleetUpdates(const Row& before, const Row& after) {
    fleet_.Update(before, after, kNowMs - 10'000 + 1000 * ++seconds_);
  }
  // What the transaction of one of our events says of itself, in its first event.
  v1::TransactionHeader::Source SourceOf(const v1::Event& event) {
    for (const v1::Event& first : here_.Events()) {
      if (first.sequence() == event.transaction_first()) return first.transaction().source();
    }
    return v1::TransactionHeader::LIVE;
  }
  void Pull() { here_.PullFrom(fleet_); }
  std::optional<UnsettledRow> Due(const std::string& key) { return here_.unsettled->Find(here_.Ref(key)).value(); }

  RecordedBranch fleet_{1}, here_{2};
  int64_t seconds_ = 0;
};

TEST_F(RowRepairTest, AnEqualRowWritesNothingAndTakesOnItsVersions) {
  FleetInserts({"1", "a", "a"});
  Pull();
  const RowRepairReport report = Repair({{"1", "a", "a"}}, /*held_to=*/0);
  EXPECT_EQ(report.equal, 1u);
  EXPECT_THAT(report.differences, IsEmpty());
  EXPECT_THAT(here_.RowEvents(), IsEmpty());
  EXPECT_EQ(Newest(here_.Versions("1")).origin, fleet_.own);
}

TEST_F(RowRepairTest, AnOlderValueIsBroughtUpToDate) {
  FleetInserts({"1", "old", "a"});
  FleetUpdates({"1", "old", "a"}, {"1", "new", "a"});
  Pull();
  const RowRepairReport report = Repair({{"1", "old", "a"}}, /*held_to=*/3);
  EXPECT_EQ(report.stale, 1u);
  EXPECT_THAT(here_.RowEvents(), IsEmpty());
  ASSERT_EQ(report.differences.size(), 1u);
  EXPECT_EQ(report.differences[0].here, "old");
  EXPECT_EQ(report.differences[0].fleet, "new");
  EXPECT_THAT(report.differences[0].verdict, HasSubstr("older value"));
  const std::optional<UnsettledRow> due = Due("1");
  ASSERT_TRUE(due.has_value());
  EXPECT_FALSE(due->held_known) << "read it, and write every column";
  EXPECT_EQ(due->origin, fleet_.own);
}

// A database that was restored to before ADD COLUMN, and has the column again, shows what ALTER TABLE put there: nobody
// has ever written that, and it is no edit.
TEST_F(RowRepairTest, AValueThatOnlyStoodThereBeforeItWasReplacedIsAnOlderOne) {
  FleetInserts({"1", "a", "a"});
  FleetUpdates({"1", "of ALTER TABLE", "a"}, {"1", "new", "a"});
  Pull();
  const RowRepairReport report = Repair({{"1", "of ALTER TABLE", "a"}}, /*held_to=*/3);
  EXPECT_EQ(report.stale, 1u);
  EXPECT_EQ(report.updated, 0u);
  EXPECT_THAT(here_.RowEvents(), IsEmpty());
  EXPECT_TRUE(Due("1").has_value());
}

TEST_F(RowRepairTest, AValueThatNobodyEverWroteIsAChangeThatTheLogNeverGot) {
  FleetInserts({"1", "a", "a"});
  Pull();
  const RowRepairReport report = Repair({{"1", "mine", "a"}}, /*held_to=*/0);
  EXPECT_EQ(report.updated, 1u);
  const std::vector<v1::Event> events = here_.RowEvents();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(SourceOf(events[0]), v1::TransactionHeader::RECONCILE);
  ASSERT_EQ(events[0].row().columns_size(), 1) << "only what differs";
  EXPECT_EQ(events[0].row().columns(0).value(), "mine");
  EXPECT_EQ(events[0].row().columns(0).old_value(), "a");
  EXPECT_FALSE(Due("1").has_value());
}

// The shop had the newest value and set it back to one that the row had before: its work, and no sign of age.
TEST_F(RowRepairTest, AValueThatWasPutBackHereIsKeptIfTheNewerOneHadBeenHeld) {
  FleetInserts({"1", "old", "a"});
  FleetUpdates({"1", "old", "a"}, {"1", "new", "a"});
  Pull();
  const RowRepairReport report = Repair({{"1", "old", "a"}}, /*held_to=*/4);
  EXPECT_EQ(report.stale, 0u);
  EXPECT_EQ(report.updated, 1u);
  const std::vector<v1::Event> events = here_.RowEvents();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].row().columns(0).value(), "old");
  EXPECT_EQ(Newest(here_.Versions("1")).origin, here_.own) << "it wins";
  EXPECT_FALSE(Due("1").has_value());
}

TEST_F(RowRepairTest, EachColumnIsJudgedForItself) {
  FleetInserts({"1", "old", "a"});
  FleetUpdates({"1", "old", "a"}, {"1", "new", "a"});
  Pull();
  const RowRepairReport report = Repair({{"1", "old", "mine"}}, /*held_to=*/0);
  EXPECT_EQ(report.stale, 1u);
  EXPECT_EQ(report.updated, 1u);
  const std::vector<v1::Event> events = here_.RowEvents();
  ASSERT_EQ(events.size(), 1u);
  ASSERT_EQ(events[0].row().columns_size(), 1);
  EXPECT_EQ(events[0].row().columns(0).value(), "mine");
  EXPECT_TRUE(Due("1").has_value()) << "and the other column is brought up to date";
}

TEST_F(RowRepairTest, ARowThatNobodyEverWroteIsRecorded) {
  const RowRepairReport report = Repair({{"9", "mine", "a"}}, /*held_to=*/0);
  EXPECT_EQ(report.inserted, 1u);
  const std::vector<v1::Event> events = here_.RowEvents();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].row().operation(), v1::RowChange::INSERT);
  EXPECT_EQ(SourceOf(events[0]), v1::TransactionHeader::RECONCILE);
  EXPECT_EQ(events[0].row().standing(), v1::RowChange::FOUND) << "nobody is known to have edited it";
}

// A value over the size that an event has room for is named in the log, and is at its writer alone.
TEST_F(RowRepairTest, AValueThatTheLogHasNotGotNeitherDiffersNorHoldsUpTheRest) {
  FleetInserts({"1", "a", "a"});
  ASSERT_NO_FATAL_FAILURE(fleet_.AppendUpdateWithoutValue("1", 1));
  FleetInserts({"2", "b", "b"});
  Pull();
  const RowRepairReport report = Repair({{"1", "whatever", "a"}, {"2", "b", "mine"}}, /*held_to=*/0);
  EXPECT_EQ(report.equal, 1u);
  EXPECT_EQ(report.updated, 1u);
  const std::vector<v1::Event> events = here_.RowEvents();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].row().key(0), "2");
}

TEST_F(RowRepairTest, AnAbsentRowWasDeletedHereIfItHadBeenHeldAndIsWrittenAgainIfNot) {
  FleetInserts({"1", "a", "a"});
  FleetInserts({"2", "b", "b"});
  Pull();
  const RowRepairReport report = Repair({}, /*held_to=*/3);
  EXPECT_EQ(report.deleted, 1u);
  EXPECT_EQ(report.absent, 1u);
  const std::vector<v1::Event> events = here_.RowEvents();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].row().operation(), v1::RowChange::DELETE);
  EXPECT_THAT(events[0].row().key(), ElementsAre("1"));
  EXPECT_EQ(events[0].row().columns(0).old_value(), "a") << "what was lost is kept";
  EXPECT_FALSE(here_.Versions("1").IsLive());
  const std::optional<UnsettledRow> due = Due("2");
  ASSERT_TRUE(due.has_value());
  EXPECT_TRUE(due->held_known && !due->held.has_value()) << "PostgreSQL has no such row";
}

TEST_F(RowRepairTest, ADeletedRowThatIsHereIsStaleIfAllOfItWasOnceWritten) {
  FleetInserts({"1", "a", "a"});
  FleetInserts({"2", "b", "b"});
  fleet_.Delete({"1", "a", "a"});
  fleet_.Delete({"2", "b", "b"});
  Pull();
  const RowRepairReport report = Repair({{"1", "a", "a"}, {"2", "b", "mine"}}, /*held_to=*/4);
  EXPECT_EQ(report.stale, 1u);
  EXPECT_EQ(report.inserted, 1u);
  EXPECT_TRUE(Due("1").has_value());
  EXPECT_FALSE(here_.Versions("1").IsLive());
  EXPECT_FALSE(Due("2").has_value());
  EXPECT_TRUE(here_.Versions("2").IsLive()) << "written after the restore: it lives";
}

TEST_F(RowRepairTest, WithoutMakeDueTheCursorsBringWhatIsStale) {
  FleetInserts({"1", "old", "a"});
  FleetUpdates({"1", "old", "a"}, {"1", "new", "a"});
  Pull();
  EXPECT_EQ(Repair({{"1", "old", "a"}}, /*held_to=*/3, /*make_due=*/false).stale, 1u);
  EXPECT_FALSE(Due("1").has_value());
  EXPECT_EQ(here_.Versions("1"), RowVersions{});
}

}  // namespace
}  // namespace assay
