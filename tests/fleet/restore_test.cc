// PostgreSQL, log and hub restored from older copies, lost, or copied as a whole: each is named before anything is
// written, and `assay repair` says what it will do, does it, and all are equal again.
#include <csignal>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/substitute.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "tests/fleet/copy_files.h"
#include "tests/fleet/fleet.h"

namespace assay::test {
namespace {

using ::testing::HasSubstr;

constexpr char kSchema[] = "CREATE TABLE items (id int PRIMARY KEY, v text, n int)";

class RestoreTest : public ::testing::Test {
 protected:
  void TearDown() override {
    for (const std::string& path : copies_) std::filesystem::remove_all(path);
  }
  Branch& a() { return fleet_->branch(0); }
  Branch& b() { return fleet_->branch(1); }

  void StartFleet() {
    ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
    fleet_ = std::move(fleet);
    for (Branch* branch : {&a(), &b()}) {
      // Only what the daemon does may use a transaction id.
      MustSql(branch->AdminUrl(), "ALTER SYSTEM SET autovacuum = off");
      ASSERT_OK(branch->server().Reload());
    }
    App(a(), "INSERT INTO items SELECT g, 'first', g FROM generate_series(1, 5) g");
    ASSERT_OK(fleet_->WaitConverged(kPatience));
  }
  static void App(Branch& branch, const std::string& sql) { MustSql(branch.Url(), sql); }
  static std::string Row(Branch& branch, int id) {
    return SqlValue(branch.Url(), absl::StrCat("SELECT coalesce((SELECT v FROM items WHERE id = ", id, "), '-')"));
  }

  // As a cold backup does it. What runs is stopped for it and started again.
  std::string CopyOf(PostgresServer& server) {
    copies_.push_back(server.data_directory() + ".copy");
    EXPECT_TRUE(server.Stop().ok());
    Copy(server.data_directory(), copies_.back());
    EXPECT_TRUE(server.Start().ok());
    return copies_.back();
  }
  static void PutBack(PostgresServer& server, const std::string& copy) {
    ASSERT_OK(server.Stop("immediate"));
    Copy(copy, server.data_directory());
    ASSERT_OK(server.Start());
  }
  // What an image of the whole machine has, which was made while everything ran: of the database, and of the log beside
  // it. Nobody sells meanwhile, so that files that are copied one after the other are as of one moment.
  struct Image {
    std::string data, state;
  };
  Image ImageOf(Branch& branch) {
    Image image{branch.server().data_directory() + ".image", branch.state_directory() + ".image"};
    copies_.push_back(image.data);
    copies_.push_back(image.state);
    AwaitCaptured(branch);
    branch.daemon()->Signal(SIGSTOP);
    MustSql(branch.AdminUrl(), "CHECKPOINT");
    Copy(branch.server().data_directory(), image.data);
    Copy(branch.state_directory(), image.state);
    branch.daemon()->Signal(SIGCONT);
    std::filesystem::remove(image.data + "/postmaster.pid");
    return image;
  }
  // The machine is put back to it.
  static void Revert(Branch& branch, const Image& image) {
    branch.StopDaemon(SIGKILL);
    PutBack(branch.server(), image.data);
    Copy(image.state, branch.state_directory());
  }
  static void AwaitClone(Branch& branch) {
    EXPECT_TRUE(Eventually(kPatience, [&] { return JsonText(*branch.Status(), "hazard") == "clone"; }))
        << branch.Problems();
    EXPECT_EQ(JsonNumber(*branch.Status(), "events_captured"), 0) << "under names that are taken";
  }
  static void AwaitCaptured(Branch& branch) {
    // A change that leaves nothing behind is confirmed as soon as it is in the log; what leaves nothing in the log,
    // only now and then.
    const std::string end = SqlValue(branch.AdminUrl(),
                                     "INSERT INTO items VALUES (999); DELETE FROM items WHERE id = 999;"
                                     "SELECT pg_logical_emit_message(true, 'test', '')");
    EXPECT_TRUE(Eventually(kPatience, [&] {
      return SqlValue(branch.AdminUrl(), absl::StrCat("SELECT coalesce(max(confirmed_flush_lsn) >= '", end,
                                                      "', false) FROM pg_replication_slots")) == "t";
    }));
  }

