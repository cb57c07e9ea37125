// Goal: for every row the newest versions over all chains, a hash of each value, and which rows were met.
// Method: chains made by recorders, pulled into one log and folded; ask row by row.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "engine/recovery/reconcile.h"
#include "tests/engine/recovery/recorded_branch.h"

namespace assay {
namespace {

using test::kNowMs;
using test::RecordedBranch;
using test::Row;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

uint64_t HashOf(const ColumnText& text) {
  return HashValue(text.has_value() ? TupleValue{TupleValue::Kind::kText, *text} : TupleValue{});
}

class FoldIndexTest : public ::testing::Test {
 protected:
  // The row's entry, or none. A copy: the index's own is good until the next call.
  std::optional<FoldIndex::Entry> Find(FoldIndex& fold, const std::string& key) {
    const FoldIndex::Entry* entry = fold.Find(here_.Ref(key)).value();
    return entry == nullptr ? std::nullopt : std::optional(*entry);
  }
  ColumnId Column(const std::string& name) {
    return here_.names->ColumnIdOf(here_.names->IdOf(here_.shape->name).value(), name).value();
  }
  uint64_t HashAt(const FoldIndex::Entry& entry, const std::string& column) {
    const size_t at = entry.versions.columns.LowerBound(Column(column));
    EXPECT_EQ(entry.versions.columns.ColumnAt(at), Column(column));
    return entry.hashes.at(at);
  }
  std::vector<RowRef> Unseen(FoldIndex& fold, TableId table) {
    std::vector<RowRef> unseen;
    EXPECT_TRUE(fold.ForEachUnseen(table,
                                   [&](const RowRef& ref, const FoldIndex::Entry& entry) {
                                     EXPECT_FALSE(entry.versions == RowVersions{});
                                     unseen.push_back(ref);
                                     return absl::OkStatus();
                                   })
                    .ok());
    return unseen;
  }
  RowComparison Compare(const std::optional<FoldIndex::Entry>& entry, const Row& row) {
    return CompareRow(entry.has_value() ? &*entry : nullptr, {{Column("id"), Column("v"), Column("w")}},
                      {true, false, false}, test::Tuple(row));
  }

