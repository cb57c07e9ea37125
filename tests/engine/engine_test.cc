// Goal: what the engine promises its host (engine/engine.h): nothing is acknowledged or acted upon before it is
// durable, one call a lane, a captured transaction is whole or not there, and what does not belong together is left
// alone. Method: the test is the host. It feeds captured items and replies by hand, steps, and looks at calls and
// status.
#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "engine/own_chain.h"
#include "tests/support/hand_clock.h"
#include "tests/support/origins.h"
#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() {
    config_.branch_name = "mumbai";
    config_.branch_number = 1;
    file_ = LogFile::Open(path_, {}).value();
    own_ = OpenBranchLog(config_, file_.get(), &clock_, &random_).value();
    Restart();
  }
  // The daemon dies and comes back: what is not durable is gone.
  void Restart() {
    engine_.reset();
    file_.reset();
    file_ = LogFile::Open(path_, {}).value();
    engine_ = Engine::Open(config_, file_.get(), &clock_, &random_).value();
    under_way_.clear();
  }
  void UseHub() {
    config_.has_hub = true;
    Restart();
  }

  // Steps as long as there is something to do; `calls_` are those that are to be made.
  void Step() {
    for (int i = 0; i < 100; ++i) {
      const absl::Status status = engine_->Step();
      ASSERT_EQ(status, absl::OkStatus());
      for (Call& call : engine_->TakeCalls()) {
        const bool answered = std::holds_alternative<HubCall>(call.call) ||
                              !std::holds_alternative<DatabaseAbandon>(std::get<DatabaseCall>(call.call));
        EXPECT_FALSE(answered && under_way_.contains(call.lane)) << "a lane has one call at a time";
        under_way_.insert_or_assign(call.lane, std::move(call.call));
      }
      if (!engine_->HasWork()) return;
    }
    FAIL() << "it never comes to rest";
  }
  // The call under way of a lane, which is answered now.
  template <typename T>
  std::optional<T> Take(Lane lane) {
    const auto at = under_way_.find(lane);
    if (at == under_way_.end()) return std::nullopt;
    std::optional<T> out;
    if constexpr (std::is_constructible_v<HubCall, T>) {
      if (auto* call = std::get_if<HubCall>(&at->second); call != nullptr && std::holds_alternative<T>(*call))
        out = std::get<T>(std::move(*call));
    } else {
      if (auto* call = std::get_if<DatabaseCall>(&at->second); call != nullptr && std::holds_alternative<T>(*call))
        out = std::get<T>(std::move(*call));
    }
    if (out.has_value()) under_way_.erase(at);
    return out;
  }
  void Answer(Lane lane, HubReply reply) { engine_->OnHubReply(lane, std::move(reply), absl::ZeroDuration()); }
  // The hub opens the session and has nothing to give; both are asked for.
  void OpenSession() {
    Step();
    ASSERT_TRUE(Take<HubOpenSession>(Lane::kHubPush).has_value());
    Answer(Lane::kHubPush, absl::StatusOr<SessionReply>(SessionReply{SessionAnswer::kOpened, ++sessions_}));
    Step();
  }
  void AnswerPull() {
    ASSERT_TRUE(Take<HubPull>(Lane::kHubPull).has_value());
    PullReply reply;
    reply.heads.hub_time = clock_.now;
    Answer(Lane::kHubPull, absl::StatusOr<PullReply>(std::move(reply)));
    Step();
  }

  // ---- Capture ----

  static DatabaseEvidence Evidence() {
    return {.known = true,
            .slot_there = true,
            .slot_confirmed = {0x100},
            .flushed = {0x10000},
            .server = "cluster/5",
            .timeline = 1,
            .next_xid = 900,
            .batch = 0};
  }
  void StartCapture(DatabaseEvidence evidence) {
    evidence.origin = evidence.origin.value_or(own_);
    engine_->OnCaptureStarted(std::move(evidence));
  }
  void StartCapture() { StartCapture(Evidence()); }
  static CaptureItem Begins(uint64_t lsn) {
    return {.kind = CaptureItem::Kind::kBegin,
            .commit_lsn = {lsn},
            .commit_time_us = 1'700'000'000'000'000,
            .xid = static_cast<uint32_t>(lsn)};
  }
  CaptureItem Inserts(const std::string& key) {
    const TupleValue value{TupleValue::Kind::kText, *keys_.emplace_back(std::make_unique<std::string>(key))};
    return {.kind = CaptureItem::Kind::kInsert, .relation = items_, .new_tuple = {value}};
  }
  static CaptureItem Ends(uint64_t lsn) {
    return {.kind = CaptureItem::Kind::kCommit, .commit_lsn = {lsn}, .end_lsn = {lsn + 0x20}};
  }
  static CaptureItem Keepalive(uint64_t lsn, bool wants_reply = false) {
    return {.kind = CaptureItem::Kind::kKeepalive, .end_lsn = {lsn}, .wants_reply = wants_reply};
  }
  void Capture(std::vector<CaptureItem> items) {
    CaptureBatch batch;
    batch.items = std::move(items);
    engine_->OnCapture(std::move(batch));
  }
  // One committed INSERT.
  void Sell(uint64_t lsn, const std::string& key) { Capture({Begins(lsn), Inserts(key), Ends(lsn)}); }
  // Of its own chain, in a log that is opened anew.
  uint64_t DurableEvents() {
    const std::unique_ptr<LogFile> file = LogFile::Open(path_, {.read_only = true}).value();
    return EventLog::Open(file.get()).value()->Head(own_).last.value;
  }
  // The projection of nothing that each start asks for: read, fence, commit, echo.
  void LetTheFirstProjectionPass() {
    Step();
    const std::optional<DatabaseRead> read = Take<DatabaseRead>(Lane::kDatabase);
    ASSERT_TRUE(read.has_value());
    engine_->OnDatabaseReply(absl::StatusOr<ReadReply>(ReadReply{.session = 1}));
    fence_ = read->request.fence;
    Capture(
        {Begins(0x200), {.kind = CaptureItem::Kind::kMessage, .prefix = kFencePrefix, .content = fence_}, Ends(0x200)});
    Step();
    const std::optional<DatabaseProject> project = Take<DatabaseProject>(Lane::kDatabase);
    ASSERT_TRUE(project.has_value());
    engine_->OnDatabaseReply(ProjectReply{.outcome = ProjectReply::Outcome::kCommitted, .session = 1});
    tag_ = project->request.tag;
    Capture({Begins(0x240),
             {.kind = CaptureItem::Kind::kMessage, .prefix = kProjectionPrefix, .content = tag_},
             Ends(0x240)});
    Step();
  }

  test::TempDirectory directory_{"engine"};
  std::string path_ = directory_.path() + "/log.db";
  EngineConfig config_;
  test::HandClock clock_;
  test::CountingRandom random_;
  OriginId own_;
  std::unique_ptr<LogFile> file_;
  std::unique_ptr<Engine> engine_;
  std::map<Lane, std::variant<DatabaseCall, HubCall>> under_way_;
  uint64_t sessions_ = 0;
  std::shared_ptr<const TableShape> items_ =
      std::make_shared<TableShape>(TableShape{{"public", "items"}, {{"id", "text", true}}, {0}});
  std::vector<std::unique_ptr<std::string>> keys_;
  std::string fence_, tag_;
};

