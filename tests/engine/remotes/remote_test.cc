// Goal: session, push and pull of one hub go together: nothing is pushed or told without the session, a session that
// was lost stops both, and what the one learns reaches the other. Method: answer its calls by hand, over a real log.
#include "engine/remotes/remote.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <variant>

#include "engine/own_chain.h"
#include "tests/support/hand_clock.h"
#include "tests/support/open_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::IsEmpty;

class RemoteTest : public ::testing::Test {
 protected:
  RemoteTest() {
    config_.has_hub = true;
    config_.branch_name = "mumbai-1";
    config_.branch_number = 1;
    const std::string path = directory_.path() + "/log.db";
    const auto file = LogFile::Open(path, {}).value();
    own_ = OpenBranchLog(config_, file.get(), &clock_, &random_).value();
    log_.emplace(path);
    remote_.emplace(config_, own_, log_->stores(), &clock_, &random_);
    EXPECT_EQ(remote_->Load(), absl::OkStatus());
  }
  // One step of the engine's, as far as the hub goes.
  void Step() {
    log_->InTransaction([&] {
      ASSERT_EQ(remote_->TakeReplies(), absl::OkStatus());
      ASSERT_EQ(remote_->StepSession(), absl::OkStatus());
      const absl::Status pulled = remote_->MayPull() ? remote_->StepPull(/*may_append=*/true, {}) : absl::OkStatus();
      ASSERT_EQ(pulled, absl::OkStatus());
      const absl::Status pushed = remote_->MayPush() ? remote_->StepPush() : absl::OkStatus();
      ASSERT_EQ(pushed, absl::OkStatus());
    });
  }
  // The session is open, and what the pull was to bring first has come.
  std::string OpenSession() {
    Step();
    const std::optional<HubCall> call = remote_->TakePushCall();
    const std::string session = std::get<HubOpenSession>(*call).request.session;
    remote_->OnPushReply(absl::StatusOr<SessionReply>(SessionReply{SessionAnswer::kOpened, 1}));
    return session;
  }

  test::TempDirectory directory_{"remote"};
  EngineConfig config_;
  OriginId own_;
  test::HandClock clock_;
  test::CountingRandom random_;
  std::optional<test::OpenLog> log_;
  std::optional<Remote> remote_;
};

TEST_F(RemoteTest, NothingIsPushedOrPulledBeforeTheSessionWasAskedFor) {
  EXPECT_FALSE(remote_->MayPull());
  EXPECT_FALSE(remote_->MayPush());
  const std::string session = OpenSession();
  EXPECT_FALSE(remote_->MayPush()) << "the reply is not taken yet";
  EXPECT_TRUE(remote_->HasReply());
  Step();
  EXPECT_TRUE(remote_->MayPush());
  ASSERT_TRUE(std::holds_alternative<HubGetHeads>(*remote_->TakePushCall()));
  remote_->OnPushReply(absl::StatusOr<HubHeads>(HubHeads{}));
  Step();
  EXPECT_EQ(std::get<HubPush>(*remote_->TakePushCall()).request.session, session);
}

TEST_F(RemoteTest, APushThatMeetsAnotherSessionAsksForItsOwnAgain) {
  OpenSession();
  Step();
  (void)remote_->TakePushCall();
  remote_->OnPushReply(absl::StatusOr<HubHeads>(HubHeads{}));
  Step();
  (void)remote_->TakePushCall();
  remote_->OnPushReply(absl::StatusOr<PushReply>(absl::AbortedError("another session is open")));
  Step();
  EXPECT_FALSE(remote_->MayPush());
  EXPECT_TRUE(std::holds_alternative<HubOpenSession>(*remote_->TakePushCall()));
}

