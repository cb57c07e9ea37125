// Goal: an anchor is due after a start and after local changes, a probe while columns are awaited, and neither often.
#include "engine/projection/idle_jobs.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

using Job = Flight::Job;

class IdleJobsTest : public ::testing::Test {
 protected:
  std::optional<Job> Due(bool awaited = false) {
    wake_ = absl::InfiniteFuture();
    return jobs_.Due(now_, awaited, &wake_);
  }

  IdleJobs jobs_;
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  absl::Time wake_;
};

TEST_F(IdleJobsTest, AnAnchorIsDueAtAStartAndSomeTimeAfterALocalChange) {
  EXPECT_EQ(Due(), Job::kAnchor);
  jobs_.OnLanded(now_);
  EXPECT_EQ(Due(), std::nullopt);
  EXPECT_EQ(wake_, absl::InfiniteFuture()) << "nothing has happened";
  jobs_.OnActivity();
  EXPECT_EQ(Due(), std::nullopt);
  EXPECT_EQ(wake_, now_ + IdleJobs::kAnchorInterval) << "not with every sale";
  now_ = wake_;
  EXPECT_EQ(Due(), Job::kAnchor);
}

TEST_F(IdleJobsTest, AProbeIsDueLessAndLessOftenUntilSomethingComes) {
  jobs_.OnLanded(now_);
  absl::Duration interval = IdleJobs::kProbeIntervalMin;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Due(/*awaited=*/true), Job::kProbe);
    EXPECT_EQ(Due(/*awaited=*/false), std::nullopt);
    jobs_.OnProbed(now_);
    EXPECT_EQ(Due(/*awaited=*/true), std::nullopt);
    EXPECT_EQ(wake_, now_ + interval);
    now_ = wake_;
    interval = std::min(interval * 2, IdleJobs::kProbeIntervalMax);
  }
  EXPECT_EQ(interval, IdleJobs::kProbeIntervalMax);
  jobs_.ProbeOften();
  jobs_.OnProbed(now_);
  EXPECT_EQ(Due(/*awaited=*/true), std::nullopt);
  EXPECT_EQ(wake_, now_ + IdleJobs::kProbeIntervalMin);
}

TEST_F(IdleJobsTest, NothingWaitsForItsTimeAfterRetryNow) {
  jobs_.OnLanded(now_);
  jobs_.OnProbed(now_);
  jobs_.OnActivity();
  ASSERT_EQ(Due(/*awaited=*/true), std::nullopt);
  EXPECT_EQ(wake_, now_ + IdleJobs::kProbeIntervalMin) << "the earlier of the two";
  jobs_.RetryNow(now_);
  EXPECT_EQ(Due(/*awaited=*/true), Job::kProbe);
  EXPECT_EQ(Due(/*awaited=*/false), Job::kAnchor);
}

}  // namespace
}  // namespace assay
