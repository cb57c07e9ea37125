// Goal: no push before the hub has opened this run's session, a copy of the log is found out, and no crash of an honest
// daemon passes for one. Method: step the gate over a real log, answer by hand; a restart is a new gate over the same
// file.
#include "engine/remotes/session_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/support/hand_clock.h"
#include "tests/support/open_log.h"
#include "tests/support/origins.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SessionGateTest : public ::testing::Test {
 protected:
  SessionGateTest() {
    config_.has_hub = true;
    Restart();
  }
  void Restart() {
    gate_ = std::make_unique<SessionGate>(config_, own_, log_.stores(), &clock_, &random_);
    ASSERT_EQ(gate_->Load(), absl::OkStatus());
  }
  // What the gate asks for next, once that is durable.
  std::optional<SessionRequest> Ask(bool paused = false) {
    log_.InTransaction([&] { ASSERT_EQ(gate_->Step(paused), absl::OkStatus()); });
    std::optional<HubCall> call = gate_->TakeCall();
    if (!call.has_value()) return std::nullopt;
    return std::get<HubOpenSession>(*std::move(call)).request;
  }
  void Answer(const absl::StatusOr<SessionReply>& reply) {
    log_.InTransaction([&] { ASSERT_EQ(gate_->OnReply(reply), absl::OkStatus()); });
  }
  // Of the own chain.
  void WriteEvents(uint64_t count) {
    log_.InTransaction([&] {
      for (uint64_t sequence = 1; sequence <= count; ++sequence) {
        v1::Event event;
        event.set_origin(std::string(own_.AsBytes()));
        event.set_sequence(sequence);
        event.set_stamp(100);
        event.set_transaction_first(1);
        event.set_ends_transaction(sequence == count);
        event.mutable_origin_opened()->set_branch_name("mumbai");
        ASSERT_EQ(log_.log->Append(event, "", event.SerializeAsString()), absl::OkStatus());
      }
    });
  }
  void Fail() { Answer(absl::UnavailableError("no route to host")); }
  std::string Refusal() { return ReadSessionRefusal(*log_.state).value().why; }

  test::TempDirectory directory_{"session"};
  test::OpenLog log_{directory_.path() + "/log.db"};
  EngineConfig config_;
  const OriginId own_ = test::Origin(7);
  test::HandClock clock_;
  test::CountingRandom random_;
  std::unique_ptr<SessionGate> gate_;
};

TEST_F(SessionGateTest, TheFirstSessionIsAskedForWithNothingKnown) {
  EXPECT_FALSE(gate_->asked());
  const std::optional<SessionRequest> request = Ask();
  ASSERT_TRUE(request.has_value());
  EXPECT_EQ(request->origin, own_);
  EXPECT_EQ(request->counter, 0u);
  EXPECT_THAT(request->known, IsEmpty());
  EXPECT_EQ(request->session.size(), 16u);
  EXPECT_FALSE(Ask().has_value()) << "one call at a time";
  EXPECT_FALSE(gate_->open());
  Answer(SessionReply{SessionAnswer::kOpened, 1});
  EXPECT_TRUE(gate_->open());
  EXPECT_TRUE(gate_->asked());
  EXPECT_EQ(gate_->session(), request->session);
  EXPECT_FALSE(Ask().has_value()) << "it is open";
}

TEST_F(SessionGateTest, WithoutAHubOrWhilePausedNothingIsAsked) {
  EXPECT_FALSE(Ask(/*paused=*/true).has_value());
  EXPECT_EQ(gate_->NextWake(), absl::InfiniteFuture());
  EXPECT_TRUE(Ask().has_value());
  config_.has_hub = false;
  Restart();
  EXPECT_FALSE(Ask().has_value());
  EXPECT_TRUE(gate_->asked()) << "there is nobody to wait for";
}

TEST_F(SessionGateTest, ARestartNamesTheSessionThatWasOpen) {
  const std::string first = Ask()->session;
  Answer(SessionReply{SessionAnswer::kOpened, 5});
  Restart();
  EXPECT_FALSE(gate_->open()) << "each run opens its own";
  const std::optional<SessionRequest> request = Ask();
  EXPECT_EQ(request->counter, 5u);
  EXPECT_THAT(request->known, ElementsAre(first));
  EXPECT_NE(request->session, first);
}

// The daemon dies after it has asked and before the reply: the hub may have opened that session, and must recognise it.
TEST_F(SessionGateTest, ASessionIsDurableBeforeItIsAskedFor) {
  const std::string opened = Ask()->session;
  Answer(SessionReply{SessionAnswer::kOpened, 1});
  Restart();
  const std::string unanswered = Ask()->session;
  Restart();
  const std::optional<SessionRequest> request = Ask();
  EXPECT_EQ(request->counter, 1u);
  EXPECT_THAT(request->known, ElementsAre(opened, unanswered));
  Answer(SessionReply{SessionAnswer::kOpened, 3});
  Restart();
  EXPECT_THAT(Ask()->known, ElementsAre(request->session)) << "what was before it opens nothing any more";
}

