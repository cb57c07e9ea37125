// Goal: every state that a branch can be brought into has a way out, and it is the one that its problem prints.
// Method: bring a shop into the state, do what the remedy says with its very commands, and hold all shops against each
// other. The other states have theirs in restore_test, survey_test, unrecorded_test and bad_bytes_test
// (tests/engine/ways_out_test.cc lists all of them).
#include <signal.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "engine/problem.h"
#include "gmock/gmock.h"
#include "tests/fleet/copy_files.h"
#include "tests/fleet/fleet.h"

namespace assay::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kSchema[] =
    "CREATE TABLE items (id int PRIMARY KEY, v text, n int); CREATE TABLE sales (id serial PRIMARY KEY, v text)";

// The commands of `remedy` for a branch, in their order.
std::vector<std::vector<std::string>> CommandsOf(const std::string& remedy) {
  std::vector<std::vector<std::string>> commands;
  const std::vector<std::string> parts = absl::StrSplit(remedy, '`');
  for (size_t i = 1; i < parts.size(); i += 2) {
    std::vector<std::string> words = absl::StrSplit(parts[i], ' ');
    if (words[0] == "assay" && words[1] != "hub") commands.emplace_back(words.begin() + 1, words.end());
  }
  return commands;
}

class WaysTest : public ::testing::Test {
 protected:
  void TearDown() override {
    for (const std::string& path : copies_) std::filesystem::remove_all(path);
  }
  Branch& a() { return fleet_->branch(0); }
  Branch& b() { return fleet_->branch(1); }

  void StartFleet() {
    ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
    fleet_ = std::move(fleet);
    App(a(), "INSERT INTO items SELECT g, 'first', g FROM generate_series(1, 5) g");
    App(b(), "INSERT INTO sales (v) VALUES ('of b')");
    ASSERT_OK(fleet_->WaitConverged(kPatience));
  }
  static void App(Branch& branch, const std::string& sql) { MustSql(branch.Url(), sql); }
  static std::string Row(Branch& branch, int id) {
    return SqlValue(branch.Url(), absl::StrCat("SELECT coalesce((SELECT v FROM items WHERE id = ", id, "), '-')"));
  }
  static void RemoveLog(Branch& branch) {
    for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(branch.state_directory() + "/log.db" + end);
  }
  // Everything that was committed is in the log.
  static void AwaitCaptured(Branch& branch) {
    const std::string end = SqlValue(branch.AdminUrl(), "SELECT pg_logical_emit_message(true, 'assay.fence', 'x')");
    EXPECT_TRUE(Eventually(kPatience, [&] {
      return SqlValue(branch.AdminUrl(), absl::StrCat("SELECT coalesce(max(confirmed_flush_lsn) >= '", end,
                                                      "', false) FROM pg_replication_slots")) == "t";
    }));
  }

