// Goal: what really happens to a branch becomes the problem that a person would name, changes the branch's word, and is
// gone when it is over. Method: two simulated branches; each test brings one thing about and looks at the status.
#include <functional>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/simulation/sim_branch.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

const TableName kSettings{"public", "settings"};

// A line that fails as the test says.
class FailingHub : public Hub {
 public:
  FailingHub(std::unique_ptr<Hub> hub, const absl::Status* failure, const bool* grants_all)
      : hub_(std::move(hub)), failure_(failure), grants_all_(grants_all) {}

  absl::StatusOr<HubHeads> Heads() override {
    return Or([&] { return hub_->Heads(); });
  }
  absl::StatusOr<PushReply> Push(const PushRequest& request) override {
    return Or([&] { return hub_->Push(request); });
  }
  absl::StatusOr<PullReply> Pull(const PullRequest& request) override {
    return Or([&] { return hub_->Pull(request); });
  }
  absl::StatusOr<HeartbeatReply> Heartbeat(const BranchReport& report, absl::Time since) override {
    absl::StatusOr<HeartbeatReply> reply = Or([&] { return hub_->Heartbeat(report, since); });
    if (reply.ok() && *grants_all_) reply->granted = Grants{{"*"}};
    return reply;
  }
  absl::StatusOr<SessionReply> OpenSession(const SessionRequest& request) override {
    return Or([&] { return hub_->OpenSession(request); });
  }

 private:
  template <typename Call>
  auto Or(Call call) -> decltype(call()) {
    if (!failure_->ok()) return *failure_;
    return call();
  }
  std::unique_ptr<Hub> hub_;
  const absl::Status* failure_;
  const bool* grants_all_;  // So it says, whatever it gives.
};

class ProblemSimulationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (uint32_t number = 1; number <= 2; ++number) {
      EngineConfig config;
      config.branch_name = absl::StrCat("branch-", number);
      config.branch_number = number;
      config.has_hub = true;
      config.row_bytes_max = size_t{2} << 20;
      hub_.Enrol(number, config.branch_name);
      branches_.push_back(std::make_unique<SimBranch>(number, config, WorkloadOptions(), FaultOptions(), false, 12,
                                                      &world_, &hub_, &random_));
    }
    a().WrapHub([this](std::unique_ptr<Hub> hub) {
      return std::make_unique<FailingHub>(std::move(hub), &failure_, &grants_all_);
    });
    for (auto& branch : branches_) ASSERT_TRUE(branch->Start().ok());
    Run(absl::Seconds(10));
    ASSERT_EQ(Told(), "running: ");
  }
  SimBranch& a() { return *branches_[0]; }
  SimBranch& b() { return *branches_[1]; }

  void Run(absl::Duration duration) {
    const absl::Time end = world_.Now() + duration;
    for (int round = 0; world_.Now() < end; ++round) {
      for (auto& branch : branches_) {
        if (round % 20 == 0) branch->engine().OnHubHint();
        Step(*branch);
      }
      world_.Advance(absl::Milliseconds(50));
    }
  }
  void Step(SimBranch& branch) {
    while (capture_ && branch.Capture()) {
    }
    int steps = 0;
    do {
      ASSERT_TRUE(branch.Step().ok());
      ASSERT_LT(++steps, 1000);
    } while (branch.engine().HasWork());
    for (Lane lane : {Lane::kDatabase, Lane::kHubPush, Lane::kHubPull}) {
      if (branch.HasCallToMake(lane)) branch.MakeCall(lane, false);
      if (branch.HasReplyToGive(lane)) branch.GiveReply(lane);
    }
  }
  // "offline: hub-unreachable, rows-wait".
  std::string Told() {
    const EngineStatus status = a().engine().Status();
    std::vector<absl::string_view> names;
    for (const Problem& problem : status.problems) names.push_back(ProblemName(problem.kind));
    return absl::StrCat(status.state, ": ", absl::StrJoin(names, ", "));
  }
  Problem First() { return a().engine().Status().problems.at(0); }
  void Write(SimBranch& branch, const std::function<void(SimTransaction&)>& write) {
    SimTransaction transaction(&branch.database());
    write(transaction);
    ASSERT_TRUE(transaction.Commit().ok());
  }
  // Evidence as a whole database gives it, but for what `change` does to it.
  void ShowEvidence(const std::function<void(DatabaseEvidence&)>& change) {
    capture_ = false;
    DatabaseEvidence evidence{.known = true,
                              .slot_there = true,
                              .slot_confirmed = a().engine().ConfirmedLsn(),
                              .flushed = a().database().end_of_wal(),
                              .next_xid = a().database().next_xid(),
                              .batch = a().database().last_batch(),
                              .origin = a().origin()};
    change(evidence);
    a().engine().OnCaptureStopped(absl::FailedPreconditionError("as the server says"), world_.Now(), evidence);
    Run(absl::Seconds(1));
  }

  WorldClock world_;
  SeededRandom random_{1};
  SimHub hub_{&random_, &world_, false};
  absl::Status failure_;     // Of a's line to the hub; OK: it works.
  bool grants_all_ = false;  // It says that everything is granted.
  bool capture_ = true;
  std::vector<std::unique_ptr<SimBranch>> branches_;
};

