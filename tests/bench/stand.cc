#include "tests/bench/stand.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "engine/engine.h"
#include "engine/own_chain.h"
#include "log/annotate.h"

namespace assay::bench {

using test::Branch;
using test::ChildProcess;
using test::PostgresServer;
using test::ReadFile;
using test::Rows;
using test::SqlSession;

namespace {

constexpr absl::Duration kPatience = absl::Minutes(30);
constexpr int64_t kProducts = 10'000;

std::string Workload(const char* file) { return absl::StrCat(ASSAY_BENCH_WORKLOAD, "/", file); }

}  // namespace

absl::Status Await(const std::string& what, const std::function<absl::StatusOr<bool>()>& met, absl::Duration every) {
  for (const absl::Time deadline = absl::Now() + kPatience; absl::Now() < deadline; absl::SleepFor(every)) {
    ASSAY_ASSIGN_OR_RETURN(const bool done, met());
    if (done) return absl::OkStatus();
  }
  return absl::DeadlineExceededError(absl::StrCat("not after ", absl::FormatDuration(kPatience), ": ", what));
}

// ---- LogWatch ----

absl::StatusOr<std::unique_ptr<LogWatch>> LogWatch::Open(const Branch& branch) {
  auto watch = std::make_unique<LogWatch>();
  ASSAY_ASSIGN_OR_RETURN(watch->file_,
                         LogFile::Open(branch.state_directory() + "/log.db", {.vfs = "", .read_only = true}));
  ASSAY_ASSIGN_OR_RETURN(watch->log_, EventLog::Open(watch->file_.get()));
  ASSAY_ASSIGN_OR_RETURN(watch->state_, LocalState::Open(watch->file_.get(), watch->log_.get()));
  return watch;
}

absl::StatusOr<uint64_t> LogWatch::CapturedLsn() {
  ASSAY_ASSIGN_OR_RETURN(const CapturedPosition captured, state_->Read(kCapturedNote));
  return captured.position.value;
}

absl::StatusOr<int64_t> LogWatch::Events() {
  ASSAY_RETURN_IF_ERROR(log_->Refresh());
  return log_->EventCount();
}

absl::StatusOr<uint64_t> LogWatch::OwnHead() {
  ASSAY_RETURN_IF_ERROR(log_->Refresh());
  ASSAY_ASSIGN_OR_RETURN(const OriginId own, OwnOrigin(*state_));
  return log_->Head(own).last.value;
}

absl::StatusOr<int64_t> LogWatch::BytesInUse() {
  ASSAY_ASSIGN_OR_RETURN(Statement bytes,
                         file_->Prepare("SELECT (page_count - freelist_count) * page_size "
                                        "FROM pragma_page_count, pragma_freelist_count, pragma_page_size"));
  ASSAY_RETURN_IF_ERROR(bytes.Step().status());
  return bytes.OnlyInt();
}

absl::StatusOr<bool> LogWatch::Repacked() {
  ASSAY_RETURN_IF_ERROR(log_->Refresh());
  return !log_->ShouldRepack(EngineConfig().repack_events);
}

// ---- Stand ----

absl::StatusOr<std::unique_ptr<Stand>> Stand::Create(const BenchOptions& options, int branches) {
  std::unique_ptr<Stand> stand(new Stand(options));
  stand->products_ = options.Scaled(kProducts, 300);
  test::FleetOptions fleet;
  fleet.schema = ReadFile(Workload("schema.sql"));
  fleet.fsync = true;
  // No checkpoint in the middle of a measurement; the rest is what a shop has.
  fleet.settings = {{"shared_buffers", "512MB"},
                    {"max_wal_size", "16GB"},
                    {"checkpoint_timeout", "1h"},
                    {"max_worker_processes", "16"}};
  ASSAY_ASSIGN_OR_RETURN(stand->fleet_, test::Fleet::Create(branches, fleet, /*start=*/false));
  const std::string seed =
      absl::StrReplaceAll(ReadFile(Workload("seed.sql")), {{":n)", absl::StrCat(stand->products_, ")")}});
  for (int i = 0; i < branches; ++i) {
    ASSAY_RETURN_IF_ERROR(stand->Run(i == 0 ? Node::kA : Node::kB, kAssay, seed));
    ASSAY_RETURN_IF_ERROR(stand->fleet_->branch(i).Init());
  }
  if (branches < 2) return stand;
  for (const Node node : {Node::kA, Node::kHub, Node::kB}) {
    for (const char* database : {kNative, kClient}) {
      ASSAY_RETURN_IF_ERROR(stand->server(node).CreateDatabase(database));
      ASSAY_RETURN_IF_ERROR(stand->Run(node, database, fleet.schema));
      ASSAY_RETURN_IF_ERROR(stand->Run(node, database, seed));
    }
  }
  return stand;
}

PostgresServer& Stand::server(Node node) {
  switch (node) {
    case Node::kA:
      return fleet_->branch(0).server();
    case Node::kHub:
      return fleet_->hub();
    case Node::kB:
      return fleet_->branch(1).server();
  }
  return fleet_->hub();
}

std::string Stand::Url(Node node, const std::string& database) {
  return server(node).Url(database, database == kAssay ? "erp" : "");
}

absl::StatusOr<SqlSession*> Stand::Session(Node node, const std::string& database) {
  std::unique_ptr<SqlSession>& session = sessions_[{node, database}];
  if (session == nullptr) {
    ASSAY_ASSIGN_OR_RETURN(session, SqlSession::Connect(Url(node, database)));
  }
  return session.get();
}

absl::Status Stand::Run(Node node, const std::string& database, const std::string& sql) {
  ASSAY_ASSIGN_OR_RETURN(SqlSession * session, Session(node, database));
  return Annotate(session->Run(sql).status(), sql.substr(0, 100));
}

absl::StatusOr<std::string> Stand::Value(Node node, const std::string& database, const std::string& sql) {
  ASSAY_ASSIGN_OR_RETURN(SqlSession * session, Session(node, database));
  absl::StatusOr<Rows> rows = session->Run(sql);
  if (!rows.ok()) return Annotate(rows.status(), sql.substr(0, 100));
  if (rows->empty()) return absl::NotFoundError(absl::StrCat("no row: ", sql));
  return (*rows)[0][0];
}

absl::Status Stand::Prepare(const std::string& database, const std::string& sql) {
  // One by one: a procedure that commits does not run inside a transaction of several statements.
  ASSAY_RETURN_IF_ERROR(Run(Node::kA, database, "SET synchronous_commit = off"));
  ASSAY_RETURN_IF_ERROR(Run(Node::kA, database, sql));
  return Run(Node::kA, database, "SET synchronous_commit = on");
}

absl::StatusOr<int64_t> Stand::Mark(const std::string& database) {
  ASSAY_ASSIGN_OR_RETURN(const std::string value,
                         Value(Node::kA, database, "UPDATE bench_marker SET v = v + 1 WHERE id = 1 RETURNING v"));
  int64_t marker = 0;
  if (!absl::SimpleAtoi(value, &marker)) return absl::InternalError(value);
  return marker;
}

absl::Status Stand::AwaitMarker(Node node, const std::string& database, int64_t marker) {
  const std::string wanted = absl::StrCat(marker);
  return Await(absl::StrCat("marker ", marker, " in ", database), [&]() -> absl::StatusOr<bool> {
    ASSAY_ASSIGN_OR_RETURN(const std::string value, Value(node, database, "SELECT v FROM bench_marker WHERE id = 1"));
    return value == wanted;
  });
}

absl::Status Stand::Checkpoint() {
  for (const Node node : {Node::kA, Node::kHub, Node::kB}) {
    if (node == Node::kB && fleet_->size() < 2) continue;
    ASSAY_RETURN_IF_ERROR(test::Sql(server(node).Url(), "CHECKPOINT").status());
  }
  return absl::OkStatus();
}

absl::Status Stand::StartAssay() {
  for (int i = 0; i < fleet_->size(); ++i) {
    if (!fleet_->branch(i).DaemonRunning()) ASSAY_RETURN_IF_ERROR(fleet_->branch(i).StartDaemon());
  }
  ASSAY_ASSIGN_OR_RETURN(const int64_t marker, Mark(kAssay));
  if (fleet_->size() > 1) return AwaitMarker(Node::kB, kAssay, marker);
  return AwaitCaptured();
}

absl::Status Stand::StopAssay() {
  for (int i = 0; i < fleet_->size(); ++i) {
    if (fleet_->branch(i).StopDaemon() != 0) return absl::InternalError("assayd did not stop");
  }
  return absl::OkStatus();
}

absl::Status Stand::AwaitCaptured(Node node) {
  ASSAY_ASSIGN_OR_RETURN(const std::string text, Value(node, kAssay, "SELECT pg_current_wal_insert_lsn() - '0/0'"));
  uint64_t lsn = 0;
  if (!absl::SimpleAtoi(text, &lsn)) return absl::InternalError(text);
  if (node == Node::kA) {
    ASSAY_RETURN_IF_ERROR(Mark(kAssay).status());
  } else {  // The marker is A's.
    ASSAY_RETURN_IF_ERROR(
        Run(node, kAssay, absl::StrCat("INSERT INTO bench_probe (id) VALUES (-", NextKeys("probes at B", 1), ")")));
  }
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LogWatch> watch, LogWatch::Open(node == Node::kA ? a() : b()));
  return Await("capture", [&]() -> absl::StatusOr<bool> {
    ASSAY_ASSIGN_OR_RETURN(const uint64_t captured, watch->CapturedLsn());
    return captured >= lsn;
  });
}

