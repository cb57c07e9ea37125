// pgbouncer in front of a PostgresServer: a session pooler as Supabase's, or a transaction pooler, which accepts LISTEN
// and never delivers. Like theirs it drops `options=` from the startup packet.
//
//   ASSAY_ASSIGN_OR_RETURN(auto pooler, PgBouncer::Create(*server, {.mode = "session", .users = {{"branch_1", "secret"}}}));
//   … pooler->Url("postgres", "branch_1") …
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tests/support/child_process.h"
#include "tests/support/postgres_server.h"
#include "tests/support/temp_directory.h"

namespace assay::test {

struct PgBouncerOptions {
  std::string mode = "session";              // session | transaction
  std::map<std::string, std::string> users;  // Name and password; an empty password anywhere: everyone is trusted.
  int pool_size = 20;                        // Server connections per user and database.
};

class PgBouncer {
 public:
  // NOT_FOUND when it is not installed. `server` must outlive it.
  static absl::StatusOr<std::unique_ptr<PgBouncer>> Create(const PostgresServer& server, PgBouncerOptions options);

  // One more user, from the next connection on.
  void AddUser(const std::string& name, const std::string& password);

  std::string Url(absl::string_view database,
                  absl::string_view user) const;  // Over loopback, with the user's password.
  int port() const { return port_; }
  std::string Log() const { return ReadFile(directory_.path() + "/log"); }

 private:
  explicit PgBouncer(PgBouncerOptions options) : options_(std::move(options)), directory_("bouncer") {}

  void WriteUsers();

  PgBouncerOptions options_;
  TempDirectory directory_;
  int port_ = 0;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace assay::test
