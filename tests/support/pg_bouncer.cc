#include "tests/support/pg_bouncer.h"

#include <signal.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace assay::test {
namespace {

std::string Program() {
  for (const char* path : {"/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"}) {
    if (std::filesystem::exists(path)) return path;
  }
  return "";
}

}  // namespace

absl::StatusOr<std::unique_ptr<PgBouncer>> PgBouncer::Create(const PostgresServer& server, PgBouncerOptions options) {
  if (Program().empty()) return absl::NotFoundError("no pgbouncer: apt-get install pgbouncer");
  std::unique_ptr<PgBouncer> pooler(new PgBouncer(std::move(options)));
  const std::string& directory = pooler->directory_.path();
  bool trust = false;
  for (const auto& [name, password] : pooler->options_.users) trust |= password.empty();
  pooler->port_ = FreePort();
  pooler->WriteUsers();
  WriteFile(
      directory + "/pgbouncer.ini",
      absl::StrCat("[databases]\n* = host=127.0.0.1 port=", server.port(), "\n[pgbouncer]\nlisten_addr = 127.0.0.1\n",
                   "listen_port = ", pooler->port_, "\nunix_socket_dir = ", directory, "\nauth_file = ", directory,
                   "/users.txt\nauth_type = ", trust ? "trust" : "scram-sha-256",
                   "\npool_mode = ", pooler->options_.mode, "\ndefault_pool_size = ", pooler->options_.pool_size,
                   "\nmax_client_conn = 200\nserver_tls_sslmode = disable\n",
                   "ignore_startup_parameters = extra_float_digits,options\nserver_login_retry = 1\n"));
  absl::StatusOr<std::unique_ptr<ChildProcess>> process = ChildProcess::Start(
      {Program(), directory + "/pgbouncer.ini"},
      {.output = directory + "/log", .as_server_user = true, .signal_if_we_die = SIGKILL, .signal_at_end = SIGKILL});
  if (!process.ok()) return process.status();
  pooler->process_ = *std::move(process);
  std::string url = absl::StrCat("postgresql://nobody@127.0.0.1:", pooler->port_, "/postgres?sslmode=disable");
  for (absl::Time deadline = absl::Now() + absl::Seconds(10); absl::Now() < deadline && pooler->process_->Running();) {
    if (PQping(url.c_str()) != PQPING_NO_RESPONSE) return pooler;  // Refusing an unknown user is an answer.
    absl::SleepFor(absl::Milliseconds(10));
  }
  return absl::UnavailableError(absl::StrCat("pgbouncer did not start; its log:\n", pooler->Log()));
}

void PgBouncer::WriteUsers() {
  std::string users;
  for (const auto& [name, password] : options_.users) absl::StrAppend(&users, "\"", name, "\" \"", password, "\"\n");
  WriteFile(directory_.path() + "/users.txt", users);
}

void PgBouncer::AddUser(const std::string& name, const std::string& password) {
  options_.users[name] = password;
  WriteUsers();
  process_->Signal(SIGHUP);
  absl::SleepFor(absl::Milliseconds(200));  // It answers a signal in its own time.
}

std::string PgBouncer::Url(absl::string_view database, absl::string_view user) const {
  auto found = options_.users.find(std::string(user));
  std::string password = found == options_.users.end() || found->second.empty() ? "" : absl::StrCat(":", found->second);
  return absl::StrCat("postgresql://", user, password, "@127.0.0.1:", port_, "/", database, "?sslmode=disable");
}

}  // namespace assay::test
