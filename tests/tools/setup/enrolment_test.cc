// `assay init` and `assay leave` against a real server: what they refuse, what they change, and that the application
// never notices.
#include "tools/setup/enrolment.h"

#include <atomic>
#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "log/local_state/open_stores.h"
#include "tests/tools/setup/branch_harness.h"

namespace assay {
namespace {

using test::MustSql;
using test::Rows;
using test::Sql;
using test::SqlSession;
using test::SqlState;
using test::SqlValue;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

class EnrolmentTest : public test::BranchTest {
 protected:
  // Text of each refusal, by table.
  static std::map<std::string, std::string> Reasons(const InitReport& report) {
    std::map<std::string, std::string> reasons;
    for (const RefusedTable& refused : report.refused) reasons[refused.name.ToString()] = refused.reason;
    return reasons;
  }
  void CatchUp() {
    absl::Status status = branch_->CatchUp();
    ASSERT_TRUE(status.ok()) << status;
  }
  // What the role `clerk` may do: nothing but write the tables.
  void MakeClerk() {
    (void)Sql(server_->Url(), "CREATE ROLE clerk LOGIN");
    branch_->Sql(
        "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public TO clerk; "
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO clerk");
  }
};

TEST(GlobTest, StarTakesAnyRunAndQuestionMarkOne) {
  EXPECT_TRUE(MatchesGlob("public.*", "public.products"));
  EXPECT_TRUE(MatchesGlob("*.p*s", "public.products"));
  EXPECT_TRUE(MatchesGlob("public.product?", "public.products"));
  EXPECT_TRUE(MatchesGlob("*", ""));
  EXPECT_FALSE(MatchesGlob("public.product", "public.products"));
  EXPECT_FALSE(MatchesGlob("public.*x", "public.products"));
  EXPECT_FALSE(MatchesGlob("public.[a-z]*", "public.products"));
}

TEST_F(EnrolmentTest, TablesThatCannotTakePartAreRefusedByNameAndTheOthersEnrolled) {
  branch_->Sql(R"(
    CREATE TABLE good (id int PRIMARY KEY, v text);
    CREATE TABLE no_key (id int);
    CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE);
    CREATE UNLOGGED TABLE fast (id int PRIMARY KEY);
    CREATE VIEW seen AS SELECT * FROM good;
    CREATE MATERIALIZED VIEW stored AS SELECT * FROM good;
    CREATE EXTENSION postgres_fdw;
    CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;
    CREATE FOREIGN TABLE remote (id int) SERVER far;
    CREATE TABLE parent (id int PRIMARY KEY);
    CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
    CREATE TABLE by_table (id regclass PRIMARY KEY);
    CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
    CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
    CREATE TABLE session_data (id int PRIMARY KEY);)");
  branch_->options.exclude = {"public.session*"};
  const InitReport report = MustInit();
  std::vector<std::string> enrolled;
  for (const TableName& name : report.enrolled) enrolled.push_back(name.ToString());
  EXPECT_THAT(enrolled, ElementsAre("public.good", "public.parent", "public.parts"));
  const std::map<std::string, std::string> reasons = Reasons(report);
  EXPECT_THAT(reasons, SizeIs(8));
  EXPECT_THAT(reasons.at("public.no_key"), HasSubstr("no primary key"));
  EXPECT_THAT(reasons.at("public.deferred"), HasSubstr("deferrable"));
  EXPECT_THAT(reasons.at("public.fast"), HasSubstr("unlogged"));
  EXPECT_THAT(reasons.at("public.seen"), HasSubstr("view"));
  EXPECT_THAT(reasons.at("public.stored"), HasSubstr("materialized view"));
  EXPECT_THAT(reasons.at("public.remote"), HasSubstr("foreign"));
  EXPECT_THAT(reasons.at("public.child"), HasSubstr("inherits from"));
  EXPECT_THAT(reasons.at("public.by_table"), HasSubstr("regclass"));
  // Nothing that the application does to the refused ones fails.
  branch_->Sql(
      "INSERT INTO no_key VALUES (1); UPDATE no_key SET id = 2; DELETE FROM no_key; INSERT INTO deferred VALUES (1); "
      "UPDATE deferred SET id = 2; INSERT INTO child VALUES (1); UPDATE child SET id = 2; DELETE FROM deferred");
}

TEST_F(EnrolmentTest, ANamedTableThatIsRefusedOrMissingIsAnErrorAndNothingIsInstalled) {
  branch_->Sql(
      "CREATE TABLE good (id int PRIMARY KEY); CREATE TABLE no_key (id int); CREATE TEMPORARY TABLE x (id int PRIMARY "
      "KEY)");
  const std::string before = branch_->Dump(true);
  branch_->options.tables = {"public.good", "public.no_key", "public.missing", "pg_catalog.pg_class"};
  const absl::Status status = branch_->Init().status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("public.no_key cannot be enrolled: it has no primary key"),
                    HasSubstr("public.missing cannot be enrolled: there is no such table"),
                    HasSubstr("pg_catalog.pg_class cannot be enrolled: it is in a system schema"),
                    Not(HasSubstr("public.good"))));
  EXPECT_EQ(branch_->Dump(true), before);
}