TEST_F(EngineTest, ALogWithoutAChainOfItsOwnIsRefused) {
  const std::unique_ptr<LogFile> empty = LogFile::Open(directory_.path() + "/empty.db", {}).value();
  const auto engine = Engine::Open(config_, empty.get(), &clock_, &random_);
  EXPECT_TRUE(absl::IsFailedPrecondition(engine.status()));
  EXPECT_THAT(std::string(engine.status().message()), HasSubstr("assay init"));
}

TEST_F(EngineTest, ACapturedTransactionIsConfirmedOnceItIsDurable) {
  StartCapture();
  Step();
  EXPECT_EQ(engine_->ConfirmedLsn(), Lsn{0x100}) << "what the server says it has confirmed";
  Sell(0x500, "1");
  EXPECT_EQ(engine_->ConfirmedLsn(), Lsn{0x100});
  Step();
  EXPECT_EQ(engine_->ConfirmedLsn(), Lsn{0x520});
  EXPECT_EQ(DurableEvents(), 3u) << "opening, schema, row";
  Restart();
  EXPECT_EQ(engine_->ConfirmedLsn(), Lsn{0x520});
}

TEST_F(EngineTest, WhatTheServerSendsAgainIsNotRecordedAgain) {
  StartCapture();
  Sell(0x500, "1");
  Step();
  Restart();
  DatabaseEvidence again = Evidence();
  again.slot_confirmed = {0x520};
  StartCapture(again);
  Sell(0x500, "1");
  Sell(0x540, "2");
  Step();
  EXPECT_EQ(DurableEvents(), 4u);
}

