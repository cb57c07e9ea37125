// Goal: a local change moves its row as its writer saw it: over what PostgreSQL held, which is mostly the fold.
// Method: rows put into a real log by hand, changed, and looked at.
#include "engine/capture/local_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/hand_clock.h"
#include "tests/support/open_log.h"
#include "tests/support/origins.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

class LocalRowsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(log_.file->Begin().ok());
    for (const OriginId& origin : {own_, other_}) ASSERT_TRUE(log_.log->IndexOf(origin).ok());
    row_ = {log_.names->IdOf({"public", "items"}).value(), HashKey(key_)};
    name_ = log_.names->ColumnIdOf(row_.table, "name").value();
    price_ = log_.names->ColumnIdOf(row_.table, "price").value();
  }
  void TearDown() override { log_.file->Rollback(); }
  Version Own(uint64_t stamp) const { return {HlcStamp{stamp}, own_, Sequence{stamp}}; }
  Version Theirs(uint64_t stamp) const { return {HlcStamp{stamp}, other_, Sequence{stamp}}; }
  static RowVersions Fold(const std::vector<RowClaim>& claims) {
    RowVersions row;
    for (const RowClaim& claim : claims) Merge(VersionsOf(claim), &row);
    return row;
  }
  RowClaim Insert(Version version) const { return {ChangeKind::kInsert, version, {name_, price_}}; }
  static RowClaim Update(Version version, ColumnId column) { return {ChangeKind::kUpdate, version, {column}}; }
  static RowClaim Delete(Version version) { return {ChangeKind::kDelete, version, {}}; }
  void Put(const RowVersions& versions) { ASSERT_TRUE(log_.rows->Put(row_, versions).ok()); }
  // PostgreSQL holds this, and not what the log has.
  void Unsettle(const std::optional<RowVersions>& held) {
    const WaitingEvent waiting{EncodeKey(key_), other_, {3}};
    ASSERT_TRUE(log_.unsettled->MarkDue(row_, waiting, held, 0).ok());
    ASSERT_TRUE(log_.unsettled->ParkRefused(row_, waiting, {"duplicate name", "23505"}, RowVersions{}, 0).ok());
  }
  void Move(const RowClaim& claim) { ASSERT_EQ(rows_.Move(row_, key_, claim), absl::OkStatus()); }
  RowVersions Stored() {
    const RowVersions* stored = log_.rows->Get(row_).value();
    return stored == nullptr ? RowVersions{} : *stored;
  }
  std::optional<UnsettledRow> Unsettled() { return log_.unsettled->Find(row_).value(); }

  test::TempDirectory directory_{"local_rows"};
  test::OpenLog log_{directory_.path() + "/log.db"};
  const OriginId own_ = test::Origin(1), other_ = test::Origin(2);
  const RowKey key_ = {"7"};
  RowRef row_;
  ColumnId name_, price_;
  test::HandClock clock_;
  LocalRows rows_{own_, log_.stores(), &clock_};
};

TEST_F(LocalRowsTest, ARowNobodyKnewIsWhatWasWritten) {
  EXPECT_FALSE(rows_.IsThere(row_, {}).value());
  EXPECT_EQ(rows_.Held(row_).value().get(), RowVersions{});
  Move(Insert(Own(10)));
  EXPECT_EQ(Stored(), Fold({Insert(Own(10))}));
  EXPECT_FALSE(Unsettled().has_value());
}

TEST_F(LocalRowsTest, AChangeOfASettledRowIsTheNewestOfTheFold) {
  Put(Fold({Insert(Theirs(5))}));
  EXPECT_TRUE(rows_.IsThere(row_, Stored()).value());
  EXPECT_EQ(rows_.Held(row_).value().get(), Stored());
  Move(Update(Own(10), name_));
  EXPECT_EQ(Stored(), Fold({Insert(Theirs(5)), Update(Own(10), name_)}));
  Move(Delete(Own(11)));
  EXPECT_FALSE(Stored().IsLive());
  EXPECT_FALSE(Unsettled().has_value());
  EXPECT_EQ(log_.conflicts->count(), 0) << "it had seen what it replaced";
}