  std::string AtHub() {
    return SqlValue(
        fleet_->hub().Url("postgres"),
        "SELECT coalesce(string_agg(encode(origin, 'hex') || last, ' ' ORDER BY origin), '') FROM assay_hub.origin");
  }
  // Of the databases, the hub and the log: whatever is written to one of them changes it.
  std::string Everything(Branch& branch) {
    return absl::StrCat(SqlValue(branch.AdminUrl(), "SELECT pg_snapshot_xmax(pg_current_snapshot())"), " ", AtHub());
  }

  // Starts the daemon: it names `state`, and writes nothing to PostgreSQL or the hub, nor events to its log.
  void ExpectNamed(Branch& branch, const std::string& state) {
    SCOPED_TRACE(state);
    const std::string before = Everything(branch);
    ASSERT_OK(branch.StartDaemon());
    google::protobuf::Struct status;
    EXPECT_TRUE(Eventually(kPatience, [&] {
      status = branch.Status().value_or(google::protobuf::Struct());
      return JsonText(status, "state") == "halted";
    })) << branch.Problems();
    EXPECT_EQ(JsonText(status, "hazard"), state) << branch.Problems();
    EXPECT_THAT(branch.Problems(), HasSubstr("assay repair"));
    EXPECT_EQ(JsonNumber(status, "events_captured"), 0);
    absl::SleepFor(absl::Seconds(1));
    EXPECT_EQ(Everything(branch), before);
    EXPECT_EQ(branch.StopDaemon(), 0);
  }

  // `assay repair`, which shows and changes nothing, and then the same with --apply.
  google::protobuf::Struct Repair(Branch& branch, const std::string& state, std::vector<std::string> more = {}) {
    SCOPED_TRACE(state);
    google::protobuf::Struct preview, done;
    const std::string before = Everything(branch);
    std::vector<std::string> verb = {"repair", "--json"};
    verb.insert(verb.end(), more.begin(), more.end());
    RunResult shown = branch.Assay(verb);
    EXPECT_EQ(shown.exit_code, 1) << shown.output;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(shown.standard_output, &preview).ok()) << shown.output;
    EXPECT_EQ(JsonText(preview, "state"), state) << shown.output;
    EXPECT_EQ(Everything(branch), before) << "a preview";
    verb.push_back("--apply");
    RunResult applied = branch.Assay(verb, absl::Minutes(2));
    EXPECT_EQ(applied.exit_code, 0) << applied.output;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(applied.standard_output, &done).ok()) << applied.output;
    for (const char* count : {"rows", "equal", "inserted", "updated", "deleted", "stale", "absent"}) {
      EXPECT_EQ(JsonNumber(done, count), JsonNumber(preview, count)) << count << " in " << applied.output;
    }
    return done;
  }
  static std::string Lost(const google::protobuf::Struct& report) {
    std::string text;
    if (const auto* list = JsonFind(report, "lost")) {
      for (const auto& value : list->list_value().values()) absl::StrAppend(&text, value.string_value(), "\n");
    }
    return text;
  }
  void ExpectEqualAgain() {
    for (int i = 0; i < fleet_->size(); ++i) {
      if (!fleet_->branch(i).DaemonRunning()) ASSERT_OK(fleet_->branch(i).StartDaemon());
    }
    ASSERT_OK(fleet_->WaitConverged(kPatience));
    const RunResult again = fleet_->branch(0).Assay({"status"});
    EXPECT_THAT(again.output, ::testing::Not(HasSubstr("halted")));
  }

  std::unique_ptr<Fleet> fleet_;
  std::vector<std::string> copies_;
};

