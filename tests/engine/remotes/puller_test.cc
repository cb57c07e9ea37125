// Goal: when the puller asks, and for what, and when it tells the hub how this branch is.
// Method: step it over a log, with a clock and replies of the test's own.
#include "engine/remotes/puller.h"

#include <gtest/gtest.h>

#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

class HandClock : public Clock {
 public:
  absl::Time Now() override { return now; }
  absl::Time now = absl::FromUnixSeconds(1'770'000'000);
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

  // What it does next: a call, or nothing.
  std::optional<HubCall> Step(bool may_append, const std::string& state = "running", bool may_report = true) {
    BranchReport report;
    report.state = state;
    EXPECT_TRUE(file_->Begin().ok());
    EXPECT_TRUE(puller_->Step(/*paused=*/false, may_append, may_report, report).ok());
    EXPECT_TRUE(file_->Commit().ok());
    return puller_->TakeCall();
  }

  // What it does next: "pull", "heartbeat STATE" or "".
  std::string Next(const std::string& state = "running") {
    const std::optional<HubCall> call = Step(/*may_append=*/true, state);
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

// A large value may take an hour: others' news and the heartbeats go on beside it, and each piece is a success.
TEST_F(PullerTest, AValueThatIsArrivingIsAskedForAtOnceAndHeartbeatsGoOn) {
  ASSERT_EQ(Next(), "pull");
  int heartbeats = 0;
  for (int turn = 0; turn < 60; ++turn) {
    puller_->OnPulled(PullReply{.segments = {}, .heads = {}, .more = true, .arriving = true}, absl::ZeroDuration());
    clock_.now += absl::Seconds(5);
    std::string next = Next();
    if (next == "heartbeat running") {
      ++heartbeats;
      Heard();
      next = Next();
    }
    ASSERT_EQ(next, "pull");
    ASSERT_TRUE(puller_->link().status.ok()) << puller_->link().status;
  }
  EXPECT_GE(heartbeats, 9) << "in 5 minutes";
  puller_->OnPulled(PullReply{.segments = {}, .heads = {}, .more = true}, absl::ZeroDuration());
  EXPECT_EQ(Next(), "");
  EXPECT_FALSE(puller_->link().status.ok()) << "more, and neither events nor pieces";
}

TEST_F(PullerTest, PullsThatRunOutOfTimeAskForLess) {
  size_t asked = std::get<HubPull>(*Step(/*may_append=*/true)).request.bytes_max;
  for (int i = 0; i < 3; ++i) {
    puller_->OnPulled(absl::DeadlineExceededError("it took too long"), absl::ZeroDuration());
    clock_.now += absl::Minutes(2);
    const size_t now = std::get<HubPull>(*Step(/*may_append=*/true)).request.bytes_max;
    EXPECT_EQ(now, asked / 2);
    asked = now;
  }
}

TEST_F(PullerTest, LosingTheHintsAsksWhetherTheHubIsThere) {
  Settle();
  puller_->OnHintsLost();
  EXPECT_EQ(Next(), "heartbeat running");
  puller_->OnHeartbeat(absl::UnavailableError("no route"), absl::ZeroDuration());
  EXPECT_FALSE(puller_->link().status.ok());
}

// Goal: twice a minute is told what is new, and all is known all the same: who is there, and who is not heard any more.
TEST_F(PullerTest, WhatIsNewOfTheBranchesIsPutIntoWhatIsKnown) {
  const absl::Time hub = absl::FromUnixSeconds(1'770'000'100);
  const auto branch = [](uint32_t number, absl::Time seen, const std::string& state) {
    BranchPresence presence{.report = {.number = number, .state = state}, .last_seen = seen};
    return presence;
  };
  const auto ask = [&] {
    clock_.now += absl::Seconds(31);
    for (;;) {
      const std::optional<HubCall> call = Step(/*may_append=*/true);
      if (const auto* heartbeat = std::get_if<HubHeartbeat>(&*call)) return heartbeat->since;
      Pulled();
    }
  };
  const auto known = [&](uint32_t number) {
    for (const BranchPresence& presence : puller_->branches()) {
      if (presence.report.number == number) return presence;
    }
    return BranchPresence{};
  };
  ASSERT_EQ(Next(), "pull");
  Pulled();
  EXPECT_EQ(ask(), absl::InfinitePast()) << "nothing is known yet";
  const absl::Time long_ago = hub - absl::Hours(5);
  puller_->OnHeartbeat(
      HeartbeatReply{.branches = {branch(1, hub, "running"), branch(2, hub - absl::Seconds(20), "running"),
                                  branch(3, long_ago, "halted")},
                     .granted = Grants{{"public.t"}},
                     .hub_time = hub,
                     .set_aside = {{SetAsideChain{.branch = "pune"}}}},
      absl::ZeroDuration());
  EXPECT_EQ(puller_->whole_heard(), clock_.now);
  EXPECT_EQ(ask(), hub);
  const absl::Time later = hub + absl::Seconds(100);
  puller_->OnHeartbeat(
      HeartbeatReply{
          .branches = {branch(1, later, "offline"), branch(4, later, "running")}, .hub_time = later, .whole = false},
      absl::ZeroDuration());
  EXPECT_EQ(puller_->branches().size(), 4u);
  EXPECT_EQ(known(1).report.state, "offline");
  EXPECT_EQ(known(2).last_seen, later - kQuietAfter) << "it is not told as quiet: it was heard since then";
  EXPECT_EQ(known(3).last_seen, long_ago);
  EXPECT_EQ(known(4).report.state, "running");
  EXPECT_EQ(puller_->set_aside().size(), 1u) << "as it was";
  const absl::Time quiet = hub + absl::Seconds(20);
  EXPECT_EQ(ask(), later);
  puller_->OnHeartbeat(
      HeartbeatReply{.branches = {branch(2, quiet, "running")}, .hub_time = later + absl::Seconds(30), .whole = false},
      absl::ZeroDuration());
  EXPECT_EQ(known(2).last_seen, quiet) << "not heard any more";
  ask();
  puller_->OnHeartbeat(HeartbeatReply{.hub_time = later + absl::Minutes(9), .set_aside = {{}}, .whole = false},
                       absl::ZeroDuration());
  EXPECT_EQ(known(2).last_seen, quiet);
  EXPECT_EQ(known(4).last_seen, later + absl::Minutes(9) - kQuietAfter);
  EXPECT_TRUE(puller_->set_aside().empty());
  // Somebody looks.
  puller_->AskAboutAll();
  EXPECT_EQ(ask(), absl::InfinitePast());
  puller_->OnHeartbeat(absl::UnavailableError("no route"), absl::ZeroDuration());
  clock_.now += absl::Minutes(1);
  EXPECT_EQ(ask(), absl::InfinitePast()) << "still";
  puller_->OnHeartbeat(HeartbeatReply{.branches = {branch(1, hub, "running")}, .hub_time = later + absl::Hours(1)},
                       absl::ZeroDuration());
  EXPECT_EQ(puller_->branches().size(), 1u);
  EXPECT_EQ(ask(), later + absl::Hours(1));
  puller_->OnHeartbeat(HeartbeatReply{.hub_time = later + absl::Hours(1), .whole = false}, absl::ZeroDuration());
  clock_.now += absl::Hours(24);
  EXPECT_EQ(ask(), absl::InfinitePast()) << "once a day, whatever a hub has left out";
}

TEST_F(PullerTest, AnotherStateIsToldSoon) {
  Settle();
  clock_.now += absl::Seconds(1);
  EXPECT_EQ(Next("stopped"), "") << "not more often than every 5 s";
  clock_.now += absl::Seconds(5);
  EXPECT_EQ(Next("stopped"), "heartbeat stopped");
}

TEST_F(PullerTest, WithoutASessionItPullsAndTellsNothing) {
  for (int i = 0; i < 3; ++i) {
    const std::optional<HubCall> call = Step(/*may_append=*/true, "offline", /*may_report=*/false);
    ASSERT_TRUE(call.has_value());
    EXPECT_TRUE(std::holds_alternative<HubPull>(*call));
    Pulled();
    EXPECT_FALSE(Step(/*may_append=*/true, "offline", /*may_report=*/false).has_value());
    EXPECT_GE(puller_->NextWake(), clock_.now + absl::Minutes(1));
    clock_.now += config_.hub_interval;
  }
  EXPECT_EQ(Next(), "heartbeat running") << "as soon as it may";
}

// Another branch's chain, which comes an event at a time.
class PullAheadTest : public PullerTest {
 protected:
  static constexpr uint64_t kLast = 12;

  void SetUp() override {
    PullerTest::SetUp();
    Settle();
    for (uint64_t i = 3; i <= kLast; ++i)
      others_.Write(origin(), v1::RowChange::INSERT, absl::StrCat(i), {{std::nullopt, "a"}});
    others_file_ = LogFile::Open(others_path_, {}).value();
    others_log_ = EventLog::Open(others_file_.get()).value();
    puller_->OnHint();
  }

  const OriginId& origin() const { return others_.mumbai(); }
  uint64_t Held() const { return log_->Head(origin()).last.value; }
  // Events `first` to `last` of it.
  PullReply Reply(uint64_t first, uint64_t last) {
    PullReply reply;
    for (uint64_t at = first; at <= last; at = reply.segments.back().last.value + 1) {
      reply.segments.push_back(others_log_->ReadSegments(origin(), Sequence{at}, 1, true).value().at(0));
    }
    EXPECT_EQ(reply.segments.back().last.value, last);
    reply.heads.heads[origin()] = {.last = Sequence{kLast}, .complete = Sequence{kLast}};
    reply.more = last < kLast;
    return reply;
  }
  void Pulled(PullReply reply) { puller_->OnPulled(std::move(reply), absl::ZeroDuration()); }
  // What the call says is held of the chain; nullopt: it is no pull.
  std::optional<uint64_t> Have(const std::optional<HubCall>& call) {
    const auto* pull = call.has_value() ? std::get_if<HubPull>(&*call) : nullptr;
    if (pull == nullptr) return std::nullopt;
    const auto have = pull->request.have.find(origin());
    return have == pull->request.have.end() ? 0 : have->second.value;
  }

  std::string others_path_ = folder_.path() + "/others.db";
  test::SmallLog others_{others_path_};
  std::unique_ptr<LogFile> others_file_;
  std::unique_ptr<EventLog> others_log_;
};

TEST_F(PullAheadTest, TheNextIsAskedForBeforeTheLastIsAppended) {
  ASSERT_EQ(Have(Step(true)), 0);
  Pulled(Reply(1, 2));
  EXPECT_EQ(Have(Step(true)), 2) << "while there is more";
  EXPECT_EQ(Held(), 0u) << "its call should be on its way first";
  EXPECT_EQ(Step(false), std::nullopt);
  Pulled(Reply(3, 4));
  EXPECT_EQ(Step(false), std::nullopt) << "two replies are enough to hold";
  EXPECT_EQ(Step(true), std::nullopt);
  EXPECT_EQ(Held(), 2u);
  EXPECT_EQ(Have(Step(true)), 4);
  EXPECT_EQ(Step(true), std::nullopt);
  EXPECT_EQ(Held(), 4u);
  Pulled(Reply(5, kLast));
  EXPECT_EQ(Step(true), std::nullopt) << "there is no more, and no hint has come";
  EXPECT_EQ(Held(), kLast);
  EXPECT_FALSE(puller_->HasWork());
}

// Goal: what follows something that was refused is not taken for a fault of its own, whether it has come by then or
// not.
TEST_F(PullAheadTest, WhatFollowsSomethingRefusedIsAskedForAgain) {
  for (const bool has_come : {false, true}) {
    SCOPED_TRACE(has_come);
    const uint64_t held = Held();
    ASSERT_EQ(Have(Step(true)), held);
    PullReply garbled = Reply(held + 1, held + 2);
    garbled.segments.back().parts.at(0).payload.back() ^= 1;
    Pulled(garbled);
    ASSERT_EQ(Have(Step(true)), held + 2);
    if (has_come) Pulled(Reply(held + 3, held + 3));
    std::optional<HubCall> call = Step(true);
    ASSERT_EQ(puller_->troubles().size(), 1u);
    EXPECT_EQ(puller_->troubles().at(origin()).failures, 1u);
    if (!has_come) {
      EXPECT_EQ(call, std::nullopt);
      Pulled(Reply(held + 3, held + 3));
      call = Step(true);
    }
    EXPECT_EQ(Have(call), uint64_t{INT64_MAX}) << "it is left out for a while";
    EXPECT_EQ(puller_->troubles().at(origin()).failures, 1u);
    Pulled(PullReply{});
    clock_.now += absl::Seconds(2);
    const uint64_t taken = Held();
    EXPECT_EQ(Have(Step(true)), taken);
    Pulled(Reply(taken + 1, taken + 2));
    ASSERT_EQ(Have(Step(true)), taken + 2) << "nothing is in trouble any more";
    Step(true);
    EXPECT_EQ(Held(), taken + 2);
    Pulled(PullReply{});
    EXPECT_EQ(Step(true), std::nullopt);
    puller_->OnHint();
  }
}

}  // namespace
}  // namespace assay