// A transaction that is still coming in may never end: the stream may break off, and all of it be forgotten.
TEST_F(EngineTest, HalfATransactionIsNeitherDurableNorConfirmedAndHoldsEverythingElseBack) {
  UseHub();
  StartCapture();
  Step();
  ASSERT_TRUE(Take<HubOpenSession>(Lane::kHubPush).has_value());
  Answer(Lane::kHubPush, absl::StatusOr<SessionReply>(absl::UnavailableError("no route to host")));
  Step();
  AnswerPull();
  Sell(0x500, "1");
  Step();
  under_way_.clear();
  Capture({Begins(0x600), Inserts("2")});
  engine_->SyncNow();
  Step();
  EXPECT_EQ(engine_->ConfirmedLsn(), Lsn{0x520}) << "what came in whole before it does not wait for it";
  EXPECT_EQ(DurableEvents(), 3u);
  EXPECT_FALSE(engine_->HasWork());
  EXPECT_THAT(under_way_, IsEmpty()) << "nothing that rests on the log as it is now may be asked for";
  Capture({Ends(0x600)});
  Step();
  EXPECT_EQ(engine_->ConfirmedLsn(), Lsn{0x620});
  EXPECT_EQ(DurableEvents(), 4u);
  EXPECT_TRUE(under_way_.contains(Lane::kHubPush));
  EXPECT_TRUE(under_way_.contains(Lane::kHubPull));
}

TEST_F(EngineTest, AStreamThatBeginsAgainForgetsTheHalfThatHadComeIn) {
  StartCapture();
  Sell(0x500, "1");
  Step();
  Capture({Begins(0x600), Inserts("2")});
  Step();
  DatabaseEvidence again = Evidence();
  again.slot_confirmed = {0x520};
  StartCapture(again);
  Step();
  EXPECT_EQ(engine_->ConfirmedLsn(), Lsn{0x520});
  Sell(0x600, "2");
  Step();
  EXPECT_EQ(DurableEvents(), 4u) << "once";
  EXPECT_EQ(engine_->ConfirmedLsn(), Lsn{0x620});
}