// A copy of the whole data directory keeps system id, timeline and slot.
TEST_F(RestoreTest, DatabaseFromAColdCopy) {
  StartFleet();
  if (fleet_ == nullptr) return;
  ASSERT_EQ(a().StopDaemon(), 0);
  const std::string copy = CopyOf(a().server());
  ASSERT_OK(a().StartDaemon());
  App(a(), "INSERT INTO items VALUES (6, 'captured, not in the copy', 6)");
  App(a(), "UPDATE items SET v = 'later' WHERE id IN (1, 3)");
  App(a(), "DELETE FROM items WHERE id = 2");
  App(b(), "INSERT INTO items VALUES (101, 'from the other', 1)");
  ASSERT_OK(fleet_->WaitConverged(kPatience));
  ASSERT_EQ(a().StopDaemon(), 0);
  PutBack(a().server(), copy);
  // The app goes on, until the WAL is longer than it ever was.
  App(a(), "INSERT INTO items VALUES (7, 'after', 7)");
  App(a(), "UPDATE items SET v = 'changed after' WHERE id = 3");
  for (int i = 0; i < 20; ++i) App(a(), "UPDATE items SET n = n + 100 WHERE id = 4");
  ExpectNamed(a(), "database-behind-log");
  const google::protobuf::Struct report = Repair(a(), "database-behind-log");
  EXPECT_EQ(JsonNumber(report, "inserted"), 1);
  EXPECT_EQ(JsonNumber(report, "updated"), 2);
  EXPECT_EQ(JsonNumber(report, "stale"), 2) << "1, and 2, which is deleted again";
  EXPECT_EQ(JsonNumber(report, "absent"), 2);
  EXPECT_THAT(Lost(report), HasSubstr("before the database was restored"));
  ExpectEqualAgain();
  EXPECT_EQ(Row(b(), 1), "later");
  EXPECT_EQ(Row(b(), 2), "-");
  EXPECT_EQ(Row(b(), 3), "changed after");
  EXPECT_EQ(SqlValue(b().Url(), "SELECT n FROM items WHERE id = 4"), "2004");
  EXPECT_EQ(Row(a(), 6), "captured, not in the copy");
  EXPECT_EQ(Row(b(), 7), "after");
  EXPECT_EQ(Row(a(), 101), "from the other");
  // And what is well is left alone.
  ASSERT_EQ(a().StopDaemon(), 0);
  const RunResult nothing = a().Assay({"repair", "--apply"});
  EXPECT_EQ(nothing.exit_code, 0) << nothing.output;
  EXPECT_THAT(nothing.output, HasSubstr("nothing to repair"));
  ExpectEqualAgain();
}

// Both lose the slot. Only the anchor, or another database's identity, tells them from a gap.
TEST_F(RestoreTest, DatabaseFromABaseBackupAndFromADump) {
  StartFleet();
  if (fleet_ == nullptr) return;
  PostgresServer& server = a().server();
  const std::string binaries = PostgresBinaries().value();
  copies_ = {server.socket_directory() + "/backup"};
  RunResult backup =
      RunProgram({binaries + "/pg_basebackup", "-d", server.Url(), "-D", copies_[0], "-c", "fast", "-X", "stream"},
                 kPatience, {.as_server_user = true});
  ASSERT_EQ(backup.exit_code, 0) << backup.output;
  ASSERT_EQ(a().StopDaemon(), 0);
  ASSERT_OK(a().StartDaemon());
  App(a(), "UPDATE items SET v = 'later' WHERE id = 1");
  ASSERT_OK(fleet_->WaitConverged(kPatience));
  AwaitCaptured(a());
  ASSERT_EQ(a().StopDaemon(), 0);
  PutBack(server, copies_[0]);
  App(a(), "INSERT INTO items VALUES (8, 'after the backup was put back', 8)");
  for (int i = 0; i < 50; ++i) App(a(), "UPDATE items SET n = n + 1 WHERE id = 4");
  ExpectNamed(a(), "database-behind-log");
  Repair(a(), "database-behind-log");
  ExpectEqualAgain();
  EXPECT_EQ(Row(a(), 1), "later");
  EXPECT_EQ(Row(b(), 8), "after the backup was put back");
  EXPECT_EQ(SqlValue(b().Url(), "SELECT n FROM items WHERE id = 4"), "54");

  const std::string dump = server.socket_directory() + "/dump.sql";
  copies_.push_back(dump);
  RunResult dumped =
      RunProgram({binaries + "/pg_dump", "-d", a().AdminUrl(), "-f", dump}, kPatience, {.as_server_user = true});
  ASSERT_EQ(dumped.exit_code, 0) << dumped.output;
  App(a(), "UPDATE items SET v = 'after the dump' WHERE id = 1");
  App(b(), "INSERT INTO items VALUES (102, 'while it was away', 1)");
  ASSERT_OK(fleet_->WaitConverged(kPatience));
  AwaitCaptured(a());
  ASSERT_EQ(a().StopDaemon(), 0);
  ASSERT_TRUE(Eventually(kPatience, [&] { return Sql(server.Url(), "DROP DATABASE erp").ok(); }));
  MustSql(server.Url(), "CREATE DATABASE erp OWNER erp");
  RunResult loaded = RunProgram({binaries + "/psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", a().AdminUrl(), "-f", dump},
                                kPatience, {.as_server_user = true});
  ASSERT_EQ(loaded.exit_code, 0) << loaded.output;
  App(a(), "INSERT INTO items VALUES (9, 'after the dump was loaded', 9)");
  ExpectNamed(a(), "database-behind-log");
  Repair(a(), "database-behind-log");
  ExpectEqualAgain();
  EXPECT_EQ(Row(a(), 1), "after the dump");
  EXPECT_EQ(Row(b(), 9), "after the dump was loaded");
  EXPECT_EQ(Row(a(), 102), "while it was away");
}

