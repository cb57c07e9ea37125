// `assay doctor` against real servers: what is wrong is found, and the command it names mends it.
#include "tools/setup/doctor.h"

#include <sys/stat.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "log/checkpoint.h"
#include "tests/tools/setup/branch_harness.h"

namespace assay {
namespace {

using test::LogHub;
using test::MustSql;
using test::PostgresServer;
using test::TestBranch;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class DoctorTest : public ::testing::Test {
 protected:
  void Start(test::PostgresOptions options = {}) {
    auto server = PostgresServer::Create(std::move(options));
    if (test::MaySkipWithoutPostgres(server.status())) GTEST_SKIP() << "no PostgreSQL";
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(server).value();
    branch_ = std::make_unique<TestBranch>(*server_, "d", 3);
    branch_->Sql("CREATE TABLE t (id int PRIMARY KEY, v text)");
    chmod(branch_->state_dir().c_str(), 0700);
  }
  void TearDown() override { branch_.reset(); }

  std::vector<Check> Run(Hub* hub = nullptr, const std::string& hub_url = "") {
    DoctorOptions options;
    options.number = 3;
    options.url = url_.empty() ? branch_->url() : url_;
    options.admin_url = admin_url_.empty() ? branch_->url() : admin_url_;
    options.tables = {"public.*"};
    options.state_dir = branch_->state_dir();
    options.has_hub = hub != nullptr;
    options.hub_url = hub_url;
    return Doctor(options, hub, absl::OkStatus(), &branch_->clock());
  }
  // "result: detail -> remedy" of the check called `name`; empty when there is none.
  static std::string Find(const std::vector<Check>& checks, absl::string_view name) {
    for (const Check& check : checks) {
      if (check.name == name)
        return absl::StrCat(CheckResultName(check.result), ": ", check.detail, " -> ", check.remedy);
    }
    return "";
  }
  static std::vector<std::string> NotOk(const std::vector<Check>& checks) {
    std::vector<std::string> found;
    for (const Check& check : checks) {
      if (check.result != CheckResult::kOk)
        found.push_back(absl::StrCat(check.name, ": ", check.detail, " -> ", check.remedy));
    }
    return found;
  }

  std::unique_ptr<PostgresServer> server_;
  std::unique_ptr<TestBranch> branch_;
  std::string url_, admin_url_;
};

TEST_F(DoctorTest, AHealthyBranchHasNothingToMendButTheDaemonToStart) {
  Start({.fsync = true});
  ASSERT_TRUE(SigningKey::Generate()->Save(branch_->state_dir() + "/signing.key").ok());
  std::vector<Check> before = Run();
  EXPECT_THAT(NotOk(before), testing::ElementsAre("enrolment: this database is not enrolled yet -> assay init"));
  ASSERT_TRUE(branch_->Init().ok());
  std::vector<Check> checks = Run();
  ASSERT_EQ(NotOk(checks).size(), 1u) << testing::PrintToString(NotOk(checks));
  EXPECT_THAT(Find(checks, "slot"), AllOf(HasSubstr("nobody is streaming"), HasSubstr("systemctl start assayd")));
  EXPECT_THAT(Find(checks, "messages"), HasSubstr("ok: a probe came back"));
  EXPECT_THAT(Find(checks, "session_replication_role"), HasSubstr("ok"));
  // A temporary slot goes with its session, and that ends a moment after its client.
  for (int i = 0; i < 100 && branch_->Value("SELECT count(*) FROM pg_replication_slots") != "1"; ++i)
    absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(branch_->Value("SELECT count(*) FROM pg_replication_slots"), "1") << "the probe's slot is gone";
  for (const Check& check : checks)
    EXPECT_TRUE(check.result == CheckResult::kOk || !check.remedy.empty()) << check.name;
}

// As README has it without postgres.admin_url: init would be refused half way.
TEST_F(DoctorTest, ALoginThatMayNotInstallIsFoundBeforeInitIsTried) {
  Start();
  branch_->Sql("DROP ROLE IF EXISTS shop; CREATE ROLE shop LOGIN REPLICATION; ALTER TABLE t OWNER TO shop");
  admin_url_ = url_ = branch_->url_as("shop");
  EXPECT_THAT(Find(Run(), "installation"), AllOf(HasSubstr("fail: shop may not"), HasSubstr("postgres.admin_url")));
  admin_url_ = branch_->url();
  EXPECT_THAT(Find(Run(), "installation"), HasSubstr("ok: "));
}

TEST_F(DoctorTest, ADeadlockTimeoutThatIsTooShortIsFoundAndTheRemedyMendsIt) {
  Start({.settings = {{"deadlock_timeout", "300ms"}}});
  EXPECT_THAT(Find(Run(), "deadlock_timeout"),
              AllOf(HasSubstr("warn: it is 300ms"), HasSubstr("ALTER SYSTEM SET deadlock_timeout = '1s'")));
  MustSql(server_->Url(), "ALTER SYSTEM SET deadlock_timeout = '1s'");
  ASSERT_TRUE(server_->Reload().ok());
  EXPECT_EQ(Find(Run(), "deadlock_timeout"), "");
}

TEST_F(DoctorTest, AServerThatCannotStreamIsFoundAndTheRemedyMendsIt) {
  Start({.settings = {{"wal_level", "replica"},
                      {"max_replication_slots", "0"},
                      {"max_wal_senders", "0"},
                      {"synchronous_standby_names", "*"},
                      {"max_slot_wal_keep_size", "64MB"}}});
  std::vector<Check> checks = Run();
  EXPECT_THAT(Find(checks, "wal_level"), AllOf(HasSubstr("fail: it is replica"),
                                               HasSubstr("ALTER SYSTEM SET wal_level = 'logical'; then restart")));
  EXPECT_THAT(Find(checks, "max_replication_slots"),
              AllOf(HasSubstr("fail: 0 of 0"), HasSubstr("ALTER SYSTEM SET max_replication_slots = 4")));
  EXPECT_THAT(Find(checks, "max_wal_senders"), HasSubstr("fail"));
  EXPECT_THAT(Find(checks, "synchronous_standby_names"), HasSubstr("fail: \"*\" matches"));
  EXPECT_THAT(Find(checks, "max_slot_wal_keep_size"), HasSubstr("warn"));
  const absl::Status refused = branch_->Init().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr("wal_level"), HasSubstr("max_wal_senders"), HasSubstr("synchronous_standby_names")));
  MustSql(server_->Url(), "ALTER SYSTEM SET wal_level = 'logical'");
  MustSql(server_->Url(), "ALTER SYSTEM SET max_replication_slots = 4");
  MustSql(server_->Url(), "ALTER SYSTEM SET max_wal_senders = 4");
  MustSql(server_->Url(), "ALTER SYSTEM SET synchronous_standby_names = ''");
  ASSERT_TRUE(server_->Stop().ok());
  ASSERT_TRUE(server_->Start().ok());
  EXPECT_TRUE(branch_->Init().ok());
}

