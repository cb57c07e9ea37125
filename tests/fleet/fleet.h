// A whole fleet on this machine: branches (a PostgreSQL with the app's database `erp`, a real assayd) around a hub.
//
//   TEST(FlowTest, …) {
//     ASSAY_START_FLEET(fleet, 2, {.schema = "CREATE TABLE t (id int PRIMARY KEY, v text)"});
//     MustSql(fleet->branch(0).Url(), "INSERT INTO t VALUES (1, 'a')");
//     EXPECT_OK(fleet->WaitConverged(absl::Seconds(10)));
//   }
//
// Everything goes the way a person would: `assay hub install` and `enrol` as a role with Supabase's privileges, a TOML
// file, `assay init`, `assayd --config`. The app works as role `erp`, which owns its tables and is nothing special. Use
// from the main thread; actors (actor.h) have sessions of their own.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "google/protobuf/struct.pb.h"
#include "gtest/gtest.h"
#include "tests/fleet/json.h"
#include "tests/support/child_process.h"
#include "tests/support/link.h"
#include "tests/support/pg_bouncer.h"
#include "tests/support/postgres_server.h"

namespace assay::test {

// Which build of the daemon a fleet runs.
enum class DaemonBuild {
  kShipped,
  kNaive,        // Projects without looking: to prove that a test can fail.
  kForFakeTime,  // With the C library's allocator: jemalloc asks the time while it sets itself up, libfaketime
                 // allocates while it does.
};

struct FleetOptions {
  std::string schema;  // Run in every branch's `erp`, as the app's role, before enrolment.
  std::vector<std::string> tables = {"public.*"};
  std::string interval = "5m";  // Long: what arrives sooner came by a hint.
  bool realtime = true;
  DaemonBuild daemon = DaemonBuild::kShipped;
  std::string more_config;                      // TOML, at the end of each branch's file.
  std::string pooler;                           // "session" or "transaction": pgbouncer before the hub.
  bool bad_lines = false;                       // The daemons' connections go over Links, see Branch::hub_line.
  std::map<int, std::string> fake_time;         // By branch index: its PostgreSQL's clock, e.g. "+1h".
  bool fsync = false;                           // Of all servers: on where something is measured.
  bool may_differ = false;                      // Branches are not to hold the same rows: see ~Fleet.
  std::map<std::string, std::string> settings;  // Of all servers: more postgresql.conf.
};

class Branch {
 public:
  // Of the app's role.
  std::string Url() const { return server_->Url("erp", "erp"); }
  // Of the superuser.
  std::string AdminUrl() const { return server_->Url("erp"); }
  PostgresServer& server() { return *server_; }
  const std::string& name() const { return name_; }
  const std::string& state_directory() const { return state_directory_; }
  const std::string& config_path() const { return config_path_; }
  const std::string& hub_password() const { return hub_password_; }
  const std::string& hub_url() const { return hub_url_; }
  static std::string ProgramPath(const char* name);

  // `assay VERB…` with this branch's config.
  RunResult Assay(std::vector<std::string> arguments, absl::Duration timeout = absl::Seconds(60)) const;
  // The same with --json, parsed. INTERNAL with the output when it fails or is no JSON object.
  absl::StatusOr<google::protobuf::Struct> AssayJson(std::vector<std::string> arguments) const;
  absl::StatusOr<google::protobuf::Struct> Status() const { return AssayJson({"status"}); }
  // The status' problems, a line each: "kind: sentence (detail) remedy".
  std::string Problems() const;

  // `assay init`; a daemon that runs is stopped for it, and started again.
  absl::Status Init(const std::vector<std::string>& arguments = {});
  // For the daemon, from its next start on: a clock of its own is FakeTime(), with DaemonBuild::kForFakeTime.
  void set_daemon_environment(std::map<std::string, std::string> environment) {
    daemon_environment_ = std::move(environment);
  }
  // Returns once the daemon answers `assay status`.
  absl::Status StartDaemon();
  // 0 when it ended as asked within 20 s.
  int StopDaemon(int signal = 15);
  // With `bad_lines`: what the daemon's connections to the hub and to its own database go over.
  Link* hub_line() { return hub_line_.get(); }
  Link* database_line() { return database_line_.get(); }
  bool DaemonRunning() { return daemon_ != nullptr && daemon_->Running(); }
  ChildProcess* daemon() { return daemon_.get(); }
  std::string DaemonLog() const { return ReadFile(directory_->path() + "/assayd.log"); }

