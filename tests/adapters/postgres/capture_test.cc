// Capture against a real server: everything committed arrives once, whole, in commit order, and nothing else does.
#include "adapters/postgres/capture.h"

#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/problem.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/adapters/postgres/branch_database.h"

namespace assay {
namespace {

using test::BranchDatabase;
using test::MustSql;
using test::PostgresServer;
using test::SqlSession;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CaptureTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto server =
        PostgresServer::Create({.settings = {{"max_prepared_transactions", "5"}, {"max_replication_slots", "20"}}});
    if (!test::MaySkipWithoutPostgres(server.status())) server_ = std::move(server).value().release();
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  void SetUp() override {
    if (server_ == nullptr) GTEST_SKIP() << "no PostgreSQL";
    harness_ = std::make_unique<BranchDatabase>(*server_);
  }
  void TearDown() override { harness_.reset(); }

  void StartWithTable() {
    harness_->Enrol("t", "id int PRIMARY KEY, v text");
    harness_->Start();
  }
  void Sql(const std::string& sql) { harness_->Sql(sql); }
  std::vector<std::string> Captured() { return harness_->Captured(); }
  std::unique_ptr<SqlSession> Session() { return SqlSession::Connect(harness_->url()).value(); }

  static PostgresServer* server_;
  std::unique_ptr<BranchDatabase> harness_;
};

PostgresServer* CaptureTest::server_ = nullptr;

TEST_F(CaptureTest, ChangesCarryTheirBeforeImage) {
  StartWithTable();
  Sql("BEGIN; INSERT INTO t VALUES (1, 'a'), (2, NULL); UPDATE t SET v = 'b' WHERE id = 1; COMMIT");
  Sql("UPDATE t SET id = 3 WHERE id = 2");
  Sql("DELETE FROM t");
  EXPECT_THAT(Captured(), ElementsAre("insert public.t (id=1 v=a); insert public.t (id=2 v=NULL); "
                                      "update public.t (id=1 v=a) to (id=1 v=b)",
                                      "update public.t (id=2 v=NULL) to (id=3 v=NULL)",
                                      "delete public.t (id=1 v=b); delete public.t (id=3 v=NULL)"));
}

TEST_F(CaptureTest, OrderIsThatOfCommitsNotOfStatements) {
  StartWithTable();
  auto early = Session();
  ASSERT_TRUE(early->Run("BEGIN; INSERT INTO t VALUES (1, 'began first')").ok());
  Sql("INSERT INTO t VALUES (2, 'committed first')");
  ASSERT_TRUE(early->Run("COMMIT").ok());
  EXPECT_THAT(Captured(),
              ElementsAre("insert public.t (id=2 v=committed first)", "insert public.t (id=1 v=began first)"));
}

TEST_F(CaptureTest, CopyIsCaptured) {
  StartWithTable();
  ASSERT_TRUE(Session()->CopyIn("COPY t FROM STDIN", "1\ta\n2\t\\N\n").ok());
  EXPECT_THAT(Captured(), ElementsAre("insert public.t (id=1 v=a); insert public.t (id=2 v=NULL)"));
}

TEST_F(CaptureTest, SuperuserWithTriggersOffDoesNotEscape) {
  StartWithTable();
  Sql("ALTER TABLE t DISABLE TRIGGER ALL; SET session_replication_role = replica; INSERT INTO t VALUES (1, 'hidden?')");
  EXPECT_THAT(Captured(), ElementsAre("insert public.t (id=1 v=hidden?)"));
}

TEST_F(CaptureTest, RolledBackWorkNeverArrives) {
  StartWithTable();
  Sql("BEGIN; INSERT INTO t VALUES (1, 'no'); ROLLBACK");
  Sql("BEGIN; INSERT INTO t VALUES (2, 'kept'); SAVEPOINT a; INSERT INTO t VALUES (3, 'no'); SAVEPOINT b;"
      "INSERT INTO t VALUES (4, 'no'); ROLLBACK TO a; INSERT INTO t VALUES (5, 'kept'); RELEASE a; COMMIT");
  EXPECT_FALSE(Session()->Run("BEGIN; INSERT INTO t VALUES (6, 'no'); INSERT INTO t VALUES (6, 'twice'); COMMIT").ok());
  EXPECT_THAT(Captured(), ElementsAre("insert public.t (id=2 v=kept); insert public.t (id=5 v=kept)"));
}

TEST_F(CaptureTest, PreparedTransactionsArriveWhenTheyCommit) {
  StartWithTable();
  Sql("BEGIN; INSERT INTO t VALUES (1, 'prepared'); PREPARE TRANSACTION 'p1'");
  Sql("BEGIN; INSERT INTO t VALUES (2, 'never'); PREPARE TRANSACTION 'p2'");
  Sql("INSERT INTO t VALUES (3, 'between')");
  EXPECT_THAT(Captured(), ElementsAre("insert public.t (id=3 v=between)"));
  Sql("COMMIT PREPARED 'p1'");
  Sql("ROLLBACK PREPARED 'p2'");
  EXPECT_THAT(Captured(), ElementsAre("insert public.t (id=1 v=prepared)"));
}

TEST_F(CaptureTest, CascadesArriveRowByRow) {
  harness_->Enrol("parent", "id int PRIMARY KEY");
  harness_->Enrol("child", "id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE");
  Sql("INSERT INTO parent VALUES (1); INSERT INTO child SELECT i, 1 FROM generate_series(1, 5000) i");
  harness_->Start();
  Captured();
  Sql("DELETE FROM parent");
  const std::vector<std::string> transactions = Captured();
  ASSERT_EQ(transactions.size(), 1u);
  EXPECT_THAT(transactions[0], HasSubstr("delete public.parent (id=1); delete public.child (id=1 parent=1); "));
  EXPECT_THAT(transactions[0], HasSubstr("delete public.child (id=5000 parent=1)"));
}

TEST_F(CaptureTest, TruncateNamesEveryTable) {
  harness_->Enrol("parent", "id int PRIMARY KEY");
  harness_->Enrol("child", "id int PRIMARY KEY, parent int REFERENCES parent");
  harness_->Start();
  Sql("TRUNCATE parent CASCADE");
  EXPECT_THAT(Captured(), ElementsAre("truncate public.parent; truncate public.child"));
}

TEST_F(CaptureTest, LargeTransactionsComeInBoundedBatches) {
  StartWithTable();
  Sql("INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 20000) i");
  EXPECT_EQ(Captured().size(), 1u);
  EXPECT_LE(harness_->largest_batch(), 2000u);
}

TEST_F(CaptureTest, TextDoesNotDependOnDatabaseSettings) {
  Sql(absl::StrCat("ALTER DATABASE ", harness_->slot(), " SET datestyle = 'SQL, DMY'; ALTER DATABASE ",
                   harness_->slot(), " SET timezone = 'Asia/Kolkata'; ALTER DATABASE ", harness_->slot(),
                   " SET extra_float_digits = -3; ALTER DATABASE ", harness_->slot(),
                   " SET bytea_output = 'escape'; ALTER DATABASE ", harness_->slot(),
                   " SET intervalstyle = 'iso_8601'"));
  harness_->Enrol("t", "id int PRIMARY KEY, d date, z timestamptz, f float8, b bytea, i interval, m money");
  harness_->Start();
  Sql("SET datestyle = 'ISO'; SET timezone = 'UTC'; INSERT INTO t VALUES (1, '2024-03-04', '2024-01-01 00:00+00',"
      "0.1::float8 + 0.2, '\\x00ff', '-1 mon +2 days', 12.5)");
  EXPECT_THAT(Captured(),
              ElementsAre("insert public.t (id=1 d=2024-03-04 z=2024-01-01 00:00:00+00 f=0.30000000000000004 "
                          "b=\\x00ff i=-1 mons +2 days m=$12.50)"));
}

TEST_F(CaptureTest, WhatWasNotConfirmedComesAgain) {
  StartWithTable();
  Sql("INSERT INTO t VALUES (1, 'a')");
  EXPECT_THAT(Captured(), ElementsAre("insert public.t (id=1 v=a)"));
  harness_->Start();
  EXPECT_THAT(Captured(), ElementsAre("insert public.t (id=1 v=a)"));
  Sql("INSERT INTO t VALUES (2, 'b')");
  harness_->Start();
  EXPECT_THAT(Captured(), ElementsAre("insert public.t (id=1 v=a)", "insert public.t (id=2 v=b)"));
}

TEST_F(CaptureTest, ConfirmedIsReportedAtOnceAndDoesNotComeAgain) {
  StartWithTable();
  Sql("INSERT INTO t VALUES (1, 'a')");
  Captured();
  const std::string confirmed =
      absl::StrCat("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '", harness_->slot(), "'");
  const std::string before = harness_->Value(confirmed);
  std::thread waiting([&] { EXPECT_TRUE(harness_->capture().Next(absl::Seconds(3)).ok()); });
  absl::SleepFor(absl::Milliseconds(200));  // Confirmed from another thread while Next waits.
  harness_->Confirm();
  absl::SleepFor(absl::Milliseconds(300));
  EXPECT_NE(harness_->Value(confirmed), before);
  waiting.join();
  harness_->Start();
  EXPECT_THAT(Captured(), IsEmpty());
}

TEST_F(CaptureTest, ConfirmingWhatWasNotDeliveredDoesNotSkipIt) {
  StartWithTable();
  harness_->capture().Confirm({~uint64_t{0} >> 8});
  ASSERT_TRUE(harness_->capture().Next(absl::Milliseconds(100)).ok());
  Sql("INSERT INTO t VALUES (1, 'a')");
  harness_->Start();
  EXPECT_THAT(Captured(), ElementsAre("insert public.t (id=1 v=a)"));
}

TEST_F(CaptureTest, IdleSlotFollowsOtherTablesWrites) {
  StartWithTable();
  Captured();
  harness_->Confirm();
  Sql("CREATE TABLE unpublished (i int); INSERT INTO unpublished SELECT generate_series(1, 1000)");
  const std::string position = harness_->Value("SELECT pg_current_wal_lsn()");
  const absl::Time limit = absl::Now() + absl::Seconds(10);
  const auto caught_up = [&] {
    return harness_->Value(absl::StrCat("SELECT confirmed_flush_lsn >= '", position,
                                        "' FROM pg_replication_slots WHERE slot_name = '", harness_->slot(), "'")) ==
           "t";
  };
  while (!caught_up() && absl::Now() < limit) {
    auto batch = harness_->capture().Next(absl::Milliseconds(200));
    ASSERT_TRUE(batch.ok()) << batch.status();
    for (const CaptureItem& item : batch->items) {
      EXPECT_EQ(item.kind, CaptureItem::Kind::kKeepalive);
      harness_->capture().Confirm(item.end_lsn);
    }
  }
  EXPECT_TRUE(caught_up());
}

TEST_F(CaptureTest, LowLoadIsDeliveredWithinMilliseconds) {
  StartWithTable();
  Captured();
  Sql("INSERT INTO t VALUES (1, 'a')");
  const absl::Time start = absl::Now();
  size_t items = 0;
  while (items < 3 && absl::Now() - start < absl::Seconds(10)) {
    auto batch = harness_->capture().Next(absl::Seconds(5));
    ASSERT_TRUE(batch.ok());
    for (const CaptureItem& item : batch->items) items += item.kind != CaptureItem::Kind::kKeepalive;
  }
  EXPECT_LT(absl::Now() - start, absl::Seconds(1));  // Never until `wait` is over.
}

TEST_F(CaptureTest, HundredMegabytesPassAndUntouchedToastIsMarked) {
  harness_->Enrol("t", "id int PRIMARY KEY, v text, n int");
  Sql("ALTER TABLE t ALTER v SET STORAGE EXTERNAL");
  harness_->Start();
  Sql("INSERT INTO t VALUES (1, repeat('0123456789', 10000000), 1)");
  Sql("UPDATE t SET n = 2");
  EXPECT_THAT(Captured(),
              ElementsAre("insert public.t (id=1 v=… n=1)", "update public.t (id=1 v=… n=1) to (id=1 v=~ n=2)"));
}

TEST_F(CaptureTest, OnlyOurTransactionalMessagesArrive) {
  StartWithTable();
  Sql("SELECT pg_logical_emit_message(true, 'other.tool', 'no'), pg_logical_emit_message(false, 'assay.fence', 'no'),"
      " pg_logical_emit_message(true, 'assay.projection', 'yes')");
  EXPECT_THAT(Captured(), ElementsAre("message assay.projection yes"));
}

TEST_F(CaptureTest, ShapeTellsKeyOrderTypesAndNotNull) {
  Sql("CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('sad')");
  harness_->Enrol("s.t",
                  "v numeric(12,2), b int, m s.mood, a int, twice int GENERATED ALWAYS AS (b * 2) STORED, "
                  "c text NOT NULL, PRIMARY KEY (b, a) INCLUDE (v)");
  harness_->Start();
  Sql("INSERT INTO s.t VALUES (1.50, 2, 'sad', 3, DEFAULT, 'x')");
  EXPECT_THAT(Captured(), ElementsAre("insert s.t (v=1.50 b=2 m=sad a=3 c=x)"));
  EXPECT_EQ(*harness_->shape(), (TableShape{.name = {"s", "t"},
                                            .columns = {{"v", "numeric(12,2)", false, false, 1},
                                                        {"b", "integer", true, false, 2},
                                                        {"m", "s.mood", false, false, 3},
                                                        {"a", "integer", true, false, 4},
                                                        {"c", "text", true, false, 6}},
                                            .key = {3, 1}}))
      << "a key is in the order of its columns' names";
}

TEST_F(CaptureTest, PartitionsArriveAsTheirRoot) {
  Sql("CREATE TABLE r (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (0) "
      "TO (10); CREATE TABLE r2 PARTITION OF r FOR VALUES FROM (10) TO (20); ALTER TABLE r REPLICA IDENTITY FULL;"
      "ALTER TABLE r1 REPLICA IDENTITY FULL; ALTER TABLE r2 REPLICA IDENTITY FULL; ALTER PUBLICATION assay ADD TABLE r");
  harness_->Start();
  Sql("INSERT INTO r VALUES (1, 1)");
  Sql("UPDATE r SET id = 11");
  EXPECT_THAT(Captured(),
              ElementsAre("insert public.r (id=1 v=1)", "delete public.r (id=1 v=1); insert public.r (id=11 v=1)"));
  EXPECT_THAT(harness_->shape()->key, ElementsAre(0u));
}

TEST_F(CaptureTest, RowsKeepTheColumnsTheyWereWrittenWith) {
  StartWithTable();
  Sql("INSERT INTO t VALUES (1, 'a')");
  Sql("ALTER TABLE t RENAME id TO number; ALTER TABLE t ADD COLUMN later int DEFAULT 7");
  Sql("INSERT INTO t VALUES (2, 'b')");
  Sql("ALTER TABLE t DROP COLUMN v; ALTER TABLE t RENAME number TO id");
  Sql("INSERT INTO t VALUES (3, 9)");
  EXPECT_THAT(Captured(), ElementsAre("insert public.t (id=1 v=a)", "insert public.t (number=2 v=b later=7)",
                                      "insert public.t (id=3 later=9)"));
  EXPECT_THAT(harness_->shape()->key, ElementsAre(0u));
}

TEST_F(CaptureTest, AColumnKeepsItsNumberThroughARenameThatTheCatalogKnowsAlready) {
  StartWithTable();
  const auto numbers = [&] {
    std::vector<uint32_t> numbers;
    for (const TableColumn& column : harness_->shape()->columns) numbers.push_back(column.number);
    return numbers;
  };
  Sql("BEGIN; INSERT INTO t VALUES (1, 'a'); ALTER TABLE t RENAME v TO w; COMMIT");
  EXPECT_THAT(Captured(), ElementsAre("insert public.t (id=1 v=a)"));
  EXPECT_THAT(numbers(), ElementsAre(1u, 2u));
  Sql("BEGIN; INSERT INTO t VALUES (2, 'a'); ALTER TABLE t DROP w; ALTER TABLE t ADD x text; COMMIT");
  EXPECT_THAT(Captured(), ElementsAre("insert public.t (id=2 w=a)"));
  EXPECT_THAT(numbers(), ElementsAre(1u, 0u)) << "whether w is called x by now, or is gone, the catalog does not tell";
  Sql("BEGIN; INSERT INTO t VALUES (3, 'a'); ALTER TABLE t ADD y text; UPDATE t SET y = 'b' WHERE id = 3; ALTER TABLE t DROP x; COMMIT");
  EXPECT_THAT(Captured(),
              ElementsAre("insert public.t (id=3 x=a); update public.t (id=3 x=a y=NULL) to (id=3 x=a y=b)"));
  EXPECT_THAT(numbers(), ElementsAre(1u, 0u, 4u));
}

TEST_F(CaptureTest, TableDroppedBeforeItsRowsWereReadIsStillCaptured) {
  StartWithTable();
  Sql("INSERT INTO t VALUES (1, 'a')");
  Sql("DROP TABLE t");
  EXPECT_THAT(Captured(), ElementsAre("insert public.t (id=1 v=a)"));
}

TEST_F(CaptureTest, LostReplicaIdentityLeavesOldValuesUnknown) {
  StartWithTable();
  Sql("INSERT INTO t VALUES (1, 'a')");
  Sql("ALTER TABLE t REPLICA IDENTITY DEFAULT");
  Sql("UPDATE t SET v = 'b'");
  Sql("UPDATE t SET id = 2");
  Sql("DELETE FROM t");
  EXPECT_THAT(Captured(), ElementsAre("insert public.t (id=1 v=a)", "update public.t (id=1 v=~) to (id=1 v=b)",
                                      "update public.t (id=1 v=~) to (id=2 v=b)", "delete public.t (id=2 v=~)"));
}

// The identity is told before the rows that it holds for, and again when it has changed.
TEST_F(CaptureTest, TheReplicaIdentityIsToldWithEachDescription) {
  harness_->Enrol("t", "id int PRIMARY KEY, code int NOT NULL UNIQUE, v text");
  harness_->Start();
  const auto identity_after = [&](const std::string& sql) {
    Sql(sql);
    Captured();
    return harness_->identities().at("public.t");
  };
  EXPECT_EQ(identity_after("INSERT INTO t VALUES (1, 7, 'a')"), ReplicaIdentity::kFull);
  EXPECT_EQ(identity_after("ALTER TABLE t REPLICA IDENTITY DEFAULT; UPDATE t SET v = 'b'"), ReplicaIdentity::kDefault);
  EXPECT_EQ(identity_after("ALTER TABLE t REPLICA IDENTITY USING INDEX t_code_key; UPDATE t SET v = 'c'"),
            ReplicaIdentity::kIndex);
  EXPECT_EQ(identity_after("ALTER TABLE t REPLICA IDENTITY NOTHING; INSERT INTO t VALUES (2, 8, 'a')"),
            ReplicaIdentity::kNothing);
  EXPECT_EQ(identity_after("ALTER TABLE t REPLICA IDENTITY FULL; UPDATE t SET v = 'd'"), ReplicaIdentity::kFull);
}

TEST_F(CaptureTest, AnIndexAsReplicaIdentityLeavesTheKeyUnknown) {
  harness_->Enrol("t", "id int PRIMARY KEY, code int NOT NULL UNIQUE, v text");
  harness_->Start();
  Sql("INSERT INTO t VALUES (1, 7, 'a')");
  Sql("ALTER TABLE t REPLICA IDENTITY USING INDEX t_code_key");
  Sql("UPDATE t SET id = 2");
  Sql("UPDATE t SET code = 8");
  Sql("DELETE FROM t");
  Sql("ALTER TABLE t REPLICA IDENTITY FULL");
  EXPECT_THAT(
      Captured(),
      ElementsAre("insert public.t (id=1 code=7 v=a)", "update public.t (id=~ code=7 v=~) to (id=2 code=7 v=a)",
                  "update public.t (id=~ code=7 v=~) to (id=2 code=8 v=a)", "delete public.t (id=~ code=8 v=~)"));
}

// A partition made later has the default identity, and its rows come as its root's.
TEST_F(CaptureTest, APartitionWithoutTheFullIdentityIsNamedAndWhatItDoesNotSendIsUnknown) {
  Sql("CREATE TABLE r (id int PRIMARY KEY, v int, w int) PARTITION BY RANGE (id); ALTER TABLE r REPLICA IDENTITY FULL;"
      "ALTER PUBLICATION assay ADD TABLE r");
  harness_->Start();
  Sql("CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (0) TO (10)");
  Sql("INSERT INTO r VALUES (1, 1, 1)");
  Sql("UPDATE r SET v = 2");
  Sql("UPDATE r SET id = 3");
  Sql("DELETE FROM r");
  EXPECT_THAT(Captured(),
              ElementsAre("insert public.r (id=1 v=1 w=1)", "update public.r (id=~ v=~ w=~) to (id=1 v=2 w=1)",
                          "update public.r (id=1 v=~ w=~) to (id=3 v=2 w=1)", "delete public.r (id=3 v=~ w=~)"));
  EXPECT_EQ(harness_->identities().at("public.r"), ReplicaIdentity::kFull);
  EXPECT_EQ(harness_->identities().at("public.r1"), ReplicaIdentity::kDefault);
}

// The catalog has the new key at the first of these rows, which is before it was made.
TEST_F(CaptureTest, ATableIsDescribedAnewWhenItsKeyIsMade) {
  StartWithTable();
  Sql("INSERT INTO t VALUES (1, 'a')");
  Captured();
  Sql("BEGIN; ALTER TABLE t ADD code int; UPDATE t SET code = 7; ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (code); "
      "COMMIT");
  Captured();
  const size_t described = harness_->descriptions();
  Sql("INSERT INTO t VALUES (2, 'b', 8)");
  Captured();
  EXPECT_EQ(harness_->descriptions(), described + 1);
  EXPECT_THAT(harness_->shape()->key, ElementsAre(2u));
}

TEST_F(CaptureTest, HostileNamesAndValuesArriveAsTheyAre) {
  const std::string name = "é\"; DROP--' " + std::string(50, 'x');  // 63 bytes, as long as a name can be.
  const std::string quoted = "\"é\"\"; DROP--' " + std::string(50, 'x') + "\"";
  harness_->Enrol(quoted, absl::StrCat(quoted, " text PRIMARY KEY"));
  harness_->Start();
  Sql(absl::StrCat("INSERT INTO ", quoted, " VALUES (E'''; \\\\ \" \\n \\u00e9 $1')"));
  EXPECT_THAT(Captured(), ElementsAre(absl::StrCat("insert public.", name, " (", name, "='; \\ \" \n é $1)")));
}

TEST_F(CaptureTest, InterruptEndsAWaitingNext) {
  StartWithTable();
  auto interrupt = std::make_shared<Interrupt>();
  CaptureOptions options = harness_->options();
  options.interrupt = interrupt;
  harness_->Captured();
  harness_.reset();  // Frees the slot's name for the next line to fail on.
  PostgresCapture capture(options);
  EXPECT_FALSE(capture.Start().ok());
  harness_ = std::make_unique<BranchDatabase>(*server_);
  options = harness_->options();
  options.interrupt = interrupt;
  PostgresCapture other(options);
  ASSERT_TRUE(other.Start().ok());
  std::thread stopping([&] {
    absl::SleepFor(absl::Milliseconds(100));
    interrupt->Trigger();
  });
  const absl::Time start = absl::Now();
  absl::Status status;
  while (status.ok() && absl::Now() - start < absl::Seconds(20)) status = other.Next(absl::Seconds(30)).status();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  stopping.join();
}

// ---- States a person resolves, each by its name ----

TEST_F(CaptureTest, MissingSlotNamesTheRemedy) {
  Sql(absl::StrCat("SELECT pg_drop_replication_slot('", harness_->slot(), "')"));
  const absl::Status status = harness_->capture().Start();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("assay repair"));
}

