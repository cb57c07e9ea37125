// Goal: the hub is called only in a session, and nothing that the hub or its line does holds up what needs no hub.
// Method: the test is the host, and the hub.
#include "tests/engine/engine_fixture.h"

namespace assay {
namespace {

using ::testing::Contains;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(EngineTest, NothingIsPushedOrPulledBeforeTheSessionIsOpen) {
  UseHub();
  StartCapture();
  Sell(0x500, "1");
  Step();
  const std::optional<HubOpenSession> opening = Take<HubOpenSession>(Lane::kHubPush);
  ASSERT_TRUE(opening.has_value());
  EXPECT_FALSE(under_way_.contains(Lane::kHubPull));
  EXPECT_FALSE(under_way_.contains(Lane::kDatabase)) << "nor written: a copy of this log may have gone on elsewhere";
  Answer(Lane::kHubPush, absl::StatusOr<SessionReply>(SessionReply{SessionAnswer::kOpened, 1}));
  Step();
  ASSERT_TRUE(Take<HubGetHeads>(Lane::kHubPush).has_value());
  EXPECT_TRUE(Take<HubPull>(Lane::kHubPull).has_value());
  Answer(Lane::kHubPush, absl::StatusOr<HubHeads>(HubHeads{}));
  Step();
  const std::optional<HubPush> push = Take<HubPush>(Lane::kHubPush);
  ASSERT_TRUE(push.has_value());
  EXPECT_EQ(push->request.session, opening->request.session);
  EXPECT_EQ(push->request.segments.back().last, Sequence{3});
  Answer(Lane::kHubPush, absl::StatusOr<PushReply>(PushReply{Sequence{3}}));
  Step();
  EXPECT_FALSE(under_way_.contains(Lane::kHubPush)) << "all is there";
}

// As Supabase makes it when its disk is full: it takes nothing, and still gives.
TEST_F(EngineTest, AHubThatOpensNoSessionIsPulledFrom) {
  UseHub();
  StartCapture();
  Sell(0x500, "1");
  Step();
  ASSERT_TRUE(Take<HubOpenSession>(Lane::kHubPush).has_value());
  Answer(Lane::kHubPush, absl::StatusOr<SessionReply>(absl::ResourceExhaustedError("hub: it is read-only")));
  Step();
  EXPECT_FALSE(under_way_.contains(Lane::kHubPush)) << "nothing is pushed without a session";
  AnswerPull();
  EXPECT_FALSE(under_way_.contains(Lane::kHubPull)) << "nor is it told how this branch is";
  EXPECT_THAT(engine_->Status().problems, Contains(Field(&Problem::detail, HasSubstr("read-only"))));
  EXPECT_EQ(engine_->Status().last_pull, clock_.now);
}

// The names that it would give may be taken.
TEST_F(EngineTest, ARefusedSessionHaltsCaptureToo) {
  UseHub();
  StartCapture();
  Step();
  ASSERT_TRUE(Take<HubOpenSession>(Lane::kHubPush).has_value());
  EXPECT_FALSE(engine_->HoldsCapture() && engine_->HasWork());
  Sell(0x500, "1");
  Step();
  EXPECT_EQ(DurableEvents(), 1u) << "not before the hub has had its say";
  EXPECT_TRUE(engine_->HoldsCapture());
  EXPECT_FALSE(engine_->HasWork());
  Answer(Lane::kHubPush, absl::StatusOr<SessionReply>(SessionReply{SessionAnswer::kUnknown, 5}));
  Step();
  EXPECT_THAT(under_way_, IsEmpty());
  EXPECT_EQ(engine_->Status().state, "halted");
  EXPECT_EQ(engine_->Status().restore, RestoreState::kClone);
  EXPECT_EQ(DurableEvents(), 1u);
  EXPECT_LT(engine_->ConfirmedLsn(), Lsn{0x500}) << "PostgreSQL keeps it";
  EXPECT_FALSE(engine_->WantsCapture());
  Restart();
  EXPECT_EQ(engine_->Status().restore, RestoreState::kClone) << "remembered";
  EXPECT_FALSE(engine_->WantsCapture());
}

TEST_F(EngineTest, WhatWasHeldIsRecordedOnceTheHubHasHadItsSay) {
  UseHub();
  StartCapture();
  Step();
  ASSERT_TRUE(Take<HubOpenSession>(Lane::kHubPush).has_value());
  Sell(0x500, "1");
  Step();
  EXPECT_EQ(DurableEvents(), 1u);
  Answer(Lane::kHubPush, absl::StatusOr<SessionReply>(absl::UnavailableError("no route to host")));
  Step();
  Step();
  EXPECT_EQ(DurableEvents(), 3u) << "offline nobody can tell";
  EXPECT_FALSE(engine_->HoldsCapture());
}

TEST_F(EngineTest, APushThatMeetsAnotherSessionAsksForTheSessionAgain) {
  UseHub();
  StartCapture();
  OpenSession();
  ASSERT_TRUE(Take<HubGetHeads>(Lane::kHubPush).has_value());
  Answer(Lane::kHubPush, absl::StatusOr<HubHeads>(absl::AbortedError("another session is open")));
  AnswerPull();
  clock_.now += absl::Minutes(10);
  Step();
  // Heads are asked of anybody; a heartbeat is this run's own.
  for (int i = 0; i < 3 && !under_way_.contains(Lane::kHubPull); ++i) Step();
  if (Take<HubPull>(Lane::kHubPull).has_value()) {
    Answer(Lane::kHubPull, absl::StatusOr<PullReply>(PullReply{}));
    Step();
  }
  ASSERT_TRUE(Take<HubHeartbeat>(Lane::kHubPull).has_value());
  Take<HubGetHeads>(Lane::kHubPush);
  Answer(Lane::kHubPush, absl::StatusOr<HubHeads>(HubHeads{}));
  Answer(Lane::kHubPull, absl::StatusOr<HeartbeatReply>(absl::AbortedError("another session is open")));
  Step();
  EXPECT_TRUE(Take<HubOpenSession>(Lane::kHubPush).has_value());
}

TEST_F(EngineTest, PausedTheHubIsNotCalledAndRowsAreStillWritten) {
  UseHub();
  engine_->Pause();
  StartCapture();
  Sell(0x500, "1");
  Step();
  EXPECT_FALSE(under_way_.contains(Lane::kHubPush));
  EXPECT_FALSE(under_way_.contains(Lane::kHubPull));
  EXPECT_TRUE(under_way_.contains(Lane::kDatabase));
  EXPECT_EQ(engine_->Status().state, "paused");
  EXPECT_EQ(DurableEvents(), 3u);
  engine_->Resume();
  Step();
  EXPECT_TRUE(Take<HubOpenSession>(Lane::kHubPush).has_value()) << "at once";
}

// A database that is away tells nothing against what the log has: the branch stays in touch with the others.
TEST_F(EngineTest, WithoutADatabaseTheHubIsStillCalled) {
  UseHub();
  Step();
  EXPECT_THAT(under_way_, IsEmpty()) << "the database has not been asked yet";
  engine_->OnCaptureStopped(absl::UnavailableError("connection refused"), clock_.now + absl::Seconds(5));
  Step();
  EXPECT_TRUE(Take<HubOpenSession>(Lane::kHubPush).has_value());
  EXPECT_FALSE(under_way_.contains(Lane::kDatabase));
  EXPECT_EQ(engine_->Status().state, "stopped");
  EXPECT_EQ(engine_->Status().capture.next_try, clock_.now + absl::Seconds(5));
}

// A clock that was years ahead and is set right would leave every next try years away.
TEST_F(EngineTest, AClockThatIsSetBackMakesEveryNextTryDueAtOnce) {
  UseHub();
  StartCapture();
  Step();
  ASSERT_TRUE(Take<HubOpenSession>(Lane::kHubPush).has_value());
  Answer(Lane::kHubPush, absl::StatusOr<SessionReply>(absl::UnavailableError("no route to host")));
  Step();
  EXPECT_FALSE(under_way_.contains(Lane::kHubPush));
  clock_.now -= absl::Hours(24 * 365);
  Step();
  EXPECT_TRUE(Take<HubOpenSession>(Lane::kHubPush).has_value());
}

}  // namespace
}  // namespace assay