TEST_F(ProblemSimulationTest, AHubThatCannotBeReachedIsOneProblemWithItsBeginningAndItsNextTry) {
  const absl::Time before = world_.Now();
  failure_ = absl::UnavailableError("no route to host");
  Write(a(), [](SimTransaction& sale) { ASSERT_TRUE(sale.Insert(kSettings, {"k", "", "", ""}).ok()); });
  Run(absl::Seconds(10));
  EXPECT_EQ(Told(), "offline: hub-unreachable");
  EXPECT_GE(First().since, before);
  EXPECT_LT(First().since, before + absl::Seconds(2));
  EXPECT_GT(First().next_try, world_.Now() - absl::Seconds(1));
  EXPECT_EQ(First().detail, "no route to host");
  failure_ = absl::OkStatus();
  Run(absl::Minutes(2));
  EXPECT_EQ(Told(), "running: ");
}

TEST_F(ProblemSimulationTest, AStatusThatNamesItsProblemIsTakenAtItsWordFromTheFirstQuestionOn) {
  failure_ = WithProblem(absl::PermissionDeniedError("was deactivated"), ProblemKind::kBranchSwitchedOff);
  a().Kill(/*power=*/false);
  ASSERT_TRUE(a().Start().ok());
  Run(absl::Seconds(10));
  EXPECT_EQ(Told(), "offline: branch-switched-off");
  EXPECT_EQ(First().subject, "branch-1");
}

TEST_F(ProblemSimulationTest, PausedIsAStateAndWhatNobodyAsksIsNoProblem) {
  failure_ = absl::UnavailableError("no route to host");
  Run(absl::Seconds(5));
  ASSERT_EQ(Told(), "offline: hub-unreachable");
  a().engine().Pause();
  Run(absl::Seconds(5));
  EXPECT_EQ(Told(), "paused: ");
  a().engine().Resume();
  Run(absl::Seconds(5));
  EXPECT_EQ(Told(), "offline: hub-unreachable") << "and it is found again at once";
}

TEST_F(ProblemSimulationTest, HintsThatWereTurnedOffAreNoProblemAndHintsThatFailAreANote) {
  a().engine().OnHintsChanged(absl::CancelledError("off (hub.realtime = false)"));
  Run(absl::Seconds(1));
  EXPECT_EQ(Told(), "running: ");
  a().engine().OnHintsChanged(absl::UnavailableError("a pooler"));
  Run(absl::Seconds(1));
  EXPECT_EQ(Told(), "running: hub-hints-missing");
}

TEST_F(ProblemSimulationTest, AServerThatIsAwayAndOneThatRefusesTheLoginStopTheBranch) {
  capture_ = false;
  a().engine().OnCaptureStopped(absl::UnavailableError("connection refused"), world_.Now() + absl::Minutes(1), {});
  Run(absl::Seconds(1));
  EXPECT_EQ(Told(), "stopped: database-away");
  a().engine().OnCaptureStopped(absl::UnauthenticatedError("no such role"), world_.Now() + absl::Minutes(1), {});
  Run(absl::Seconds(1));
  EXPECT_EQ(Told(), "stopped: database-login");
}

