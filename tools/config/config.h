// The daemon's configuration: one TOML file, each key overridable from the environment.
//
//   [branch]
//   name = "mumbai-1"
//   number = 1                     # 1..stride, unique in the fleet
//   [hub]
//   url = "postgresql://branch_1@db.example.supabase.co:5432/postgres?sslmode=verify-full"
//   password_file = "/etc/assay/hub.password"
//
//   ASSIGN(Config config, LoadConfig("/etc/assay/assay.toml", ProcessEnvironment()));
//
// ASSAY_SECTION_KEY (ASSAY_HUB_INTERVAL=30s) overrides a key; lists are separated by commas. hub.url may also come from
// SUPABASE_DB_URL, in the environment or in a `.env` beside the file. Only [tables] and [sequences] cannot be
// overridden.
//
// Everything wrong is reported at once, one line each: file, line, key, what is wrong, what to do. No message ever
// contains a connection URL or a password. Files that hold a secret and that others can read are refused.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "engine/config.h"

namespace assay {

struct Config {
  std::string path;

  struct Branch {
    std::string name;
    int64_t number = 0;
    int64_t stride = 64;  // Most branches there will ever be: serial keys step by it.
    std::string state_dir = "/var/lib/assay";
  } branch;

  // Connection strings as libpq takes them, the password of a password_file already inside: never print one.
  struct Postgres {
    std::string url;
    std::string admin_url;  // For init, leave and doctor; empty: `url`.
    std::string password_file;
    std::vector<std::string> tables;  // "schema.pattern"; * matches any run of characters.
    std::vector<std::string> exclude;
  } postgres;

  struct Hub {
    std::string url;  // Empty: no hub, everything local works.
    std::string password_file;
    absl::Duration interval = absl::Minutes(5);
    bool realtime = true;
    bool allow_insecure = false;  // Accept an sslmode weaker than verify-full on a network.
  } hub;

  struct Admin {
    std::string listen;                            // "unix:/path" or "host:port"; default: unix:STATE_DIR/assay.sock.
    std::string tls_cert, tls_key, tls_client_ca;  // PEM files; all three for host:port.
  } admin;

  struct Verify {
    std::string at = "03:00";                   // When the tables are compared with the log by themselves; "never".
    std::optional<absl::Duration> time_of_day;  // The same, since midnight.
  } verify;

  struct Log {
    std::string level = "info";  // trace, debug, info, warning, error.
  } log;

  std::map<TableName, TablePolicy> policies;  // [tables."schema.table"]

  // [sequences] "schema.sequence" = "stride": its numbers are told apart by the branch, as keys are; or "own": each
  // branch counts for itself, and tells its numbers apart otherwise.
  struct Sequences {
    std::set<TableName> stride, own;
  } sequences;

  // Of each table that has a policy, the columns that it names.
  std::map<TableName, std::vector<std::string>> PolicyColumns() const;
  bool has_hub() const { return !hub.url.empty(); }
  std::string log_path() const { return branch.state_dir + "/log.db"; }
  std::string key_path() const { return branch.state_dir + "/signing.key"; }
  std::string lock_path() const { return branch.state_dir + "/lock"; }
  const std::string& admin_url() const { return postgres.admin_url.empty() ? postgres.url : postgres.admin_url; }
  EngineConfig ToEngineConfig() const;  // Without the signing key.
};

using Environment = std::map<std::string, std::string>;
Environment ProcessEnvironment();

// NOT_FOUND: no such file. PERMISSION_DENIED: it, or a secret it names, cannot be read or can be read by others.
// INVALID_ARGUMENT: anything else. The message has one line for each thing that is wrong.
absl::StatusOr<Config> LoadConfig(const std::string& path, const Environment& environment);

// The password of that hub as its config file, and the files which that names, have it now. NOT_FOUND: they have none.
// FAILED_PRECONDITION: they name another hub. Else as LoadConfig.
absl::StatusOr<std::string> HubPassword(const Config& started_with, const Environment& environment);

// The same settings without a file, for verbs that only talk to a hub (`assay hub install`): hub.url from the
// environment.
absl::StatusOr<std::string> HubUrlFromEnvironment(const Environment& environment);

// "03:00", since midnight; nullopt: "never".
absl::StatusOr<std::optional<absl::Duration>> ParseTimeOfDay(absl::string_view text);

// 300 ms … 7 days as "5m", "90s", "1h30m".
absl::StatusOr<absl::Duration> ParseInterval(absl::string_view text);

}  // namespace assay