TEST_F(EnrolmentTest, RowsThatAreThereBecomeBaselineEventsInTransactionsOfBoundedSize) {
  branch_->Sql(
      "CREATE TABLE b (id int PRIMARY KEY, v text, n numeric(8,3), upper_v text GENERATED ALWAYS AS (upper(v)) "
      "STORED); "
      "CREATE TABLE a (k1 text, k2 int, PRIMARY KEY (k2, k1)); "
      "INSERT INTO b VALUES (2, E'tab\\there\\\\ \\n', 1.500), (1, NULL, NULL), (3, '', 'NaN'); INSERT INTO a VALUES "
      "('x', 1), ('w', 1), ('y', 0)");
  const InitReport report = MustInit();
  EXPECT_THAT(
      branch_->Changes(),
      ElementsAre("baseline insert public.a (w,1)", "baseline insert public.a (x,1)", "baseline insert public.a (y,0)",
                  "baseline insert public.b (1) v=NULL n=NULL", "baseline insert public.b (2) v=tab\there\\ \n n=1.500",
                  "baseline insert public.b (3) v= n=NaN"));
  EXPECT_EQ(report.rows.rows, 6);
  EXPECT_EQ(report.rows.written, 6);
}

TEST_F(EnrolmentTest, ALargeBaselineComesInTransactionsOfFiveThousandRows) {
  branch_->Sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 12000)");
  MustInit();
  EXPECT_THAT(branch_->TransactionSizes(), ElementsAre(5000, 5000, 2000));
}

// One that has just ended is waited for: its session's lock goes a moment after it.
TEST_F(EnrolmentTest, OneChangesTheInstallationAtATime) {
  branch_->Sql("CREATE TABLE t (id int PRIMARY KEY)");
  const auto other = Connection::Open(branch_->options.admin_url, {}).value();
  ASSERT_TRUE(other->Execute("SELECT pg_advisory_lock(7022344802686378873)").ok());
  const absl::Status refused = branch_->Init().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(refused.message(), HasSubstr("wait for it to end"));
  std::thread ends([&] {
    absl::SleepFor(absl::Milliseconds(500));
    EXPECT_TRUE(other->Execute("SELECT pg_advisory_unlock(7022344802686378873)").ok());
  });
  EXPECT_TRUE(branch_->Init().ok());
  ends.join();
}

TEST_F(EnrolmentTest, InitTwiceChangesNothing) {
  branch_->Sql(
      "CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t (v) VALUES ('a'); "
      "CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF parts FOR VALUES "
      "FROM (0) TO (9)");
  MustInit();
  const std::string dump = branch_->Dump();
  const std::vector<std::string> changes = branch_->Changes();
  const std::string slot = branch_->Value(
      "SELECT restart_lsn || ' ' || confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'assay'");
  const InitReport again = MustInit();
  EXPECT_EQ(branch_->Dump(), dump);
  EXPECT_EQ(branch_->Changes(), changes);
  EXPECT_EQ(branch_->Value(
                "SELECT restart_lsn || ' ' || confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'assay'"),
            slot);
  EXPECT_THAT(again.added, IsEmpty());
  EXPECT_THAT(again.enrolled, SizeIs(2));
  EXPECT_THAT(again.sequences.strided, IsEmpty());
}

TEST_F(EnrolmentTest, AnInitUnderAnotherNameOrNumberThanTheLogsChangesNothing) {
  branch_->Sql("CREATE TABLE t (id serial PRIMARY KEY)");
  MustInit();
  const std::string dump = branch_->Dump();
  EngineConfig& engine = branch_->options.engine;
  ++engine.branch_number;
  absl::Status status = branch_->Init().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("and the config says"));
  --engine.branch_number;
  engine.branch_name += "x";
  EXPECT_TRUE(absl::IsFailedPrecondition(branch_->Init().status()));
  EXPECT_EQ(branch_->Dump(), dump);
}