// The shop's PostgreSQL goes away in the middle of a large transaction: perhaps for good, and the log is all that is
// left.
TEST_F(EngineTest, AStreamThatStopsInsideATransactionHoldsNothingBack) {
  UseHub();
  StartCapture();
  OpenSession();
  AnswerPull();
  ASSERT_TRUE(Take<HubGetHeads>(Lane::kHubPush).has_value());
  Sell(0x500, "1");
  Step();
  Capture({Begins(0x600), Inserts("2"), Inserts("3")});
  Step();
  EXPECT_EQ(engine_->Status().origins.at(0).head, Sequence{3}) << "what may be forgotten is not told";
  EXPECT_EQ(engine_->Status().events_total, 3u);
  engine_->OnCaptureStopped(absl::UnavailableError("connection refused"), clock_.now + absl::Minutes(1));
  HubHeads heads;
  heads.hub_time = clock_.now;
  Answer(Lane::kHubPush, absl::StatusOr<HubHeads>(heads));
  engine_->SyncNow();
  Step();
  const std::optional<HubPush> push = Take<HubPush>(Lane::kHubPush);
  ASSERT_TRUE(push.has_value());
  ASSERT_FALSE(push->request.segments.empty());
  EXPECT_EQ(push->request.segments.back().last, Sequence{3});
  EXPECT_TRUE(under_way_.contains(Lane::kHubPull));
  DatabaseEvidence again = Evidence();
  again.slot_confirmed = {0x520};
  StartCapture(again);
  Capture({Begins(0x600), Inserts("2"), Inserts("3"), Ends(0x600)});
  Step();
  EXPECT_EQ(DurableEvents(), 5u) << "once";
  EXPECT_EQ(engine_->Status().origins.at(0).head, Sequence{5});
}

TEST_F(EngineTest, WhatHadComeInWholeBeforeTheStreamStoppedIsKept) {
  StartCapture();
  Step();
  Sell(0x500, "1");
  Capture({Begins(0x600), Inserts("2")});
  engine_->OnCaptureStopped(absl::UnavailableError("connection refused"), clock_.now + absl::Minutes(1));
  Step();
  EXPECT_EQ(DurableEvents(), 3u);
}

// An idle daemon leaves the disk alone, and a server that shuts down is not kept waiting.
TEST_F(EngineTest, APositionWithoutATransactionIsConfirmedNowAndThenOrWhenTheServerAsks) {
  StartCapture();
  LetTheFirstProjectionPass();
  clock_.now += absl::Seconds(10);
  Capture({Keepalive(0x700)});
  Step();
  EXPECT_EQ(engine_->ConfirmedLsn(), Lsn{0x700});
  clock_.now += absl::Seconds(1);
  Capture({Keepalive(0x800)});
  Step();
  EXPECT_EQ(engine_->ConfirmedLsn(), Lsn{0x700}) << "it is not durable";
  EXPECT_LE(engine_->NextWake(), clock_.now + absl::Seconds(10));
  Capture({Keepalive(0x900, /*wants_reply=*/true)});
  Step();
  EXPECT_EQ(engine_->ConfirmedLsn(), Lsn{0x900});
  Restart();
  EXPECT_EQ(engine_->ConfirmedLsn(), Lsn{0x900});
}

TEST_F(EngineTest, ADatabaseOfAnotherLogIsLeftAlone) {
  UseHub();
  DatabaseEvidence other = Evidence();
  other.origin = test::Origin(9);
  StartCapture(other);
  Sell(0x500, "1");
  Step();
  EXPECT_EQ(DurableEvents(), 1u);
  EXPECT_THAT(under_way_, IsEmpty()) << "nothing is written, pushed or pulled";
  EXPECT_LE(engine_->ConfirmedLsn(), Lsn{0x100}) << "nothing is acknowledged";
  EXPECT_FALSE(engine_->WantsCapture()) << "a stream would keep the server from shutting down";
  const EngineStatus status = engine_->Status();
  EXPECT_EQ(status.state, "halted");
  EXPECT_EQ(status.restore, RestoreState::kOtherDatabase);
  ASSERT_FALSE(status.problems.empty());
  EXPECT_EQ(status.problems[0].kind, ProblemKind::kOtherDatabase);

  engine_->OnCaptureStopped(absl::UnavailableError("connection refused"));
  Step();
  EXPECT_EQ(engine_->Status().state, "halted") << "until a server shows that it is mended";
  StartCapture();
  Sell(0x500, "1");
  OpenSession();
  EXPECT_EQ(engine_->Status().restore, RestoreState::kNormal);
  EXPECT_EQ(DurableEvents(), 3u);
}