  RecordedBranch fleet_{1}, here_{2};
};

TEST_F(FoldIndexTest, OfALogWithoutRowsNothingIsKnown) {
  const std::unique_ptr<FoldIndex> fold = here_.Fold();
  EXPECT_TRUE(fold->empty());
  EXPECT_EQ(fold->newest(), HlcStamp{});
  EXPECT_EQ(Find(*fold, "1"), std::nullopt);
}

TEST_F(FoldIndexTest, ARowThatNobodyCanReadIsLeftOutByName) {
  fleet_.Insert({"1", "a", "a"}, kNowMs);
  v1::RowChange misfit;
  misfit.set_operation(v1::RowChange::INSERT);
  misfit.set_schema(2);
  misfit.add_key("2");
  misfit.add_key("of two texts");
  ASSERT_NO_FATAL_FAILURE(fleet_.AppendRow(misfit));
  here_.PullFrom(fleet_);
  const std::unique_ptr<FoldIndex> fold = here_.Fold();
  EXPECT_TRUE(Find(*fold, "1").has_value());
  const UnreadableTables unreadable = here_.state->Read(kUnreadableNote).value();
  ASSERT_EQ(unreadable.size(), 1u);
  EXPECT_EQ(unreadable.begin()->first, std::pair(fleet_.own, here_.shape->name.ToString()));
}

// Goal: a shop that joins, or compares its rows, lists what the others list.
TEST_F(FoldIndexTest, WhoJoinsListsTheConflictsThatTheLogHas) {
  RecordedBranch other{3};
  fleet_.Insert({"1", "a", "a"}, kNowMs);
  other.PullFrom(fleet_);
  ASSERT_TRUE(other.state->SetProjected(fleet_.own, fleet_.log->Head(fleet_.own).complete).ok());
  other.Update({"1", "a", "a"}, {"1", "b", "a"}, kNowMs + 1);
  const Version lost{other.log->Head(other.own).complete_stamp, other.own, other.log->Head(other.own).last};
  fleet_.Update({"1", "a", "a"}, {"1", "c", "a"}, kNowMs + 2);
  fleet_.Update({"1", "c", "a"}, {"1", "d", "a"}, kNowMs + 3);  // Stands for the one before.
  const Version won{fleet_.log->Head(fleet_.own).complete_stamp, fleet_.own, fleet_.log->Head(fleet_.own).last};
  here_.PullFrom(fleet_);
  here_.PullFrom(other);
  for (const bool once_more : {false, true}) {
    SCOPED_TRACE(once_more);
    here_.Fold();
    const std::vector<Conflict> conflicts = here_.conflicts->List(0, 10).value();
    ASSERT_EQ(conflicts.size(), 1u);
    EXPECT_EQ(conflicts[0].row, here_.Ref("1"));
    EXPECT_EQ(conflicts[0].column, Column("v"));
    EXPECT_EQ(conflicts[0].winner, won);
    EXPECT_EQ(conflicts[0].loser, lost);
  }
}

TEST_F(FoldIndexTest, EachColumnHasTheNewestVersionOfAllChainsWithTheHashOfItsValue) {
  fleet_.Insert({"1", "a", "a"}, kNowMs);
  fleet_.Update({"1", "a", "a"}, {"1", "older", "a"}, kNowMs + 1000);
  here_.Insert({"1", "newer", std::nullopt}, kNowMs + 2000);
  fleet_.Update({"1", "older", "a"}, {"1", "older", ""}, kNowMs + 3000);
  here_.PullFrom(fleet_);
  const std::unique_ptr<FoldIndex> fold = here_.Fold();
  EXPECT_FALSE(fold->empty());
  const std::optional<FoldIndex::Entry> entry = Find(*fold, "1");
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->versions.Find(Column("v"))->origin, here_.own);
  EXPECT_EQ(entry->versions.Find(Column("w"))->origin, fleet_.own);
  EXPECT_EQ(HashAt(*entry, "v"), HashOf("newer"));
  EXPECT_EQ(HashAt(*entry, "w"), HashOf("")) << "empty, and not NULL";
  EXPECT_EQ(Find(*fold, "2"), std::nullopt) << "nobody wrote it";
}

TEST_F(FoldIndexTest, NullAndEachTextHaveHashesOfTheirOwn) {
  EXPECT_NE(HashOf(std::nullopt), HashOf(""));
  EXPECT_NE(HashOf(""), HashOf("a"));
  EXPECT_EQ(HashOf("a"), HashOf("a"));
}

TEST_F(FoldIndexTest, ADeletedRowIsKnownToBeDeletedWhateverComesLate) {
  fleet_.Insert({"1", "a", "a"}, kNowMs);
  here_.PullFrom(fleet_);
  fleet_.Delete({"1", "a", "a"});
  here_.PullFrom(fleet_);
  const std::optional<FoldIndex::Entry> entry = Find(*here_.Fold(), "1");
  ASSERT_TRUE(entry.has_value());
  EXPECT_FALSE(entry->versions.IsLive());
}

TEST_F(FoldIndexTest, NewestIsTheNewestStampOfAllThatWasFolded) {
  fleet_.Insert({"1", "a", "a"}, kNowMs + 5000);
  fleet_.Insert({"2", "a", "a"}, kNowMs);
  here_.PullFrom(fleet_);
  EXPECT_EQ(here_.Fold()->newest().value, fleet_.RowEvents().back().stamp());
}

TEST_F(FoldIndexTest, TheVisitorSeesEachRowChangeOnceAndNothingElse) {
  fleet_.Insert({"1", "a", "a"});
  fleet_.Update({"1", "a", "a"}, {"1", "b", "a"});
  fleet_.Delete({"1", "b", "a"});
  here_.Insert({"2", "x", "x"});
  here_.PullFrom(fleet_);
  std::vector<v1::RowChange::Operation> seen;
  here_.Fold([&](const ResolvedChange& change) { seen.push_back(change.row().operation()); });
  EXPECT_THAT(seen, UnorderedElementsAre(v1::RowChange::INSERT, v1::RowChange::INSERT, v1::RowChange::UPDATE,
                                         v1::RowChange::DELETE));
}

TEST_F(FoldIndexTest, RowsThatWereNotMetComeInTheOrderOfTheirKeysHashes) {
  for (const char* key : {"1", "2", "3", "4"}) fleet_.Insert({key, "a", "a"});
  here_.PullFrom(fleet_);
  const std::unique_ptr<FoldIndex> fold = here_.Fold();
  const TableId table = here_.Ref("1").table;
  const std::vector<RowRef> all = Unseen(*fold, table);
  EXPECT_THAT(all, UnorderedElementsAre(here_.Ref("1"), here_.Ref("2"), here_.Ref("3"), here_.Ref("4")));
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
  ASSERT_TRUE(fold->MarkSeen(here_.Ref("1")).ok());
  ASSERT_TRUE(fold->MarkSeen(here_.Ref("3")).ok());
  EXPECT_THAT(Unseen(*fold, table), UnorderedElementsAre(here_.Ref("2"), here_.Ref("4")));
  EXPECT_THAT(Unseen(*fold, TableId{table.value + 1}), IsEmpty()) << "of one table";
  ASSERT_TRUE(fold->ForgetSeen().ok());
  EXPECT_EQ(Unseen(*fold, table), all) << "another pass";
}

TEST_F(FoldIndexTest, AnIndexLeavesNothingForTheNextOne) {
  fleet_.Insert({"1", "a", "a"});
  here_.PullFrom(fleet_);
  std::unique_ptr<FoldIndex> fold = here_.Fold();
  ASSERT_TRUE(fold->MarkSeen(here_.Ref("1")).ok());
  fold.reset();
  fold = here_.Fold();
  EXPECT_THAT(Unseen(*fold, here_.Ref("1").table), ElementsAre(here_.Ref("1")));
}

// So that the memory which it takes does not grow with the table.
TEST_F(FoldIndexTest, WhatIsFoldedIsInAFileWithoutAName) {
  const auto is_open = [] {
    for (const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code error;
      const std::string target = std::filesystem::read_symlink(each, error).string();
      if (absl::EndsWith(target, "/log.db-scratch (deleted)")) return true;
    }
    return false;
  };
  fleet_.Insert({"1", "a", "a"});
  here_.PullFrom(fleet_);
  std::unique_ptr<FoldIndex> fold = here_.Fold();
  EXPECT_TRUE(is_open());
  fold.reset();
  EXPECT_FALSE(is_open());
}

TEST_F(FoldIndexTest, ARowIsComparedColumnByColumnAndNotByItsKey) {
  fleet_.Insert({"1", "a", std::nullopt});
  fleet_.Insert({"2", "a", "a"});
  fleet_.Delete({"2", "a", "a"});
  here_.PullFrom(fleet_);
  const std::unique_ptr<FoldIndex> fold = here_.Fold();
  EXPECT_EQ(Compare(std::nullopt, {"9", "a", "a"}).kind, RowComparison::Kind::kOnlyHere);
  const std::optional<FoldIndex::Entry> live = Find(*fold, "1");
  EXPECT_EQ(Compare(live, {"1", "a", std::nullopt}).kind, RowComparison::Kind::kEqual);
  EXPECT_EQ(Compare(live, {"01", "a", std::nullopt}).kind, RowComparison::Kind::kEqual);
  const RowComparison differs = Compare(live, {"1", "b", ""});
  EXPECT_EQ(differs.kind, RowComparison::Kind::kDiffers);
  EXPECT_THAT(differs.differing, ElementsAre(1, 2));
  EXPECT_EQ(Compare(Find(*fold, "2"), {"2", "a", "a"}).kind, RowComparison::Kind::kDeleted);
}

TEST_F(FoldIndexTest, AColumnThatNobodyHasWrittenIsUnknownAndNoDifference) {
  fleet_.shape = std::make_shared<TableShape>(*test::Products());
  fleet_.shape->columns.pop_back();
  fleet_.Insert({"1", "a"});
  here_.PullFrom(fleet_);
  const RowComparison comparison = Compare(Find(*here_.Fold(), "1"), {"1", "a", "only here"});
  EXPECT_EQ(comparison.kind, RowComparison::Kind::kEqual);
  EXPECT_THAT(comparison.unknown, ElementsAre(2));
}

}  // namespace
}  // namespace assay