// A machine whose memory was put back with it still has the session that is open: what it writes is found by its
// content, and the opening of a session is where that is judged.
TEST_F(RemoteTest, AHubThatHasAnotherChainIsAskedForTheSessionAgain) {
  const auto opens_anew = [&] {
    Step();
    EXPECT_FALSE(remote_->MayPush());
    const std::optional<HubCall> call = remote_->TakePushCall();
    ASSERT_TRUE(call.has_value());
    EXPECT_TRUE(std::holds_alternative<HubOpenSession>(*call));
  };
  OpenSession();
  Step();
  (void)remote_->TakePushCall();
  remote_->OnPushReply(absl::StatusOr<HubHeads>(HubHeads{}));
  Step();
  (void)remote_->TakePushCall();
  remote_->OnPushReply(absl::StatusOr<PushReply>(absl::DataLossError("fork")));
  opens_anew();
  remote_->OnPushReply(absl::StatusOr<SessionReply>(SessionReply{SessionAnswer::kOpened, 1}));
  Step();
  remote_->SyncNow();
  Step();
  HubHeads heads;
  heads.heads[own_].last = Sequence{1000};
  ASSERT_TRUE(std::holds_alternative<HubGetHeads>(*remote_->TakePushCall()));
  remote_->OnPushReply(absl::StatusOr<HubHeads>(heads));
  opens_anew();
  remote_->OnPushReply(absl::StatusOr<SessionReply>(SessionReply{SessionAnswer::kHubHasMore, 1, {1000}}));
  Step();
  EXPECT_FALSE(remote_->MayPull());
  EXPECT_FALSE(remote_->session().refusal().empty());
}

// A hub that was restored from a backup has less of the own chain than it had: the pull is the first to see it.
TEST_F(RemoteTest, WhatAPullLearnsOfTheOwnChainReachesThePush) {
  OpenSession();
  Step();
  HubHeads heads;
  heads.heads[own_].last = Sequence{1};
  (void)remote_->TakePushCall();
  remote_->OnPushReply(absl::StatusOr<HubHeads>(heads));
  (void)remote_->TakePullCall();
  Step();
  EXPECT_EQ(remote_->pusher().hub_last(), Sequence{1});
  EXPECT_FALSE(remote_->TakePushCall().has_value()) << "the hub has all of it";
  remote_->OnPullReply(absl::StatusOr<PullReply>(PullReply{}), absl::ZeroDuration());
  Step();
  EXPECT_TRUE(std::holds_alternative<HubGetHeads>(*remote_->TakePushCall())) << "it has nothing any more";
}

TEST_F(RemoteTest, WhilePausedNothingIsAskedAndNothingWakes) {
  OpenSession();
  remote_->Pause();
  Step();
  EXPECT_FALSE(remote_->TakePushCall().has_value());
  EXPECT_FALSE(remote_->TakePullCall().has_value());
  EXPECT_EQ(remote_->NextWake(), absl::InfiniteFuture());
  remote_->Resume();
  Step();
  EXPECT_TRUE(remote_->TakePushCall().has_value());
  EXPECT_TRUE(remote_->TakePullCall().has_value());
}

TEST_F(RemoteTest, HintsAreMissedWhereTheyAreWantedAndTheHubWorks) {
  EXPECT_FALSE(remote_->MissesHints()) << "nobody has tried yet";
  remote_->OnHintsChanged(absl::UnavailableError("no such channel"));
  EXPECT_FALSE(remote_->MissesHints()) << "the hub is not there either";
  OpenSession();
  Step();
  EXPECT_TRUE(remote_->MissesHints());
  remote_->OnHintsChanged(absl::CancelledError("turned off"));
  EXPECT_FALSE(remote_->MissesHints());
  remote_->OnHintsChanged(absl::UnavailableError("no such channel"));
  remote_->Pause();
  EXPECT_FALSE(remote_->MissesHints());
}

TEST_F(RemoteTest, TheLanesAreAsTheSessionIsWhileThatFails) {
  Step();
  (void)remote_->TakePushCall();
  remote_->OnPushReply(absl::StatusOr<SessionReply>(absl::UnavailableError("no route to host")));
  Step();
  EXPECT_EQ(remote_->push_link().status.message(), "no route to host");
  EXPECT_EQ(remote_->pull_link().status.message(), "no route to host");
  EXPECT_THAT(remote_->session().refusal(), IsEmpty());
}

}  // namespace
}  // namespace assay