// The slot stands below what the log has: the server must bring the last captured transaction again, or it is older.
TEST_F(EngineTest, AStreamFromFurtherBackHasToShowTheLastCapturedTransactionFirst) {
  StartCapture();
  Sell(0x500, "1");
  Step();
  StartCapture();  // Its slot has confirmed 0x100 only.
  Step();
  EXPECT_EQ(engine_->Status().restore, RestoreState::kUnverified);
  EXPECT_TRUE(engine_->WantsCapture());
  Sell(0x500, "1");
  Sell(0x540, "2");
  Step();
  EXPECT_EQ(engine_->Status().restore, RestoreState::kNormal);
  EXPECT_EQ(DurableEvents(), 4u);

  StartCapture();
  Sell(0x548, "another");
  Step();
  EXPECT_EQ(engine_->Status().restore, RestoreState::kDatabaseBehind);
  EXPECT_EQ(DurableEvents(), 4u) << "nothing of it is recorded";
}

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

// Capture works, so PostgreSQL is there: what keeps rows from being written is a problem of its own.
TEST_F(EngineTest, ADatabaseThatCannotBeWrittenToIsNamedUntilItCan) {
  StartCapture();
  Step();
  ASSERT_TRUE(Take<DatabaseRead>(Lane::kDatabase).has_value());
  engine_->OnDatabaseReply(absl::StatusOr<ReadReply>(absl::PermissionDeniedError("permission denied for table items")));
  Step();
  ASSERT_THAT(engine_->Status().problems, ElementsAre(Field(&Problem::kind, ProblemKind::kRowsNotWritten)));
  const Problem problem = engine_->Status().problems[0];
  EXPECT_THAT(problem.detail, HasSubstr("permission denied for table items"));
  EXPECT_GT(problem.next_try, clock_.now) << "it is tried again by itself";
  clock_.now = problem.next_try;
  LetTheFirstProjectionPass();
  EXPECT_THAT(engine_->Status().problems, IsEmpty());
}

// The disk has damaged what came from one of two branches. That one's name is still to be read.
TEST_F(EngineTest, AChainThatIsDamagedHereStandsStillByNameAndTheOthersGoOn) {
  UseHub();
  clock_.now = absl::FromUnixMillis(test::SmallLog::kStartMs) + absl::Hours(1);
  test::SmallLog others(directory_.path() + "/others.db");
  const auto pull = [&](Sequence from) {
    StartCapture();
    OpenSession();
    ASSERT_TRUE(Take<HubPull>(Lane::kHubPull).has_value());
    PullReply reply;
    reply.heads.hub_time = clock_.now;
    for (const OriginId& origin : {others.mumbai(), others.delhi()}) {
      std::vector<Segment> segments =
          others.open().log->ReadSegments(origin, from, 1 << 20, /*complete_only=*/true).value();
      for (Segment& segment : segments) reply.segments.push_back(std::move(segment));
      const ChainHead head = others.open().log->Head(origin);
      reply.heads.heads[origin] = {.last = head.last, .complete = head.complete};
    }
    Answer(Lane::kHubPull, absl::StatusOr<PullReply>(std::move(reply)));
    Step();
    Restart();
  };
  pull(Sequence{1});
  for (const OriginId& origin : {others.mumbai(), others.delhi()})
    others.Write(origin, v1::RowChange::INSERT, "1", {{std::nullopt, "1"}, {std::nullopt, "ring"}});
  pull(Sequence{3});
  engine_.reset();
  ASSERT_EQ(file_->Execute("UPDATE segment SET body = x'00' WHERE first = 3 AND origin = "
                           "(SELECT id FROM chain WHERE origin = x'" +
                           others.delhi().Hex() + "')"),
            absl::OkStatus());
  Restart();
  StartCapture();
  OpenSession();
  EXPECT_THAT(engine_->Status().problems,
              Contains(AllOf(Field(&Problem::kind, ProblemKind::kChainUnreadable), Field(&Problem::subject, "delhi"))));
  EXPECT_THAT(engine_->Status().problems, Not(Contains(Field(&Problem::subject, "mumbai"))));
  const std::optional<DatabaseRead> read = Take<DatabaseRead>(Lane::kDatabase);
  ASSERT_TRUE(read.has_value());
  ASSERT_THAT(read->request.tables, SizeIs(1));
  EXPECT_EQ(read->request.tables[0].name, (TableName{"public", "items"})) << "mumbai's row is to be written";
}