  // What the status prints for `kind`, once it does.
  static std::string Remedy(Branch& branch, const std::string& kind) {
    std::string remedy;
    EXPECT_TRUE(Eventually(
        kPatience,
        [&] {
          (void)branch.Assay({"sync", "now"}, absl::Seconds(5));
          const absl::StatusOr<google::protobuf::Struct> status = branch.Status();
          if (!status.ok()) return false;
          for (const google::protobuf::Struct* problem : JsonObjects(*status, "problems")) {
            if (JsonText(*problem, "kind") == kind) remedy = JsonText(*problem, "remedy");
          }
          return !remedy.empty();
        },
        absl::Milliseconds(300)))
        << kind << "\n"
        << branch.Problems() << branch.DaemonLog();
    return remedy;
  }
  // Does what it says, word by word. A repair shows first what it would do, and names the command that does it.
  static void Follow(Branch& branch, const std::string& remedy, const std::vector<std::string>& more = {}) {
    SCOPED_TRACE(remedy);
    const std::vector<std::vector<std::string>> commands = CommandsOf(remedy);
    ASSERT_FALSE(commands.empty());
    if (absl::StrContains(remedy, "top assayd") && branch.DaemonRunning()) {
      ASSERT_EQ(branch.StopDaemon(), 0);
    }
    for (std::vector<std::string> command : commands) {
      command.insert(command.end(), more.begin(), more.end());
      const RunResult result = branch.Assay(command, absl::Minutes(2));
      if (command[0] != "repair") {
        ASSERT_EQ(result.exit_code, 0) << result.output;
        continue;
      }
      EXPECT_THAT(result.output, HasSubstr("To do this: assay repair --apply"));
      command.push_back("--apply");
      const RunResult applied = branch.Assay(command, absl::Minutes(2));
      ASSERT_EQ(applied.exit_code, 0) << applied.output;
    }
    if (!branch.DaemonRunning()) {
      ASSERT_OK(branch.StartDaemon());
    }
  }
  void ExpectHealthy() {
    ASSERT_OK(fleet_->WaitConverged(kPatience));
    for (int i = 0; i < fleet_->size(); ++i) {
      EXPECT_TRUE(Eventually(kPatience, [&] { return fleet_->branch(i).Problems().empty(); }))
          << fleet_->branch(i).Problems();
    }
    // It is recorded and sent again, and so is what comes.
    App(a(), "INSERT INTO items VALUES (901, 'of a, afterwards', 0)");
    App(b(), "INSERT INTO items VALUES (902, 'of b, afterwards', 0)");
    ASSERT_OK(fleet_->WaitConverged(kPatience));
    EXPECT_EQ(Row(b(), 901), "of a, afterwards");
    EXPECT_EQ(Row(a(), 902), "of b, afterwards");
  }
  static std::string Dump(PostgresServer& server, const std::vector<std::string>& options, const std::string& url) {
    const std::string path = server.socket_directory() + "/ways.sql";
    std::vector<std::string> words = {PostgresBinaries().value() + "/pg_dump", "-d", url, "-f", path};
    words.insert(words.end(), options.begin(), options.end());
    const RunResult dumped = RunProgram(words, kPatience, {.as_server_user = true});
    EXPECT_EQ(dumped.exit_code, 0) << dumped.output;
    return path;
  }
  static void LoadAnew(Branch& branch, const std::string& dump) {
    ASSERT_TRUE(Eventually(kPatience, [&] { return Sql(branch.server().Url(), "DROP DATABASE erp").ok(); }));
    MustSql(branch.server().Url(), "CREATE DATABASE erp OWNER erp");
    const RunResult loaded =
        RunProgram({PostgresBinaries().value() + "/psql", "-qX", "-d", branch.AdminUrl(), "-f", dump}, kPatience,
                   {.as_server_user = true});
    ASSERT_EQ(loaded.exit_code, 0) << loaded.output;
  }

  std::unique_ptr<Fleet> fleet_;
  std::vector<std::string> copies_;
};

TEST_F(WaysTest, KeyLost) {
  StartFleet();
  if (fleet_ == nullptr) return;
  ASSERT_EQ(a().Assay({"sync", "pause"}).exit_code, 0);
  App(a(), "UPDATE items SET v = 'captured, not sent' WHERE id = 1; DELETE FROM items WHERE id = 2");
  AwaitCaptured(a());
  ASSERT_EQ(a().StopDaemon(), 0);
  std::filesystem::remove(a().state_directory() + "/signing.key");
  // Another key would make a chain that nobody takes.
  const RunResult init = a().Assay({"init"});
  EXPECT_NE(init.exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(a().state_directory() + "/signing.key"));
  const std::string refused(a().StartDaemon().message());
  EXPECT_THAT(refused, HasSubstr("The key that signs the changes of shop-1 is lost"));
  a().StopDaemon();
  EXPECT_THAT(a().Assay({"doctor"}).output, HasSubstr("signing-key-lost"));
  Follow(a(), RemedyOf({.kind = ProblemKind::kSigningKeyLost, .subject = a().name()}));
  (void)a().Assay({"sync", "resume"});
  ExpectHealthy();
  EXPECT_EQ(Row(b(), 1), "captured, not sent");
  EXPECT_EQ(Row(b(), 2), "-");
}

