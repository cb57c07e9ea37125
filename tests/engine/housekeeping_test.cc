// Goal: checkpoints while there is work, tidying when there is none, and otherwise sleep.
// Method: a hand-set clock over a real log with small segments in it.
#include "engine/housekeeping.h"

#include <gtest/gtest.h>

#include "tests/support/hand_clock.h"
#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

class HousekeepingTest : public ::testing::Test {
 protected:
  HousekeepingTest() { config_.repack_events = 20; }
  test::OpenLog& log() { return small_.open(); }
  // Sales that come one by one leave a segment each.
  void Sell(int count) {
    for (int i = 0; i < count; ++i) small_.Write(small_.mumbai(), v1::RowChange::INSERT, "7", {{{}, "ring"}});
    events_done_ += count;
  }
  void Rest(bool busy = false) {
    log().InTransaction([&] { ASSERT_EQ(keeping_.Rest(events_done_, busy), absl::OkStatus()); });
  }
  bool Untidy() { return log().log->ShouldRepack(config_.repack_events); }

  test::TempDirectory directory_{"housekeeping"};
  test::SmallLog small_{directory_.path() + "/log.db"};
  EngineConfig config_;
  test::HandClock clock_;
  uint64_t events_done_ = 0;
  Housekeeping keeping_{config_, small_.mumbai(), log().file.get(), log().log.get(), log().rows.get(), &clock_};
};

TEST_F(HousekeepingTest, SegmentsArePackedOnceNothingHasHappenedForAMoment) {
  Sell(100);
  ASSERT_TRUE(Untidy());
  Rest();
  EXPECT_TRUE(Untidy()) << "there was work just now";
  clock_.now = keeping_.NextWake() - absl::Milliseconds(1);
  Rest();
  EXPECT_TRUE(Untidy());
  for (int portion = 0; portion < 20 && Untidy(); ++portion) {
    clock_.now = keeping_.NextWake();
    Rest();
  }
  EXPECT_FALSE(Untidy());
}

TEST_F(HousekeepingTest, WhileSomethingIsUnderWayNothingIsTidied) {
  Sell(100);
  for (int i = 0; i < 60; ++i, clock_.now += absl::Seconds(1)) Rest(/*busy=*/true);
  EXPECT_TRUE(Untidy());
}

TEST_F(HousekeepingTest, ADaemonWithNothingToDoSleeps) {
  Sell(5);
  Rest();
  clock_.now = keeping_.NextWake();
  Rest();  // Memory is given back.
  EXPECT_EQ(keeping_.NextWake(), absl::InfiniteFuture());
}

TEST_F(HousekeepingTest, ATidyLogIsLeftAloneUntilItIsWorkedOnAgain) {
  Rest();
  EXPECT_EQ(keeping_.NextWake(), absl::InfiniteFuture());
  Sell(1);
  Rest();
  EXPECT_LE(keeping_.NextWake(), clock_.now + absl::Seconds(20));
}

// That checkpoints are signed, and at most once a minute, is in engine_test: here is a chain without a key.
TEST_F(HousekeepingTest, WithoutAKeyNothingIsSigned) {
  Sell(1);
  log().InTransaction([&] { ASSERT_EQ(keeping_.KeepCheckpoint(), absl::OkStatus()); });
  EXPECT_FALSE(log().log->NewestCheckpoint(small_.mumbai()).has_value());
}

}  // namespace
}  // namespace assay