// A remote version that needed no writing was adopted while the change was on its way.
TEST_F(LocalRowsTest, AChangeThatIsOlderThanTheFoldMakesItsRowDue) {
  Put(Fold({Insert(Theirs(20))}));
  Move(Update(Own(10), name_));
  EXPECT_EQ(*Stored().Find(name_), Theirs(20)) << "the newest wins";
  const std::optional<UnsettledRow> due = Unsettled();
  ASSERT_TRUE(due.has_value());
  EXPECT_FALSE(due->held_known) << "PostgreSQL shows the loser";
  EXPECT_EQ(due->retry_at_ms, 0);
  EXPECT_EQ(due->key, EncodeKey(key_));
  EXPECT_EQ(due->origin, own_);
}

TEST_F(LocalRowsTest, ARowThatIsInsertedAgainHasNoColumnsButItsOwn) {
  Put(Fold({Insert(Theirs(5)), Delete(Theirs(6))}));
  Move({ChangeKind::kInsert, Own(10), {name_}});
  EXPECT_TRUE(Stored().IsLive());
  const std::optional<UnsettledRow> due = Unsettled();
  ASSERT_TRUE(due.has_value()) << "the fold has the price that the row had before";
  ASSERT_TRUE(due->held_known && due->held.has_value());
  EXPECT_EQ(due->held->Find(price_), nullptr);
  EXPECT_EQ(due->retry_at_ms, 0);
}

TEST_F(LocalRowsTest, WhatPostgresHoldsOfAParkedRowIsItsOwnStory) {
  const RowVersions held = Fold({Insert(Theirs(5))});
  Put(Fold({Insert(Theirs(5)), Update(Theirs(8), name_)}));
  Unsettle(held);
  EXPECT_EQ(rows_.Held(row_).value().get(), held);
  EXPECT_TRUE(rows_.IsThere(row_, Stored()).value());
  Move(Update(Own(10), name_));
  EXPECT_EQ(*Stored().Find(name_), Own(10));
  EXPECT_FALSE(Unsettled().has_value()) << "PostgreSQL has the fold again";
}

TEST_F(LocalRowsTest, AChangeOfAnotherColumnLeavesAParkedRowParkedAndTriesAtOnce) {
  Put(Fold({Insert(Theirs(5)), Update(Theirs(8), name_)}));
  Unsettle(Fold({Insert(Theirs(5))}));
  Move(Update(Own(10), price_));
  const std::optional<UnsettledRow> parked = Unsettled();
  ASSERT_TRUE(parked.has_value());
  EXPECT_EQ(parked->cause, "duplicate name");
  EXPECT_EQ(parked->retry_at_ms, 0) << "what was in the way may be gone";
  EXPECT_EQ(*parked->held->Find(price_), Own(10));
  EXPECT_EQ(*parked->held->Find(name_), Theirs(5));
  EXPECT_EQ(log_.conflicts->count(), 0);
}

TEST_F(LocalRowsTest, ARowThatPostgresNeverTookIsNotThereWhateverTheFoldSays) {
  Put(Fold({Insert(Theirs(5))}));
  Unsettle(std::nullopt);
  EXPECT_FALSE(rows_.IsThere(row_, Stored()).value());
  EXPECT_EQ(rows_.Held(row_).value().get(), RowVersions{});
}

// Not even of a table of keys alone, of which no column says so.
TEST_F(LocalRowsTest, ARowThatIsFoundHereAndDeletedInTheFleetIsToGo) {
  const Version found{StampThatCounts(v1::RowChange::FOUND, HlcStamp{30}), own_, Sequence{30}};
  Put(Fold({Delete(Theirs(5))}));
  Move({ChangeKind::kInsert, found, {}});
  EXPECT_FALSE(Stored().IsLive());
  const std::optional<UnsettledRow> due = Unsettled();
  ASSERT_TRUE(due.has_value()) << "PostgreSQL shows it";
  EXPECT_TRUE(due->IsThere());
  EXPECT_EQ(due->retry_at_ms, 0);
}

}  // namespace
}  // namespace assay