TEST_F(EnrolmentTest, ATableMadeLaterIsPickedUpWithItsRowsAndNothingTwice) {
  branch_->Sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
  MustInit();
  branch_->Sql("CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (1), (2); INSERT INTO t VALUES (2)");
  const InitReport report = MustInit();
  EXPECT_THAT(report.added, ElementsAre(TableName{"public", "later"}));
  branch_->Sql("INSERT INTO later VALUES (3); INSERT INTO t VALUES (3)");
  CatchUp();
  EXPECT_THAT(branch_->Changes(), ElementsAre("baseline insert public.t (1)", "baseline insert public.later (1)",
                                              "baseline insert public.later (2)", "live insert public.t (2)",
                                              "live insert public.later (3)", "live insert public.t (3)"));
}

// As an init leaves it that was killed, or took the table out again since its rows had come to differ: what was written
// while the table was published comes by in the stream, after the baseline that has what became of it.
TEST_F(EnrolmentTest, WhatATableGotBeforeItsBaselineIsInThatAndNotRecordedAgain) {
  branch_->Sql("CREATE TABLE early (id int PRIMARY KEY)");
  MustInit();
  branch_->Sql("CREATE TABLE late (id int PRIMARY KEY, v text); INSERT INTO late VALUES (1, 'a'), (2, 'a'), (3, 'a')");
  branch_->Sql("ALTER PUBLICATION assay ADD TABLE late");
  branch_->Sql(
      "UPDATE late SET v = 'while published' WHERE id < 3; DELETE FROM late WHERE id = 3; INSERT INTO early VALUES (1)");
  branch_->Sql("ALTER PUBLICATION assay DROP TABLE late");
  branch_->Sql("UPDATE late SET v = 'later' WHERE id = 1; INSERT INTO late VALUES (3, 'again')");
  MustInit();
  branch_->Sql("UPDATE late SET v = 'captured' WHERE id = 2");
  ASSERT_TRUE(branch_->CatchUp().ok());
  EXPECT_THAT(branch_->Changes(), ElementsAre("baseline insert public.late (1) v=later",
                                              "baseline insert public.late (2) v=while published",
                                              "baseline insert public.late (3) v=again", "live insert public.early (1)",
                                              "live update public.late (2) v=captured"));
  {
    const auto file = LogFile::Open(branch_->log_path(), {}).value();
    const OpenStores stores = OpenStores::Open(file.get()).value();
    EXPECT_TRUE(stores.state->Read(kBaselinesNote)->empty()) << "the stream is past it";
  }
}

TEST_F(EnrolmentTest, RowsWrittenDuringInitAreInBaselineOrStreamExactlyOnce) {
  branch_->Sql(
      "CREATE TABLE t (id int PRIMARY KEY, writer int); CREATE TABLE u (id int PRIMARY KEY); CREATE TABLE v (id int "
      "PRIMARY KEY); "
      "INSERT INTO t SELECT g, 0 FROM generate_series(1, 3000) g");
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  std::atomic<int> written{0};
  for (int writer = 1; writer <= 3; ++writer) {
    writers.emplace_back([&, writer] {
      auto session = SqlSession::Connect(branch_->url()).value();
      for (int i = 1; !stop; ++i) {
        absl::Status status =
            session->Run(absl::StrCat("INSERT INTO t VALUES (", writer * 1000000 + i, ",", writer, ")")).status();
        ASSERT_TRUE(status.ok()) << status;
        ++written;
      }
    });
  }
  absl::SleepFor(absl::Milliseconds(100));
  const InitReport report = MustInit();
  const int during = written;
  absl::SleepFor(absl::Milliseconds(100));
  // A table that joins later is cut out of the stream in another way: the same must hold.
  branch_->Sql("CREATE TABLE w AS SELECT * FROM t; ALTER TABLE w ADD PRIMARY KEY (id)");
  std::thread late([&] {
    auto session = SqlSession::Connect(branch_->url()).value();
    for (int i = 1; !stop; ++i)
      EXPECT_TRUE(session->Run(absl::StrCat("INSERT INTO w VALUES (", 9000000 + i, ", 9)")).ok());
  });
  absl::SleepFor(absl::Milliseconds(100));
  MustInit();
  absl::SleepFor(absl::Milliseconds(200));
  stop = true;
  for (std::thread& writer : writers) writer.join();
  late.join();
  CatchUp();
  EXPECT_GT(during, 0);
  EXPECT_GT(report.rows.written, 3000u);
  std::map<std::string, int> seen;
  bool baseline_t = false, live_t = false;
  for (const std::string& change : branch_->Changes()) {
    const std::string name = change.substr(change.find("insert"), change.find(')') - change.find("insert"));
    ++seen[name];
    baseline_t |= absl::StartsWith(change, "baseline insert public.t (100");
    live_t |= absl::StartsWith(change, "live insert public.t (100");
  }
  EXPECT_TRUE(baseline_t && live_t);
  for (const auto& [name, count] : seen) ASSERT_EQ(count, 1) << name;
  EXPECT_EQ(std::to_string(seen.size()), branch_->Value("SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM w)"));
}

