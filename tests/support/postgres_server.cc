#include "tests/support/postgres_server.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace assay::test {
namespace {

absl::Status RunAsServer(const std::vector<std::string>& arguments) {
  RunResult result = RunProgram(arguments, absl::Seconds(60), {.as_server_user = true});
  if (result.exit_code == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(arguments[0], " ended with ", result.exit_code, ": ", result.output));
}

// A fresh data directory for `superuser`, made at most once per process.
absl::StatusOr<std::string> TemplateData(const std::string& binaries, const std::string& superuser) {
  static TempDirectory* directory = [] {
    static TempDirectory owned("tpl");
    return &owned;
  }();
  std::string path = absl::StrCat(directory->path(), "/", superuser);
  if (std::filesystem::exists(path)) return path;
  absl::Status status = RunAsServer({binaries + "/initdb", "-D", path, "-U", superuser, "--auth=trust", "--no-sync",
                                     "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"});
  if (!status.ok()) return status;
  return path;
}

std::string LibFakeTime() {
  for (const char* path : {"/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
                           "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"}) {
    if (std::filesystem::exists(path)) return path;
  }
  return "";
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> FakeTime(const std::string& time) {
  if (LibFakeTime().empty()) return absl::NotFoundError("no libfaketime: apt-get install libfaketime");
  return std::map<std::string, std::string>{
      {"LD_PRELOAD", LibFakeTime()}, {"FAKETIME", time}, {"FAKETIME_DONT_FAKE_MONOTONIC", "1"}};
}

absl::StatusOr<std::string> PostgresBinaries() {
  if (const char* given = std::getenv("ASSAY_PG_BIN"); given != nullptr && *given != 0) return std::string(given);
  int newest = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", ignored)) {
    int version = 0;
    if (absl::SimpleAtoi(entry.path().filename().string(), &version) &&
        std::filesystem::exists(entry.path() / "bin/postgres")) {
      newest = std::max(newest, version);
    }
  }
  if (newest == 0) {
    return absl::NotFoundError(
        "no PostgreSQL server under /usr/lib/postgresql: apt-get install postgresql, or set ASSAY_PG_BIN");
  }
  return absl::StrCat("/usr/lib/postgresql/", newest, "/bin");
}

int FreePort() {
  int socket_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t size = sizeof(address);
  bool bound = bind(socket_fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
               getsockname(socket_fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  close(socket_fd);
  if (!bound) std::abort();
  return ntohs(address.sin_port);
}

bool MaySkipWithoutPostgres(const absl::Status& status) {
  if (!absl::IsNotFound(status) || std::getenv("ASSAY_REQUIRE_POSTGRES") != nullptr) return false;
  std::fprintf(stderr, "\n*** SKIPPED, NOT TESTED: %s ***\n\n", std::string(status.message()).c_str());
  return true;
}

absl::StatusOr<std::unique_ptr<PostgresServer>> PostgresServer::Create(PostgresOptions options) {
  std::unique_ptr<PostgresServer> server(new PostgresServer(std::move(options)));
  if (absl::Status status = server->Initialize(); !status.ok()) return status;
  if (absl::Status status = server->Start(); !status.ok()) return status;
  return server;
}

absl::Status PostgresServer::Initialize() {
  absl::StatusOr<std::string> binaries = PostgresBinaries();
  if (!binaries.ok()) return binaries.status();
  binaries_ = *binaries;
  if (!options_.fake_time.empty()) {
    if (absl::Status status = FakeTime(options_.fake_time).status(); !status.ok()) return status;
  }
  absl::StatusOr<std::string> data = TemplateData(binaries_, options_.superuser);
  if (!data.ok()) return data.status();
  if (absl::Status status = RunAsServer({"cp", "-a", *data, data_directory()}); !status.ok()) return status;
  WriteFile(data_directory() + "/pg_hba.conf",
            absl::StrCat("local all all trust\nlocal replication all trust\n", "host all all 127.0.0.1/32 ",
                         options_.tcp_authentication, "\nhost replication all 127.0.0.1/32 ",
                         options_.tcp_authentication, "\n"));
  port_ = FreePort();
  std::map<std::string, std::string> settings = {
      {"listen_addresses", "127.0.0.1"},
      {"unix_socket_directories", directory_.path()},
      {"wal_level", "logical"},
      {"fsync", options_.fsync ? "on" : "off"},
      {"shared_buffers", "32MB"},
      {"max_connections", "60"},
      {"max_prepared_transactions", "10"},
      {"max_wal_size", "256MB"},
      {"wal_retrieve_retry_interval", "200ms"},
      {"log_line_prefix", "%m [%p] %u@%d "},
      {"log_min_messages", "warning"},
      {"timezone", "Asia/Kolkata"},  // As at a shop: a test in UTC would not see a missing pin.
      {"port", absl::StrCat(port_)},
  };
  for (const auto& [name, value] : options_.settings) settings[name] = value;
  for (const auto& [name, value] : settings) Configure(name, value);
  return absl::OkStatus();
}

PostgresServer::~PostgresServer() { Stop("immediate").IgnoreError(); }

absl::Status PostgresServer::Start() {
  if (Running()) return absl::OkStatus();
  ChildProcess::Options options{.output = directory_.path() + "/log",
                                .as_server_user = true,
                                .signal_if_we_die = SIGQUIT,
                                .signal_at_end = SIGQUIT};
  if (!options_.fake_time.empty()) {
    options.environment = *FakeTime(options_.fake_time);
  }
  absl::StatusOr<std::unique_ptr<ChildProcess>> process =
      ChildProcess::Start({binaries_ + "/postgres", "-D", data_directory()}, std::move(options));
  if (!process.ok()) return process.status();
  process_ = *std::move(process);
  return WaitUntilReady();
}

absl::Status PostgresServer::WaitUntilReady() {
  absl::Time deadline = absl::Now() + absl::Seconds(30);
  std::string url = Url();
  while (absl::Now() < deadline) {
    if (PQping(url.c_str()) == PQPING_OK) return absl::OkStatus();
    if (!process_->Running()) break;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return absl::UnavailableError(absl::StrCat("PostgreSQL did not start; its log:\n", Log()));
}

absl::Status PostgresServer::Stop(absl::string_view mode) {
  if (!Running()) return absl::OkStatus();
  process_->Signal(mode == "smart" ? SIGTERM : mode == "fast" ? SIGINT : SIGQUIT);
  if (!process_->Wait(absl::Seconds(30)).has_value()) {
    return absl::DeadlineExceededError(absl::StrCat("PostgreSQL did not stop (", mode, "); its log:\n", Log()));
  }
  process_.reset();
  return absl::OkStatus();
}

std::string PostgresServer::Url(absl::string_view database, absl::string_view user) const {
  return absl::StrCat("postgresql://", user.empty() ? options_.superuser : user, "@/", database,
                      "?host=", directory_.path(), "&port=", port_);
}

std::string PostgresServer::TcpUrl(absl::string_view database, absl::string_view user,
                                   absl::string_view password) const {
  return absl::StrCat("postgresql://", user, password.empty() ? "" : ":", password, "@127.0.0.1:", port_, "/", database,
                      "?sslmode=disable");
}

absl::Status PostgresServer::CreateDatabase(absl::string_view name) {
  return Sql(Url(), absl::StrCat("CREATE DATABASE ", name)).status();
}

void PostgresServer::Configure(absl::string_view name, absl::string_view value) {
  std::ofstream(data_directory() + "/postgresql.conf", std::ios::app) << name << " = '" << value << "'\n";
}

absl::Status PostgresServer::Reload() { return Sql(Url(), "SELECT pg_reload_conf()").status(); }

}  // namespace assay::test
