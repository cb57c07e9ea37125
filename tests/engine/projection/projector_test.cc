// Goal: PostgreSQL is brought to the fold by the protocol of engine/projection/projector.h: each step only after what
// it rests on, and never over a newer local write. Method: step a projector by hand.
#include "engine/projection/projector.h"

#include "tests/engine/projection/projector_fixture.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST_F(ProjectorTest, ARowIsReadThenFencedThenPlannedThenWrittenAndCountsOnceItsEchoComesBy) {
  Have("7", "ring");
  const Sequence before = Projected();
  const Sequence edit = Rename("7", "ring", "band");
  const ReadRequest read = NextRead();
  EXPECT_THAT(Keys(read), ElementsAre("7"));
  EXPECT_FALSE(read.lock);
  ASSERT_FALSE(read.fence.empty());
  Reply(Show(read));
  EXPECT_FALSE(Step().has_value()) << "what the read saw may not be in the log yet";
  projector_->OnFence("somebody else's");
  EXPECT_FALSE(Step().has_value());
  projector_->OnFence(read.fence);
  const ProjectRequest project = NextProject();
  EXPECT_THAT(Writes(project), ElementsAre("update 7 name=band"));
  EXPECT_EQ(project.writes[0].rows[0].xmin, postgres_.at("7").xmin) << "only while it is the version that was read";
  EXPECT_EQ(OpenIntents(), 1u) << "durable before it is asked for";
  Reply(Commit(project));
  EXPECT_EQ(Projected(), before) << "committed is not landed";
  EXPECT_EQ(OpenIntents(), 1u);
  Echo(project);
  EXPECT_EQ(Projected(), edit);
  EXPECT_EQ(OpenIntents(), 0u);
  EXPECT_EQ(*log().rows->Get(Ref("7")).value()->Find(Column("name")),
            (Version{log().rows->Get(Ref("7")).value()->written.stamp, delhi(), edit}));
  EXPECT_EQ(projector_->Pending(), 0u);
}

// The application has committed a newer value between the read and the fence; capture has brought it to the log.
TEST_F(ProjectorTest, ANewerLocalWriteThatTheFenceBroughtIsNotOverwritten) {
  Have("7", "ring");
  Rename("7", "ring", "band");
  const ReadRequest read = NextRead();
  Reply(Show(read));
  RecordLocalWrite("7", "ring", "gold");
  postgres_.at("7") = {9000, "gold", "9"};
  projector_->OnFence(read.fence);
  const ProjectRequest project = NextProject();
  EXPECT_THAT(Writes(project), ElementsAre("keep 7")) << "as it was read";
  Reply(Commit(project));
  Settle();  // It was not, so it is looked at again.
  EXPECT_EQ(postgres_.at("7").name, "gold");
  EXPECT_EQ(postgres_.at("7").xmin, 9000u) << "not even with the same value";
  EXPECT_EQ(log().rows->Get(Ref("7")).value()->Find(Column("name"))->origin, small_.mumbai());
  EXPECT_FALSE(Unsettled("7").has_value());
  EXPECT_EQ(log().conflicts->count(), 1) << "delhi had not seen it: that is on the list";
}

// What a plan had not seen stays noted, whatever it wrote.
TEST_F(ProjectorTest, WhatIsNotedOfARowSinceItWasPlannedOutlivesTheLanding) {
  Have("7", "ring");
  const Sequence edit = Rename("7", "ring", "band");
  const ReadRequest read = NextRead();
  Reply(Show(read));
  projector_->OnFence(read.fence);
  const ProjectRequest project = NextProject();
  const std::string key(project.writes[0].rows[0].row.key());
  log().InTransaction([&] {
    ASSERT_EQ(log().unsettled->MarkDue(Ref("7"), {key, delhi(), edit}, std::nullopt, 0), absl::OkStatus());
  });
  Reply(Commit(project));
  Echo(project);
  ASSERT_TRUE(Unsettled("7").has_value());
  EXPECT_FALSE(Unsettled("7")->held_known) << "the note was of a time before the write";
  Settle();
  EXPECT_FALSE(Unsettled("7").has_value()) << "this plan had seen it";
}

TEST_F(ProjectorTest, ARowThatItsXminShowsToBeInTheLogNeedsNoFence) {
  Insert("7", "ring");
  Settle();  // Written by us: no other row has its xmin.
  Rename("7", "ring", "band");
  ReadRequest read = NextRead();
  Reply(Show(read));
  EXPECT_FALSE(Step(/*idle=*/false).has_value()) << "captured changes wait: the log may be behind";
  EXPECT_THAT(Writes(NextProject()), ElementsAre("update 7 name=band"));
}

