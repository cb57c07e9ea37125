// Goal: PostgreSQL is brought to the fold by the protocol of engine/projection/projector.h: each step only after what
// it rests on, whatever fails in between, and never over a newer local write. Method: step a projector over a small
// real log; the test is the database (a map of rows) and the capture that brings echoes and fences back, one at a time.
#include "engine/projection/projector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <utility>

#include "tests/support/hand_clock.h"
#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

const TableName kItems{"public", "items"};
constexpr uint64_t kSession = 1;

// A row as PostgreSQL shows it.
struct Shown {
  uint32_t xmin = 0;
  std::string name, price;
};

class ProjectorTest : public ::testing::Test {
 protected:
  ProjectorTest() { Restart(); }
  test::OpenLog& log() { return small_.open(); }
  const OriginId& delhi() const { return small_.delhi(); }
  // The daemon dies and comes back: what is not in the log is gone.
  void Restart() {
    projector_ = std::make_unique<Projector>(config_, small_.mumbai(), log().stores(), &clock_, &random_);
    ASSERT_EQ(projector_->Load(), absl::OkStatus());
  }

  // ---- What delhi's shop did ----

  Sequence Insert(const std::string& key, const std::string& name) {
    return small_.Write(delhi(), v1::RowChange::INSERT, key, {{{}, name}, {{}, "9"}});
  }
  Sequence Rename(const std::string& key, const std::string& before, const std::string& after) {
    return small_.Write(delhi(), v1::RowChange::UPDATE, key, {{before, after}});
  }

  // ---- The engine, which steps the projector ----

  // The next call, once that is durable.
  std::optional<DatabaseCall> Step(bool idle = true) {
    log().InTransaction([&] { ASSERT_EQ(projector_->Step(1000, idle), absl::OkStatus()); });
    return projector_->TakeCall();
  }
  template <typename Call>
  Call Next(bool idle = true) {
    std::optional<DatabaseCall> call = Step(idle);
    if (call.has_value() && std::holds_alternative<Call>(*call)) return std::get<Call>(*std::move(call));
    ADD_FAILURE() << (call.has_value() ? "another call" : "no call");
    return {};
  }
  ReadRequest NextRead(bool idle = true) { return Next<DatabaseRead>(idle).request; }
  ProjectRequest NextProject(bool idle = true) { return Next<DatabaseProject>(idle).request; }
  void Reply(absl::StatusOr<ReadReply> reply) {
    log().InTransaction([&] { ASSERT_EQ(projector_->OnRead(std::move(reply)), absl::OkStatus()); });
  }
  void Reply(ProjectReply reply) {
    log().InTransaction([&] { ASSERT_EQ(projector_->OnProjected(std::move(reply)), absl::OkStatus()); });
  }
  void Reply(const absl::StatusOr<uint64_t>& last_batch) {
    log().InTransaction([&] { ASSERT_EQ(projector_->OnLastBatch(last_batch), absl::OkStatus()); });
  }

  // ---- PostgreSQL ----

  static TableShape Items() {
    return {kItems, {{"id", "text", true}, {"name", "text", false}, {"price", "text", false}}, {0}};
  }
  ReadReply Show(const ReadRequest& request) const {
    ReadReply reply;
    reply.session = kSession;
    for (const ReadRequest::Table& asked : request.tables) {
      ReadReply::Table& table = reply.tables.emplace_back(ReadReply::Table{.shape = Items()});
      for (const RowKey& key : asked.keys) {
        ReadReply::Row& row = table.rows.emplace_back();
        const auto at = postgres_.find(key[0]);
        if (at == postgres_.end()) continue;
        row = {true, at->second.xmin, {key[0], at->second.name, at->second.price}};
      }
    }
    return reply;
  }
  // Commits what is asked for, and answers.
  ProjectReply Commit(const ProjectRequest& request) {
    const uint32_t xmin = ++xid_;
    for (const TableWrites& writes : request.writes) {
      for (const RowWrite& write : writes.rows) {
        if (IsKeep(write) && postgres_.at(std::string(write.row.KeyParts()[0])).xmin != write.xmin)
          return {.outcome = ProjectReply::Outcome::kMoved};
      }
    }
    for (const TableWrites& writes : request.writes) {
      for (const RowWrite& write : writes.rows) {
        const std::string key(write.row.KeyParts()[0]);
        if (IsKeep(write)) continue;
        if (write.operation == RowWrite::Operation::kDelete) {
          postgres_.erase(key);
          continue;
        }
        Shown& row = postgres_[key];
        row.xmin = xmin;
        for (size_t i = 0; i < writes.columns.size(); ++i) {
          (writes.columns[i] == "name" ? row.name : row.price) = std::string(writes.Value(write, i).value_or(""));
        }
      }
    }
    return {.outcome = ProjectReply::Outcome::kCommitted, .xmin = xmin, .session = kSession};
  }
  static bool IsKeep(const RowWrite& write) { return write.operation == RowWrite::Operation::kKeep; }
  void ReplyMoved(const ProjectRequest&) { Reply(ProjectReply{.outcome = ProjectReply::Outcome::kMoved}); }

