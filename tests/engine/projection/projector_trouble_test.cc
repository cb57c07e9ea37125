// Goal: what is in a projection's way, somebody who works on the same rows, a row that PostgreSQL will not take, a
// server that is slow or away, holds up as little as can be, and for as short. Method: step a projector by hand.
#include "tests/engine/projection/projector_fixture.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST_F(ProjectorTest, ARowThatMovesIsReadAgainAndLockedInTheEnd) {
  Have("7", "ring");
  Rename("7", "ring", "band");
  for (int attempt = 0; attempt < 3; ++attempt) {
    const ReadRequest read = NextRead();
    EXPECT_FALSE(read.lock) << attempt;
    Reply(Show(read));
    projector_->OnFence(read.fence);
    ReplyMoved(NextProject());
    EXPECT_EQ(OpenIntents(), 0u) << "nothing was written";
  }
  const ReadRequest read = NextRead();
  EXPECT_TRUE(read.lock);
  ASSERT_FALSE(read.tag.empty());
  Reply(Show(read));
  EXPECT_FALSE(Step().has_value()) << "locked or not, the fence must come by";
  projector_->OnFence(read.fence);
  const ProjectRequest project = NextProject();
  EXPECT_TRUE(project.locked);
  EXPECT_EQ(project.tag, read.tag) << "the transaction that the read has opened";
}

// The application waits for these locks.
TEST_F(ProjectorTest, LocksAreLetGoWhenTheFenceDoesNotCome) {
  Have("7", "ring");
  Rename("7", "ring", "band");
  for (int attempt = 0; attempt < 3; ++attempt) {
    const ReadRequest read = NextRead();
    Reply(Show(read));
    projector_->OnFence(read.fence);
    ReplyMoved(NextProject());
  }
  const ReadRequest locked = NextRead();
  ASSERT_TRUE(locked.lock);
  Reply(Show(locked));
  EXPECT_FALSE(Step().has_value());
  ASSERT_LE(projector_->NextWake() - clock_.now, absl::Milliseconds(700)) << "before deadlock_timeout";
  clock_.now = projector_->NextWake();
  Next<DatabaseAbandon>();
  EXPECT_TRUE(absl::IsDeadlineExceeded(projector_->link().status));
  clock_.now += absl::Seconds(1);
  EXPECT_FALSE(NextRead().fence == locked.fence);
}

TEST_F(ProjectorTest, LocksThatAreNotToBeHadDoNotHoldUpTheOthers) {
  Have("7", "ring");
  Rename("7", "ring", "band");
  for (int attempt = 0; attempt < 3; ++attempt) {
    const ReadRequest read = NextRead();
    Reply(Show(read));
    projector_->OnFence(read.fence);
    ReplyMoved(NextProject());
  }
  ASSERT_TRUE(NextRead().lock);
  Reply(absl::StatusOr<ReadReply>(absl::AbortedError("a session holds the row")));
  clock_.now += absl::Seconds(1);
  EXPECT_FALSE(NextRead().lock);
}

// Goal: what takes PostgreSQL too long for all of its rows is done with fewer. Method: statement_timeout and no answer,
// for a read and for a write.
TEST_F(ProjectorTest, AReadOrAWriteThatRunsOutOfTimeIsTriedWithHalfOfItsRows) {
  constexpr size_t kRows = 64;
  for (size_t i = 0; i < kRows; ++i) Insert(absl::StrCat("row ", i), "ring");
  Settle();
  for (auto& [key, row] : postgres_) row.xmin = 7000 + ++xid_;
  for (size_t i = 0; i < kRows; ++i) Rename(absl::StrCat("row ", i), "ring", "band");
  const ReadRequest whole = NextRead();
  ASSERT_EQ(Keys(whole).size(), kRows);
  Reply(absl::StatusOr<ReadReply>(absl::AbortedError("canceling statement due to statement timeout")));
  clock_.now += absl::Minutes(1);
  ReadRequest read = NextRead();
  EXPECT_EQ(Keys(read).size(), kRows / 2);
  Reply(absl::StatusOr<ReadReply>(absl::DeadlineExceededError("no reply from PostgreSQL within 90 s")));
  clock_.now += absl::Minutes(1);
  read = NextRead();
  EXPECT_EQ(Keys(read).size(), kRows / 4);
  Reply(absl::StatusOr<ReadReply>(absl::UnavailableError("connection refused")));
  clock_.now += absl::Minutes(1);
  read = NextRead();
  EXPECT_EQ(Keys(read).size(), kRows / 4) << "that is not for its rows";
  Reply(Show(read));
  projector_->OnFence(read.fence);
  NextProject();
  Reply(ProjectReply{.outcome = ProjectReply::Outcome::kUnavailable,
                     .status = absl::AbortedError("canceling statement due to statement timeout")});
  clock_.now += absl::Minutes(1);
  read = NextRead();
  EXPECT_EQ(Keys(read).size(), kRows / 8);
  EXPECT_FALSE(read.lock) << "nobody was in the way";
  Reply(Show(read));
  projector_->OnFence(read.fence);
  const ProjectRequest project = NextProject();
  Reply(Commit(project));
  Echo(project);
  Settle();
  for (const auto& [key, row] : postgres_) EXPECT_EQ(row.name, "band") << key;
}