TEST_F(CaptureTest, MissingPublicationNamesTheRemedy) {
  Sql("DROP PUBLICATION assay");
  const absl::Status status = harness_->capture().Start();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("assay init"));
  ASSERT_TRUE(ProblemNamedBy(status).has_value());
  EXPECT_EQ(ProblemNamedBy(status)->kind, ProblemKind::kPublicationGone);
}

TEST_F(CaptureTest, SlotInUseNamesTheProcess) {
  harness_->Start();
  PostgresCapture second(harness_->options());
  const absl::Status status = second.Start();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(harness_->Value(absl::StrCat("SELECT active_pid FROM pg_replication_slots WHERE slot_name = '",
                                                     harness_->slot(), "'"))));
  // The server answers: it is not away.
  ASSERT_TRUE(ProblemNamedBy(status).has_value());
  EXPECT_EQ(ProblemNamedBy(status)->kind, ProblemKind::kCaptureStopped);
}

TEST_F(CaptureTest, SlotOfAnotherDatabaseIsNotTaken) {
  CaptureOptions options = harness_->options();
  options.conninfo = server_->Url("postgres");
  MustSql(options.conninfo, "DROP PUBLICATION IF EXISTS assay; CREATE PUBLICATION assay");
  EXPECT_TRUE(absl::IsFailedPrecondition(PostgresCapture(options).Start()));
}