// Goal: whichever command is tried first, none of them makes the other one impossible.
TEST_F(WaysTest, LogLostAndInitTriedBeforeRepair) {
  StartFleet();
  if (fleet_ == nullptr) return;
  ASSERT_EQ(a().Assay({"sync", "pause"}).exit_code, 0);
  App(a(), "UPDATE items SET v = 'captured, not sent' WHERE id = 1");
  AwaitCaptured(a());
  ASSERT_EQ(a().StopDaemon(), 0);
  RemoveLog(a());
  const RunResult init = a().Assay({"init"});
  EXPECT_NE(init.exit_code, 0);
  EXPECT_THAT(init.output, HasSubstr("assay repair"));
  EXPECT_FALSE(std::filesystem::exists(a().state_directory() + "/log.db")) << init.output;
  EXPECT_THAT(std::string(a().StartDaemon().message()), HasSubstr("assay repair"));
  a().StopDaemon();
  // Without its slot the database is known by its chain alone, which the hub has to tell: init has made a log by then.
  ASSERT_TRUE(
      Eventually(kPatience, [&] { return Sql(a().AdminUrl(), "SELECT pg_drop_replication_slot('assay')").ok(); }));
  EXPECT_THAT(a().Assay({"init"}).output, HasSubstr("assay repair"));
  Follow(a(), RemedyOf({.kind = ProblemKind::kLogBehindDatabase}));
  ExpectHealthy();
  EXPECT_EQ(Row(b(), 1), "captured, not sent");
}

TEST_F(WaysTest, LogDeletedUnderTheDaemon) {
  StartFleet();
  if (fleet_ == nullptr) return;
  ASSERT_EQ(a().Assay({"sync", "pause"}).exit_code, 0);
  App(a(), "UPDATE items SET v = 'before it was deleted' WHERE id = 1");
  AwaitCaptured(a());
  RemoveLog(a());
  App(a(), "UPDATE items SET v = 'after it was deleted' WHERE id = 2");
  ASSERT_TRUE(Eventually(kPatience, [&] { return std::filesystem::exists(a().state_directory() + "/log.db-wal"); }))
      << a().DaemonLog();
  AwaitCaptured(a());
  EXPECT_THAT(a().DaemonLog(), HasSubstr("was deleted or replaced"));
  a().StopDaemon(SIGKILL);
  ASSERT_OK(a().StartDaemon());
  ASSERT_EQ(a().Assay({"sync", "resume"}).exit_code, 0);
  ExpectHealthy();
  EXPECT_EQ(Row(b(), 1), "before it was deleted");
  EXPECT_EQ(Row(b(), 2), "after it was deleted");
  EXPECT_THAT(a().Assay({"log", "ls"}).output, HasSubstr("before it was deleted"));
}

TEST_F(WaysTest, LogDamaged) {
  StartFleet();
  if (fleet_ == nullptr) return;
  ASSERT_EQ(a().StopDaemon(), 0);
  const std::string log = a().state_directory() + "/log.db";
  std::string bytes = ReadFile(log);
  for (size_t page = 1; page < bytes.size() / 4096; ++page) bytes[page * 4096 + 100] ^= 0x55;
  WriteFile(log, bytes, 0600);
  App(a(), "UPDATE items SET v = 'sold meanwhile' WHERE id = 1");
  // Found at the start or at the first look: either way it is named, and nothing was done from it.
  (void)a().StartDaemon();
  a().StopDaemon(SIGKILL);
  std::filesystem::create_directory(a().state_directory() + "/safe");
  for (const char* end : {"", "-wal", "-shm"}) {
    std::error_code ignored;
    std::filesystem::rename(log + end, a().state_directory() + "/safe/log.db" + end, ignored);
  }
  Follow(a(), RemedyOf({.kind = ProblemKind::kLogDamaged, .subject = log}));
  ExpectHealthy();
  EXPECT_EQ(Row(b(), 1), "sold meanwhile");
}