TEST_F(ProjectorTest, ARowThatPostgresWillNotTakeIsParkedAndTheRestGoesOn) {
  Have("1", "shape is known now");
  small_.Together([&] {
    Insert("7", "ring");
    Insert("8", "band");
  });
  const Sequence end = log().log->Head(delhi()).complete;
  ProjectRequest project = NextProject();
  std::vector<std::string> writes = Writes(project);
  ASSERT_EQ(writes.size(), 2u);
  const uint32_t refused = writes[0].substr(0, 8) == "insert 8" ? 0 : 1;
  Reply(ProjectReply{.outcome = ProjectReply::Outcome::kRefused,
                     .rows = {{.table = 0, .row = refused, .sqlstate = "23505", .cause = "duplicate name"}}});
  EXPECT_EQ(OpenIntents(), 0u);
  const ReadRequest read = NextRead();
  Reply(Show(read));
  projector_->OnFence(read.fence);
  project = NextProject();
  EXPECT_THAT(Writes(project), ElementsAre("insert 7 name=ring price=9"));
  Reply(Commit(project));
  Echo(project);
  EXPECT_EQ(Projected(), end) << "a parked row is no hole in the stream";
  std::optional<UnsettledRow> parked = Unsettled("8");
  ASSERT_TRUE(parked.has_value());
  EXPECT_EQ(parked->cause, "duplicate name");
  EXPECT_EQ(parked->sqlstate, "23505");
  EXPECT_EQ(parked->origin, delhi());
  EXPECT_TRUE(parked->held_known && !parked->held.value_or(RowVersions{}).IsLive()) << "PostgreSQL has no such row";
  EXPECT_GT(parked->retry_at_ms, absl::ToUnixMillis(clock_.now));
  EXPECT_FALSE(Unsettled("7").has_value());

  clock_.now = absl::FromUnixMillis(parked->retry_at_ms);  // The name has been freed meanwhile.
  Settle();
  EXPECT_EQ(postgres_.at("8").name, "band");
  EXPECT_FALSE(Unsettled("8").has_value());
}

TEST_F(ProjectorTest, AParkedRowIsTriedLessAndLessOften) {
  Have("1", "shape is known now");
  Insert("7", "ring");
  absl::Duration last;
  for (int attempt = 0; attempt < 8; ++attempt) {
    std::optional<DatabaseCall> call = Step();
    ASSERT_TRUE(call.has_value()) << attempt;
    if (auto* first = std::get_if<DatabaseRead>(&*call)) {
      Reply(Show(first->request));
      projector_->OnFence(first->request.fence);
      call = Step();
    }
    ASSERT_FALSE(Writes(std::get<DatabaseProject>(*call).request).empty());
    Reply(ProjectReply{.outcome = ProjectReply::Outcome::kRefused,
                       .rows = {{.table = 0, .row = 0, .sqlstate = "23505", .cause = "duplicate name"}}});
    const ReadRequest read = NextRead();
    Reply(Show(read));
    projector_->OnFence(read.fence);
    const ProjectRequest rest = NextProject();
    EXPECT_THAT(Writes(rest), IsEmpty());
    Reply(Commit(rest));
    Echo(rest);
    const absl::Duration wait = absl::FromUnixMillis(Unsettled("7")->retry_at_ms) - clock_.now;
    EXPECT_GE(wait, last);
    EXPECT_LE(wait, absl::Minutes(1));
    last = wait;
    clock_.now += wait;
  }
  EXPECT_GE(last, absl::Seconds(5));
  EXPECT_EQ(Unsettled("7")->attempts, 8u);
}

