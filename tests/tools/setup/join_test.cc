// A branch joins a fleet: what is equal is not written again, what differs waits for a choice, what is missing comes by
// projection.
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"
#include "tests/tools/setup/branch_harness.h"
#include "tools/setup/enrolment.h"

namespace assay {
namespace {

using test::LogHub;
using test::PostgresServer;
using test::TestBranch;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class JoinTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    for (std::unique_ptr<PostgresServer>& server : servers_) {
      auto made = PostgresServer::Create();
      if (test::MaySkipWithoutPostgres(made.status())) return;
      server = std::move(made).value();
    }
  }
  static void TearDownTestSuite() {
    for (std::unique_ptr<PostgresServer>& server : servers_) server.reset();
  }
  void SetUp() override {
    if (servers_[1] == nullptr) GTEST_SKIP() << "no PostgreSQL";
    const std::string id = std::to_string(++count_);
    a_ = std::make_unique<TestBranch>(*servers_[0], "a" + id, 1);
    b_ = std::make_unique<TestBranch>(*servers_[1], "b" + id, 2);
    a_->Sql(
        "CREATE TABLE t (id serial PRIMARY KEY, v text, w int); CREATE TABLE u (k text PRIMARY KEY, at timestamptz); "
        "INSERT INTO t (v, w) VALUES ('one', 1), ('two', 2), (NULL, 3); INSERT INTO u VALUES ('x', '2024-03-04 "
        "05:06:07.89+05:30')");
    b_->Restore(a_->Dump());
  }
  void TearDown() override {
    for (std::unique_ptr<TestBranch>* branch : {&a_, &b_}) {
      if (*branch == nullptr) continue;
      EXPECT_TRUE((*branch)->Leave().ok());
      branch->reset();
    }
  }

  InitReport MustInit(TestBranch& branch, Hub* hub = nullptr) {
    absl::StatusOr<InitReport> report = branch.Init(hub);
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *std::move(report) : InitReport{};
  }
  LogHub HubOfA() { return LogHub({a_->log_path()}); }
  static std::string Show(const RowDifference& d) {
    return absl::StrCat(d.table.ToString(), " ", d.key[0], " ", d.column, ": ", d.here.value_or("NULL"), " / ",
                        d.fleet.value_or("NULL"));
  }

  static std::unique_ptr<PostgresServer> servers_[2];
  static int count_;
  std::unique_ptr<TestBranch> a_, b_;
};

std::unique_ptr<PostgresServer> JoinTest::servers_[2];
int JoinTest::count_ = 0;

TEST_F(JoinTest, ASecondBranchFromOneCopyWritesNoRowAgain) {
  // The copies' own settings differ, and must not make values differ.
  b_->Sql(absl::StrCat("ALTER DATABASE erp_", b_->options.engine.branch_name,
                       " SET datestyle = 'SQL, DMY'; ALTER DATABASE erp_", b_->options.engine.branch_name,
                       " SET timezone = 'Asia/Kolkata'"));
  MustInit(*a_);
  LogHub hub = HubOfA();
  const InitReport report = MustInit(*b_, &hub);
  EXPECT_THAT(b_->Changes(), IsEmpty());
  EXPECT_EQ(report.rows.equal, 4u);
  EXPECT_EQ(report.rows.written, 0u);
  EXPECT_FALSE(report.waits_for_choice);
  EXPECT_GT(report.pulled, 4u);
  // A write here has seen the fleet's version, and beats it.
  b_->Sql("UPDATE t SET v = 'uno' WHERE id = 1");
  ASSERT_TRUE(b_->CatchUp().ok());
  EXPECT_THAT(b_->Changes(), ElementsAre("live update public.t (1) v=uno"));
  EXPECT_EQ(b_->Value("SELECT nextval('t_id_seq')"), "66");
}

// Goal: whoever joins next sees the rows that are enrolled here.
TEST_F(JoinTest, InitGivesItsRowsToTheHubBeforeItIsDone) {
  LogHub hub({});
  hub.push_error = absl::UnavailableError("the line went dead");
  const absl::Status status = a_->Init(&hub).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("the line went dead"), HasSubstr("run `assay init` again")));
  hub.push_error = absl::OkStatus();
  const InitReport report = MustInit(*a_, &hub);
  EXPECT_GE(report.pushed, 5u) << "the opening, and four rows";
  EXPECT_EQ(hub.pushed[report.origin].value, report.pushed);
  EXPECT_EQ(MustInit(*a_, &hub).pushed, 0u) << "it has all";
}