  // ---- Capture ----

  // The transaction of `request` comes by, as PostgreSQL has it.
  void Echo(const ProjectRequest& request) {
    log().InTransaction([&] {
      HlcStamp stamp;
      ASSERT_TRUE(projector_->Claims(request.tag, &stamp));
      for (const TableWrites& writes : request.writes) {
        for (const RowWrite& write : writes.rows) {
          if (IsKeep(write)) continue;
          const std::string key(write.row.KeyParts()[0]);
          const bool deletes = write.operation == RowWrite::Operation::kDelete;
          const Shown row = deletes ? Shown{} : postgres_.at(key);
          const auto text = [](const std::string& value) { return TupleValue{TupleValue::Kind::kText, value}; };
          const std::vector<TupleValue> tuple = {text(key), text(row.name), text(row.price)};
          const ChangeKind kind = deletes                                           ? ChangeKind::kDelete
                                  : write.operation == RowWrite::Operation::kInsert ? ChangeKind::kInsert
                                                                                    : ChangeKind::kUpdate;
          EXPECT_TRUE(projector_->Meant(Ref(key), kind, Items(), tuple)) << key;
        }
      }
      ASSERT_EQ(projector_->Landed(), absl::OkStatus());
    });
  }
  // The application has written the row's name, and capture has brought that to the log.
  void RecordLocalWrite(const std::string& key, const std::string& before, const std::string& name) {
    const Sequence local = small_.Write(small_.mumbai(), v1::RowChange::UPDATE, key, {{before, name}});
    const Version version{log().log->Head(small_.mumbai()).complete_stamp, small_.mumbai(), local};
    log().InTransaction([&] {
      const RowVersions* stored = log().rows->Get(Ref(key)).value();
      RowVersions versions = stored == nullptr ? RowVersions{} : *stored;
      Merge(VersionsOf(RowClaim{ChangeKind::kUpdate, version, {Column("name")}}), &versions);
      ASSERT_TRUE(log().rows->Put(Ref(key), versions).ok());
      projector_->NoteActivity();
    });
  }

  // ---- How it stands ----

  RowRef Ref(const std::string& key) {
    return RowOf(log().names->IdOf(kItems).value(), KeyColumns({"id"}), RowKey{key});
  }
  ColumnId Column(const std::string& name) {
    return log().names->ColumnIdOf(log().names->IdOf(kItems).value(), name).value();
  }
  Sequence Projected() { return log().state->Projected(delhi()); }
  std::optional<UnsettledRow> Unsettled(const std::string& key) { return log().unsettled->Find(Ref(key)).value(); }
  size_t OpenIntents() { return log().state->Intents().value().size(); }
  static std::vector<std::string> Keys(const ReadRequest& request) {
    std::vector<std::string> keys;
    for (const ReadRequest::Table& table : request.tables) {
      for (const RowKey& key : table.keys) keys.push_back(key[0]);
    }
    return keys;
  }
  // "insert 7 name=ring price=9" and the like.
  static std::vector<std::string> Writes(const ProjectRequest& request) {
    std::vector<std::string> out;
    for (const TableWrites& writes : request.writes) {
      for (const RowWrite& write : writes.rows) {
        const bool deletes = write.operation == RowWrite::Operation::kDelete;
        std::string& line = out.emplace_back(IsKeep(write)                                     ? "keep "
                                             : deletes                                         ? "delete "
                                             : write.operation == RowWrite::Operation::kInsert ? "insert "
                                                                                               : "update ");
        line += std::string(write.row.KeyParts()[0]);
        for (size_t i = 0; !deletes && i < writes.columns.size(); ++i) {
          line += " " + writes.columns[i] + "=" + std::string(writes.Value(write, i).value_or("NULL"));
        }
      }
    }
    return out;
  }

  // Everything that waits, with nobody in the way.
  void Settle() {
    for (int i = 0; i < 20; ++i) {
      std::optional<DatabaseCall> call = Step();
      if (!call.has_value() && !projector_->HasWork()) return;
      if (!call.has_value()) continue;
      if (auto* read = std::get_if<DatabaseRead>(&*call)) {
        Reply(Show(read->request));
        projector_->OnFence(read->request.fence);
      } else if (auto* project = std::get_if<DatabaseProject>(&*call)) {
        const ProjectReply reply = Commit(project->request);
        Reply(reply);
        if (reply.outcome == ProjectReply::Outcome::kCommitted) Echo(project->request);
      }
    }
    ADD_FAILURE() << "it does not settle";
  }
  // A row that both log and database have, written by a transaction of which the projector knows nothing.
  void Have(const std::string& key, const std::string& name) {
    Insert(key, name);
    Settle();
    ASSERT_EQ(postgres_.at(key).name, name);
    postgres_.at(key).xmin = 7000 + ++xid_;
  }

  test::TempDirectory directory_{"projector"};
  test::SmallLog small_{directory_.path() + "/log.db"};
  EngineConfig config_;
  test::HandClock clock_;
  test::CountingRandom random_;
  std::map<std::string, Shown> postgres_;
  uint32_t xid_ = 100;
  std::unique_ptr<Projector> projector_;
};

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