TEST_F(ProjectorTest, ARowUnknownToTheLogIsWrittenWithoutAReadOnceTheTableIsKnown) {
  Insert("7", "ring");
  const ReadRequest shape = NextRead();
  EXPECT_THAT(Keys(shape), IsEmpty()) << "the table alone";
  ASSERT_EQ(shape.tables.size(), 1u);
  Reply(Show(shape));
  const ProjectRequest first = NextProject();
  EXPECT_THAT(Writes(first), ElementsAre("insert 7 name=ring price=9"));
  Reply(Commit(first));
  Echo(first);
  Insert("8", "band");
  const ProjectRequest second = NextProject();
  EXPECT_THAT(Writes(second), ElementsAre("insert 8 name=band price=9"));
  ASSERT_NE(second.writes[0].planned_on, nullptr) << "PostgreSQL compares the table with this";
  EXPECT_EQ(*second.writes[0].planned_on, Items());
}

TEST_F(ProjectorTest, ARowThatWasThereAllTheSameIsReadFromThenOn) {
  Have("7", "ring");
  postgres_["8"] = {3, "own", "1"};  // Both sides have it, as after a join.
  Insert("8", "band");
  Reply(ProjectReply{.outcome = ProjectReply::Outcome::kMoved, .rows = {}});  // Of nothing: no call is under way.
  ReplyMoved(NextProject());
  const ReadRequest read = NextRead();
  EXPECT_THAT(Keys(read), ElementsAre("8"));
  Reply(Show(read));
  projector_->OnFence(read.fence);
  EXPECT_THAT(Writes(NextProject()), ElementsAre("update 8 name=band price=9"));
}

TEST_F(ProjectorTest, WithoutAReplyToCommitTheDatabaseIsAskedBeforeAnythingElse) {
  Have("1", "shape is known now");
  const Sequence end = Insert("7", "ring");
  const ProjectRequest project = NextProject();
  Commit(project);
  Reply(ProjectReply{.outcome = ProjectReply::Outcome::kInDoubt, .status = absl::DeadlineExceededError("no reply")});
  EXPECT_TRUE(absl::IsDeadlineExceeded(projector_->link().status));
  Insert("8", "band");
  Next<DatabaseLastBatch>();
  Reply(absl::StatusOr<uint64_t>(absl::UnavailableError("not known yet")));
  EXPECT_FALSE(Step().has_value());
  clock_.now = projector_->NextWake();
  Next<DatabaseLastBatch>();
  Reply(absl::StatusOr<uint64_t>(project.batch));
  EXPECT_EQ(projector_->link().status, absl::OkStatus());
  EXPECT_LT(Projected(), end) << "it has committed, and is to land";
  Echo(project);
  EXPECT_EQ(Projected(), end);
}

TEST_F(ProjectorTest, WhatDidNotCommitNeverHappened) {
  Have("1", "shape is known now");
  Insert("7", "ring");
  const ProjectRequest lost = NextProject();
  Reply(ProjectReply{.outcome = ProjectReply::Outcome::kInDoubt, .status = absl::DeadlineExceededError("no reply")});
  Next<DatabaseLastBatch>();
  Reply(absl::StatusOr<uint64_t>(lost.batch - 1));
  EXPECT_EQ(OpenIntents(), 0u);
  HlcStamp stamp;
  EXPECT_FALSE(projector_->Claims(lost.tag, &stamp)) << "a forger may have seen the tag";
  Settle();
  EXPECT_EQ(postgres_.at("7").name, "ring");
}

TEST_F(ProjectorTest, AfterARestartTheDatabaseIsAskedAndTheBatchLandsFromTheLog) {
  Have("1", "shape is known now");
  const Sequence end = Insert("7", "ring");
  const ProjectRequest project = NextProject();
  Commit(project);
  Restart();
  ASSERT_TRUE(projector_->call().has_value()) << "before anything else";
  ASSERT_TRUE(std::holds_alternative<DatabaseLastBatch>(*projector_->TakeCall()));
  Reply(absl::StatusOr<uint64_t>(project.batch));
  Echo(project);
  EXPECT_EQ(Projected(), end);
  EXPECT_EQ(OpenIntents(), 0u);
  EXPECT_TRUE(log().rows->Get(Ref("7")).value()->IsLive());
}

TEST_F(ProjectorTest, TheEchoMayComeBeforeTheReply) {
  Have("1", "shape is known now");
  const Sequence end = Insert("7", "ring");
  const ProjectRequest project = NextProject();
  const ProjectReply reply = Commit(project);
  Echo(project);
  EXPECT_EQ(Projected(), end);
  Insert("8", "band");
  const ProjectRequest next = NextProject();
  Reply(reply);
  EXPECT_EQ(OpenIntents(), 1u) << "the reply was not about the next one";
  Reply(Commit(next));
  Echo(next);
  EXPECT_EQ(postgres_.at("8").name, "band");
}