// Goal: rows that were untouched here take nothing back from a shop that has sold since the copy was made.
TEST_F(JoinTest, RowsOfACopyLoseAgainstWhatTheOtherShopSoldBeforeAnybodyHeardOfIt) {
  MustInit(*a_);
  a_->Sql("UPDATE t SET w = 100 WHERE id = 1; DELETE FROM t WHERE id = 2");
  ASSERT_TRUE(a_->CatchUp().ok());
  LogHub nobody({});  // It has not pushed yet.
  MustInit(*b_, &nobody);
  EXPECT_THAT(b_->Changes(), SizeIs(4)) << "it takes its rows for its own";
  // A third shop, whose rows are as the first one's are now, holds what both chains come to.
  TestBranch c(a_->server(), "c" + std::to_string(count_), 3);
  c.Restore(a_->Dump());
  ASSERT_TRUE(a_->Leave().ok());
  c.Sql("DROP SCHEMA IF EXISTS assay CASCADE");
  LogHub both({a_->log_path(), b_->log_path()});
  const InitReport report = MustInit(c, &both);
  EXPECT_FALSE(report.waits_for_choice) << Show(report.rows.differences.front());
  EXPECT_THAT(c.Changes(), IsEmpty());
  EXPECT_TRUE(c.Leave().ok());
}

TEST_F(JoinTest, ACopyOfAnEnrolledDatabaseJoinsAsWell) {
  MustInit(*a_);
  a_->Sql("INSERT INTO t (v) VALUES ('later')");
  ASSERT_TRUE(a_->CatchUp().ok());
  a_->Sql("UPDATE assay.progress SET batch = 7");
  TestBranch copy(b_->server(), "copy" + std::to_string(count_), 2);
  test::MustSql(b_->server().Url(), "CREATE ROLE assay_projector NOLOGIN");
  copy.Restore(a_->Dump());
  LogHub hub = HubOfA();
  const InitReport report = MustInit(copy, &hub);
  EXPECT_EQ(report.rows.equal, 5u);
  EXPECT_THAT(copy.Changes(), IsEmpty());
  EXPECT_EQ(copy.Value("SELECT batch FROM assay.progress"), "0") << "the other branch's progress is not ours";
  EXPECT_EQ(copy.Value("SELECT nextval('t_id_seq') % 64"), "2");
  EXPECT_TRUE(copy.Leave().ok());
}

TEST_F(JoinTest, RowsOnlyHereAreWrittenAndRowsOnlyThereAreLeftToTheProjection) {
  a_->Sql("INSERT INTO t VALUES (100, 'only there', 0)");
  MustInit(*a_);
  b_->Sql("INSERT INTO t VALUES (200, 'only here', 0)");
  LogHub hub = HubOfA();
  const InitReport report = MustInit(*b_, &hub);
  EXPECT_THAT(b_->Changes(), ElementsAre("baseline insert public.t (200) v=only here w=0"));
  EXPECT_EQ(report.rows.equal, 4u);
}

TEST_F(JoinTest, RowsThatDifferAreListedAndNothingIsWrittenUntilSomebodyChooses) {
  MustInit(*a_);
  b_->Sql(
      "UPDATE t SET v = 'zwei', w = NULL WHERE id = 2; UPDATE u SET at = at + interval '1s'; INSERT INTO t VALUES "
      "(200, 'only here', 0)");
  a_->Sql("DELETE FROM t WHERE id = 3");
  ASSERT_TRUE(a_->CatchUp().ok());
  LogHub hub = HubOfA();
  const InitReport report = MustInit(*b_, &hub);
  EXPECT_TRUE(report.waits_for_choice);
  EXPECT_EQ(report.rows.differing_rows, 3u);
  EXPECT_EQ(report.rows.differing_columns, 3u);
  std::vector<std::string> shown;
  for (const RowDifference& difference : report.rows.differences) shown.push_back(Show(difference));
  EXPECT_THAT(shown, ElementsAre("public.t 2 v: zwei / two", "public.t 2 w: NULL / 2", "public.t 3 : present / deleted",
                                 "public.u x at: 2024-03-03 23:36:08.89+00 / 2024-03-03 23:36:07.89+00"));
  EXPECT_THAT(b_->Changes(), IsEmpty());
  EXPECT_EQ(b_->Value("SELECT count(*) FROM pg_replication_slots"), "0");
  // Asking again gives the same answer.
  EXPECT_TRUE(MustInit(*b_, &hub).waits_for_choice);
}

