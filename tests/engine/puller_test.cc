// Goal: when the puller asks, and when it tells the hub how this branch is.
// Method: step it over an empty log, with a clock and replies of the test's own.
#include "engine/puller.h"

#include <gtest/gtest.h>
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

class HandClock : public Clock {
 public:
  absl::Time Now() override { return now; }
  absl::Time now = absl::FromUnixSeconds(1'700'000'000);
};

class NoRandom : public Random {
 public:
  uint64_t Next() override { return 0; }
};

class PullerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    config_.has_hub = true;
    file_ = LogFile::Open(folder_.path() + "/log.db", {}).value();
    log_ = EventLog::Open(file_.get()).value();
    puller_ = std::make_unique<Puller>(config_, OriginId{}, log_.get(), &clock_, &random_);
  }

  // What it does next: "pull", "heartbeat STATE" or "".
  std::string Next(const std::string& state = "running") {
    BranchReport report;
    report.state = state;
    EXPECT_TRUE(file_->Begin().ok());
    EXPECT_TRUE(puller_->Step(/*paused=*/false, /*may_append=*/true, report).ok());
    EXPECT_TRUE(file_->Commit().ok());
    const std::optional<HubCall> call = puller_->TakeCall();
    if (!call.has_value()) return "";
    if (const auto* heartbeat = std::get_if<HubHeartbeat>(&*call)) return "heartbeat " + heartbeat->report.state;
    return "pull";
  }
  void Pulled() { puller_->OnPulled(PullReply{}, absl::ZeroDuration()); }
  void Heard() { puller_->OnHeartbeat(HeartbeatReply{}, absl::ZeroDuration()); }
  // Pulled and told once: quiet.
  void Settle() {
    ASSERT_EQ(Next(), "pull");
    Pulled();
    ASSERT_EQ(Next(), "heartbeat running");
    Heard();
    ASSERT_EQ(Next(), "");
  }

  test::TempDirectory folder_{"puller"};
  EngineConfig config_;
  HandClock clock_;
  NoRandom random_;
  std::unique_ptr<LogFile> file_;
  std::unique_ptr<EventLog> log_;
  std::unique_ptr<Puller> puller_;
};

TEST_F(PullerTest, AHeartbeatThatIsRefusedIsTriedLessAndLessWhilePullsGoOn) {
  ASSERT_EQ(Next(), "pull");
  Pulled();
  int heartbeats = 0;
  for (const absl::Time end = clock_.now + absl::Minutes(5); clock_.now < end; clock_.now += absl::Milliseconds(100)) {
    const std::string call = Next();
    if (call == "pull") Pulled();
    if (call.empty() || call == "pull") continue;
    ++heartbeats;
    puller_->OnHeartbeat(absl::FailedPreconditionError("another branch"), absl::ZeroDuration());
  }
  EXPECT_GE(heartbeats, 5);
  EXPECT_LE(heartbeats, 20) << "with the backoff of the pulls it would be hundreds";
}

TEST_F(PullerTest, LosingTheHintsAsksWhetherTheHubIsThere) {
  Settle();
  puller_->OnHintsLost();
  EXPECT_EQ(Next(), "heartbeat running");
  puller_->OnHeartbeat(absl::UnavailableError("no route"), absl::ZeroDuration());
  EXPECT_FALSE(puller_->link().status.ok());
}

TEST_F(PullerTest, AnotherStateIsToldSoon) {
  Settle();
  clock_.now += absl::Seconds(1);
  EXPECT_EQ(Next("stopped"), "") << "not more often than every 5 s";
  clock_.now += absl::Seconds(5);
  EXPECT_EQ(Next("stopped"), "heartbeat stopped");
}

TEST_F(PullerTest, CatchingUpIsNoOtherState) {
  Settle();
  clock_.now += absl::Seconds(10);
  EXPECT_EQ(Next("catching-up"), "");
}

}  // namespace
}  // namespace assay