TEST_F(ProblemSimulationTest, WhatHaltsTheBranchIsNamedAloneAndWithWhatWasFound) {
  ShowEvidence([](DatabaseEvidence& evidence) { evidence.batch = 1'000'000; });
  EXPECT_EQ(Told(), "halted: log-behind-database");
  EXPECT_THAT(First().detail, HasSubstr("projection 1000000"));
}

TEST_F(ProblemSimulationTest, AStrangersDatabaseIsNamed) {
  ShowEvidence([&](DatabaseEvidence& evidence) { evidence.origin = b().origin(); });
  EXPECT_EQ(Told(), "halted: other-database");
}

TEST_F(ProblemSimulationTest, AnOlderDatabaseIsNamed) {
  ShowEvidence([&](DatabaseEvidence& evidence) { evidence.flushed = Lsn{1}; });
  EXPECT_EQ(Told(), "halted: database-behind-log");
}

TEST_F(ProblemSimulationTest, ASlotThatIsGoneIsAGap) {
  ShowEvidence([&](DatabaseEvidence& evidence) { evidence.slot_there = false; });
  EXPECT_EQ(Told(), "halted: gap");
}

TEST_F(ProblemSimulationTest, ASecondMachineIsAClone) {
  // It went on from a copy of this log, and opened a session of which nobody here knows.
  const std::vector<SimHub::Event>& events = hub_.chains().at(a().origin()).events;
  const SessionRequest request{.origin = a().origin(),
                               .counter = 1'000,
                               .session = "0123456789abcdef",
                               .last = {events.size()},
                               .shown = {events.size()},
                               .leaf = std::string(AsBytes(events.back().leaf))};
  ASSERT_TRUE(hub_.Connect(1)->OpenSession(request)->opened());
  Write(a(), [](SimTransaction& sale) { ASSERT_TRUE(sale.Insert(kSettings, {"k", "", "", ""}).ok()); });
  Run(absl::Minutes(1));
  EXPECT_EQ(Told(), "halted: clone");
  EXPECT_THAT(First().detail, HasSubstr("another machine"));
  EXPECT_EQ(First().subject, "branch-1");
}

TEST_F(ProblemSimulationTest, ASecondMachineWithAChainOfItsOwnReplacesThisOneByAPersonsWordAlone) {
  const OriginId other = OriginId::FromHex(std::string(32, 'c')).value();
  const SessionRequest request{.origin = other, .session = "0123456789abcdef"};
  EXPECT_EQ(hub_.Connect(1)->OpenSession(request)->answer, SessionAnswer::kReplaced);
  Write(a(), [](SimTransaction& sale) { ASSERT_TRUE(sale.Insert(kSettings, {"k", "", "", ""}).ok()); });
  Run(absl::Minutes(1));
  EXPECT_EQ(Told(), "running: ");
  SessionRequest by_word = request;
  by_word.replaces = a().origin();
  ASSERT_TRUE(hub_.Connect(1)->OpenSession(by_word)->opened());
  Write(a(), [](SimTransaction& sale) { ASSERT_TRUE(sale.Insert(kSettings, {"l", "", "", ""}).ok()); });
  Run(absl::Minutes(1));
  EXPECT_EQ(Told(), "halted: replaced");
  EXPECT_THAT(First().detail, HasSubstr("chain cccccccc"));
  EXPECT_THAT(First().detail, HasSubstr("not at the hub"));
}