TEST_F(CaptureTest, KilledWalsenderEndsTheStreamAndStartGoesOn) {
  StartWithTable();
  Sql("INSERT INTO t VALUES (1, 'a')");
  Sql(absl::StrCat("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '",
                   harness_->slot(), "'"));
  absl::Status status;
  for (int i = 0; i < 10 && status.ok(); ++i) status = harness_->capture().Next(absl::Seconds(1)).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_TRUE(absl::IsUnavailable(harness_->capture().Next(absl::Seconds(1)).status()));
  harness_->Start();
  EXPECT_THAT(Captured(), ElementsAre("insert public.t (id=1 v=a)"));
}

// The session in which the catalog is asked may be idle for days; whoever ends it meanwhile does not end the stream.
TEST_F(CaptureTest, TheCatalogSessionIsOpenedAnewWhenItIsGone) {
  StartWithTable();
  harness_->Enrol("u", "id int PRIMARY KEY");
  Sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'assay capture catalog'"
      " AND datname = current_database()");
  Sql("INSERT INTO t VALUES (1, 'a')");
  Sql("INSERT INTO u VALUES (2)");
  EXPECT_THAT(Captured(), ElementsAre("insert public.t (id=1 v=a)", "insert public.u (id=2)"));
}

// It is decoded, and so in the log, while its COMMIT waits for a standby that is away.
TEST(CaptureServerTest, AProjectionThatCannotBeSeenYetIsTold) {
  ASSAY_START_POSTGRES(server, {});
  BranchDatabase harness(*server);
  harness.Sql("ALTER TABLE assay.progress ADD COLUMN origin text");
  server->Configure("synchronous_standby_names", "nobody");
  ASSERT_TRUE(server->Reload().ok());
  std::thread projection([&] { harness.Sql("UPDATE assay.progress SET batch = 7"); });
  for (int i = 0; i < 500 && harness.Value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == "0";
       ++i) {
    absl::SleepFor(absl::Milliseconds(10));
  }
  ASSERT_TRUE(harness.capture().Start().ok());
  const DatabaseEvidence waiting = harness.capture().Evidence();
  server->Configure("synchronous_standby_names", "");
  ASSERT_TRUE(server->Reload().ok());
  projection.join();
  EXPECT_EQ(waiting.batch, 0u);
  EXPECT_TRUE(waiting.projecting);
  ASSERT_TRUE(harness.capture().Start().ok());
  EXPECT_EQ(harness.capture().Evidence().batch, 7u);
  EXPECT_FALSE(harness.capture().Evidence().projecting);
}

