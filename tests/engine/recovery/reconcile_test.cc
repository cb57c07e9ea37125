// Goal: what a database holds and what the log says are told apart, and the difference is written as promised in
// engine/recovery/reconcile.h. Method: a fleet's chain made by a Recorder, pulled into the log of a branch that joins
// with rows of its own.
#include "engine/recovery/reconcile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/recovery/recorded_branch.h"

namespace assay {
namespace {

using test::kNowMs;
using test::RecordedBranch;
using test::Row;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ReconcileTest : public ::testing::Test {
 protected:
  // What `assay init` does here with the rows it reads.
  ReconcileReport Reconcile(RecordedBranch& branch, const std::vector<Row>& held, DifferenceChoice choice,
                            bool fresh_chain = true) {
    const std::unique_ptr<FoldIndex> fold = branch.Fold();
    Reconciler reconciler(branch.Parts(), fold.get(), choice, fresh_chain);
    for (const Reconciler::Pass pass : {Reconciler::Pass::kCompare, Reconciler::Pass::kWrite}) {
      EXPECT_TRUE(reconciler.BeginPass(pass, Lsn{}, kNowMs * 1000).ok());
      EXPECT_TRUE(reconciler.BeginTable(branch.shape).ok());
      for (const Row& row : held) EXPECT_TRUE(reconciler.Row(test::Tuple(row)).ok());
      EXPECT_TRUE(reconciler.EndPass().ok());
      if (reconciler.MustAsk()) break;
    }
    branch.recorder->SetSource(v1::TransactionHeader::LIVE, v1::RowChange::EDIT);
    return reconciler.report();
  }
  ReconcileReport Reconcile(const std::vector<Row>& held, DifferenceChoice choice, bool fresh_chain = true) {
    return Reconcile(here_, held, choice, fresh_chain);
  }

  RecordedBranch fleet_{1}, here_{2};
};

TEST_F(ReconcileTest, AnEqualRowWritesNothingAndTakesOnTheFleetsVersions) {
  fleet_.Insert({"1", "a", std::nullopt});
  fleet_.Update({"1", "a", std::nullopt}, {"1", "b", std::nullopt});
  here_.PullFrom(fleet_);
  const ReconcileReport report = Reconcile({{"1", "b", std::nullopt}}, DifferenceChoice::kAsk);
  EXPECT_EQ(report.equal, 1u);
  EXPECT_THAT(here_.RowEvents(), IsEmpty());
  EXPECT_EQ(Newest(here_.Versions("1")).origin, fleet_.own);
  // The next local write names what it replaces.
  here_.Update({"1", "b", std::nullopt}, {"1", "c", std::nullopt});
  const v1::Event event = here_.RowEvents().back();
  EXPECT_EQ(event.row().replaced(0).origin(), std::string(fleet_.own.AsBytes()));
  EXPECT_GT(event.stamp(), event.row().replaced(0).stamp());
}

TEST_F(ReconcileTest, NullAndEmptyAndDeletedAreToldApart) {
  fleet_.Insert({"1", "", "x"});
  fleet_.Insert({"2", std::nullopt, "x"});
  fleet_.Insert({"3", "v", "x"});
  fleet_.Delete({"3", "v", "x"});
  here_.PullFrom(fleet_);
  const ReconcileReport report =
      Reconcile({{"1", std::nullopt, "x"}, {"2", "", "x"}, {"3", "v", "x"}, {"4", "new", "x"}}, DifferenceChoice::kAsk);
  EXPECT_EQ(report.differing_rows, 3u);
  ASSERT_EQ(report.differences.size(), 3u);
  EXPECT_EQ(report.differences[0].here, std::nullopt);
  EXPECT_EQ(report.differences[0].fleet, "");
  EXPECT_EQ(report.differences[1].column, "v");
  EXPECT_EQ(report.differences[2].column, "");
  EXPECT_EQ(report.differences[2].fleet, "deleted");
  EXPECT_THAT(here_.RowEvents(), IsEmpty());
}

TEST_F(ReconcileTest, TheFoldTakesTheNewestOfEachColumnWhateverChainComesFirst) {
  RecordedBranch third(3);
  fleet_.Insert({"1", "a", "a"}, kNowMs);
  third.PullFrom(fleet_);
  Reconcile(third, {{"1", "a", "a"}}, DifferenceChoice::kAsk);
  third.Update({"1", "a", "a"}, {"1", "third", "a"}, kNowMs + 2000);
  fleet_.Update({"1", "a", "a"}, {"1", "fleet", "fleet"}, kNowMs + 1000);
  here_.PullFrom(fleet_);
  here_.PullFrom(third);
  EXPECT_EQ(Reconcile({{"1", "third", "fleet"}}, DifferenceChoice::kAsk).equal, 1u);
}

TEST_F(ReconcileTest, ChoosingHereBeatsEvenAFleetThatLivesInTheFuture) {
  fleet_.Insert({"1", "a", "a"}, kNowMs + 80LL * 365 * 86'400'000);
  here_.PullFrom(fleet_);
  Reconcile({{"1", "mine", "a"}}, DifferenceChoice::kHere);
  const std::vector<v1::Event> events = here_.RowEvents();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].row().operation(), v1::RowChange::UPDATE);
  ASSERT_EQ(events[0].row().columns_size(), 1) << "only what differs";
  EXPECT_EQ(events[0].row().columns(0).value(), "mine");
  EXPECT_EQ(events[0].row().columns(0).old_value(), "a");
  EXPECT_GT(events[0].stamp(), events[0].row().replaced(0).stamp());
  EXPECT_EQ(Newest(here_.Versions("1")).origin, here_.own);
  EXPECT_EQ(here_.unsettled->count(), 0);
}