TEST_F(EnrolmentTest, AnUnprivilegedApplicationGoesOnAsBeforeAndIsNamed) {
  branch_->Sql(
      "CREATE TABLE t (id serial PRIMARY KEY, v text); CREATE TABLE c (id int PRIMARY KEY, t int REFERENCES t ON "
      "DELETE CASCADE)");
  MakeClerk();
  MustInit();
  auto clerk = SqlSession::Connect(branch_->url_as("clerk")).value();
  const auto run = [&](const std::string& sql) {
    absl::Status status = clerk->Run(sql).status();
    EXPECT_TRUE(status.ok()) << sql << ": " << status;
  };
  run("SET application_name = 'till'; SET assay.application_user = 'Asha'");
  run("INSERT INTO t (v) VALUES ('a'), ('b')");
  run("BEGIN; SET LOCAL assay.application_user = 'Binu'; SET LOCAL assay.terminal = 'till 2'; SET LOCAL assay.reason = "
      "'return "
      "''of'' \"ring\"'; "
      "UPDATE t SET v = 'c' WHERE v = 'a'; INSERT INTO c SELECT id, id FROM t; DELETE FROM t WHERE v = 'b'; COMMIT");
  // The message of a savepoint that is rolled back goes with it; the next statement says it again.
  run("BEGIN; SAVEPOINT s; UPDATE t SET v = 'no'; ROLLBACK TO s; UPDATE t SET v = 'yes'; RELEASE s; UPDATE t SET v = "
      "'yes!'; COMMIT");
  EXPECT_TRUE(clerk->CopyIn("COPY t (v) FROM STDIN", "x\ny\n").ok());
  run("BEGIN; INSERT INTO t (v) VALUES ('gone'); ROLLBACK");
  run("BEGIN; INSERT INTO t (v) VALUES ('two-phase'); PREPARE TRANSACTION 'p'");
  branch_->Sql("COMMIT PREPARED 'p'");
  run("TRUNCATE t, c");
  branch_->Sql("SET session_replication_role = replica; INSERT INTO t (v) VALUES ('unseen')");
  CatchUp();
  const std::vector<std::string> said = branch_->Attributions();
  ASSERT_EQ(said.size(), 7u);
  EXPECT_EQ(said[0], "database_user: \"clerk\" application_user: \"Asha\" application_name: \"till\"");
  EXPECT_EQ(said[1],
            "database_user: \"clerk\" application_user: \"Binu\" terminal: \"till 2\" reason: \"return \\'of\\' "
            "\\\"ring\\\"\" application_name: \"till\"");
  EXPECT_EQ(said[2], said[0]);
  EXPECT_EQ(said[3], said[0]);
  EXPECT_EQ(said[4], said[0]);
  EXPECT_EQ(said[5], said[0]);
  EXPECT_EQ(said[6], "") << "a session without triggers is captured, and unattributed";
  EXPECT_EQ(branch_->Value("SELECT count(*) FROM t"), "1");
}

TEST_F(EnrolmentTest, OneTransactionSaysWhoItIsOnce) {
  branch_->Sql("CREATE TABLE t (id int PRIMARY KEY)");
  MustInit();
  branch_->Sql("SELECT pg_create_logical_replication_slot('look', 'test_decoding')");
  branch_->Sql("DO $$ BEGIN FOR i IN 1..50 LOOP INSERT INTO t VALUES (i); END LOOP; END $$");
  EXPECT_EQ(
      branch_->Value("SELECT count(*) FROM pg_logical_slot_get_changes('look', NULL, NULL) WHERE data LIKE 'message%'"),
      "1");
  branch_->Sql("SELECT pg_drop_replication_slot('look')");
}

