// Goal: PostgreSQL is told of no change that the log has not got, and an idle stream costs the disk next to nothing.
// Method: pass positions by hand.
#include "engine/capture/stream_position.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

TEST(StreamPositionTest, OnlyWhatTheLogHasIsConfirmed) {
  StreamPosition position;
  position.Begin(Lsn{100});
  EXPECT_EQ(position.confirmed(), Lsn{100});
  position.Pass(Lsn{300});
  EXPECT_EQ(position.confirmed(), Lsn{100});
  position.NoteDurable(Lsn{200});
  EXPECT_EQ(position.confirmed(), Lsn{200});
  EXPECT_EQ(position.processed(), Lsn{300});
}

// The server may send again what was confirmed long ago, and the log then knows of later positions than the stream.
TEST(StreamPositionTest, NoMoreIsConfirmedThanThisStreamHasBrought) {
  StreamPosition position;
  position.Begin(Lsn{100});
  position.Pass(Lsn{150});
  position.NoteDurable(Lsn{900});
  EXPECT_EQ(position.confirmed(), Lsn{150});
}

TEST(StreamPositionTest, WhatWasForgottenIsWorkedOnAgain) {
  StreamPosition position;
  position.Begin(Lsn{100});
  position.Pass(Lsn{300});
  position.Forget();
  EXPECT_EQ(position.processed(), Lsn{100});
  position.Pass(Lsn{50});
  EXPECT_EQ(position.processed(), Lsn{100}) << "it does not go back by itself";
}

TEST(StreamPositionTest, APositionIsKeptSeldomUnlessTheServerWaitsForIt) {
  StreamPosition position;
  position.Begin(Lsn{100});
  EXPECT_FALSE(position.ShouldKeep(Lsn{100}, /*wanted=*/true, kNow)) << "the log has it";
  EXPECT_EQ(position.NextWake(Lsn{100}), absl::InfiniteFuture());
  position.Pass(Lsn{200});
  EXPECT_TRUE(position.ShouldKeep(Lsn{100}, /*wanted=*/false, kNow));
  position.Pass(Lsn{300});
  EXPECT_EQ(position.NextWake(Lsn{200}), kNow + StreamPosition::kKeepInterval);
  EXPECT_FALSE(position.ShouldKeep(Lsn{200}, /*wanted=*/false, kNow + absl::Seconds(1)));
  EXPECT_FALSE(position.TakeWanted());
  position.Want();
  EXPECT_TRUE(position.ShouldKeep(Lsn{200}, position.TakeWanted(), kNow + absl::Seconds(1)));
  EXPECT_FALSE(position.TakeWanted()) << "told once";
}

TEST(StreamPositionTest, AClockThatIsSetBackPutsNothingOff) {
  StreamPosition position;
  position.Begin(Lsn{100});
  position.Pass(Lsn{200});
  EXPECT_TRUE(position.ShouldKeep(Lsn{100}, /*wanted=*/false, kNow));
  position.OnClockSetBack();
  EXPECT_TRUE(position.ShouldKeep(Lsn{100}, /*wanted=*/false, kNow - absl::Hours(24)));
}

}  // namespace
}  // namespace assay