// Goal: a shop that is enrolled from a copy of another's database takes nothing back from that one's sales, whichever
// of them the hub hears first. Method: both enrol the same rows; the first one sells before the second does, which had
// not heard of it.
TEST_F(ReconcileTest, RowsThatWereFoundLoseAgainstEveryRealWriteWhateverTheirStamp) {
  Reconcile(fleet_, {{"1", "10", "a"}, {"2", "b", "b"}, {"3", "c", "c"}}, DifferenceChoice::kAsk);
  fleet_.Update({"1", "10", "a"}, {"1", "9", "a"}, kNowMs - 3'600'000);
  fleet_.Delete({"2", "b", "b"});
  Reconcile({{"1", "10", "a"}, {"2", "b", "b"}, {"3", "c", "c"}}, DifferenceChoice::kAsk);
  for (auto [to, from] : {std::pair(&here_, &fleet_), std::pair(&fleet_, &here_)}) to->PullFrom(*from);
  for (RecordedBranch* branch : {&here_, &fleet_}) {
    const std::unique_ptr<FoldIndex> fold = branch->Fold();
    const RowVersions sold = fold->Find(branch->Ref("1")).value()->versions;
    EXPECT_TRUE(std::any_of(sold.columns.begin(), sold.columns.end(),
                            [&](const ColumnVersion& column) { return column.version.origin == fleet_.own; }));
    EXPECT_EQ(Newest(sold).origin, fleet_.own);
    EXPECT_FALSE(fold->Find(branch->Ref("2")).value()->versions.IsLive())
        << "it was deleted, and nobody wrote it since";
    EXPECT_FALSE(IsEdit(Newest(fold->Find(branch->Ref("3")).value()->versions)));
    EXPECT_EQ(branch->conflicts->count(), 0) << "nobody's edit is no side of one";
  }
  EXPECT_TRUE(here_.Fold()->Find(here_.Ref("3")).value()->versions ==
              fleet_.Fold()->Find(fleet_.Ref("3")).value()->versions)
      << "and of two that were found the same one counts everywhere";
}