TEST_F(EnrolmentTest, PartitionsTakePartUnderTheNameOfTheirRoot) {
  branch_->Sql(
      "CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); "
      "CREATE TABLE p1 PARTITION OF parts FOR VALUES FROM (0) TO (10); CREATE TABLE p2 PARTITION OF parts FOR VALUES "
      "FROM (10) TO (20); "
      "INSERT INTO parts VALUES (1, 'a'), (11, 'b')");
  MakeClerk();
  MustInit();
  MustSql(branch_->url_as("clerk"), "UPDATE p1 SET v = 'direct'");
  MustSql(branch_->url_as("clerk"), "UPDATE parts SET id = 12 WHERE id = 1");
  CatchUp();
  EXPECT_THAT(branch_->Changes(),
              ElementsAre("baseline insert public.parts (1) v=a", "baseline insert public.parts (11) v=b",
                          "live update public.parts (1) v=direct", "live delete public.parts (1)",
                          "live insert public.parts (12) v=direct"));
  EXPECT_THAT(branch_->Attributions(), ElementsAre("", HasSubstr("clerk"), HasSubstr("clerk")));
}

TEST_F(EnrolmentTest, APartitionMadeAfterwardsIsCapturedAndTheNextInitGivesItItsBeforeImages) {
  branch_->Sql("CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)");
  MustInit();
  branch_->Sql("CREATE TABLE p1 PARTITION OF parts FOR VALUES FROM (0) TO (10)");
  branch_->Sql("INSERT INTO parts VALUES (1, 'a')");
  CatchUp();
  EXPECT_THAT(MustInit().added, IsEmpty());
  branch_->Sql("UPDATE p1 SET v = 'b'");
  CatchUp();
  EXPECT_THAT(branch_->Changes(), ElementsAre("live insert public.parts (1) v=a", "live update public.parts (1) v=b"));
  EXPECT_THAT(branch_->Attributions(), ElementsAre(HasSubstr("postgres"), HasSubstr("postgres")));
}

// Goal: duplicates that come from another branch are seen in a table whose constraint is deferrable (projection_test.cc
// shows how).
TEST_F(EnrolmentTest, DeferrableConstraintsAreMadeToHoldForReplicationUntilTheTableLeaves) {
  branch_->Sql(
      "CREATE TABLE d (id int PRIMARY KEY, u int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO d VALUES (1, 1), "
      "(2, 2); CREATE TABLE parts (id int PRIMARY KEY, u int, UNIQUE (id, u) DEFERRABLE) PARTITION BY RANGE (id); "
      "CREATE TABLE p1 PARTITION OF parts FOR VALUES FROM (0) TO (9)");
  const std::string states =
      "SELECT string_agg(DISTINCT tgenabled::text, '') FROM pg_trigger WHERE tgfoid = 'unique_key_recheck'::regproc";
  EXPECT_EQ(branch_->Value(states), "O");
  MustInit();
  EXPECT_EQ(branch_->Value(states), "A");
  branch_->Sql("CREATE TABLE p2 PARTITION OF parts FOR VALUES FROM (10) TO (19)");
  EXPECT_EQ(branch_->Value(states), "AO");
  MustInit();
  EXPECT_EQ(branch_->Value(states), "A");
  // For the application nothing is different.
  branch_->Sql("UPDATE d SET u = 3 - u");
  EXPECT_EQ(SqlState(Sql(branch_->url(), "INSERT INTO d VALUES (3, 1)").status()), "23505");
  EXPECT_TRUE(branch_->Leave().ok());
  EXPECT_EQ(branch_->Value(states), "O");
}