TEST_F(JoinTest, ChoosingHereWritesTheDifferingColumnsNowAndTheyBeatTheFleets) {
  MustInit(*a_);
  b_->Sql("UPDATE t SET v = 'zwei' WHERE id = 2; INSERT INTO t VALUES (200, 'only here', 0)");
  a_->Sql("DELETE FROM t WHERE id = 3");
  ASSERT_TRUE(a_->CatchUp().ok());
  LogHub hub = HubOfA();
  b_->options.differences = DifferenceChoice::kHere;
  MustInit(*b_, &hub);
  EXPECT_THAT(b_->Changes(),
              ElementsAre("reconcile update public.t (2) v=zwei", "reconcile insert public.t (3) v=NULL w=3",
                          "baseline insert public.t (200) v=only here w=0"));
  // At a third branch, which has both chains and the values of neither's losers.
  TestBranch c(a_->server(), "c" + std::to_string(count_), 3);
  c.Restore(b_->Dump());
  ASSERT_TRUE(a_->Leave().ok());
  LogHub both({a_->log_path(), b_->log_path()});
  const InitReport report = MustInit(c, &both);
  EXPECT_FALSE(report.waits_for_choice);
  EXPECT_EQ(report.rows.equal, 5u);
  EXPECT_TRUE(c.Leave().ok());
}

TEST_F(JoinTest, ChoosingTheFleetKeepsWhatWasHereAsEvidenceThatLoses) {
  MustInit(*a_);
  const std::string as_the_fleet = a_->Dump();
  b_->Sql("UPDATE t SET v = 'zwei' WHERE id = 2; INSERT INTO t VALUES (200, 'only here', 0)");
  a_->Sql("DELETE FROM t WHERE id = 3");
  ASSERT_TRUE(a_->CatchUp().ok());
  LogHub hub = HubOfA();
  b_->options.differences = DifferenceChoice::kFleet;
  MustInit(*b_, &hub);
  EXPECT_THAT(b_->Changes(),
              ElementsAre("reconcile update public.t (2) v=zwei", "reconcile insert public.t (3) v=NULL w=3",
                          "baseline insert public.t (200) v=only here w=0"));
  TestBranch c(a_->server(), "c" + std::to_string(count_), 3);
  c.Sql(
      "CREATE TABLE t (id int PRIMARY KEY, v text, w int); INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2), (200, "
      "'only here', 0)");
  ASSERT_TRUE(a_->Leave().ok());
  LogHub both({a_->log_path(), b_->log_path()});
  const InitReport report = MustInit(c, &both);
  EXPECT_FALSE(report.waits_for_choice) << Show(report.rows.differences.front());
  EXPECT_EQ(report.rows.equal, 3u);
  EXPECT_TRUE(c.Leave().ok());
}

TEST_F(JoinTest, AColumnThatOnlyThisBranchHasIsWritten) {
  MustInit(*a_);
  b_->Sql(
      "ALTER TABLE t ADD COLUMN extra text; UPDATE t SET extra = 'e' || id WHERE id < 3; ALTER TABLE t DROP COLUMN w");
  LogHub hub = HubOfA();
  const InitReport report = MustInit(*b_, &hub);
  EXPECT_FALSE(report.waits_for_choice);
  EXPECT_THAT(b_->Changes(),
              ElementsAre("baseline update public.t (1) extra=e1", "baseline update public.t (2) extra=e2",
                          "baseline update public.t (3) extra=NULL"));
}

TEST_F(JoinTest, ATableThatJoinsLaterIsComparedWithTheFleetToo) {
  a_->Sql("CREATE TABLE late (id int PRIMARY KEY, v text); INSERT INTO late VALUES (1, 'same'), (2, 'there')");
  MustInit(*a_);
  LogHub hub = HubOfA();
  MustInit(*b_, &hub);
  b_->Sql(
      "CREATE TABLE late (id int PRIMARY KEY, v text); INSERT INTO late VALUES (1, 'same'), (2, 'here'), (3, 'new')");
  InitReport report = MustInit(*b_, &hub);
  EXPECT_TRUE(report.waits_for_choice);
  EXPECT_EQ(b_->Value("SELECT count(*) FROM pg_publication_tables WHERE tablename = 'late'"), "0");
  b_->options.differences = DifferenceChoice::kHere;
  report = MustInit(*b_, &hub);
  EXPECT_FALSE(report.waits_for_choice);
  b_->Sql("UPDATE late SET v = 'newer' WHERE id = 3");
  ASSERT_TRUE(b_->CatchUp().ok());
  EXPECT_THAT(b_->Changes(),
              ElementsAre("reconcile update public.late (2) v=here", "baseline insert public.late (3) v=new",
                          "live update public.late (3) v=newer"));
}

