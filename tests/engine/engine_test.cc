// Goal: what the engine promises its host (engine/engine.h): nothing is acknowledged or acted upon before it is
// durable, one call a lane, a captured transaction is whole or not there, and what does not belong together is left
// alone. Method: the test is the host.
#include "engine/engine.h"

#include "tests/engine/engine_fixture.h"
#include "tests/support/origins.h"

namespace assay {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

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

TEST_F(EngineTest, ThatASentinelsFenceHasPassedIsToldOnceWhatCameBeforeItIsDurable) {
  StartCapture();
  Sell(0x500, "1");
  EXPECT_EQ(engine_->passed_fence(), "");
  for (const std::string nonce : {"sentinel/1", "somebody's"}) {
    CaptureBatch batch;
    batch.items.resize(3);
    batch.items[0].kind = CaptureItem::Kind::kBegin;
    batch.items[0].commit_lsn = {0x600};
    batch.items[1].kind = CaptureItem::Kind::kMessage;
    batch.items[1].prefix = kFencePrefix;
    batch.buffers.push_back(std::make_unique<std::string>(nonce));
    batch.items[1].content = *batch.buffers.back();
    batch.items[2].kind = CaptureItem::Kind::kCommit;
    batch.items[2].commit_lsn = {0x600};
    batch.items[2].end_lsn = {0x620};
    engine_->OnCapture(std::move(batch));
    Step();
    EXPECT_EQ(engine_->passed_fence(), "sentinel/1");
  }
}

}  // namespace
}  // namespace assay