TEST_F(EnrolmentTest, TheProjectorMayWriteEnrolledTablesAndNothingElse) {
  (void)Sql(server_->Url(), "CREATE ROLE engine LOGIN REPLICATION");
  branch_->Sql(
      "CREATE SCHEMA kinds; CREATE TYPE kinds.metal AS ENUM ('gold'); CREATE TABLE t (id serial PRIMARY KEY, m "
      "kinds.metal); "
      "CREATE TABLE other (id int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; INSERT INTO t VALUES (1, 'gold')");
  branch_->options.url = branch_->url_as("engine");
  MustInit();
  auto engine = SqlSession::Connect(branch_->url_as("engine")).value();
  const auto run = [&](const std::string& sql) { return engine->Run(sql).status(); };
  EXPECT_TRUE(run("SET session_replication_role = replica; SET ROLE assay_projector").ok());
  absl::Status written =
      run("INSERT INTO t (m) VALUES ('gold'); UPDATE t SET m = NULL WHERE m = 'gold'::kinds.metal; DELETE FROM t; "
          "UPDATE assay.progress SET batch = 1");
  EXPECT_TRUE(written.ok()) << written;
  EXPECT_EQ(branch_->Value("SELECT count(*) FROM t"), "0") << "row-level security hides nothing from the projection";
  EXPECT_EQ(SqlState(run("INSERT INTO other VALUES (1)")), "42501");
  EXPECT_EQ(SqlState(run("DELETE FROM assay.enrolled")), "42501");
  EXPECT_EQ(SqlState(run("TRUNCATE t")), "42501");
  EXPECT_EQ(branch_->Value("SELECT rolsuper OR rolcanlogin FROM pg_roles WHERE rolname = 'assay_projector'"), "f");
}

TEST_F(EnrolmentTest, AnOwnerWhoIsNotSuperuserCanEnrolOnceASuperuserHasPreparedTheRoles) {
  (void)Sql(server_->Url(), "CREATE ROLE owner LOGIN REPLICATION");
  branch_->Sql("GRANT CREATE ON DATABASE erp_" + branch_->options.engine.branch_name +
               " TO owner; GRANT CREATE ON SCHEMA public TO owner; "
               "SET ROLE owner; CREATE TABLE t (id serial PRIMARY KEY); INSERT INTO t VALUES (1); "
               "CREATE TABLE late (id int PRIMARY KEY, u int CONSTRAINT u UNIQUE DEFERRABLE); RESET ROLE; CREATE "
               "TABLE foreign_owned (id int PRIMARY KEY)");
  branch_->options.url = branch_->options.admin_url = branch_->url_as("owner");
  absl::Status unprepared = branch_->Init().status();
  EXPECT_TRUE(absl::IsPermissionDenied(unprepared)) << unprepared;
  EXPECT_THAT(std::string(unprepared.message()), HasSubstr("CREATE ROLE assay_projector NOLOGIN"));
  MustSql(server_->Url(),
          "CREATE ROLE assay_projector NOLOGIN; GRANT SET ON PARAMETER session_replication_role TO assay_projector; "
          "GRANT assay_projector TO owner");
  const InitReport report = MustInit();
  EXPECT_THAT(report.enrolled, ElementsAre(TableName{"public", "t"}));
  EXPECT_THAT(Reasons(report).at("public.foreign_owned"), HasSubstr("owned by postgres"));
  const std::string remedy = Reasons(report).at("public.late");
  ASSERT_THAT(remedy, HasSubstr("for u: ALTER TABLE public.late ENABLE ALWAYS TRIGGER"));
  branch_->Sql(remedy.substr(remedy.find("ALTER TABLE")));
  EXPECT_THAT(MustInit().enrolled, ElementsAre(TableName{"public", "late"}, TableName{"public", "t"}));
  branch_->Sql("INSERT INTO t VALUES (2)");
  CatchUp();
  EXPECT_THAT(branch_->Changes(), SizeIs(2));
  EXPECT_TRUE(branch_->Leave().ok());
  EXPECT_EQ(SqlValue(server_->Url(), "SELECT count(*) FROM pg_roles WHERE rolname = 'assay_projector'"), "1")
      << "not ours to drop";
  MustSql(server_->Url(), "DROP ROLE assay_projector");
}