// With every change that comes by a branch is behind for a moment. Who stays behind is not in step.
TEST_F(EngineTest, OnlyWhoStaysBehindTellsTheOthersSo) {
  UseHub();
  StartCapture();
  OpenSession();
  AnswerPull();
  const auto tell = [&]() -> std::string {
    Step();
    const std::optional<HubHeartbeat> heartbeat = Take<HubHeartbeat>(Lane::kHubPull);
    if (!heartbeat.has_value()) return "nothing";
    Answer(Lane::kHubPull, absl::StatusOr<HeartbeatReply>(HeartbeatReply{.hub_time = clock_.now}));
    Step();
    return heartbeat->report.state;
  };
  EXPECT_EQ(tell(), "starting");
  clock_.now += absl::Seconds(5);
  EXPECT_EQ(tell(), "running");
  Step();
  engine_->OnHubHint();
  Step();
  ASSERT_TRUE(Take<HubPull>(Lane::kHubPull).has_value());
  PullReply reply;  // There is more at the hub than it gives now.
  reply.heads.hub_time = clock_.now;
  reply.heads.heads[test::Origin(7)] = {.last = {5}, .complete = {5}};
  Answer(Lane::kHubPull, absl::StatusOr<PullReply>(std::move(reply)));
  clock_.now += absl::Seconds(30);
  EXPECT_EQ(tell(), "running") << "it may be a change that has just come";
  EXPECT_EQ(engine_->Status().state, "catching-up");
  clock_.now += absl::Seconds(30);
  EXPECT_EQ(tell(), "catching-up");
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

// A read rests on nothing and a projection has its gate; a lock that nobody would remember must not be taken.
TEST_F(EngineTest, AReadMayBeginBeforeTheLogIsDurable) {
  StartCapture();
  std::vector<Call> early;
  uint64_t durable_then = 0;
  Sell(0x500, "1");
  for (int i = 0; i < 10 && early.empty(); ++i) {
    ASSERT_EQ(engine_->Step([&](Call call) {
      early.push_back(std::move(call));
      durable_then = DurableEvents();
    }),
              absl::OkStatus());
  }
  ASSERT_EQ(early.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<DatabaseRead>(std::get<DatabaseCall>(early[0].call)));
  EXPECT_LT(durable_then, 3u) << "it is handed over while the log is still to be written";
  EXPECT_EQ(DurableEvents(), 3u);
  EXPECT_THAT(engine_->TakeCalls(), IsEmpty()) << "once";
}

// The asker of a call is gone after a rollback. Its reply is dropped, and locks that it may hold are let go.
TEST_F(EngineTest, AReplyToACallFromBeforeARollbackIsDropped) {
  StartCapture();
  Step();
  const std::optional<DatabaseRead> read = Take<DatabaseRead>(Lane::kDatabase);
  ASSERT_TRUE(read.has_value());
  Capture({Begins(0x500), Inserts("1")});
  Step();
  StartCapture();  // The half is rolled back.
  Step();
  EXPECT_FALSE(under_way_.contains(Lane::kDatabase)) << "the lane is not free yet";
  engine_->OnDatabaseReply(absl::StatusOr<ReadReply>(absl::InternalError("of the read before")));
  std::vector<Call> calls;
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(engine_->Step(), absl::OkStatus());
    for (Call& call : engine_->TakeCalls()) calls.push_back(std::move(call));
  }
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_TRUE(std::holds_alternative<DatabaseAbandon>(std::get<DatabaseCall>(calls[0].call)));
  EXPECT_TRUE(std::holds_alternative<DatabaseRead>(std::get<DatabaseCall>(calls[1].call)));
  EXPECT_EQ(engine_->Status().projection.status, absl::OkStatus());
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

TEST_F(EngineTest, NewEventsAreSignedAtMostOnceAMinute) {
  config_.signing_key = SigningKey::Generate().value();
  engine_.reset();
  path_ = directory_.path() + "/signed.db";
  file_ = LogFile::Open(path_, {}).value();
  own_ = OpenBranchLog(config_, file_.get(), &clock_, &random_).value();
  Restart();
  const auto signed_size = [&]() -> uint64_t {
    const std::unique_ptr<LogFile> reader = LogFile::Open(path_, {.read_only = true}).value();
    const std::unique_ptr<EventLog> log = EventLog::Open(reader.get()).value();
    const std::optional<std::string> text = log->NewestCheckpoint(own_);
    return text.has_value() ? ParseCheckpoint(*text).value().size : 0;
  };
  StartCapture();
  Sell(0x500, "1");
  Step();
  EXPECT_EQ(signed_size(), 3u);
  Sell(0x540, "2");
  Step();
  EXPECT_EQ(signed_size(), 3u);
  EXPECT_LE(engine_->NextWake(), clock_.now + absl::Minutes(1));
  clock_.now += absl::Minutes(1);
  Step();
  EXPECT_EQ(signed_size(), 4u);
}

TEST_F(EngineTest, TheWordForTheBranchIsTheWorstThatApplies) {
  EXPECT_EQ(engine_->Status().state, "starting");
  StartCapture();
  Step();
  EXPECT_EQ(engine_->Status().state, "local-only");
  UseHub();
  StartCapture();
  OpenSession();
  EXPECT_EQ(engine_->Status().state, "starting") << "nothing is heard of the others yet";
  AnswerPull();
  EXPECT_EQ(engine_->Status().state, "running");
  EXPECT_THAT(engine_->Status().problems, IsEmpty());
  ASSERT_TRUE(Take<HubGetHeads>(Lane::kHubPush).has_value());
  Answer(Lane::kHubPush, absl::StatusOr<HubHeads>(absl::UnavailableError("no route to host")));
  Step();
  const EngineStatus offline = engine_->Status();
  EXPECT_EQ(offline.state, "offline");
  EXPECT_THAT(offline.problems, Contains(Field(&Problem::detail, HasSubstr("no route to host"))));
  engine_->Pause();
  Step();
  EXPECT_EQ(engine_->Status().state, "paused") << "on purpose";
}

TEST_F(EngineTest, TheStatusTellsWhatIsInTheLog) {
  StartCapture();
  Sell(0x500, "1");
  Step();
  const EngineStatus status = engine_->Status();
  EXPECT_EQ(status.branch_name, "mumbai");
  EXPECT_EQ(status.origin, own_);
  EXPECT_EQ(status.captured, Lsn{0x520});
  EXPECT_EQ(status.events_total, 3u);
  EXPECT_EQ(status.last_captured_commit, absl::FromUnixSeconds(1'700'000'000));
  ASSERT_EQ(status.origins.size(), 1u);
  EXPECT_TRUE(status.origins[0].own);
  EXPECT_EQ(status.origins[0].head, Sequence{3});
  EXPECT_EQ(status.origins[0].branch_name, "mumbai");
}

}  // namespace
}  // namespace assay