// Goal: what the application writes while somebody has to choose comes once, and nothing is published before.
TEST_F(WaysTest, TableMadeLater) {
  StartFleet();
  if (fleet_ == nullptr) return;
  for (Branch* branch : {&a(), &b()}) App(*branch, "CREATE TABLE rates (id int PRIMARY KEY, v text, n int)");
  App(a(), "INSERT INTO rates VALUES (1, 'same', 1), (2, 'of a', 1), (3, 'same', 1)");
  App(b(), "INSERT INTO rates VALUES (1, 'same', 1), (2, 'of b', 1), (3, 'same', 1)");
  const std::string remedy = Remedy(a(), "table-not-enrolled");
  EXPECT_THAT(remedy, HasSubstr("`assay tables add public.rates`"));
  Follow(a(), remedy);
  App(a(), "UPDATE rates SET n = 5 WHERE id = 1");
  ASSERT_EQ(b().StopDaemon(), 0);
  const RunResult asks = b().Assay({"tables", "add", "public.rates"});
  EXPECT_EQ(asks.exit_code, 1) << asks.output;
  EXPECT_THAT(asks.output, AllOf(HasSubstr("--differences"), HasSubstr("of b")));
  EXPECT_EQ(SqlValue(b().AdminUrl(), "SELECT count(*) FROM pg_publication_tables WHERE tablename = 'rates'"), "0");
  App(b(), "DELETE FROM rates WHERE id = 3; INSERT INTO rates VALUES (4, 'while somebody chooses', 1)");
  const RunResult added = b().Assay({"tables", "add", "public.rates", "--differences", "fleet"});
  ASSERT_EQ(added.exit_code, 0) << added.output;
  App(b(), "UPDATE rates SET v = 'afterwards' WHERE id = 4");
  EXPECT_THAT(b().Assay({"tables", "add", "public.rats"}).output, HasSubstr("there is no table public.rats"));
  EXPECT_THAT(b().Assay({"tables", "add", "other.rates"}).output, HasSubstr("is not meant by postgres.tables"));
  ASSERT_OK(b().StartDaemon());
  ExpectHealthy();
  EXPECT_EQ(SqlValue(a().Url(), "SELECT v FROM rates WHERE id = 2"), "of a");
  EXPECT_EQ(SqlValue(a().Url(), "SELECT v FROM rates WHERE id = 4"), "afterwards");
}

// Goal: within seconds a key that another shop may hand out is named, with its table and sequence.
TEST_F(WaysTest, KeyOfAnotherBranch) {
  StartFleet();
  if (fleet_ == nullptr) return;
  App(a(), "INSERT INTO sales (v) VALUES ('before')");
  App(a(), "SELECT setval('sales_id_seq', 9); ALTER SEQUENCE sales_id_seq INCREMENT BY 1");
  App(a(), "INSERT INTO sales (v) VALUES ('under a number of another shop')");
  const std::string remedy = Remedy(a(), "key-foreign");
  EXPECT_THAT(a().Problems(),
              AllOf(HasSubstr("public.sales"), HasSubstr("row [10]"), HasSubstr("public.sales_id_seq")));
  Follow(a(), remedy);
  ExpectHealthy();
  EXPECT_EQ(SqlValue(a().Url(), "INSERT INTO sales (v) VALUES ('') RETURNING id % 64"), "1");
}

TEST_F(WaysTest, PublicationDroppedUnderTheDaemon) {
  StartFleet();
  if (fleet_ == nullptr) return;
  MustSql(a().AdminUrl(), "DROP PUBLICATION assay");
  App(a(), "UPDATE items SET v = 'not published' WHERE id = 1; DELETE FROM items WHERE id = 2");
  Follow(a(), Remedy(a(), "publication-gone"));
  ExpectHealthy();
  EXPECT_EQ(Row(b(), 1), "not published");
  EXPECT_EQ(Row(b(), 2), "-");
}

TEST_F(WaysTest, SchemaAssayDroppedUnderTheDaemon) {
  StartFleet();
  if (fleet_ == nullptr) return;
  MustSql(a().AdminUrl(), "DROP SCHEMA assay CASCADE");
  App(a(), "UPDATE items SET v = 'without it' WHERE id = 1");
  App(b(), "UPDATE items SET v = 'of b' WHERE id = 2");
  Follow(a(), Remedy(a(), "installation-gone"));
  ExpectHealthy();
  EXPECT_EQ(Row(b(), 1), "without it");
  EXPECT_EQ(Row(a(), 2), "of b");
  EXPECT_EQ(SqlValue(a().Url(), "INSERT INTO sales (v) VALUES ('') RETURNING id % 64"), "1");
}