TEST_F(RestoreTest, SlotThatLostChanges) {
  StartFleet();
  if (fleet_ == nullptr) return;
  AwaitCaptured(a());
  ASSERT_EQ(a().StopDaemon(), 0);
  ASSERT_TRUE(
      Eventually(kPatience, [&] { return Sql(a().AdminUrl(), "SELECT pg_drop_replication_slot('assay')").ok(); }));
  App(a(), "INSERT INTO items VALUES (6, 'in the gap', 6)");
  App(a(), "UPDATE items SET v = 'in the gap' WHERE id = 1");
  App(a(), "UPDATE items SET v = 'twice'; UPDATE items SET v = 'first' WHERE id = 3");
  App(a(), "DELETE FROM items WHERE id = 2");
  ExpectNamed(a(), "gap");
  const google::protobuf::Struct report = Repair(a(), "gap");
  EXPECT_EQ(JsonNumber(report, "inserted"), 1);
  EXPECT_EQ(JsonNumber(report, "updated"), 3);
  EXPECT_EQ(JsonNumber(report, "deleted"), 1);
  EXPECT_EQ(JsonNumber(report, "stale"), 0);
  EXPECT_THAT(Lost(report), HasSubstr("The history between"));
  ExpectEqualAgain();
  EXPECT_EQ(Row(b(), 1), "twice");
  EXPECT_EQ(Row(b(), 2), "-");
  EXPECT_EQ(Row(b(), 3), "first");

  // Made anew by somebody who meant well.
  ASSERT_EQ(a().StopDaemon(), 0);
  ASSERT_TRUE(
      Eventually(kPatience, [&] { return Sql(a().AdminUrl(), "SELECT pg_drop_replication_slot('assay')").ok(); }));
  App(a(), "UPDATE items SET v = 'in the second gap' WHERE id = 4");
  MustSql(a().AdminUrl(), "SELECT pg_create_logical_replication_slot('assay', 'pgoutput')");
  ExpectNamed(a(), "gap");
  Repair(a(), "gap");
  ExpectEqualAgain();
  EXPECT_EQ(Row(b(), 4), "in the second gap");
}