TEST_F(EnrolmentTest, LeavePutsTheDatabaseBackAsItWas) {
  branch_->Sql(R"(
    CREATE TABLE t (id serial PRIMARY KEY, u int NOT NULL, v text); CREATE UNIQUE INDEX t_u ON t (u); ALTER TABLE t REPLICA IDENTITY USING INDEX t_u;
    CREATE TABLE n (id int PRIMARY KEY); ALTER TABLE n REPLICA IDENTITY NOTHING;
    CREATE TABLE f (id bigint GENERATED BY DEFAULT AS IDENTITY (INCREMENT BY 5) PRIMARY KEY); ALTER TABLE f REPLICA IDENTITY FULL;
    CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF parts FOR VALUES FROM (0) TO (9);
    CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER own AFTER INSERT ON t EXECUTE FUNCTION noop();)");
  MakeClerk();
  const std::string roles = "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles";
  const std::string grants =
      "SELECT count(*) FROM pg_shdepend WHERE dbid IN (0, (SELECT oid FROM pg_database WHERE datname = "
      "current_database()))";
  const std::string before = branch_->Dump(true), roles_before = branch_->Value(roles),
                    grants_before = branch_->Value(grants);
  MustInit();
  EXPECT_NE(branch_->Dump(true), before);
  branch_->Sql("INSERT INTO t (u) VALUES (1)");
  absl::StatusOr<LeaveReport> left = branch_->Leave();
  ASSERT_TRUE(left.ok()) << left.status();
  EXPECT_TRUE(left->was_enrolled);
  EXPECT_THAT(left->notes, IsEmpty());
  EXPECT_EQ(branch_->Dump(true), before);
  EXPECT_EQ(branch_->Value(roles), roles_before);
  EXPECT_EQ(branch_->Value(grants), grants_before);
  EXPECT_EQ(branch_->Value("SELECT count(*) FROM pg_replication_slots"), "0");
  EXPECT_EQ(branch_->Value("INSERT INTO t (u) VALUES (2) RETURNING id"), "4")
      << "above what was handed out, in the old steps";
  // The log is kept, and is not continued.
  const absl::Status again = branch_->Init().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(again)) << again;
  EXPECT_THAT(std::string(again.message()), HasSubstr("move it away"));
  EXPECT_TRUE(branch_->Leave().ok()) << "leaving twice is no error";
}

TEST_F(EnrolmentTest, AnInitThatDiedBetweenSlotAndBaselineIsBegunAgain) {
  branch_->Sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
  branch_->options.progress = [&](absl::string_view stage, uint64_t, uint64_t) {
    if (stage == "create the slot")
      branch_->options.admin_url = "host=/nonexistent";  // Read when the reader is opened.
  };
  EXPECT_FALSE(branch_->Init().ok());
  EXPECT_EQ(branch_->Value("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'assay'"), "1");
  const std::string orphan = branch_->Value("SELECT restart_lsn FROM pg_replication_slots");
  EXPECT_THAT(branch_->Changes(), IsEmpty());
  branch_->options.progress = nullptr;
  branch_->options.admin_url = branch_->url();
  branch_->Sql("INSERT INTO t VALUES (2)");
  MustInit();
  EXPECT_NE(branch_->Value("SELECT restart_lsn FROM pg_replication_slots"), orphan);
  branch_->Sql("INSERT INTO t VALUES (3)");
  CatchUp();
  EXPECT_THAT(branch_->Changes(),
              ElementsAre("baseline insert public.t (1)", "baseline insert public.t (2)", "live insert public.t (3)"));
}

TEST_F(EnrolmentTest, ASlotThatTheLogDoesNotKnowIsNotTouched) {
  branch_->Sql("CREATE TABLE t (id int PRIMARY KEY)");
  branch_->Sql("SELECT pg_create_logical_replication_slot('assay', 'pgoutput')");
  const absl::Status status = branch_->Init().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("pg_drop_replication_slot"));
  EXPECT_EQ(branch_->Value("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'assay'"), "1");
}

TEST_F(EnrolmentTest, ABusyTableHoldsUpNobodyForLong) {
  branch_->Sql("CREATE TABLE busy (id int PRIMARY KEY); CREATE TABLE free (id int PRIMARY KEY)");
  auto holder = SqlSession::Connect(branch_->url()).value();
  ASSERT_TRUE(holder->Run("BEGIN; LOCK TABLE busy IN ROW SHARE MODE").ok());
  std::atomic<bool> stop{false};
  absl::Duration longest;
  std::thread reader([&] {
    auto session = SqlSession::Connect(branch_->url()).value();
    while (!stop) {
      const absl::Time begin = absl::Now();
      EXPECT_TRUE(session->Run("SELECT count(*) FROM busy").ok());
      longest = std::max(longest, absl::Now() - begin);
    }
  });
  branch_->options.lock_wait = absl::Seconds(2);
  const absl::Status status = branch_->Init().status();
  stop = true;
  reader.join();
  EXPECT_TRUE(absl::IsAborted(status)) << status;
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("public.busy"), HasSubstr("process ")));
  EXPECT_GT(longest, absl::Milliseconds(100)) << "the reader was never in the way";
  EXPECT_LT(longest, absl::Seconds(1));
  EXPECT_EQ(branch_->Value("SELECT relreplident FROM pg_class WHERE relname = 'free'"), "f")
      << "one busy table does not keep the others";
  ASSERT_TRUE(holder->Run("COMMIT").ok());
  MustInit();
}

