// Goal: what every comparison of tables with the log rests on: a row is found under its key, told apart value by value,
// and written no further than the policy says. Method: a policy that does one thing with each row, and keeps what it
// was shown.
#include "engine/recovery/table_comparer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/engine/recovery/recorded_branch.h"

namespace assay {
namespace {

using test::kNowMs;
using test::RecordedBranch;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = RowComparison::Kind;

class OnePolicy : public TableComparer {
 public:
  using Work = std::function<absl::Status(OnePolicy&, const ComparedRow&)>;
  OnePolicy(RecordedBranch& branch, FoldIndex* fold, Work work) : TableComparer(branch.Parts(), fold), work_(work) {
    Begin(Pass::kWrite, Lsn{}, kNowMs * 1000);
    EXPECT_EQ(WriteAs(v1::TransactionHeader::RECONCILE, v1::RowChange::EDIT), absl::OkStatus());
  }
  absl::Status EndPass() { return CommitPass(); }
  std::vector<RowComparison> compared;
  std::vector<RowKey> keys;

  using TableComparer::ComparedRow;
  using TableComparer::MakeDue;
  using TableComparer::TakeOn;
  using TableComparer::WriteInsert;
  using TableComparer::WriteUpdate;

 private:
  absl::Status Compared(const ComparedRow& row) override {
    compared.push_back(row.comparison);
    keys.push_back(row.key);
    return work_(*this, row);
  }
  Work work_;
};

class TableComparerTest : public ::testing::Test {
 protected:
  // One pass over `held` with that policy.
  void Compare(const std::vector<test::Row>& held, OnePolicy::Work work) {
    const std::unique_ptr<FoldIndex> fold = here_.Fold();
    OnePolicy policy(here_, fold.get(), std::move(work));
    ASSERT_EQ(policy.BeginTable(here_.shape), absl::OkStatus());
    for (const test::Row& row : held) ASSERT_EQ(policy.Row(test::Tuple(row)), absl::OkStatus());
    ASSERT_EQ(policy.EndPass(), absl::OkStatus());
    compared_ = policy.compared;
    keys_ = policy.keys;
    here_.recorder->SetSource(v1::TransactionHeader::LIVE, v1::RowChange::EDIT);
  }

  RecordedBranch fleet_{1}, here_{2};
  std::vector<RowComparison> compared_;
  std::vector<RowKey> keys_;
};

const OnePolicy::Work kNothing = [](OnePolicy&, const OnePolicy::ComparedRow&) { return absl::OkStatus(); };

TEST_F(TableComparerTest, EachRowIsToldApartColumnByColumnAndOnlyLookedAt) {
  fleet_.Insert({"1", "a", "b"});
  fleet_.Insert({"2", "a", std::nullopt});
  fleet_.Insert({"3", "a", "b"});
  fleet_.Delete({"3", "a", "b"});
  here_.PullFrom(fleet_);
  Compare({{"1", "a", "b"}, {"2", "a", ""}, {"3", "a", "b"}, {"4", "a", "b"}}, kNothing);
  ASSERT_EQ(compared_.size(), 4u);
  EXPECT_EQ(compared_[0].kind, Kind::kEqual);
  EXPECT_EQ(compared_[1].kind, Kind::kDiffers);
  EXPECT_THAT(compared_[1].differing, ElementsAre(2u)) << "NULL and empty are two values";
  EXPECT_EQ(compared_[2].kind, Kind::kDeleted);
  EXPECT_EQ(compared_[3].kind, Kind::kOnlyHere);
  EXPECT_THAT(here_.RowEvents(), IsEmpty());
  EXPECT_EQ(here_.unsettled->count(), 0);
}

// A key is written in the order of its columns' names, in whatever order the table has them.
TEST_F(TableComparerTest, ARowIsFoundUnderItsKeyWhateverTheOrderOfTheTablesColumns) {
  for (RecordedBranch* branch : {&fleet_, &here_}) {
    branch->shape = std::make_shared<TableShape>();
    branch->shape->name = {"public", "stock"};
    branch->shape->columns = {
        {"shop", "text", true, false}, {"item", "text", true, false}, {"n", "text", false, false}};
    branch->shape->key = {0, 1};
  }
  fleet_.Insert({"pune", "ring", "5"});
  here_.PullFrom(fleet_);
  Compare({{"pune", "ring", "5"}, {"ring", "pune", "5"}}, kNothing);
  EXPECT_EQ(compared_[0].kind, Kind::kEqual);
  EXPECT_EQ(compared_[1].kind, Kind::kOnlyHere);
  EXPECT_THAT(keys_[0], ElementsAre("ring", "pune"));
}

TEST_F(TableComparerTest, AnUpdateHasOnlyTheColumnsThatItIsToldAndTheFoldsOldValues) {
  fleet_.Insert({"1", "a", "b"});
  here_.PullFrom(fleet_);
  Compare({{"1", "x", "y"}},
          [](OnePolicy& policy, const OnePolicy::ComparedRow& row) { return policy.WriteUpdate(row, {1}); });
  const std::vector<v1::Event> events = here_.RowEvents();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].row().operation(), v1::RowChange::UPDATE);
  ASSERT_EQ(events[0].row().columns_size(), 1) << "w differs, too, and was not asked for";
  EXPECT_EQ(events[0].row().columns(0).value(), "x");
  EXPECT_EQ(events[0].row().columns(0).old_value(), "a");
}