TEST_F(RestoreTest, LogFromACopyAndLogLost) {
  StartFleet();
  if (fleet_ == nullptr) return;
  AwaitCaptured(a());
  ASSERT_EQ(a().StopDaemon(), 0);
  copies_ = {a().state_directory() + ".copy"};
  Copy(a().state_directory(), copies_[0]);
  ASSERT_OK(a().StartDaemon());
  App(a(), "UPDATE items SET v = 'pushed' WHERE id = 1");
  App(b(), "UPDATE items SET v = 'of the other' WHERE id = 2");
  ASSERT_OK(fleet_->WaitConverged(kPatience));
  ASSERT_EQ(a().Assay({"sync", "pause"}).exit_code, 0);
  App(a(), "INSERT INTO items VALUES (6, 'captured, not pushed', 6)");
  App(a(), "DELETE FROM items WHERE id = 5");
  App(b(), "UPDATE items SET v = 'news of the other' WHERE id = 3");
  AwaitCaptured(a());
  ASSERT_EQ(a().StopDaemon(), 0);
  Copy(copies_[0], a().state_directory());
  ExpectNamed(a(), "log-behind-database");
  google::protobuf::Struct report = Repair(a(), "log-behind-database");
  EXPECT_THAT(Lost(report), HasSubstr("after event"));
  EXPECT_NE(JsonText(report, "new_origin"), JsonText(report, "old_origin"));
  ExpectEqualAgain();
  EXPECT_EQ(Row(b(), 1), "pushed");
  EXPECT_EQ(Row(a(), 2), "of the other");
  EXPECT_EQ(Row(a(), 3), "news of the other");
  EXPECT_EQ(Row(b(), 5), "-");
  EXPECT_EQ(Row(b(), 6), "captured, not pushed");

  // Lost altogether: neither daemon nor init goes on without it.
  ASSERT_EQ(a().Assay({"sync", "pause"}).exit_code, 0);
  App(a(), "UPDATE items SET v = 'not pushed' WHERE id = 6");
  AwaitCaptured(a());
  ASSERT_EQ(a().StopDaemon(), 0);
  for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(a().state_directory() + "/log.db" + end);
  const absl::Status refused = a().StartDaemon();
  EXPECT_THAT(std::string(refused.message()), HasSubstr("assay repair"));
  a().StopDaemon();
  const RunResult init = a().Assay({"init"});
  EXPECT_NE(init.exit_code, 0);
  EXPECT_THAT(init.output, HasSubstr("assay repair"));
  for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(a().state_directory() + "/log.db" + end);
  report = Repair(a(), "log-behind-database");
  ExpectEqualAgain();
  EXPECT_EQ(Row(b(), 6), "not pushed");
}

// Nobody has to do anything: the branches offer again what the hub has lost.
TEST_F(RestoreTest, HubFromAnOlderCopyHealsByItself) {
  StartFleet();
  if (fleet_ == nullptr) return;
  const std::string copy = CopyOf(fleet_->hub());
  for (int i = 0; i < 2; ++i) {  // Each opens another session than the copy knows.
    ASSERT_EQ(fleet_->branch(i).StopDaemon(), 0);
    ASSERT_OK(fleet_->branch(i).StartDaemon());
  }
  App(a(), "UPDATE items SET v = 'after the backup' WHERE id = 1");
  App(b(), "INSERT INTO items VALUES (101, 'after the backup', 1)");
  ASSERT_OK(fleet_->WaitConverged(kPatience));
  PutBack(fleet_->hub(), copy);
  App(a(), "UPDATE items SET v = 'after the restore' WHERE id = 2");
  ASSERT_TRUE(Eventually(kPatience,
                         [&] {
                           a().Assay({"sync", "now"});
                           b().Assay({"sync", "now"});
                           return Row(b(), 2) == "after the restore";
                         }))
      << a().Problems() << b().Problems();
  ASSERT_OK(fleet_->WaitConverged(kPatience));
  EXPECT_TRUE(Eventually(
      kPatience,
      [&] {
        return SqlValue(fleet_->hub().Url("postgres"), "SELECT count(*) FROM assay_hub.fork_evidence") == "0" &&
               JsonText(*a().Status(), "state") == "running" && JsonText(*b().Status(), "state") == "running";
      }))
      << a().Problems() << b().Problems();
}

// Offline nobody can know: it sells on under names that are taken, and more of them than the hub has.
TEST_F(RestoreTest, MachinePutBackToAnImageThatSellsOnOffline) {
  StartFleet();
  if (fleet_ == nullptr) return;
  const Image image = ImageOf(a());
  App(a(), "INSERT INTO items VALUES (7, 'after the image', 7)");
  ASSERT_OK(fleet_->WaitConverged(kPatience));
  const std::string at_hub = AtHub();
  a().StopDaemon(SIGKILL);
  ASSERT_OK(fleet_->hub().Stop("immediate"));
  Revert(a(), image);
  ASSERT_OK(a().StartDaemon());
  for (int id = 8; id < 12; ++id) App(a(), absl::StrCat("INSERT INTO items VALUES (", id, ", 'sold offline', 8)"));
  EXPECT_TRUE(Eventually(kPatience, [&] { return JsonNumber(*a().Status(), "events_captured") >= 4; }))
      << a().Problems();
  ASSERT_OK(fleet_->hub().Start());
  a().Assay({"sync", "now"});
  EXPECT_TRUE(Eventually(kPatience, [&] { return JsonText(*a().Status(), "hazard") == "clone"; })) << a().Problems();
  EXPECT_THAT(a().Problems(), HasSubstr("another event under the name"));
  EXPECT_EQ(AtHub(), at_hub);
  EXPECT_EQ(SqlValue(fleet_->hub().Url("postgres"), "SELECT count(*) FROM assay_hub.fork_evidence"), "1");
  ASSERT_EQ(a().StopDaemon(), 0);
  const google::protobuf::Struct report = Repair(a(), "clone", {"--replaces-other"});
  EXPECT_THAT(Lost(report), HasSubstr("which only this copy has"));
  ExpectEqualAgain();
  EXPECT_EQ(Row(a(), 7), "after the image");
  EXPECT_EQ(Row(b(), 11), "sold offline");
}