TEST_F(EnrolmentTest, ATransactionThatDoesNotEndIsNamedAndLeavesNoSlot) {
  branch_->Sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (x int)");
  auto holder = SqlSession::Connect(branch_->url() + "&application_name=forgotten").value();
  ASSERT_TRUE(holder->Run("BEGIN; INSERT INTO other VALUES (1)").ok());
  branch_->options.tables = {"public.t"};
  branch_->options.slot_wait = absl::Seconds(1);
  const absl::Status status = branch_->Init().status();
  EXPECT_TRUE(absl::IsAborted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("forgotten"));
  ASSERT_TRUE(holder->Run("COMMIT").ok());
  for (int i = 0; i < 50 && branch_->Value("SELECT count(*) FROM pg_replication_slots") != "0"; ++i)
    absl::SleepFor(absl::Milliseconds(100));
  EXPECT_EQ(branch_->Value("SELECT count(*) FROM pg_replication_slots"), "0");
  MustInit();
}

TEST_F(EnrolmentTest, TwoHundredTablesEnrolInUnderThirtySeconds) {
  branch_->Sql(R"(
    CREATE EXTENSION btree_gist;
    DO $$ BEGIN
      FOR i IN 1..200 LOOP
        EXECUTE format('CREATE TABLE t%s (id serial PRIMARY KEY, a int, b int, code text UNIQUE, during int4range, EXCLUDE USING gist (a WITH =, during WITH &&))', i);
        IF i % 2 = 0 THEN EXECUTE format('CREATE UNIQUE INDEX ON t%s (b)', i); END IF;
        EXECUTE format('INSERT INTO t%s (a, b, code) SELECT g, g, g FROM generate_series(1, 20) g', i);
        IF i > 2 THEN
          EXECUTE format('ALTER TABLE t%s ADD FOREIGN KEY (a) REFERENCES t%s, ADD FOREIGN KEY (b) REFERENCES t%s', i, i - 1, i - 2);
        END IF;
      END LOOP;
    END $$)");
  const absl::Time begin = absl::Now();
  const InitReport report = MustInit();
  const absl::Duration took = absl::Now() - begin;
  EXPECT_LT(took, absl::Seconds(30));
  EXPECT_THAT(report.enrolled, SizeIs(200));
  EXPECT_EQ(report.rows.written, 4000u);
  RecordProperty("seconds", absl::FormatDuration(took));
  std::printf("200 tables enrolled in %s\n", absl::FormatDuration(took).c_str());
}

TEST_F(EnrolmentTest, HostileNamesAreOnlyNames) {
  branch_->Sql(
      R"(CREATE SCHEMA "odd ""; DROP TABLE x; --"; CREATE TABLE "odd ""; DROP TABLE x; --"."T'a\b.c" ("i d" int PRIMARY KEY, "sel""ect" text, "E'\\" serial);
                  INSERT INTO "odd ""; DROP TABLE x; --"."T'a\b.c" VALUES (1, 'v'))");
  branch_->options.tables = {"*.*"};
  const InitReport report = MustInit();
  EXPECT_THAT(report.enrolled, SizeIs(1));
  EXPECT_EQ(report.rows.written, 1u);
  EXPECT_THAT(report.sequences.strided, SizeIs(1));
}

TEST_F(EnrolmentTest, ADatabaseThatIsNotUtf8IsRefusedWithTheRemedy) {
  MustSql(server_->Url(), "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
  branch_->options.url = branch_->options.admin_url = server_->Url("latin");
  const absl::Status status = branch_->Init().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("LATIN1"), HasSubstr("createdb --encoding=UTF8")));
  EXPECT_EQ(SqlValue(server_->Url("latin"), "SELECT count(*) FROM pg_namespace WHERE nspname = 'assay'"), "0");
  MustSql(server_->Url(), "DROP DATABASE latin");
}

TEST_F(EnrolmentTest, ANumberOutsideTheStrideIsRefused) {
  branch_->Sql("CREATE TABLE t (id int PRIMARY KEY)");
  for (int number : {0, 65}) {
    branch_->options.engine.branch_number = number;
    EXPECT_TRUE(absl::IsInvalidArgument(branch_->Init().status())) << number;
  }
}

}  // namespace
}  // namespace assay
