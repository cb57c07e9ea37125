#include "engine/capture/hybrid_clock.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

constexpr int64_t kNoonUs = 1'700'000'000'000'000;

TEST(HybridClockTest, FollowsCommitTimeWhenItAdvances) {
  HybridClock clock(HlcStamp{});
  EXPECT_EQ(clock.StampCommit(kNoonUs).millis(), kNoonUs / 1000);
  EXPECT_EQ(clock.StampCommit(kNoonUs + 5'000).millis(), kNoonUs / 1000 + 5);
}

TEST(HybridClockTest, RisesWhenCommitTimeStepsBackOrStandsStill) {
  HybridClock clock(HlcStamp{});
  const HlcStamp first = clock.StampCommit(kNoonUs);
  const HlcStamp second = clock.StampCommit(kNoonUs);
  const HlcStamp third = clock.StampCommit(kNoonUs - 3'600'000'000);
  EXPECT_EQ(second.value, first.value + 1);
  EXPECT_EQ(third.value, second.value + 1);
}

TEST(HybridClockTest, CounterOverflowCarriesIntoMilliseconds) {
  HybridClock clock(HlcStamp{});
  const HlcStamp first = clock.StampCommit(kNoonUs);
  HlcStamp last = first;
  for (int i = 0; i < 65'536; ++i) last = clock.StampCommit(kNoonUs);
  EXPECT_EQ(last.millis(), first.millis() + 1);
  EXPECT_EQ(last.counter(), 0u);
}

TEST(HybridClockTest, AWriteAfterAProjectionBeatsItWhateverTheWallClockSays) {
  HybridClock clock(HlcStamp{});
  clock.StampCommit(kNoonUs);
  const HlcStamp remote = HlcStamp::FromMillis(kNoonUs / 1000 + 3'600'000);  // An hour ahead.
  clock.ObserveProjection(remote);
  EXPECT_GT(clock.StampCommit(kNoonUs + 1'000), remote);
}

TEST(HybridClockTest, ObservingTheOlderMovesNothing) {
  HybridClock clock(HlcStamp{});
  const HlcStamp before = clock.StampCommit(kNoonUs);
  clock.ObserveProjection(HlcStamp::FromMillis(1));
  EXPECT_EQ(clock.now(), before);
}

TEST(HybridClockTest, SurvivesCommitTimesOutOfRange) {
  HybridClock clock(HlcStamp{});
  const HlcStamp past = clock.StampCommit(INT64_MIN);
  const HlcStamp future = clock.StampCommit(INT64_MAX);
  EXPECT_GT(future, past);
  EXPECT_GT(clock.StampCommit(0), future);
}

TEST(HybridClockTest, AtTheHighestStampItStandsStillAndNeverWraps) {
  HybridClock clock(HlcStamp{});
  const HlcStamp highest{UINT64_MAX};
  clock.ObserveProjection(highest);
  EXPECT_EQ(clock.StampCommit(kNoonUs), highest);
  EXPECT_EQ(highest.Next(), highest);
}

// What is observed is whole stamps: two remote transactions of one millisecond differ in their counters only.
TEST(HybridClockTest, AWriteBeatsEvenTheLastProjectionOfItsMillisecond) {
  HybridClock clock(HlcStamp{});
  const HlcStamp remote{HlcStamp::FromMillis(kNoonUs / 1000 + 3'600'000).value + 7};
  clock.ObserveProjection(remote);
  EXPECT_EQ(clock.now(), remote);
  EXPECT_GT(clock.StampCommit(kNoonUs), remote);
}

}  // namespace
}  // namespace assay
