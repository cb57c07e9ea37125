// Goal: when a column comes to a table, just the rows whose NULL was passed over are looked at again.
// Method: rows of delhi in a small real log, merged here; the column appears.
#include "engine/projection/appeared_columns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/fold/merge.h"
#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

class AppearedColumnsTest : public ::testing::Test {
 protected:
  test::OpenLog& log() { return small_.open(); }
  TableId Table() { return log().names->IdOf({"public", "items"}).value(); }
  ColumnId Column(const std::string& name) { return log().names->ColumnIdOf(Table(), name).value(); }
  RowRef Ref(const std::string& key) { return RowOf(Table(), KeyColumns({"id"}), RowKey{key}); }
  static TableShape Shape(const std::vector<std::string>& columns) {
    TableShape shape{{"public", "items"}, {{"id", "text", true}}, {0}};
    for (const std::string& name : columns) shape.columns.push_back({name, "text"});
    return shape;
  }
  // Delhi inserts the row, and it is merged here, where there is no price. `found`: nobody has edited it.
  Version Merged(const std::string& key, const std::optional<std::string>& price, bool found = false) {
    const Sequence sequence = small_.Write(small_.delhi(), v1::RowChange::INSERT, key, {{{}, "ring"}, {{}, price}});
    const HlcStamp stamp = log().log->Head(small_.delhi()).complete_stamp;
    const Version version{StampThatCounts(found ? v1::RowChange::FOUND : v1::RowChange::EDIT, stamp), small_.delhi(),
                          sequence};
    log().InTransaction([&] {
      RowVersions row;
      row.written = version;
      row.columns = {{Column("name"), version}, {Column("price"), version}};
      ASSERT_TRUE(log().rows->Put(Ref(key), row).ok());
      if (price.has_value() && !found) return;
      ASSERT_TRUE(history_.NoteNull(Table(), Column("price"), version.stamp).ok());
    });
    return version;
  }
  bool Appear(const std::vector<std::string>& columns) {
    bool appeared = false;
    log().InTransaction([&] { appeared = appeared_.MakeRowsDue(Table(), Shape(columns), now_).value(); });
    return appeared;
  }
  std::optional<UnsettledRow> Due(const std::string& key) { return log().unsettled->Find(Ref(key)).value(); }

  test::TempDirectory directory_{"appeared"};
  test::SmallLog small_{directory_.path() + "/log.db"};
  const absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  FoldValues values_{log().log.get(), log().names.get()};
  ColumnHistory history_{small_.mumbai(), log().names.get(), log().state.get()};
  AppearedColumns appeared_{log().rows.get(), log().unsettled.get(), &values_, &history_};
};

TEST_F(AppearedColumnsTest, RowsWhoseNullWasPassedOverAreDueAndNoOthers) {
  const Version null = Merged("7", std::nullopt);
  Merged("8", "9.00");
  EXPECT_FALSE(Appear({"name"}));
  EXPECT_FALSE(Due("7").has_value());
  EXPECT_TRUE(Appear({"name", "price"}));
  const std::optional<UnsettledRow> due = Due("7");
  ASSERT_TRUE(due.has_value());
  EXPECT_EQ(due->key, EncodeKey(std::vector<std::string>{"7"}));
  EXPECT_EQ(due->cause, "") << "nothing has failed";
  EXPECT_EQ(due->retry_at_ms, 0) << "at once";
  EXPECT_EQ(due->since_ms, absl::ToUnixMillis(now_));
  EXPECT_EQ(due->sequence, null.sequence);
  ASSERT_TRUE(due->held_known && due->held.has_value());
  EXPECT_EQ(due->held->Find(Column("price")), nullptr) << "it may hold the column's default";
  EXPECT_NE(due->held->Find(Column("name")), nullptr) << "the rest it holds as before";
  EXPECT_FALSE(Due("8").has_value()) << "its value was never passed over: it waits by itself";
  EXPECT_FALSE(Appear({"name", "price"})) << "once";
}

TEST_F(AppearedColumnsTest, WhatNobodyEditedIsLookedAtAgainAsANullIs) {
  Merged("7", "1000", /*found=*/true);
  Merged("8", "9.00");
  EXPECT_TRUE(Appear({"name", "price"}));
  EXPECT_TRUE(Due("7").has_value());
  EXPECT_FALSE(Due("8").has_value());
}

TEST_F(AppearedColumnsTest, ARowThatIsUnsettledAlreadyKeepsItsCauseAndIsTriedAtOnce) {
  Merged("7", std::nullopt);
  log().InTransaction([&] {
    const WaitingEvent waiting{EncodeKey(std::vector<std::string>{"7"}), small_.delhi(), {3}};
    const int64_t now_ms = absl::ToUnixMillis(now_);
    const ParkCause cause{"duplicate name", "23505"};
    ASSERT_TRUE(log().unsettled->MarkDue(Ref("7"), waiting, std::nullopt, now_ms).ok());
    ASSERT_TRUE(log().unsettled->ParkRefused(Ref("7"), waiting, cause, RowVersions{}, now_ms).ok());
    ASSERT_GT(Due("7")->retry_at_ms, absl::ToUnixMillis(now_));
  });
  EXPECT_TRUE(Appear({"name", "price"}));
  EXPECT_EQ(Due("7")->cause, "duplicate name");
  EXPECT_EQ(Due("7")->retry_at_ms, 0);
  EXPECT_FALSE(Due("7")->held.has_value()) << "PostgreSQL has no such row, and the column changes nothing about that";
}

TEST_F(AppearedColumnsTest, ADeletedRowIsLeftAlone) {
  const Version null = Merged("7", std::nullopt);
  log().InTransaction([&] {
    RowVersions row = *log().rows->Get(Ref("7")).value();
    row.deleted = {HlcStamp{null.stamp.value + 1}, small_.delhi(), null.sequence.Next()};
    ASSERT_TRUE(log().rows->Put(Ref("7"), row).ok());
  });
  EXPECT_TRUE(Appear({"name", "price"}));
  EXPECT_FALSE(Due("7").has_value());
}

TEST_F(AppearedColumnsTest, NullsThatWereWrittenBeforeAnyWasPassedOverAreNoNews) {
  // Of row 7 PostgreSQL holds the NULL: it came while the column was here.
  const Version old = Merged("7", std::nullopt);
  ASSERT_TRUE(Appear({"name", "price"}));
  log().InTransaction([&] { ASSERT_TRUE(log().unsettled->Settle(Ref("7")).ok()); });
  log().InTransaction(
      [&] { ASSERT_TRUE(history_.NoteNull(Table(), Column("price"), HlcStamp{old.stamp.value + 1}).ok()); });
  EXPECT_TRUE(Appear({"name", "price"}));
  EXPECT_FALSE(Due("7").has_value());
}

}  // namespace
}  // namespace assay