absl::Status Stand::AwaitPushed() {
  ASSAY_RETURN_IF_ERROR(AwaitCaptured());
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LogWatch> watch, LogWatch::Open(a()));
  ASSAY_ASSIGN_OR_RETURN(const uint64_t head, watch->OwnHead());
  return Await("push", [&]() -> absl::StatusOr<bool> {
    ASSAY_ASSIGN_OR_RETURN(
        const std::string last,
        Value(Node::kHub, "postgres", "SELECT coalesce(max(last), 0) FROM assay_hub.origin WHERE branch = 1"));
    uint64_t pushed = 0;
    return absl::SimpleAtoi(last, &pushed) && pushed >= head;
  });
}

absl::Status Stand::Command(Branch& branch, std::vector<std::string> arguments) {
  const test::RunResult result = branch.Assay(std::move(arguments));
  return result.exit_code == 0 ? absl::OkStatus() : absl::InternalError(result.output);
}

int64_t Stand::NextKeys(const std::string& database, int64_t count) {
  int64_t& next = next_key_.try_emplace(database, 1'000'000).first->second;
  next += count;
  return next - count;
}

absl::StatusOr<std::unique_ptr<ChildProcess>> Stand::Sell(const std::string& database, int clients, double per_second,
                                                          absl::Duration time, const std::string& output,
                                                          const std::string& pg_options, Node node, int64_t products,
                                                          const std::string& log_prefix) {
  ASSAY_ASSIGN_OR_RETURN(const std::string binaries, test::PostgresBinaries());
  std::vector<std::string> command = {binaries + "/pgbench",
                                      "-n",
                                      "-f",
                                      Workload("sale.pgbench"),
                                      "-D",
                                      absl::StrCat("n=", products > 0 ? products : products_),
                                      "-c",
                                      absl::StrCat(clients),
                                      "-T",
                                      absl::StrCat(absl::ToInt64Seconds(absl::Ceil(time, absl::Seconds(1)))),
                                      Url(node, database)};
  if (per_second > 0) command.insert(command.end() - 1, {"-R", absl::StrCat(per_second)});
  if (!log_prefix.empty()) command.insert(command.end() - 1, {"-l", absl::StrCat("--log-prefix=", log_prefix)});
  return ChildProcess::Start(command, {.output = output, .environment = {{"PGOPTIONS", pg_options}}});
}