// The session that is known to have been opened may be the hub's still: whatever drops out, that one must not.
TEST_F(SessionGateTest, HoweverOftenNoReplyComesTheSessionThatIsOpenIsRemembered) {
  const std::string opened = Ask()->session;
  Answer(SessionReply{SessionAnswer::kOpened, 1});
  std::vector<std::string> asked;
  for (int start = 0; start < 100; ++start) {
    Restart();
    const std::optional<SessionRequest> request = Ask();
    ASSERT_TRUE(request.has_value());
    ASSERT_EQ(request->known.front(), opened) << start;
    EXPECT_LE(request->known.size(), 64u) << "the list does not grow for ever";
    if (!asked.empty()) {
      EXPECT_EQ(request->known.back(), asked.back()) << "the newest is the likeliest";
    }
    asked.push_back(request->session);
  }
}

TEST_F(SessionGateTest, ALostReplyIsAskedForAgainUnderTheSameSessionLaterAndLater) {
  const std::string session = Ask()->session;
  absl::Duration waited;
  for (int failure = 1; failure <= 20; ++failure) {
    clock_.now += absl::Milliseconds(1);
    Fail();
    EXPECT_EQ(gate_->link().failures, static_cast<uint32_t>(failure));
    EXPECT_TRUE(absl::IsUnavailable(gate_->link().status));
    EXPECT_FALSE(Ask().has_value());
    waited = gate_->NextWake() - clock_.now;
    EXPECT_EQ(gate_->link().next_try, gate_->NextWake()) << "people are told";
    EXPECT_LE(waited, absl::Minutes(1));
    clock_.now = gate_->NextWake();
    ASSERT_EQ(Ask()->session, session);
  }
  EXPECT_GE(waited, absl::Seconds(30)) << "rarely, in the end";
  EXPECT_LT(gate_->link().since, clock_.now - absl::Minutes(5)) << "since the first of them";
  EXPECT_TRUE(gate_->asked()) << "the hub is away, and rows may be written all the same";
  Answer(SessionReply{SessionAnswer::kOpened, 1});
  EXPECT_EQ(gate_->link().status, absl::OkStatus());
  EXPECT_EQ(gate_->link().since, clock_.now);
  EXPECT_EQ(gate_->link().failures, 0u);
}

TEST_F(SessionGateTest, SyncNowDoesNotWaitForTheNextTry) {
  const std::string session = Ask()->session;
  Fail();
  EXPECT_FALSE(Ask().has_value());
  gate_->SyncNow();
  EXPECT_EQ(Ask()->session, session);
}

TEST_F(SessionGateTest, ARefusalIsTheSignOfACopyAndIsRememberedUntilTheHubGivesIn) {
  Ask();
  Answer(SessionReply{SessionAnswer::kUnknown, 9});
  EXPECT_FALSE(gate_->open());
  EXPECT_TRUE(gate_->asked());
  EXPECT_THAT(gate_->refusal(), HasSubstr("session 9"));
  EXPECT_EQ(gate_->link().status, absl::OkStatus()) << "the hub answers: it is not the line";
  EXPECT_EQ(Refusal(), gate_->refusal());
  Restart();
  EXPECT_EQ(gate_->refusal(), Refusal()) << "before the hub is asked again";
  EXPECT_THAT(gate_->refusal(), HasSubstr("session 9"));
  Ask();
  Answer(SessionReply{SessionAnswer::kUnknown, 9});
  EXPECT_FALSE(Ask().has_value());
  clock_.now += absl::Minutes(1);
  ASSERT_TRUE(Ask().has_value()) << "the other copy may have been told to give way";
  Answer(SessionReply{SessionAnswer::kOpened, 10});
  EXPECT_EQ(gate_->refusal(), "");
  EXPECT_TRUE(gate_->open());
  Restart();
  EXPECT_EQ(gate_->refusal(), "");
}

// An image of a machine that was made while its daemon ran knows the session that is open.
TEST_F(SessionGateTest, TheHubIsShownWhatItAsksForAndRefusesWhatItDoesNotKnow) {
  WriteEvents(3);
  std::optional<SessionRequest> request = Ask();
  EXPECT_EQ(request->last.value, 3u);
  EXPECT_EQ(request->shown.value, 3u) << "as a rule the hub has all of it";
  EXPECT_EQ(request->leaf, AsBytes(LeafHash(log_.log->ReadEvent(own_, {3}).value())));
  Answer(SessionReply{SessionAnswer::kShow, 1, {2}});
  EXPECT_FALSE(gate_->asked()) << "nothing is known yet";
  request = Ask();
  ASSERT_TRUE(request.has_value()) << "at once";
  EXPECT_EQ(request->shown.value, 2u);
  EXPECT_EQ(request->leaf, AsBytes(LeafHash(log_.log->ReadEvent(own_, {2}).value())));
  Answer(SessionReply{SessionAnswer::kHubHasAnother, 1, {2}});
  EXPECT_FALSE(gate_->open());
  EXPECT_THAT(gate_->refusal(), AllOf(HasSubstr("another event"), HasSubstr("older copy")));
  clock_.now += absl::Minutes(1);
  Ask();
  Answer(SessionReply{SessionAnswer::kHubHasMore, 1, {7}});
  EXPECT_THAT(gate_->refusal(), AllOf(HasSubstr("the hub has 7 events"), HasSubstr("only 3")));
}