// Goal: what waits in the WAL when a table joins had not seen what the table took on, and does not beat it.
TEST_F(ReconcileTest, WhatWasCommittedBeforeATableWasComparedCompetesByItsTime) {
  const HlcStamp fleets = HlcStamp::FromMillis(kNowMs + 60'000);
  ASSERT_TRUE(here_.state->Write(kClockAheadNote, ClockAhead{Lsn{1}, fleets}).ok());
  ASSERT_TRUE(here_.recorder->Load().ok());
  here_.Insert({"1", "a", "a"});  // At LSN 1,
  here_.Insert({"2", "b", "b"});  // and at 2.
  const std::vector<v1::Event> events = here_.RowEvents();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_LT(events[0].stamp(), fleets.value);
  EXPECT_GT(events[1].stamp(), fleets.value) << "it beats what its table held";
  EXPECT_EQ(here_.state->Read(kClockAheadNote).value(), ClockAhead{});
}

TEST_F(ReconcileTest, EvidenceForTheFleetsChoiceIsStampedBeforeEverythingAndLoses) {
  fleet_.Insert({"1", "a", "a"}, 1);  // The oldest a clock can say.
  here_.PullFrom(fleet_);
  const uint64_t fleets = fleet_.RowEvents()[0].stamp();
  Reconcile({{"1", "mine", "a"}, {"2", "new", "n"}}, DifferenceChoice::kFleet);
  const std::vector<v1::Event> events = here_.RowEvents();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].row().key(0), "1");
  EXPECT_EQ(events[0].row().standing(), v1::RowChange::GIVEN_UP);
  EXPECT_EQ(events[1].row().standing(), v1::RowChange::FOUND);
  EXPECT_LT(VersionOf(events[0], here_.own), VersionOf(events[1], fleet_.own)) << "also to what others found";
  // The row's versions are those of what PostgreSQL holds, so everything of the fleet's is newer and will be written.
  EXPECT_EQ(Newest(here_.Versions("1")).origin, here_.own);
  EXPECT_LT(Newest(here_.Versions("1")).stamp.value, fleets);
}

TEST_F(ReconcileTest, OnAChainThatHasBegunTheFleetsChoiceMakesTheRowDue) {
  fleet_.Insert({"1", "a", "a"});
  here_.Insert({"9", "x", "x"});
  here_.PullFrom(fleet_);
  Reconcile({{"1", "mine", "a"}}, DifferenceChoice::kFleet, /*fresh_chain=*/false);
  EXPECT_EQ(here_.RowEvents().size(), 2u) << "what was here is kept in the log";
  const auto due = here_.unsettled->Find(here_.Ref("1")).value();
  ASSERT_TRUE(due.has_value());
  EXPECT_FALSE(due->held_known);
  EXPECT_EQ(Newest(here_.Versions("1")).origin, fleet_.own);
}

TEST_F(ReconcileTest, AFoldLargerThanItsCacheIsWhole) {
  constexpr int kRows = 60'000;
  for (int i = 0; i < kRows; ++i) fleet_.Insert({std::to_string(i), "v", std::nullopt});
  for (int i = 0; i < kRows; i += 1000)
    fleet_.Update({std::to_string(i), "v", std::nullopt}, {std::to_string(i), "new", std::nullopt});
  here_.PullFrom(fleet_);
  std::vector<Row> rows;
  for (int i = 0; i < kRows; ++i) rows.push_back({std::to_string(i), i % 1000 == 0 ? "new" : "v", std::nullopt});
  rows[7][1] = "other";
  const ReconcileReport report = Reconcile(rows, DifferenceChoice::kHere);
  EXPECT_EQ(report.equal, kRows - 1u);
  EXPECT_EQ(report.differing_rows, 1u);
}

TEST_F(ReconcileTest, TransactionsAreBoundedByBytesAsWell) {
  const std::string large(3 << 20, 'x');
  Reconcile({{"1", large, "a"}, {"2", large, "a"}, {"3", large, "a"}, {"4", large, "a"}}, DifferenceChoice::kAsk);
  std::vector<uint64_t> ends;
  for (const v1::Event& event : here_.Events()) {
    if (event.ends_transaction()) ends.push_back(event.sequence());
  }
  EXPECT_THAT(ends, ElementsAre(5, 6)) << "opening, schema, three rows; one row";
}

TEST_F(ReconcileTest, ARowThatIsReconciledIsUnsettledNoMore) {
  fleet_.Insert({"1", "a", "a"});
  here_.PullFrom(fleet_);
  ASSERT_TRUE(here_.unsettled->MarkDifferent(here_.Ref("1"), {EncodeKey({"1"}), fleet_.own, {3}}, kNowMs).ok());
  Reconcile({{"1", "a", "a"}}, DifferenceChoice::kAsk);
  EXPECT_EQ(here_.unsettled->count(), 0) << "PostgreSQL holds what the log says";
}

}  // namespace
}  // namespace assay