TEST_F(ProblemSimulationTest, RowsThatWillNotFitWaitAndAreCounted) {
  const TableName people{"public", "people"};
  const auto person = [&](const std::string& id) {
    return [&people, id](SimTransaction& transaction) {
      ASSERT_TRUE(transaction.Insert(people, {id, "Asha", "asha@shop.in"}).ok());
    };
  };
  b().set_partitioned(true);
  Write(b(), person("1"));
  Run(absl::Seconds(2));
  Write(a(), person("2"));
  Run(absl::Seconds(2));
  b().set_partitioned(false);
  Run(absl::Minutes(2));
  EXPECT_EQ(Told(), "running: rows-wait");
  EXPECT_EQ(SentenceOf(First()), "1 row cannot be written to PostgreSQL yet.");
  Write(a(), [&](SimTransaction& transaction) { ASSERT_TRUE(transaction.Delete(people, {"2"}).ok()); });
  Run(absl::Minutes(10));
  EXPECT_EQ(Told(), "running: ");
}

TEST_F(ProblemSimulationTest, AValueWithoutRoomIsNamedUntilASmallerOneIsWritten) {
  const std::string large(3 << 20, 'x');
  Write(a(), [&](SimTransaction& sale) { ASSERT_TRUE(sale.Insert(kSettings, {"R-7", large, "", ""}).ok()); });
  Run(absl::Seconds(5));
  EXPECT_EQ(Told(), "running: value-too-large");
  EXPECT_THAT(First().subject, HasSubstr("public.settings.a in row [R-7]"));
  Write(a(), [&](SimTransaction& sale) { ASSERT_TRUE(sale.Update(kSettings, {"R-7"}, {{"a", "small"}}).ok()); });
  Run(absl::Seconds(5));
  EXPECT_EQ(Told(), "running: ");
}

// Seeds 7, 171, 443: what was stamped in 2095 before the hub had told the time would have waited there until then.
TEST_F(ProblemSimulationTest, WhatIsWrittenByAClockDecadesAheadWithoutAHubIsTakenLikeEverythingElse) {
  failure_ = absl::UnavailableError("no line");
  a().clock().SetOffset(absl::Hours(24 * 365 * 70));
  Write(a(), [&](SimTransaction& sale) { ASSERT_TRUE(sale.Insert(kSettings, {"R-7", "ring", "", ""}).ok()); });
  Run(absl::Seconds(5));
  a().clock().SetOffset(absl::ZeroDuration());
  failure_ = absl::OkStatus();
  Run(absl::Minutes(2));
  EXPECT_TRUE(SimTransaction(&b().database()).Get(kSettings, {"R-7"}).has_value());
  EXPECT_EQ(Told(), "running: commit-ahead");
}

TEST_F(ProblemSimulationTest, WhatIsGrantedAndDoesNotComeIsNamed) {
  hub_.Deny(1, kSettings.ToString());
  Write(b(), [&](SimTransaction& sale) { ASSERT_TRUE(sale.Insert(kSettings, {"R-7", "ring", "", ""}).ok()); });
  Run(absl::Minutes(2));
  EXPECT_EQ(Told(), "running: ") << "what it may not read is not missed";
  EXPECT_EQ(a().engine().Status().masked.at(kSettings.ToString()), 1u);
  grants_all_ = true;
  Run(absl::Minutes(2));
  EXPECT_EQ(Told(), "running: granted-missing");
  EXPECT_EQ(First().subject, "branch-2");
  hub_.Grant(1, kSettings.ToString());
  Run(absl::Minutes(1));
  EXPECT_EQ(Told(), "running: ");
  EXPECT_TRUE(a().engine().Status().masked.empty());
  EXPECT_TRUE(SimTransaction(&a().database()).Get(kSettings, {"R-7"}).has_value());
}

TEST_F(ProblemSimulationTest, AClockThatIsOffIsNamedWithHowFar) {
  a().clock().SetOffset(-absl::Minutes(7) - absl::Milliseconds(500));
  Run(absl::Minutes(1));
  EXPECT_EQ(Told(), "running: clock-off");
  EXPECT_EQ(SentenceOf(First()), "This machine's clock is 7 min 0 s behind the hub's.");
  a().clock().SetOffset(absl::ZeroDuration());
  Run(absl::Minutes(1));
  EXPECT_EQ(Told(), "running: ");
}

}  // namespace
}  // namespace assay