  // Writes the config anew; the daemon reads it at its next start. An empty `hub_url` leaves [hub] out.
  void WriteConfig(const FleetOptions& options, const std::string& hub_url);

 private:
  friend class Fleet;
  std::string name_;
  int number_ = 0;
  std::unique_ptr<TempDirectory> directory_;
  std::string state_directory_, config_path_, hub_url_, hub_password_;
  std::string daemon_program_;
  std::unique_ptr<PostgresServer> server_;
  std::unique_ptr<Link> hub_line_, database_line_;
  std::map<std::string, std::string> daemon_environment_;
  std::unique_ptr<ChildProcess> daemon_;
};

class Fleet {
 public:
  // `start`: initialized, daemons running. Otherwise only servers, hub and config files are there.
  static absl::StatusOr<std::unique_ptr<Fleet>> Create(int branch_count, FleetOptions options, bool start = true);
  // Whatever a test was about, in its end no face may say that all is well while rows or lists of conflicts differ from
  // each other, or rows from what the hub's bytes say: that fails the test.
  ~Fleet();

  Branch& branch(int index) { return *branches_[index]; }
  int size() const { return static_cast<int>(branches_.size()); }
  PostgresServer& hub() { return *hub_; }
  const FleetOptions& options() const { return options_; }

  // One more branch: its server, the app's schema, enrolled at the hub; not initialized.
  absl::StatusOr<Branch*> AddBranch();
  // `assay hub …` as the head office does it: as Supabase's `postgres`.
  RunResult HubCommand(std::vector<std::string> arguments);

  // Until every branch holds the same rows in all tables, compared by the types' binary send form, and no daemon has
  // anything left to do; then twice the same. DEADLINE_EXCEEDED names the tables that differ, and rows.
  absl::Status WaitConverged(absl::Duration timeout);
  // Where the branches' databases differ now; OK when nowhere.
  absl::Status Compare();

 private:
  explicit Fleet(FleetOptions options) : options_(std::move(options)) {}
  // Every branch runs, has nothing left to do, and says that nothing is wrong.
  bool SaysAllIsWell();
  // All branches list the same conflicts. FAILED_PRECONDITION names one that only some have.
  absl::Status CompareConflicts();
  // Compare(), CompareConflicts(), and the rows of one branch against the hub's bytes.
  absl::Status Judge();
  absl::Status StartHub();
  absl::Status EnrolAtHub(Branch& branch);
  std::string HubUrl(const std::string& user, const std::string& password, int port);

  FleetOptions options_;
  std::unique_ptr<PostgresServer> hub_;
  std::unique_ptr<PgBouncer> pooler_;
  std::vector<std::unique_ptr<Branch>> branches_;
};

// Until `met` says so, asking every `every`; false at `timeout`.
bool Eventually(absl::Duration timeout, const std::function<bool()>& met,
                absl::Duration every = absl::Milliseconds(20));

// For what takes a second, on a machine that does much else.
inline constexpr absl::Duration kPatience = absl::Seconds(90);
// Sooner or later PostgreSQL answers `query` with `value` there.
inline bool Shows(Branch& branch, const std::string& query, const std::string& value,
                  absl::Duration timeout = kPatience) {
  return Eventually(timeout, [&] { return SqlValue(branch.Url(), query) == value; });
}

}  // namespace assay::test

#define EXPECT_OK(expression)                               \
  do {                                                      \
    absl::Status expect_ok_status(expression);              \
    EXPECT_TRUE(expect_ok_status.ok()) << expect_ok_status; \
  } while (false)
#define ASSERT_OK(expression)                               \
  do {                                                      \
    absl::Status assert_ok_status(expression);              \
    ASSERT_TRUE(assert_ok_status.ok()) << assert_ok_status; \
  } while (false)

// Declares std::unique_ptr<Fleet> `name` of `count` running branches.
#define ASSAY_START_FLEET(name, count, ...)                                                             \
  auto name##_or_status = ::assay::test::Fleet::Create(count, ::assay::test::FleetOptions __VA_ARGS__); \
  if (::assay::test::MaySkipWithoutPostgres(name##_or_status.status()))                                 \
    GTEST_SKIP() << name##_or_status.status().message();                                                \
  ASSERT_TRUE(name##_or_status.ok()) << name##_or_status.status();                                      \
  std::unique_ptr<::assay::test::Fleet> name = *std::move(name##_or_status)