absl::StatusOr<double> Stand::Tps(const std::string& output_path) {
  const std::string output = ReadFile(output_path);
  for (absl::string_view line : absl::StrSplit(output, '\n')) {
    double tps = 0;
    if (absl::StartsWith(line, "tps = ") && absl::SimpleAtod(line.substr(6, line.find(' ', 6) - 6), &tps)) return tps;
  }
  return absl::InternalError(absl::StrCat("pgbench: ", output));
}

// ---- Processes ----

namespace {

double StatusField(pid_t pid, absl::string_view field) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/status"));
  for (std::string line; std::getline(file, line);) {
    if (!absl::StartsWith(line, field)) continue;
    const std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    double kilobytes = 0;
    if (words.size() > 1 && absl::SimpleAtod(words[1], &kilobytes)) return kilobytes / 1024;
  }
  return 0;
}

}  // namespace

double ResidentMegabytes(pid_t pid) { return StatusField(pid, "VmRSS:"); }
double PeakMegabytes(pid_t pid) { return StatusField(pid, "VmHWM:"); }
void ForgetPeak(pid_t pid) { std::ofstream(absl::StrCat("/proc/", pid, "/clear_refs")) << "5"; }

absl::Duration CpuTime(pid_t pid) {
  const std::string stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(stat.rfind(')') + 2), ' ');
  int64_t user = 0, system = 0;
  if (fields.size() < 13 || !absl::SimpleAtoi(fields[11], &user) || !absl::SimpleAtoi(fields[12], &system)) return {};
  return absl::Seconds(static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK)));
}

}  // namespace assay::bench