// Two daemons push in turns, or a hub makes fun of its branches.
TEST_F(SessionGateTest, AHubThatIsNeverContentIsAskedLaterAndLater) {
  WriteEvents(3);
  Ask();
  Answer(SessionReply{SessionAnswer::kShow, 1, {2}});
  Ask();
  Answer(SessionReply{SessionAnswer::kShow, 1, {1}});
  EXPECT_FALSE(Ask().has_value());
  EXPECT_TRUE(gate_->asked());
  EXPECT_EQ(gate_->refusal(), "");
  EXPECT_TRUE(absl::IsUnavailable(gate_->link().status));
}

// A refused run must not take what it asked for to be the session that is open.
TEST_F(SessionGateTest, ARefusalLeavesTheCounterAndTheOpenSessionAsTheyWere) {
  const std::string opened = Ask()->session;
  Answer(SessionReply{SessionAnswer::kOpened, 4});
  Restart();
  Ask();
  Answer(SessionReply{SessionAnswer::kUnknown, 9});
  Restart();
  const std::optional<SessionRequest> request = Ask();
  EXPECT_EQ(request->counter, 4u);
  EXPECT_EQ(request->known.front(), opened);
}

TEST_F(SessionGateTest, ASessionThatWasLostIsAskedForAgainAtOnce) {
  const std::string session = Ask()->session;
  Answer(SessionReply{SessionAnswer::kOpened, 1});
  gate_->OnLost();
  EXPECT_FALSE(gate_->open());
  const std::optional<SessionRequest> request = Ask();
  ASSERT_TRUE(request.has_value()) << "the hub may merely have been restored from a backup";
  EXPECT_EQ(request->session, session);
  EXPECT_EQ(request->counter, 1u);
}

TEST_F(SessionGateTest, WhyItWasRefusedIsToldAndRemembered) {
  WriteEvents(4);
  ASSERT_TRUE(Ask().has_value());
  Answer(SessionReply{SessionAnswer::kHubHasMore, 1, {9}});
  EXPECT_THAT(gate_->refusal(),
              ::testing::HasSubstr("the hub has 9 events of this log's chain, the log itself only 4"));
  EXPECT_EQ(gate_->refused(), SessionGate::Refused::kCopy);
  Restart();
  EXPECT_THAT(gate_->refusal(), ::testing::HasSubstr("9 events"));
  ASSERT_TRUE(Ask().has_value());
  Answer(SessionReply{SessionAnswer::kSetAside, 1, {9}});
  EXPECT_EQ(gate_->refused(), SessionGate::Refused::kSetAside);
  EXPECT_THAT(gate_->refusal(), ::testing::HasSubstr("set this log's chain aside"));
  Restart();
  EXPECT_EQ(gate_->refused(), SessionGate::Refused::kSetAside);
  ASSERT_TRUE(Ask().has_value());
  Answer(SessionReply{SessionAnswer::kOpened, 2, {4}});
  EXPECT_EQ(gate_->refused(), SessionGate::Refused::kNot);
  EXPECT_EQ(Refusal(), "");
}

// Another machine has the branch's place: what is not at the hub is counted, and the place is not taken back.
TEST_F(SessionGateTest, AChainThatWasReplacedIsToldByWhichAndTakesNoPlaceAnyMore) {
  log_.InTransaction([&] { ASSERT_EQ(log_.state->Write(kReplacesNote, test::Origin(3)), absl::OkStatus()); });
  Restart();
  WriteEvents(4);
  EXPECT_EQ(Ask()->replaces, test::Origin(3));
  Answer(SessionReply{SessionAnswer::kOpened, 1});
  Restart();
  EXPECT_EQ(Ask()->replaces, test::Origin(3)) << "a hub restored from a backup may still know the one before";
  const absl::Time heard = absl::FromUnixSeconds(1'700'000'000);
  Answer(SessionReply{SessionAnswer::kReplaced, 0, {1}, {test::Origin(9), heard}});
  EXPECT_EQ(gate_->refused(), SessionGate::Refused::kReplaced);
  EXPECT_THAT(gate_->refusal(), AllOf(HasSubstr(test::Origin(9).Hex().substr(0, 8)), HasSubstr("2023-11-14 22:13:20"),
                                      HasSubstr("3 events of this log are not at the hub, and stay in this log")));
  Restart();
  EXPECT_EQ(gate_->refused(), SessionGate::Refused::kReplaced);
  EXPECT_EQ(ReadSessionRefusal(*log_.state).value().as, SessionGate::Refused::kReplaced);
  EXPECT_EQ(Ask()->replaces, OriginId{});
  Answer(SessionReply{SessionAnswer::kOpened, 2, {4}});
  EXPECT_EQ(gate_->refused(), SessionGate::Refused::kNot) << "that one was told to give way";
}

}  // namespace
}  // namespace assay