TEST_F(DoctorTest, ALoginThatMayNotReplicateIsToldWhatItLacks) {
  Start();
  MustSql(server_->Url(), "CREATE ROLE engine LOGIN");
  url_ = branch_->url_as("engine");
  EXPECT_THAT(Find(Run(), "replication"), AllOf(HasSubstr("fail: the role engine may not replicate"),
                                                HasSubstr("ALTER ROLE \"engine\" REPLICATION")));
  MustSql(server_->Url(), "ALTER ROLE \"engine\" REPLICATION");
  EXPECT_THAT(Find(Run(), "replication"), HasSubstr("ok"));
  ASSERT_TRUE(branch_->Init().ok());  // As the superuser: the engine's role is not told of yet.
  EXPECT_THAT(Find(Run(), "session_replication_role"),
              AllOf(HasSubstr("fail"), HasSubstr("GRANT assay_projector TO \"engine\"")));
  MustSql(branch_->url(), "GRANT assay_projector TO \"engine\"");
  EXPECT_THAT(Find(Run(), "session_replication_role"), HasSubstr("ok"));
}

TEST_F(DoctorTest, TablesThatCannotTakePartAndPartitionsMadeLaterAreNamed) {
  Start();
  branch_->Sql("CREATE TABLE no_key (id int); CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id)");
  ASSERT_TRUE(branch_->Init().ok());
  branch_->Sql(
      "CREATE TABLE p1 PARTITION OF parts FOR VALUES FROM (0) TO (9); CREATE TABLE later (id int PRIMARY KEY)");
  std::vector<Check> checks = Run();
  EXPECT_THAT(Find(checks, "table-refused"),
              AllOf(HasSubstr("warn"), HasSubstr("public.no_key"), HasSubstr("no primary key")));
  EXPECT_THAT(Find(checks, "table-not-enrolled"),
              AllOf(HasSubstr("public.later"), HasSubstr("`assay tables add public.later`")));
  EXPECT_THAT(Find(checks, "identity-not-full"),
              AllOf(HasSubstr("ALTER TABLE public.p1 REPLICA IDENTITY FULL"), HasSubstr("its key alone")));
  EXPECT_THAT(Find(checks, "attribution-missing"), HasSubstr("public.p1"));
  ASSERT_TRUE(branch_->Init().ok());
  branch_->Sql("DROP TABLE no_key");
  checks = Run();
  EXPECT_THAT(Find(checks, "tables"), HasSubstr("ok: 3 are recorded"));
}