TEST(CaptureServerTest, ImpatientServerIsKeptContent) {
  ASSAY_START_POSTGRES(server, {.settings = {{"wal_sender_timeout", "2s"}}});
  BranchDatabase harness(*server);
  harness.Enrol("t", "id int PRIMARY KEY, v text");
  harness.Start();
  // Idle, in Next.
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(harness.capture().Next(absl::Seconds(1)).ok());
  // Busy elsewhere, with more waiting than the sockets hold.
  std::thread writer(
      [&] { harness.Sql("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 30000) i"); });
  for (const absl::Time until = absl::Now() + absl::Seconds(5); absl::Now() < until;) {
    ASSERT_TRUE(harness.capture().KeepAlive().ok());
    absl::SleepFor(absl::Milliseconds(100));
  }
  writer.join();
  EXPECT_EQ(harness.Captured().size(), 1u);
}

TEST(CaptureServerTest, LostWalIsNamed) {
  ASSAY_START_POSTGRES(
      server, {.settings = {{"max_slot_wal_keep_size", "1MB"}, {"min_wal_size", "32MB"}, {"max_wal_size", "32MB"}}});
  BranchDatabase harness(*server);
  harness.Enrol("t", "id int PRIMARY KEY");
  for (int i = 0; i < 4; ++i)
    harness.Sql("CREATE TABLE IF NOT EXISTS x (i int); INSERT INTO x VALUES (1)"),
        harness.Sql("SELECT pg_switch_wal()");
  harness.Sql("CHECKPOINT");
  ASSERT_EQ(harness.Value("SELECT wal_status FROM pg_replication_slots"), "lost");
  const absl::Status status = harness.capture().Start();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("assay repair"));
}