TEST_F(TableComparerTest, WithoutColumnsNothingIsWritten) {
  fleet_.Insert({"1", "a", "b"});
  here_.PullFrom(fleet_);
  Compare({{"1", "x", "y"}},
          [](OnePolicy& policy, const OnePolicy::ComparedRow& row) { return policy.WriteUpdate(row, {}); });
  EXPECT_THAT(here_.RowEvents(), IsEmpty());
}

TEST_F(TableComparerTest, AnInsertHasTheWholeRow) {
  Compare({{"1", "x", std::nullopt}},
          [](OnePolicy& policy, const OnePolicy::ComparedRow& row) { return policy.WriteInsert(row.tuple); });
  const std::vector<v1::Event> events = here_.RowEvents();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].row().operation(), v1::RowChange::INSERT);
  EXPECT_THAT(events[0].row().key(), ElementsAre("1"));
  EXPECT_EQ(Newest(here_.Versions("1")).origin, here_.own);
}

TEST_F(TableComparerTest, WhatTakesOnTheFoldsVersionsIsSettled) {
  fleet_.Insert({"1", "a", "b"});
  here_.PullFrom(fleet_);
  ASSERT_EQ(here_.unsettled->MarkDifferent(here_.Ref("1"), {EncodeKey(RowKey{"1"}), fleet_.own, {3}}, kNowMs),
            absl::OkStatus());
  Compare({{"1", "a", "b"}}, [](OnePolicy& policy, const OnePolicy::ComparedRow& row) { return policy.TakeOn(row); });
  EXPECT_EQ(here_.unsettled->count(), 0);
  EXPECT_EQ(Newest(here_.Versions("1")).origin, fleet_.own);
  EXPECT_THAT(here_.RowEvents(), IsEmpty()) << "nobody has written anything";
}

TEST_F(TableComparerTest, WhatIsDueIsWrittenAtOnceAndReadFirstWhereTheRowIsThere) {
  fleet_.Insert({"1", "a", "b"});
  fleet_.Insert({"2", "a", "b"});
  here_.PullFrom(fleet_);
  Compare({{"1", "x", "y"}, {"2", "x", "y"}}, [](OnePolicy& policy, const OnePolicy::ComparedRow& row) {
    return policy.MakeDue(row.ref, row.key, row.entry->versions, /*there=*/row.key[0] == "1");
  });
  const std::vector<UnsettledRow> due = here_.unsettled->Due(kNowMs, 10).value();
  ASSERT_EQ(due.size(), 2u);
  for (const UnsettledRow& row : due) {
    const bool there = row.key == EncodeKey(RowKey{"1"});
    EXPECT_EQ(row.IsThere(), there) << row.key;
    EXPECT_EQ(row.held_known, !there) << "nobody knows which version stands for its values";
    EXPECT_EQ(row.origin, fleet_.own);
    EXPECT_EQ(row.cause, "") << "it has not failed";
  }
  EXPECT_EQ(Newest(here_.Versions("1")).origin, fleet_.own) << "a local write from here on replaces the fleet's";
  EXPECT_THAT(here_.RowEvents(), IsEmpty());
}

}  // namespace
}  // namespace assay