TEST_F(WaysTest, DatabaseRestoredFromADumpOfPublicAlone) {
  StartFleet();
  if (fleet_ == nullptr) return;
  App(a(), "INSERT INTO sales (v) VALUES ('one'), ('two')");
  ASSERT_OK(fleet_->WaitConverged(kPatience));
  const std::string dump = Dump(a().server(), {"-n", "public"}, a().AdminUrl());
  copies_.push_back(dump);
  App(a(), "UPDATE items SET v = 'after the dump' WHERE id = 1; INSERT INTO sales (v) VALUES ('after the dump')");
  App(b(), "INSERT INTO items VALUES (102, 'while it was away', 1)");
  ASSERT_OK(fleet_->WaitConverged(kPatience));
  AwaitCaptured(a());
  ASSERT_EQ(a().StopDaemon(), 0);
  LoadAnew(a(), dump);
  ASSERT_OK(a().StartDaemon());
  Follow(a(), Remedy(a(), "database-behind-log"));
  ExpectHealthy();
  EXPECT_EQ(Row(a(), 1), "after the dump");
  EXPECT_EQ(Row(a(), 102), "while it was away");
  EXPECT_EQ(SqlValue(a().Url(), "SELECT count(*) FROM sales"), "4");
  EXPECT_EQ(SqlValue(a().Url(), "INSERT INTO sales (v) VALUES ('new') RETURNING (id % 64) || ' ' || (id > 129)"),
            "1 true");
}

TEST_F(WaysTest, DatabaseRestoredToBeforeAMigration) {
  StartFleet();
  if (fleet_ == nullptr) return;
  const std::string dump = Dump(a().server(), {}, a().AdminUrl());
  copies_.push_back(dump);
  for (Branch* branch : {&a(), &b()}) App(*branch, "ALTER TABLE items ADD COLUMN note text");
  App(a(), "UPDATE items SET note = 'by a' WHERE id = 1");
  App(b(), "UPDATE items SET note = 'by b', v = 'later' WHERE id = 2");
  ASSERT_OK(fleet_->WaitConverged(kPatience));
  AwaitCaptured(a());
  ASSERT_EQ(a().StopDaemon(), 0);
  LoadAnew(a(), dump);
  App(a(), "ALTER TABLE items ADD COLUMN note text");
  ASSERT_OK(a().StartDaemon());
  Follow(a(), Remedy(a(), "database-behind-log"));
  ExpectHealthy();
  EXPECT_EQ(SqlValue(a().Url(), "SELECT string_agg(note, ',' ORDER BY id) FROM items"), "by a,by b");
  EXPECT_EQ(Row(a(), 2), "later");
}

// Goal: a machine that was put back to an image is found before it writes a second history, also when its session at
// the hub is the one that the image knows.
// Method: copy PostgreSQL and log while everything runs and rests, and put both back after more was sold and sent.
TEST_F(WaysTest, MachinePutBackToAnImageThatWasTakenWhileItRan) {
  StartFleet();
  if (fleet_ == nullptr) return;
  PostgresServer& server = a().server();
  MustSql(a().AdminUrl(), "ALTER SYSTEM SET autovacuum = off");
  ASSERT_OK(server.Reload());
  AwaitCaptured(a());
  MustSql(a().AdminUrl(), "CHECKPOINT");
  copies_ = {server.data_directory() + ".image", a().state_directory() + ".image"};
  Copy(server.data_directory(), copies_[0]);
  Copy(a().state_directory(), copies_[1]);
  App(a(),
      "INSERT INTO items VALUES (6, 'sold and sent after the image', 6); UPDATE items SET v = 'later' WHERE id = 1");
  ASSERT_OK(fleet_->WaitConverged(kPatience));
  a().StopDaemon(SIGKILL);
  ASSERT_OK(server.Stop("immediate"));
  Copy(copies_[0], server.data_directory());
  std::filesystem::remove(server.data_directory() + "/postmaster.pid");
  Copy(copies_[1], a().state_directory());
  ASSERT_OK(server.Start());
  App(a(), "INSERT INTO items VALUES (7, 'sold after the revert', 7)");
  ASSERT_OK(a().StartDaemon());
  const std::string remedy = Remedy(a(), "clone");
  const RunResult doctor = a().Assay({"doctor"});
  EXPECT_EQ(doctor.exit_code, 1) << "halted is not well";
  EXPECT_THAT(doctor.output, HasSubstr("FAIL  clone"));
  EXPECT_EQ(SqlValue(fleet_->hub().Url("postgres"), "SELECT count(*) FROM assay_hub.fork_evidence"), "0");
  ASSERT_EQ(a().StopDaemon(), 0);
  EXPECT_THAT(a().Assay({"repair"}).output, HasSubstr("--replaces-other")) << "there is no other one any more";
  Follow(a(), remedy, {"--replaces-other"});
  ExpectHealthy();
  EXPECT_EQ(Row(a(), 6), "sold and sent after the image");
  EXPECT_EQ(Row(a(), 1), "later");
  EXPECT_EQ(Row(b(), 7), "sold after the revert");
}

