// Goal: the status says how the branch is, and names what is wrong for as long as it is, and once. Method: the test is
// the host, and looks at the status.
#include "log/local_state/open_stores.h"
#include "log/row_versions/row_ref.h"
#include "tests/engine/engine_fixture.h"
#include "tests/support/origins.h"
#include "tests/support/small_log.h"

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

// A connection of its own may be refused where capture's is not.
TEST_F(EngineTest, ASurveyThatCannotConnectIsNamedWhileCaptureWorks) {
  const auto failed = Contains(AllOf(Field(&Problem::kind, ProblemKind::kSurveyFailed),
                                     Field(&Problem::cause, HasSubstr("remaining connection slots"))));
  StartCapture();
  Step();
  engine_->OnSurvey(absl::UnavailableError("remaining connection slots are reserved"));
  Step();
  EXPECT_THAT(engine_->Status().problems, failed);
  engine_->OnCaptureStopped(absl::UnavailableError("connection refused"), clock_.now + absl::Seconds(1));
  Step();
  EXPECT_THAT(engine_->Status().problems, Not(failed)) << "that the database is away is said already";
  StartCapture();
  Step();
  EXPECT_THAT(engine_->Status().problems, failed);
  engine_->OnSurvey(SurveyReport{});
  Step();
  EXPECT_THAT(engine_->Status().problems, Not(failed));
}

TEST_F(EngineTest, WhatAComparisonFoundIsWrittenDownAndNamedUntilAnotherFindsOtherwise) {
  {
    const OpenStores stores = OpenStores::Open(file_.get()).value();
    ASSERT_TRUE(stores.state->Write(kEnrolledTablesNote, {"public.t", "public.u"}).ok());
  }
  Restart();
  StartCapture();
  Step();
  EXPECT_THAT(*engine_->Status().checked, SizeIs(2)) << "also those that were never compared";
  CheckedTable differs{.ended_ms = 7, .rows = 3, .differing = 1};
  differs.cells_listed.push_back({EncodeKey(RowKey{"1"}), "v", "a", "b"});
  engine_->OnTableChecked("public.t", differs);
  Step();
  for (const bool restarted : {false, true}) {
    if (restarted) {
      Restart();
    }
    const EngineStatus status = engine_->Status();
    EXPECT_THAT(status.problems, Contains(AllOf(Field(&Problem::kind, ProblemKind::kTableDiffers),
                                                Field(&Problem::subject, "public.t"))));
    EXPECT_EQ(status.checked->at("public.t"), differs);
  }
  engine_->OnTableChecked("public.t", {.ended_ms = 8, .rows = 3});
  Step();
  EXPECT_THAT(engine_->Status().problems, Not(Contains(Field(&Problem::kind, ProblemKind::kTableDiffers))));
}

TEST_F(EngineTest, ThatTablesCannotBeComparedIsAProblemUntilTheyAre) {
  StartCapture();
  engine_->OnCheckEnded(absl::PermissionDeniedError("permission denied for table t"));
  Step();
  EXPECT_THAT(engine_->Status().problems, Contains(AllOf(Field(&Problem::kind, ProblemKind::kTablesNotCompared),
                                                         Field(&Problem::cause, HasSubstr("permission denied")))));
  engine_->OnCheckEnded(absl::OkStatus());
  Step();
  EXPECT_THAT(engine_->Status().problems, IsEmpty());
}

}  // namespace
}  // namespace assay
