// Projection beside others, against a real server: who waits for whom and for how long, and what becomes of a batch
// whose session breaks.
#include <atomic>
#include <deque>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/adapters/postgres/projection_fixture.h"
#include "tools/host/log_gate.h"

namespace assay {
namespace {

using test::SqlSession;
using ::testing::ElementsAre;

// ---- Locks ----

class LockingTest : public ProjectionTest {
 protected:
  void SetUp() override {
    ProjectionTest::SetUp();
    if (IsSkipped()) return;
    Enrol("id int PRIMARY KEY, v text");
    Sql("INSERT INTO t VALUES (1, 'a'), (2, 'b')");
  }
  absl::StatusOr<ReadReply> LockingRead(const std::vector<RowKey>& keys) {
    return database_->Read({.tables = {{kT, keys}}, .fence = "f", .lock = true, .tag = "locked"});
  }
  absl::Status AppWrites(const std::string& sql) {
    return Session()->Run(absl::StrCat("SET lock_timeout = '100ms'; ", sql)).status();
  }
};

TEST_F(LockingTest, LockedRowsWaitForTheProjectionAndOthersDoNot) {
  branch_->Start();
  branch_->Captured();
  auto reply = LockingRead({{"1"}});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(Show(reply->tables[0].rows[0]), "1,a");
  EXPECT_FALSE(AppWrites("UPDATE t SET v = 'app' WHERE id = 1").ok());
  EXPECT_TRUE(AppWrites("UPDATE t SET v = 'app' WHERE id = 2").ok());
  EXPECT_TRUE(AppWrites("INSERT INTO t VALUES (3, 'app')").ok());
  ASSERT_EQ(Project({"v"}, {Update({"1"}, {"x"}, 0)}, /*locked=*/true).outcome, Outcome::kCommitted);
  EXPECT_EQ(Rows(), "1,x;2,app;3,app");
  EXPECT_TRUE(AppWrites("UPDATE t SET v = 'after' WHERE id = 1").ok());
  EXPECT_THAT(branch_->Captured(),
              ::testing::Contains("message assay.projection locked; update public.t (id=1 v=a) to (id=1 v=x)"));
}

TEST_F(LockingTest, KeysThatAreNotThereAreKeptFree) {
  ASSERT_TRUE(LockingRead({{"1"}, {"9"}, {"no number"}}).ok());
  EXPECT_FALSE(AppWrites("INSERT INTO t VALUES (9, 'app')").ok());
  ASSERT_EQ(Project({"v"}, {Insert({"9"}, {"x"})}, /*locked=*/true).outcome, Outcome::kCommitted);
  EXPECT_EQ(Rows(), "1,a;2,b;9,x");
}

TEST_F(LockingTest, LocksThatAreHeldAreNotWaitedForLong) {
  auto app = Session();
  ASSERT_TRUE(app->Run("BEGIN; UPDATE t SET v = 'app' WHERE id = 1").ok());
  const absl::Time start = absl::Now();
  EXPECT_TRUE(absl::IsAborted(LockingRead({{"1"}}).status()));
  EXPECT_TRUE(absl::IsAborted(LockingRead({{"9"}}).status()));
  EXPECT_LT(absl::Now() - start, absl::Seconds(3));
  EXPECT_TRUE(LockingRead({{"2"}}).ok());
  ASSERT_TRUE(app->Run("COMMIT").ok());
  EXPECT_TRUE(LockingRead({{"1"}}).ok());
}

TEST_F(LockingTest, AbandonLetsGo) {
  ASSERT_TRUE(LockingRead({{"1"}, {"9"}}).ok());
  database_->Abandon();
  database_->Abandon();
  EXPECT_TRUE(AppWrites("UPDATE t SET v = 'app' WHERE id = 1; INSERT INTO t VALUES (9, 'app')").ok());
  EXPECT_EQ(Project({"v"}, {Update({"1"}, {"x"}, 0)}, /*locked=*/true).outcome, Outcome::kUnavailable);
  EXPECT_EQ(Rows(), "1,app;2,b;9,app");
}

TEST_F(LockingTest, RefusalUnderLocksNamesTheRowAndLetsGo) {
  ASSERT_TRUE(LockingRead({{"1"}, {"9"}}).ok());
  Sql("SELECT 1");
  EXPECT_THAT(Refused(Project({"v"}, {Update({"1"}, {"x"}, 0), Insert({"nine"}, {"x"})}, /*locked=*/true)),
              ElementsAre("1:22P02"));
  EXPECT_TRUE(AppWrites("UPDATE t SET v = 'app' WHERE id = 1").ok());
}

// Goal: while we wait for a table that a long transaction of the application holds, nobody else waits behind us for
// long; nor when there are several such tables.
TEST_F(LockingTest, WaitingForTablesHoldsOthersUpForOneLockTimeoutAltogether) {
  std::vector<TableName> names;
  std::vector<std::unique_ptr<SqlSession>> apps;
  ReadRequest request{.fence = "f", .lock = true, .tag = "locked"};
  // Each is let go by its application shortly before we would give up on it.
  for (const char* name : {"x1", "x2", "x3", "x4"}) {
    branch_->Enrol(name, "id int PRIMARY KEY");
    request.tables.push_back({{"public", name}, {{"9"}}});
    apps.push_back(Session());
    ASSERT_TRUE(apps.back()->Run(absl::StrCat("BEGIN; INSERT INTO ", name, " VALUES (1)")).ok());
  }
  ASSERT_TRUE(database_->Read({.tables = request.tables, .fence = "warm"}).ok());
  std::thread letting_go([&] {
    for (auto& app : apps) {
      absl::SleepFor(absl::Milliseconds(150));
      EXPECT_TRUE(app->Run("COMMIT").ok());
    }
  });
  auto writer = Session();
  absl::SleepFor(absl::Milliseconds(20));
  std::thread reading([&] { EXPECT_TRUE(absl::IsAborted(database_->Read(request).status())); });
  absl::SleepFor(absl::Milliseconds(50));
  const absl::Time start = absl::Now();
  EXPECT_TRUE(writer->Run("INSERT INTO x1 VALUES (2)").ok());
  EXPECT_LT(absl::Now() - start, absl::Milliseconds(350));
  reading.join();
  letting_go.join();
}

// Goal: the figure that adapters/postgres/projection.h gives for how long the application waits. Method: the largest
// batch there is, under locks, while the application writes to the same table.
TEST_F(LockingTest, LargestBatchUnderLocksHoldsTheApplicationUpForAMoment) {
  auto session = Session();
  for (int count : {1, 5000}) {
    std::vector<RowKey> keys;
    std::deque<RowWrite> rows;
    for (int i = 0; i < count; ++i) {
      keys.push_back({absl::StrCat(10 * count + i)});
      rows.push_back(Insert(keys.back(), {std::string(100, 'x')}));
    }
    std::atomic<bool> done = false;
    absl::Duration longest;
    std::thread app([&] {
      for (int i = 0; !done; ++i) {
        const absl::Time start = absl::Now();
        EXPECT_TRUE(
            session->Run(absl::StrCat("INSERT INTO t VALUES (", 1'000'000 + 20'000 * count + i, ", 'app')")).ok());
        longest = std::max(longest, absl::Now() - start);
      }
    });
    ASSERT_TRUE(LockingRead(keys).ok());
    EXPECT_EQ(Project({"v"}, rows, /*locked=*/true).outcome, Outcome::kCommitted);
    done = true;
    app.join();
    std::printf("%d rows written under locks: the application waited %s at most\n", count,
                absl::FormatDuration(longest).c_str());
    EXPECT_LT(longest, absl::Seconds(3));
  }
}

TEST_F(LockingTest, LocksAreNotHeldForLongerThanTheyMayBe) {
  database_ = std::make_unique<PostgresDatabase>(
      ProjectionOptions{.conninfo = branch_->url(), .locked_max = absl::Milliseconds(200)});
  ASSERT_TRUE(LockingRead({{"1"}, {"9"}}).ok());
  absl::SleepFor(absl::Milliseconds(300));
  const ProjectReply late = Project({"v"}, {Insert({"9"}, {"x"})}, /*locked=*/true);
  EXPECT_EQ(late.outcome, Outcome::kUnavailable);
  EXPECT_TRUE(absl::IsAborted(late.status)) << late.status;
  // One statement that takes long is ended, too.
  Sql("CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_catalog.pg_sleep(30); RETURN NEW; END $$;"
      "CREATE TRIGGER nap BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION nap(); ALTER TABLE t ENABLE ALWAYS TRIGGER nap");
  ASSERT_TRUE(LockingRead({{"1"}}).ok());
  const absl::Time start = absl::Now();
  const ProjectReply slow = Project({"v"}, {Update({"1"}, {"x"}, 0)}, /*locked=*/true);
  EXPECT_EQ(slow.outcome, Outcome::kUnavailable);
  EXPECT_TRUE(absl::IsAborted(slow.status)) << slow.status;
  EXPECT_LT(absl::Now() - start, absl::Seconds(3));
  EXPECT_TRUE(AppWrites("INSERT INTO t VALUES (9, 'app')").ok());
}

TEST_F(LockingTest, HungDaemonLosesItsLocks) {
  database_ = std::make_unique<PostgresDatabase>(
      ProjectionOptions{.conninfo = branch_->url(), .idle_timeout = absl::Milliseconds(300)});
  ASSERT_TRUE(LockingRead({{"1"}}).ok());
  absl::SleepFor(absl::Milliseconds(600));
  EXPECT_TRUE(AppWrites("UPDATE t SET v = 'app' WHERE id = 1").ok());
  EXPECT_EQ(Project({"v"}, {Update({"1"}, {"x"}, 0)}, /*locked=*/true).outcome, Outcome::kUnavailable);
  EXPECT_EQ(Rows(), "1,app;2,b");
}

// Goal: a row that a forgotten psql session holds does not keep the other rows waiting for ever.
TEST_F(LockingTest, RowThatStaysLockedIsRefusedByName) {
  const ReadReply::Table table = Read({{"1"}, {"2"}});
  auto app = Session();
  ASSERT_TRUE(app->Run("BEGIN; UPDATE t SET v = 'app' WHERE id = 1").ok());
  const std::deque<RowWrite> rows = {Update({"1"}, {"x"}, table.rows[0].xmin),
                                     Update({"2"}, {"x"}, table.rows[1].xmin)};
  for (int i = 0; i < 2; ++i) {
    const ProjectReply reply = Project({"v"}, rows);
    EXPECT_EQ(reply.outcome, Outcome::kUnavailable);
    EXPECT_TRUE(absl::IsAborted(reply.status)) << reply.status;
  }
  EXPECT_THAT(Refused(Project({"v"}, rows)), ElementsAre("0:55P03"));
  EXPECT_EQ(Project({"v"}, {rows[1]}).outcome, Outcome::kCommitted);
  ASSERT_TRUE(app->Run("COMMIT").ok());
  EXPECT_THAT(Moved(Project({"v"}, {rows[0]})), ElementsAre(0));
}

// ---- Sessions that break ----

class BrokenSessionTest : public ProjectionTest {
 protected:
  void SetUp() override {
    ProjectionTest::SetUp();
    if (IsSkipped()) return;
    Enrol("id int PRIMARY KEY, v text");
  }
  std::string Terminate() {
    return Value(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'assay projection' "
        "AND datname = current_database()");
  }
  // Ends the session once it has been inside COMMIT for a moment.
  std::thread TerminateInCommit() {
    return std::thread([this] {
      const absl::Time limit = absl::Now() + absl::Seconds(20);
      while (
          absl::Now() < limit &&
          Value(
              "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'assay projection' AND query = 'COMMIT' "
              "AND state = 'active' AND datname = current_database()") != "1") {
        absl::SleepFor(absl::Milliseconds(20));
      }
      Terminate();
    });
  }
};

// What was read in a session that is gone may have been another server's, restored since: it is read again before
// anything is written.
TEST_F(BrokenSessionTest, SessionLostWhileIdleIsOpenedAgainByTheNextRead) {
  ASSERT_EQ(Project({"v"}, {Insert({"1"}, {"a"})}).outcome, Outcome::kCommitted);
  EXPECT_EQ(Terminate(), "1");
  absl::SleepFor(absl::Milliseconds(500));
  EXPECT_EQ(Project({"v"}, {Insert({"2"}, {"a"})}).outcome, Outcome::kUnavailable);
  EXPECT_EQ(Rows(), "1,a");
  ASSERT_TRUE(database_->Read({.tables = {{kT, {{"2"}}}}, .fence = "again"}).ok());
  EXPECT_EQ(Project({"v"}, {Insert({"2"}, {"a"})}).outcome, Outcome::kCommitted);
  EXPECT_EQ(Rows(), "1,a;2,a");
}

TEST_F(BrokenSessionTest, SessionLostWhileItWritesIsUnavailableAndNothingIsWritten) {
  Sql("CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_catalog.pg_sleep(30); RETURN NEW; END $$;"
      "CREATE TRIGGER nap BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION nap(); ALTER TABLE t ENABLE ALWAYS TRIGGER nap");
  std::thread other([this] {
    absl::SleepFor(absl::Seconds(1));
    Terminate();
  });
  const ProjectReply lost = Project({"v"}, {Insert({"1"}, {"a"})});
  other.join();
  EXPECT_EQ(lost.outcome, Outcome::kUnavailable);
  EXPECT_TRUE(absl::IsUnavailable(lost.status)) << lost.status;
  EXPECT_EQ(Rows(), "");
}

TEST_F(BrokenSessionTest, CommitThatDidNotHappenIsInDoubtAndThenKnown) {
  Sql(test::SleepInCommit("t"));
  std::thread other = TerminateInCommit();
  EXPECT_EQ(Project({"v"}, {Insert({"1"}, {"a"})}).outcome, Outcome::kInDoubt);
  other.join();
  auto last = database_->LastBatch();
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(*last, 0u);
  EXPECT_EQ(Rows(), "");
}

// Waiting for a standby that does not exist makes COMMIT take long enough to be hit after it happened.
TEST_F(BrokenSessionTest, CommitThatDidHappenIsInDoubtAndThenKnown) {
  Read({});
  server_->Configure("synchronous_standby_names", "nobody");
  ASSERT_TRUE(server_->Reload().ok());
  absl::SleepFor(absl::Milliseconds(500));
  std::thread other = TerminateInCommit();
  EXPECT_EQ(Project({"v"}, {Insert({"1"}, {"a"})}).outcome, Outcome::kInDoubt);
  other.join();
  server_->Configure("synchronous_standby_names", "");
  ASSERT_TRUE(server_->Reload().ok());
  auto last = database_->LastBatch();
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(*last, 1u);
  EXPECT_EQ(Rows(), "1,a");
}

TEST_F(BrokenSessionTest, LastBatchIsNotKnownWhileAnotherSessionMayCommit) {
  auto other = Session();
  ASSERT_TRUE(other->Run("SELECT pg_advisory_lock(7022083106487169642)").ok());
  EXPECT_TRUE(absl::IsUnavailable(database_->LastBatch().status()));
  EXPECT_EQ(Project({"v"}, {Insert({"1"}, {"a"})}).outcome, Outcome::kUnavailable);
  other.reset();
  EXPECT_TRUE(database_->LastBatch().ok());
  PostgresDatabase second({.conninfo = branch_->url()});
  EXPECT_TRUE(absl::IsUnavailable(second.LastBatch().status()));
}

TEST_F(BrokenSessionTest, InterruptEndsAWaitingCall) {
  auto interrupt = std::make_shared<Interrupt>();
  database_ = std::make_unique<PostgresDatabase>(
      ProjectionOptions{.conninfo = branch_->url(), .interrupt = interrupt, .lock_timeout = absl::Seconds(60)});
  Sql("INSERT INTO t VALUES (1, 'a')");
  const uint32_t xmin = Xmin("1");
  auto app = Session();
  ASSERT_TRUE(app->Run("BEGIN; UPDATE t SET v = 'app'").ok());
  std::thread stopping([&] {
    absl::SleepFor(absl::Milliseconds(200));
    interrupt->Trigger();
  });
  const absl::Time start = absl::Now();
  EXPECT_EQ(Project({"v"}, {Update({"1"}, {"x"}, xmin)}).outcome, Outcome::kUnavailable);
  EXPECT_LT(absl::Now() - start, absl::Seconds(20));
  stopping.join();
}

// ---- Those who wait ----

// Goal: a shop that sells is not held up by a large batch, and its transaction is not the one that PostgreSQL ends when
// both would wait for ever. Method: a sale holds the batch's last row and comes to want its first one while the batch
// is written, slowly. Without giving way the batch would wait for the last row just when the sale's deadlock_timeout is
// over. Also when the batch has a row that cannot be written, and is written anew in halves: then the third time that
// the slow row is written stays.
class WaitedForTest : public ProjectionTest, public ::testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(WithABadRow, WaitedForTest, ::testing::Bool());

TEST_P(WaitedForTest, WhoWaitsForALargeBatchIsGivenWay) {
  const bool with_bad_row = GetParam();
  // A check, since a trigger that answers would have all rows locked before the first is written.
  Sql("CREATE SEQUENCE naps; GRANT ALL ON naps TO PUBLIC;"
      "CREATE FUNCTION nap(id int, v text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN"
      " IF id = 400 AND v = 'new' THEN PERFORM pg_catalog.nextval('public.naps'); PERFORM pg_catalog.pg_sleep(0.5);"
      " END IF; RETURN true; END $$");
  Enrol("id int PRIMARY KEY, v text CHECK (v <> 'bad') CHECK (public.nap(id, v))");
  constexpr int kRows = 3000;
  Sql(absl::StrCat("INSERT INTO t SELECT g, 'old' FROM generate_series(1, ", kRows, ") g"));
  std::vector<RowKey> keys;
  for (int i = 1; i <= kRows; ++i) keys.push_back({absl::StrCat(i)});
  std::deque<RowWrite> rows;
  const auto read = [&] {
    const ReadReply::Table table = Read(keys);
    rows.clear();
    for (int i = 0; i < kRows; ++i) rows.push_back(Update(keys[i], {"new"}, table.rows[i].xmin));
  };
  read();
  auto sale = Session();
  ASSERT_TRUE(
      sale->Run(absl::StrCat("SET deadlock_timeout = '600ms'; BEGIN; UPDATE t SET v = 'sold' WHERE id = ", kRows))
          .ok());
  absl::Status sold;
  std::atomic<bool> projected = false;
  std::thread shop([&] {
    // Should the batch end early, this must end, too.
    while (
        !projected &&
        Value(absl::StrCat(
            "SELECT count(*) FROM pg_stat_activity, naps WHERE application_name = 'assay projection' AND wait_event = 'PgSleep'"
            " AND last_value >= ",
            with_bad_row ? 3 : 1)) == "0") {
      absl::SleepFor(absl::Milliseconds(5));
    }
    sold = sale->Run("UPDATE t SET v = 'sold' WHERE id = 1; COMMIT").status();
  });
  if (with_bad_row) rows[699] = Update(keys[699], {"bad"}, Xmin("700"));
  const ProjectReply reply = Project({"v"}, rows);
  projected = true;
  shop.join();
  EXPECT_EQ(reply.outcome, Outcome::kGaveWay) << reply.status;
  EXPECT_TRUE(sold.ok()) << sold;
  EXPECT_EQ(Value("SELECT count(*) FROM t WHERE v = 'sold'"), "2");
  EXPECT_EQ(Value("SELECT count(*) FROM t WHERE v = 'new'"), "0");
  // Nobody waits any more: then there is nothing to give way to.
  read();
  EXPECT_EQ(Project({"v"}, rows).outcome, Outcome::kCommitted);
  EXPECT_EQ(Value("SELECT count(*) FROM t WHERE v = 'new'"), absl::StrCat(kRows));
}

// While the log's disk takes its time, the rows are written, and nobody sees them or has to wait for them.
TEST_F(ProjectionTest, RowsAreWrittenWhileTheLogIsAndCommittedAfterIt) {
  Enrol("id int PRIMARY KEY, v text");
  Sql("INSERT INTO t VALUES (1, 'old')");
  const auto project = [&](const std::shared_ptr<CommitGate>& gate) {
    ++batch_;
    return database_->Project(
        {batch_, absl::StrCat("tag ", batch_), {{kT, {"v"}, {Update({"1"}, {"new"}, Xmin("1"))}}}, false, gate});
  };
  const std::string waits =
      "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'assay projection' AND state = 'idle in transaction'";
  for (const bool somebody_waits : {true, false}) {
    auto gate = std::make_shared<LogGate>();
    std::thread log([&] {
      for (int i = 0; i < 5000 && Value(waits) == "0"; ++i) absl::SleepFor(absl::Milliseconds(1));
      EXPECT_EQ(Value("SELECT v FROM t"), "old");
      if (somebody_waits) {
        // Returns although the gate is still closed.
        EXPECT_TRUE(Session()->Run("SET lock_timeout = '5s'; UPDATE t SET v = v").ok());
      } else {
        absl::SleepFor(absl::Milliseconds(100));
        EXPECT_EQ(Value("SELECT v FROM t"), "old");
      }
      gate->Decide(true);
    });
    const ProjectReply reply = project(gate);
    log.join();
    EXPECT_EQ(reply.outcome, somebody_waits ? Outcome::kGaveWay : Outcome::kCommitted) << reply.status;
    EXPECT_EQ(Value("SELECT v FROM t"), somebody_waits ? "old" : "new");
  }
}

// Goal: who writes to the same table does not wait for the log's disk, too. (Nobody may: then the time is used.)
TEST_F(ProjectionTest, ManyRowsAreNotLockedBeforeTheLogIsDurableWhileOthersWrite) {
  Enrol("id int PRIMARY KEY, v text");
  Sql("INSERT INTO t SELECT g, 'old' FROM generate_series(1, 101) g");
  std::deque<RowWrite> rows;
  for (int i = 1; i <= 101; ++i) rows.push_back(Update({absl::StrCat(i)}, {"new"}, Xmin(absl::StrCat(i))));
  Sql("UPDATE t SET v = v WHERE id = 1");
  EXPECT_THAT(Moved(Project({"v"}, rows)), ElementsAre(0)) << "somebody else is about";
  rows[0] = Update({"1"}, {"new"}, Xmin("1"));
  auto gate = std::make_shared<LogGate>();
  std::thread log([&] {
    absl::SleepFor(absl::Milliseconds(300));
    EXPECT_TRUE(Session()->Run("SET lock_timeout = '1ms'; UPDATE t SET v = 'app' WHERE id = 50").ok());
    gate->Decide(true);
  });
  const ProjectReply reply = database_->Project({2, "tag", {{kT, {"v"}, rows}}, false, gate});
  log.join();
  EXPECT_THAT(Moved(reply), ElementsAre(49));
  gate = std::make_shared<LogGate>();
  gate->Decide(false);
  EXPECT_EQ(database_->Project({3, "tag", {{kT, {"v"}, rows}}, false, gate}).outcome, Outcome::kUnavailable);
}

// A row that has moved ends it: what comes after would only be locked for nothing.
TEST_F(ProjectionTest, NothingIsWrittenAfterARowThatMoved) {
  Enrol("id int PRIMARY KEY, v text");
  Sql("INSERT INTO t SELECT g, 'old' FROM generate_series(1, 1001) g;"
      "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'reached'; END $$;"
      "CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON t FOR EACH ROW WHEN (NEW.id = 1001) EXECUTE FUNCTION fail();"
      "ALTER TABLE t ENABLE ALWAYS TRIGGER fail");
  std::deque<RowWrite> rows;
  for (int i = 1; i <= 1001; ++i) rows.push_back(Update({absl::StrCat(i)}, {"new"}, Xmin(absl::StrCat(i))));
  Sql("UPDATE t SET v = 'app' WHERE id = 1");
  EXPECT_THAT(Moved(Project({"v"}, rows)), ElementsAre(0));
  // Now somebody is about, and a statement has fewer rows, so that it is over sooner.
  Sql("CREATE TRIGGER sooner BEFORE UPDATE ON t FOR EACH ROW WHEN (NEW.id = 101) EXECUTE FUNCTION fail(); ALTER TABLE t ENABLE ALWAYS TRIGGER sooner");
  EXPECT_THAT(Moved(Project({"v"}, rows)), ElementsAre(0));
}

}  // namespace
}  // namespace assay