TEST(CaptureServerTest, WalLevelIsNamed) {
  ASSAY_START_POSTGRES(server, {.settings = {{"wal_level", "replica"}}});
  MustSql(server->Url(), "CREATE PUBLICATION assay");
  const absl::Status status = PostgresCapture({.conninfo = server->Url()}).Start();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("wal_level"));
  const std::optional<NamedProblem> problem = ProblemNamedBy(status);
  ASSERT_TRUE(problem.has_value());
  EXPECT_EQ(problem->kind, ProblemKind::kDatabaseSetting);
  EXPECT_EQ(problem->cause, "replica");
}

TEST(CaptureServerTest, CrashedServerResumesWhereItWasConfirmed) {
  ASSAY_START_POSTGRES(server, {.fsync = true});
  BranchDatabase harness(*server);
  harness.Enrol("t", "id int PRIMARY KEY, v text");
  harness.Start();
  harness.Sql("INSERT INTO t VALUES (1, 'a')");
  harness.Captured();
  harness.Confirm();
  ASSERT_TRUE(harness.capture().KeepAlive().ok());
  harness.Sql("INSERT INTO t VALUES (2, 'b')");
  ASSERT_TRUE(server->Kill().ok());
  EXPECT_TRUE(absl::IsUnavailable(harness.capture().Start()));
  ASSERT_TRUE(server->Start().ok());
  harness.Start();
  // What was confirmed may come again after a crash; what was not, must.
  EXPECT_EQ(harness.Captured().back(), "insert public.t (id=2 v=b)");
}

}  // namespace
}  // namespace assay