// Goal: of two machines that run with the same branch only one goes on, and the other's changes are kept when it joins
// as itself.
class ClonedBranchTest : public RestoreTest, public ::testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(Copied, ClonedBranchTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "InTheMiddleOfASession" : "WhileItWasStopped"; });

TEST_P(ClonedBranchTest, OneOfTheTwoGoesOn) {
  StartFleet();
  if (fleet_ == nullptr) return;
  Image image;
  if (GetParam()) {
    image = ImageOf(a());
  } else {
    ASSERT_EQ(a().StopDaemon(), 0);
    image = {CopyOf(a().server()), a().state_directory() + ".copy"};
    copies_.push_back(image.state);
    Copy(a().state_directory(), image.state);
    ASSERT_OK(a().StartDaemon());
  }
  App(a(), "UPDATE items SET v = 'of the original' WHERE id = 1");
  ASSERT_OK(fleet_->WaitConverged(kPatience));

  absl::StatusOr<Branch*> added = fleet_->AddBranch();
  ASSERT_OK(added.status());
  Branch& c = **added;
  PostgresServer& server = c.server();
  const std::string own_config = ReadFile(server.data_directory() + "/postgresql.conf");
  ASSERT_OK(server.Stop());
  Copy(image.data, server.data_directory());
  WriteFile(server.data_directory() + "/postgresql.conf", own_config);
  ASSERT_OK(server.Start());
  MustSql(c.AdminUrl(), "ALTER SYSTEM SET autovacuum = off");
  ASSERT_OK(server.Reload());
  Copy(image.state, c.state_directory());
  const std::string config = ReadFile(c.config_path());
  WriteFile(
      c.config_path(),
      absl::StrReplaceAll(ReadFile(a().config_path()), {{a().state_directory(), c.state_directory()},
                                                        {a().AdminUrl(), c.AdminUrl()},
                                                        {a().config_path().substr(0, a().config_path().rfind('/')),
                                                         c.config_path().substr(0, c.config_path().rfind('/'))}}),
      0600);
  App(c, "INSERT INTO items VALUES (7, 'of the copy', 7)");
  App(c, "UPDATE items SET v = 'of the copy' WHERE id = 2");
  ASSERT_OK(c.StartDaemon());
  AwaitClone(c);
  EXPECT_THAT(c.Problems(), HasSubstr("another machine"));
  App(c, "UPDATE items SET v = 'written while halted' WHERE id = 3");
  App(a(), "UPDATE items SET n = 10 WHERE id = 4");
  EXPECT_TRUE(Shows(b(), "SELECT n FROM items WHERE id = 4", "10")) << "the original goes on";
  EXPECT_EQ(JsonNumber(*c.Status(), "events_captured"), 0);
  EXPECT_EQ(JsonText(*a().Status(), "state"), "running") << a().Problems();
  EXPECT_EQ(Row(c, 1), "first") << "nothing is projected";
  ASSERT_EQ(c.StopDaemon(), 0);

  const RunResult refused = c.Assay({"repair"});
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_THAT(refused.output, HasSubstr("--replaces-other"));
  WriteFile(c.config_path(), config, 0600);  // A name, a number and a login of its own.
  Repair(c, "clone");
  ExpectEqualAgain();
  EXPECT_EQ(Row(c, 1), "of the original");
  EXPECT_EQ(Row(a(), 2), "of the copy");
  EXPECT_EQ(Row(a(), 3), "written while halted");
  EXPECT_EQ(Row(b(), 7), "of the copy");
}

}  // namespace
}  // namespace assay::test