// Goal: what works for the ERP and fails for every row of another branch is named, and the command that is shown mends
// it.
TEST_F(DoctorTest, AFunctionThatFindsNothingWithoutASearchPathIsNamedAndTheRemedyMendsIt) {
  Start();
  branch_->Sql(
      "CREATE TABLE rates (code text PRIMARY KEY); INSERT INTO rates VALUES ('gold');"
      "CREATE FUNCTION is_rate(code text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS "
      "  'BEGIN RETURN EXISTS (SELECT FROM rates r WHERE r.code = $1); END';"
      "CREATE SCHEMA helpers; CREATE FUNCTION helpers.twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * n';"
      "CREATE FUNCTION helpers.four(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN twice(twice(n)); END';"
      "CREATE FUNCTION whole(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN helpers.twice(n) / 0; END';"
      "SET search_path = public, helpers;"
      "CREATE TABLE goods (id int PRIMARY KEY, rate text CHECK (is_rate(rate)), four int GENERATED ALWAYS AS "
      "  (helpers.four(id)) STORED); CREATE INDEX ON goods (helpers.twice(id)) WHERE helpers.four(id) > 7;"
      "INSERT INTO goods VALUES (1, 'gold'); CREATE TABLE odd (id int PRIMARY KEY);"
      "CREATE INDEX ON odd (whole(id))");
  std::vector<std::string> failing;
  for (const Check& check : Run()) {
    if (!absl::StartsWith(check.name, "function")) continue;
    EXPECT_EQ(check.result, CheckResult::kFail);
    EXPECT_THAT(check.detail, HasSubstr("public.goods"));
    failing.push_back(check.name);
    branch_->Sql(check.remedy);
  }
  EXPECT_THAT(failing, ::testing::ElementsAre("function helpers.four(integer)", "function public.is_rate(text)"));
  for (const Check& check : Run()) EXPECT_FALSE(absl::StartsWith(check.name, "function")) << check.detail;
}

TEST_F(DoctorTest, ASlotThatIsGoneOrAnotherDatabasesIsNamed) {
  Start();
  ASSERT_TRUE(branch_->Init().ok());
  branch_->Sql("SELECT pg_drop_replication_slot('assay')");
  EXPECT_THAT(Find(Run(), "slot"), HasSubstr("fail: the replication slot \"assay\" is gone"));
  const absl::Status again = branch_->Init().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(again)) << again;
  MustSql(server_->Url(), "SELECT pg_create_logical_replication_slot('assay', 'pgoutput')");
  EXPECT_THAT(Find(Run(), "slot"), HasSubstr("belongs to the database postgres"));
  MustSql(server_->Url(), "SELECT pg_drop_replication_slot('assay')");
}

TEST_F(DoctorTest, AStateDirectoryOthersCanReadAndALooseKeyAreNamed) {
  Start();
  chmod(branch_->state_dir().c_str(), 0755);
  test::WriteFile(branch_->state_dir() + "/signing.key", "x", 0640);
  std::vector<Check> checks = Run();
  EXPECT_THAT(Find(checks, "state_dir"), AllOf(HasSubstr("warn"), HasSubstr("chmod 0700")));
  EXPECT_THAT(Find(checks, "signing key"),
              AllOf(HasSubstr("fail"), HasSubstr(absl::StrCat("chmod 0600 ", branch_->state_dir(), "/signing.key"))));
  chmod(branch_->state_dir().c_str(), 0777);
  EXPECT_THAT(Find(Run(), "state_dir"), HasSubstr("fail"));
}

TEST_F(DoctorTest, TheHubsStateAndTlsAndClockAreTold) {
  Start();
  LogHub hub({});
  std::vector<Check> checks =
      Run(&hub, "postgresql://branch_1:hunter2@db.example.supabase.co/postgres?sslmode=require");
  EXPECT_THAT(Find(checks, "hub"), HasSubstr("ok: answers in"));
  EXPECT_THAT(Find(checks, "hub TLS"),
              AllOf(HasSubstr("fail: sslmode is require"), HasSubstr("verify-full"), Not(HasSubstr("hunter2"))));
  EXPECT_THAT(Find(checks, "clock offset"), HasSubstr("ok"));
  hub.ahead = absl::Minutes(10);
  checks = Run(&hub, "host=/run/hub");
  EXPECT_THAT(Find(checks, "hub TLS"), HasSubstr("ok"));
  EXPECT_THAT(Find(checks, "clock offset"),
              AllOf(HasSubstr("warn"), HasSubstr("behind the hub"), HasSubstr("timedatectl")));
  hub.error = absl::UnauthenticatedError("password refused");
  EXPECT_THAT(Find(Run(&hub), "hub"), AllOf(HasSubstr("fail: password refused"), HasSubstr("assay hub password NAME")));
  EXPECT_THAT(Find(Run(), "hub"), HasSubstr("ok: none configured"));
}

TEST_F(DoctorTest, AServerThatIsNotThereIsOneFailureAmongTheOthers) {
  Start();
  ASSERT_TRUE(server_->Stop().ok());
  std::vector<Check> checks = Run();
  EXPECT_THAT(Find(checks, "PostgreSQL"), HasSubstr("fail"));
  EXPECT_THAT(Find(checks, "state_dir"), HasSubstr("ok"));
  ASSERT_TRUE(server_->Start().ok());
}

}  // namespace
}  // namespace assay