TEST_F(ProjectorTest, ATagIsBelievedOfTheProjectionThatIsToLandNextOnly) {
  Have("1", "shape is known now");
  Insert("7", "ring");
  const ProjectRequest first = NextProject();
  HlcStamp stamp;
  EXPECT_FALSE(projector_->Claims("forged", &stamp));
  ASSERT_TRUE(projector_->Claims(first.tag, &stamp));
  EXPECT_EQ(stamp, log().log->Head(delhi()).complete_stamp) << "the clock takes on the batch's newest stamp";
  Reply(Commit(first));
  Insert("8", "band");
  const ProjectRequest second = NextProject();
  EXPECT_GT(second.batch, first.batch);
  Reply(Commit(second));
  EXPECT_FALSE(projector_->Claims(second.tag, &stamp)) << "batches land in the order of their commits";
  Echo(first);
  Echo(second);
  EXPECT_EQ(Projected(), log().log->Head(delhi()).complete);
}

// An update or a delete would have been stopped by its xmin. Nothing stands guard over a row that is inserted but its
// key, and the application's row may have come and gone.
TEST_F(ProjectorTest, ARowWhoseVersionsMovedBeforeTheEchoIsLookedAtAgain) {
  Have("1", "shape is known now");
  Insert("7", "ring");
  const ProjectRequest project = NextProject();
  Reply(Commit(project));
  RecordLocalWrite("7", "ring", "gold");
  Echo(project);
  const std::optional<UnsettledRow> due = Unsettled("7");
  ASSERT_TRUE(due.has_value());
  EXPECT_FALSE(due->held_known) << "compare every value";
  EXPECT_EQ(due->retry_at_ms, 0) << "at once";
  EXPECT_EQ(due->cause, "") << "it is not parked";
  EXPECT_THAT(Keys(NextRead()), ElementsAre("7"));
}

TEST_F(ProjectorTest, EventsThatChangeNoRowMoveTheCursorWithoutAWordToTheDatabase) {
  EXPECT_FALSE(Step().has_value());
  EXPECT_EQ(Projected(), log().log->Head(delhi()).complete) << "the opening and the schema";
}

// The number in assay.progress tells an older copy of the database; so it must change with each start, and not long
// after the shop has changed something.
TEST_F(ProjectorTest, AProjectionOfNothingRenewsTheDatabasesNoteAtEachStartAndAfterLocalChanges) {
  Step();  // The opening and the schema.
  const auto anchor = [&]() -> uint64_t {
    const ReadRequest read = NextRead();
    EXPECT_THAT(read.tables, IsEmpty());
    Reply(Show(read));
    projector_->OnFence(read.fence);
    const ProjectRequest project = NextProject();
    EXPECT_THAT(project.writes, IsEmpty());
    Reply(Commit(project));
    Echo(project);
    return project.batch;
  };
  const uint64_t first = anchor();
  clock_.now += absl::Hours(1);
  EXPECT_FALSE(Step().has_value()) << "nothing has happened";
  projector_->NoteActivity();
  EXPECT_EQ(anchor(), first + 1);
  projector_->NoteActivity();
  EXPECT_FALSE(Step().has_value()) << "not with every sale";
  EXPECT_LE(projector_->NextWake() - clock_.now, absl::Minutes(1));
  clock_.now = projector_->NextWake();
  EXPECT_EQ(anchor(), first + 2);
  Restart();
  EXPECT_EQ(anchor(), first + 3);
}

TEST_F(ProjectorTest, WritesThatHadNotSeenEachOtherAreAConflictUnlessTheyAgree) {
  Have("7", "ring");
  const auto write_here = [&](const std::string& name) {
    RecordLocalWrite("7", "ring", name);
    postgres_.at("7") = {9000 + ++xid_, name, "9"};
  };
  write_here("gold");
  Rename("7", "ring", "gold");
  Settle();
  EXPECT_EQ(log().conflicts->count(), 0) << "both wrote the same";
  write_here("silver");
  const Sequence winner = Rename("7", "ring", "brass");
  Settle();
  EXPECT_EQ(postgres_.at("7").name, "brass") << "the newest wins";
  const std::vector<Conflict> conflicts = log().conflicts->List(0, 10).value();
  ASSERT_EQ(conflicts.size(), 1u);
  EXPECT_EQ(conflicts[0].column, Column("name"));
  EXPECT_EQ(conflicts[0].winner.sequence, winner);
  EXPECT_EQ(conflicts[0].loser.origin, small_.mumbai());
}

}  // namespace
}  // namespace assay