// Goal: parked rows that take PostgreSQL too long hold up nobody. Method: one is due, and its write runs out of time.
TEST_F(ProjectorTest, RowsThatAreDueAndRunOutOfTimeLetABatchPass) {
  Have("1", "shape is known now");
  Insert("7", "ring");
  NextProject();
  Reply(ProjectReply{.outcome = ProjectReply::Outcome::kRefused,
                     .rows = {{.table = 0, .row = 0, .sqlstate = "23505", .cause = "duplicate name"}}});
  Settle();
  ASSERT_TRUE(Unsettled("7").has_value());
  clock_.now = absl::FromUnixMillis(Unsettled("7")->retry_at_ms);
  const ReadRequest due = NextRead();
  EXPECT_THAT(Keys(due), ElementsAre("7"));
  Reply(Show(due));
  projector_->OnFence(due.fence);
  NextProject();
  Reply(ProjectReply{.outcome = ProjectReply::Outcome::kUnavailable,
                     .status = absl::AbortedError("canceling statement due to statement timeout")});
  Insert("8", "band");
  clock_.now += absl::Minutes(1);
  std::optional<DatabaseCall> call = Step();
  ASSERT_TRUE(call.has_value());
  if (const auto* read = std::get_if<DatabaseRead>(&*call)) {
    EXPECT_THAT(Keys(read->request), IsEmpty()) << "how the table is, for what is new in it";
    Reply(Show(read->request));
    projector_->OnFence(read->request.fence);
    call = Step();
  }
  const ProjectRequest project = std::get<DatabaseProject>(*call).request;
  EXPECT_THAT(Writes(project), ElementsAre("insert 8 name=band price=9"));
  Reply(Commit(project));
  Echo(project);
  Settle();
  EXPECT_EQ(postgres_.at("7").name, "ring");
}

TEST_F(ProjectorTest, ADatabaseThatFailsIsTriedAgainLaterAndPeopleAreTold) {
  Have("7", "ring");
  Rename("7", "ring", "band");
  absl::Duration wait;
  for (uint32_t failure = 1; failure <= 12; ++failure) {
    NextRead();
    Reply(absl::StatusOr<ReadReply>(absl::UnavailableError("connection refused")));
    EXPECT_THAT(std::string(projector_->link().status.message()), HasSubstr("connection refused"));
    EXPECT_EQ(projector_->link().failures, failure);
    EXPECT_FALSE(Step().has_value());
    wait = projector_->NextWake() - clock_.now;
    EXPECT_EQ(projector_->link().next_try, projector_->NextWake());
    EXPECT_LE(wait, absl::Seconds(30));
    clock_.now = projector_->NextWake();
  }
  EXPECT_GE(wait, absl::Seconds(15));
  NextRead();
  Reply(absl::StatusOr<ReadReply>(absl::UnavailableError("connection refused")));
  EXPECT_FALSE(Step().has_value());
  projector_->RetryNow();
  const ReadRequest read = NextRead();
  Reply(Show(read));
  EXPECT_EQ(projector_->link().status, absl::OkStatus());
}

TEST_F(ProjectorTest, AChainThatIsDamagedStandsStillByName) {
  Have("1", "shape is known now");
  const Sequence before = Projected();
  v1::Event event = small_.Next(delhi());
  test::SmallLog::Fill(v1::RowChange::INSERT, "7", {{{}, "ring"}}, event.mutable_row());
  event.mutable_row()->set_schema(999);
  small_.AppendRaw(event, "public.items");
  Settle();
  EXPECT_THAT(projector_->stopped(),
              ElementsAre(Pair(delhi(), testing::Property(&absl::Status::code, absl::StatusCode::kDataLoss))));
  EXPECT_EQ(Projected(), before);
  EXPECT_EQ(projector_->Pending(), 1u) << "it is still to be done";
}

}  // namespace
}  // namespace assay
