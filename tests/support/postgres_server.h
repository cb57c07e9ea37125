// A real PostgreSQL for tests: a server of its own in a temporary directory, on a unix socket and a free loopback port.
//
//   TEST(CaptureTest, …) {
//     ASSAY_START_POSTGRES(server, {});                       // Skips, loudly, where there is no PostgreSQL.
//     MustSql(server->Url(), "CREATE TABLE t (id int PRIMARY KEY)");
//
// wal_level is logical, fsync off unless asked for, locale C.UTF-8; connections over the socket are trusted. Runs as
// the user `postgres` when we are root. Binaries: $ASSAY_PG_BIN, else the newest under /usr/lib/postgresql. A data
// directory is made once per process and copied from then on, so a start takes well under a second. With
// ASSAY_REQUIRE_POSTGRES set in the environment (tools/test does) a missing PostgreSQL fails instead of skipping; with
// ASSAY_KEEP_TEMP directories stay.
//
// Start from the main thread (see ChildProcess). Not thread-safe, Url() apart.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "tests/support/child_process.h"
#include "tests/support/sql.h"
#include "tests/support/temp_directory.h"

namespace assay::test {

// Directory of postgres, initdb and psql. NOT_FOUND says what to install.
absl::StatusOr<std::string> PostgresBinaries();

struct PostgresOptions {
  std::string superuser = "postgres";           // Bootstrap superuser: Supabase's is not called postgres.
  bool fsync = false;                           // On where a test kills the machine, or measures.
  std::string tcp_authentication = "trust";     // pg_hba method on loopback: "scram-sha-256" for wrong passwords.
  std::map<std::string, std::string> settings;  // More postgresql.conf, e.g. {"wal_sender_timeout", "2s"}.
  std::string fake_time;                        // libfaketime's offset, e.g. "-1h"; empty: the real time.
};

class PostgresServer {
 public:
  static absl::StatusOr<std::unique_ptr<PostgresServer>> Create(PostgresOptions options = {});
  ~PostgresServer();

  // `mode`: smart, fast or immediate (which is a crash: recovery at the next start).
  absl::Status Stop(absl::string_view mode = "fast");
  absl::Status Kill() { return Stop("immediate"); }
  absl::Status Start();
  bool Running() { return process_ != nullptr && process_->Running(); }

  // Over the unix socket, trusted. `user` empty: the superuser.
  std::string Url(absl::string_view database = "postgres", absl::string_view user = "") const;
  // Over loopback, with `tcp_authentication`.
  std::string TcpUrl(absl::string_view database, absl::string_view user, absl::string_view password = "") const;

  absl::Status CreateDatabase(absl::string_view name);
  // Written to postgresql.conf; takes effect with Reload() or the next Start().
  void Configure(absl::string_view name, absl::string_view value);
  absl::Status Reload();

  int port() const { return port_; }
  std::string socket_directory() const { return directory_.path(); }
  std::string data_directory() const { return directory_.path() + "/data"; }
  // What the server has logged.
  std::string Log() const { return ReadFile(directory_.path() + "/log"); }
  const PostgresOptions& options() const { return options_; }

 private:
  explicit PostgresServer(PostgresOptions options) : options_(std::move(options)), directory_("pg") {}
  absl::Status Initialize();
  absl::Status WaitUntilReady();

  PostgresOptions options_;
  TempDirectory directory_;
  std::string binaries_;
  int port_ = 0;
  std::unique_ptr<ChildProcess> process_;
};

// The environment that gives a program a clock of its own, e.g. "-1h" or "@2099-01-01 00:00:00". NOT_FOUND says what to
// install.
absl::StatusOr<std::map<std::string, std::string>> FakeTime(const std::string& time);

// A loopback port nobody listens on now.
int FreePort();

// Where there is no PostgreSQL: true when that is allowed, and says so on stderr.
bool MaySkipWithoutPostgres(const absl::Status& status);

}  // namespace assay::test

// Declares std::unique_ptr<PostgresServer> `name`, started with the given PostgresOptions.
#define ASSAY_START_POSTGRES(name, ...)                                                                      \
  auto name##_or_status = ::assay::test::PostgresServer::Create(::assay::test::PostgresOptions __VA_ARGS__); \
  if (::assay::test::MaySkipWithoutPostgres(name##_or_status.status()))                                      \
    GTEST_SKIP() << name##_or_status.status().message();                                                     \
  ASSERT_TRUE(name##_or_status.ok()) << name##_or_status.status();                                           \
  std::unique_ptr<::assay::test::PostgresServer> name = *std::move(name##_or_status)
