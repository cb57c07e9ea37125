#include "tools/host/progress_meter.h"

#include "gtest/gtest.h"

namespace assay {
namespace {

class ProgressMeterTest : public ::testing::Test {
 protected:
  // The picture as it is taken every 100 ms for `time`, while `per_second` events are done.
  Progress Run(absl::Duration time, uint64_t per_second) {
    Progress progress;
    for (const absl::Time until = now_ + time; now_ < until;) {
      now_ += absl::Milliseconds(100);
      at_.at += per_second / 10;
      progress = meter_.Update(at_, now_);
    }
    return progress;
  }

  absl::Time now_ = absl::FromUnixSeconds(1000);
  StagePosition at_{.at = 5'000'000, .goal = 5'000'000};
  ProgressMeter meter_;
};

TEST_F(ProgressMeterTest, NothingIsUnderWayWhileTheStageIsThrough) {
  const Progress idle = Run(absl::Seconds(30), 0);
  EXPECT_EQ(idle.done, idle.total);
  EXPECT_EQ(idle.events_per_second, 0);
}

TEST_F(ProgressMeterTest, CountsFromWhereTheStageFellBehindAndNotFromTheChainsBeginning) {
  Run(absl::Seconds(1), 0);
  at_.goal += 10'000;
  Progress progress = Run(absl::Milliseconds(100), 0);
  EXPECT_EQ(progress.done, 0u);
  EXPECT_EQ(progress.total, 10'000u);
  progress = Run(absl::Seconds(4), 1000);
  EXPECT_EQ(progress.done, 4000u);
  at_.goal += 500;  // More comes meanwhile.
  progress = Run(absl::Seconds(1), 1000);
  EXPECT_EQ(progress.done, 5000u);
  EXPECT_EQ(progress.total, 10'500u);
  progress = Run(absl::Milliseconds(5500), 1000);
  EXPECT_EQ(progress.done, progress.total) << "through";
  at_.goal += 10;
  progress = Run(absl::Milliseconds(100), 0);
  EXPECT_EQ(progress.done, 0u) << "another time";
  EXPECT_EQ(progress.total, 10u);
}

TEST_F(ProgressMeterTest, TheRateIsThatOfTheLast20Seconds) {
  at_.goal += 1'000'000;
  EXPECT_EQ(Run(absl::Seconds(1), 1000).events_per_second, 0) << "one second says nothing";
  EXPECT_NEAR(Run(absl::Seconds(4), 1000).events_per_second, 1000, 30);
  EXPECT_NEAR(Run(absl::Seconds(60), 3000).events_per_second, 3000, 90) << "what was before is forgotten";
}

TEST_F(ProgressMeterTest, AStandstillEndsTheRateAndIsNoPartOfTheNextOne) {
  at_.goal += 1'000'000;
  Run(absl::Seconds(10), 1000);
  EXPECT_EQ(Run(absl::Seconds(26), 0).events_per_second, 0) << "paused";
  EXPECT_NEAR(Run(absl::Seconds(4), 1000).events_per_second, 1000, 200) << "resumed";
}

// Rows are written in batches: between two of them nothing moves, and that is no standstill.
TEST_F(ProgressMeterTest, BatchesMakeASteadyRate) {
  at_.goal += 1'000'000;
  Progress progress = Run(absl::Milliseconds(100), 0);
  for (int batch = 0; batch < 20; ++batch) {
    at_.at += 5000;
    progress = Run(absl::Seconds(2), 0);
    if (batch > 3) {
      EXPECT_NEAR(progress.events_per_second, 2500, 300) << batch;
    }
  }
}

TEST_F(ProgressMeterTest, AHubThatHasLostSomeBeginsAnew) {
  at_.goal += 1000;
  Run(absl::Seconds(3), 100);
  at_.at -= 1300;
  const Progress progress = Run(absl::Milliseconds(100), 0);
  EXPECT_EQ(progress.done, 0u);
  EXPECT_EQ(progress.total, 2000u);
  EXPECT_EQ(progress.events_per_second, 0);
}

}  // namespace
}  // namespace assay