// Goal: one damaged chain at the hub keeps no branch from joining. What the others have is compared all the same.
TEST_F(JoinTest, AGarbledChainHoldsUpItselfAlone) {
  MustInit(*a_);
  test::TempDirectory folder("garbled");
  test::SmallLog third(folder.path() + "/log.db");
  for (const bool garbled_first : {true, false}) {
    SCOPED_TRACE(garbled_first);
    LogHub hub(garbled_first ? std::vector{folder.path() + "/log.db", a_->log_path()}
                             : std::vector{a_->log_path(), folder.path() + "/log.db"});
    hub.garbled = third.delhi();
    const InitReport report = MustInit(*b_, &hub);
    EXPECT_EQ(report.rows.equal, 4u);
    EXPECT_THAT(b_->Changes(), IsEmpty());
    EXPECT_THAT(report.warnings, Contains(AllOf(HasSubstr("chain bbbbbbbb"), HasSubstr("as they must be"))));
    ASSERT_TRUE(b_->Leave().ok());
    for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(b_->log_path() + end);
  }
}

// A hub that promises more for ever would keep init for ever.
TEST_F(JoinTest, AHubThatOnlyPromisesMoreIsRefused) {
  class Promising : public LogHub {
   public:
    using LogHub::LogHub;
    absl::StatusOr<PullReply> Pull(const PullRequest& request) override {
      absl::StatusOr<PullReply> reply = LogHub::Pull(request);
      if (reply.ok()) reply->more = true;
      return reply;
    }
  };
  MustInit(*a_);
  Promising hub({a_->log_path()});
  const absl::Status status = b_->Init(&hub).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("nothing that is new"), HasSubstr("--without-hub")));
}

TEST_F(JoinTest, AnUnreachableHubIsAnErrorThatNamesTheWayAround) {
  LogHub hub = HubOfA();
  hub.error = absl::UnavailableError("the hub is paused");
  const std::string before = b_->Dump(true);
  const absl::Status status = b_->Init(&hub).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("the hub is paused"), HasSubstr("--without-hub")));
  EXPECT_EQ(b_->Dump(true), before);
  b_->options.engine.has_hub = true;
  EXPECT_THAT(std::string(b_->Init(nullptr).status().message()), HasSubstr("--without-hub"));
  b_->options.without_hub = true;
  MustInit(*b_, &hub);
  EXPECT_THAT(b_->Changes(), SizeIs(4));
}

TEST_F(JoinTest, ANumberOrNameThatIsTakenIsRefusedBeforeAnythingIsInstalled) {
  MustInit(*a_);
  LogHub hub = HubOfA();
  const std::string before = b_->Dump(true);
  b_->options.engine.branch_number = 1;
  absl::Status status = b_->Init(&hub).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(absl::StrCat("branch.number 1 is taken by the branch \"", a_->options.engine.branch_name)));
  b_->options.engine.branch_number = 2;
  b_->options.engine.branch_name = a_->options.engine.branch_name;
  status = b_->Init(&hub).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(b_->Dump(true), before);
}

TEST_F(JoinTest, ABranchThatLostItsDatabaseDoesNotHandOutItsOldKeysAgain) {
  MustInit(*a_);
  a_->Sql("INSERT INTO t (v) SELECT 'sold' FROM generate_series(1, 10)");  // 65, 129, … 641
  ASSERT_TRUE(a_->CatchUp().ok());
  const std::string last = a_->Value("SELECT max(id) FROM t");
  LogHub hub = HubOfA();
  // The same branch again, from the old copy.
  b_->options.engine.branch_name = a_->options.engine.branch_name;
  b_->options.engine.branch_number = 1;
  MustInit(*b_, &hub);
  EXPECT_EQ(b_->Value("SELECT nextval('t_id_seq')"), std::to_string(std::stoi(last) + 64));
}

}  // namespace
}  // namespace assay