// Goal: a table that one shop gives up on purpose is settled there, while the other one goes on with it.
TEST_F(WaysTest, TableGoneOnPurpose) {
  StartFleet();
  if (fleet_ == nullptr) return;
  App(b(), "DROP TABLE sales");
  App(a(), "INSERT INTO sales (v) VALUES ('on its way')");
  App(a(), "INSERT INTO items VALUES (8, 'another table', 8)");
  EXPECT_TRUE(Shows(b(), "SELECT count(*) FROM items WHERE id = 8", "1")) << b().Problems();
  const std::string remedy = Remedy(b(), "table-gone");
  EXPECT_THAT(remedy, HasSubstr("assay tables remove public.sales"));
  // First the config, which is a person's file; then the command.
  ASSERT_EQ(b().StopDaemon(), 0);
  const RunResult not_yet = b().Assay({"tables", "remove", "public.sales"});
  EXPECT_EQ(not_yet.exit_code, 2);
  EXPECT_THAT(not_yet.output, HasSubstr("exclude = [\"public.sales\"]"));
  FleetOptions without = fleet_->options();
  without.tables = {"public.*\"]\nexclude = [\"public.sales"};
  b().WriteConfig(without, b().hub_url());
  const RunResult removed = b().Assay({"tables", "remove", "public.sales"});
  EXPECT_EQ(removed.exit_code, 0) << removed.output;
  ASSERT_OK(b().StartDaemon());
  EXPECT_THAT(b().Problems(),
              AllOf(HasSubstr("rows-forgotten"), Not(HasSubstr("table-gone")), Not(HasSubstr("rows-wait"))));
  EXPECT_EQ(b().Assay({"status"}).exit_code, 0) << "nothing is wrong";
  // The next event of such a row takes that back: somebody still writes it.
  App(a(), "UPDATE sales SET v = 'again' WHERE v = 'on its way'");
  EXPECT_THAT(Remedy(b(), "rows-wait"), HasSubstr("assay parked forget"));
  EXPECT_EQ(b().Assay({"parked", "forget", "--table", "public.sales"}).exit_code, 0);
  EXPECT_TRUE(Eventually(kPatience, [&] { return !absl::StrContains(b().Problems(), "rows-wait"); })) << b().Problems();
  EXPECT_THAT(b().Assay({"parked", "--forgotten"}).output, HasSubstr("public.sales"));
  // And the table may come back.
  App(b(), "CREATE TABLE sales (id serial PRIMARY KEY, v text)");
  ASSERT_EQ(b().StopDaemon(), 0);
  b().WriteConfig(fleet_->options(), b().hub_url());
  const RunResult added = b().Assay({"tables", "add", "public.sales"});
  EXPECT_EQ(added.exit_code, 0) << added.output;
  ASSERT_OK(b().StartDaemon());
  ExpectHealthy();
  EXPECT_EQ(SqlValue(b().Url(), "SELECT string_agg(v, ',' ORDER BY v) FROM sales"), "again,of b");
}

}  // namespace
}  // namespace assay::test
