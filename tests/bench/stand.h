// The servers of one repetition: a hub and branches that hold the jewellery ERP, beside it the databases of the peers.
//
//   ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<Stand> stand, Stand::Create(options, /*branches=*/2));
//   ASSAY_RETURN_IF_ERROR(stand->Run(Node::kA, kAssay, "CALL bulk_insert(...)"));
//   ASSAY_ASSIGN_OR_RETURN(int64_t marker, stand->Mark(kAssay));
//   ASSAY_RETURN_IF_ERROR(stand->AwaitMarker(Node::kB, kAssay, marker));
//
// fsync is on, and every server has the same settings. Assay works in database `erp`; peers in databases of their own
// on the very same servers. While one is measured the other is stopped altogether: a walsender decodes the WAL of every
// database. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "log/local_state/local_state.h"
#include "tests/bench/report.h"
#include "tests/fleet/fleet.h"

namespace assay::bench {

struct BenchOptions {
  int repetitions = 3;
  std::set<std::string> only;  // Names of figures; empty: all.
  double scale = 1;            // Of counts and times.
  int repetition = 0;          // The one under way: who is measured first takes turns.

  bool Wants(const std::string& name) const { return only.empty() || only.contains(name); }
  // At least `least`.
  int64_t Scaled(int64_t count, int64_t least = 1) const {
    return std::max(least, static_cast<int64_t>(static_cast<double>(count) * scale));
  }
};

enum class Node { kA, kHub, kB };

inline constexpr char kAssay[] = "erp";
inline constexpr char kNative[] = "native";
inline constexpr char kClient[] = "client";  // Of the client that commits to all three itself.

// How far the branch's log has captured, read from the log file by the log library.
class LogWatch {
 public:
  static absl::StatusOr<std::unique_ptr<LogWatch>> Open(const test::Branch& branch);
  absl::StatusOr<uint64_t> CapturedLsn();
  absl::StatusOr<int64_t> Events();
  absl::StatusOr<uint64_t> OwnHead();
  // Of the file's pages that are in use: the next events go into the others.
  absl::StatusOr<int64_t> BytesInUse();
  // Small segments have been packed together.
  absl::StatusOr<bool> Repacked();

 private:
  std::unique_ptr<LogFile> file_;
  std::unique_ptr<EventLog> log_;
  std::unique_ptr<LocalState> state_;
};

class Stand {
 public:
  // Enrolled and filled; no daemon runs.
  static absl::StatusOr<std::unique_ptr<Stand>> Create(const BenchOptions& options, int branches);

  test::Fleet& fleet() { return *fleet_; }
  test::Branch& a() { return fleet_->branch(0); }
  test::Branch& b() { return fleet_->branch(1); }
  test::PostgresServer& server(Node node);
  const BenchOptions& options() const { return options_; }
  int64_t products() const { return products_; }

  // As the owner of the tables.
  std::string Url(Node node, const std::string& database);
  absl::Status Run(Node node, const std::string& database, const std::string& sql);
  absl::StatusOr<std::string> Value(Node node, const std::string& database, const std::string& sql);

  // The same at A, for what is only to be there: commits are not waited for. The marker after it makes them durable.
  absl::Status Prepare(const std::string& database, const std::string& sql);

  // Writes the marker at A, after everything else; and waits until a node shows it, asking every 5 ms.
  absl::StatusOr<int64_t> Mark(const std::string& database);
  absl::Status AwaitMarker(Node node, const std::string& database, int64_t marker);
  // Flushes what earlier measurements left behind, so that it is not paid for in the next.
  absl::Status Checkpoint();

  // Daemons of both branches run, and nothing is left to do.
  absl::Status StartAssay();
  absl::Status StopAssay();
  // Until all that is committed at a branch is in its log, which writes one more row there; at A, until it is at the
  // hub, too.
  absl::Status AwaitCaptured(Node node = Node::kA);
  absl::Status AwaitPushed();
  absl::Status Pause(test::Branch& branch) { return Command(branch, {"sync", "pause"}); }
  absl::Status Resume(test::Branch& branch) { return Command(branch, {"sync", "resume"}); }

  // A key range for inserts that nobody has used in `database`.
  int64_t NextKeys(const std::string& database, int64_t count);
  // Sales at `per_second` (0: as fast as it goes), by pgbench, until the process ends or `time` is over. A line for
  // each sale goes to `log_prefix`.PID when one is given; `products` (0: all of the seed) are sold.
  absl::StatusOr<std::unique_ptr<test::ChildProcess>> Sell(const std::string& database, int clients, double per_second,
                                                           absl::Duration time, const std::string& output,
                                                           const std::string& pg_options = "", Node node = Node::kA,
                                                           int64_t products = 0, const std::string& log_prefix = "");
  // What pgbench said, "tps = 1234.5 (without initial connection time)".
  static absl::StatusOr<double> Tps(const std::string& output_path);
  const std::string& scratch() const { return scratch_.path(); }

 private:
  Stand(const BenchOptions& options) : options_(options), scratch_("bench") {}
  absl::Status CreatePeerDatabase(Node node, const std::string& database);
  absl::Status Command(test::Branch& branch, std::vector<std::string> arguments);
  absl::StatusOr<test::SqlSession*> Session(Node node, const std::string& database);

  BenchOptions options_;
  test::TempDirectory scratch_;
  std::unique_ptr<test::Fleet> fleet_;
  int64_t products_ = 0;
  std::map<std::string, int64_t> next_key_;
  std::map<std::pair<Node, std::string>, std::unique_ptr<test::SqlSession>> sessions_;
};

// Until `met`; DEADLINE_EXCEEDED names `what`.
absl::Status Await(const std::string& what, const std::function<absl::StatusOr<bool>()>& met,
                   absl::Duration every = absl::Milliseconds(5));

// Of a process, from /proc.
double ResidentMegabytes(pid_t pid);
double PeakMegabytes(pid_t pid);  // Since the process began, or ForgetPeak.
void ForgetPeak(pid_t pid);
absl::Duration CpuTime(pid_t pid);

}  // namespace assay::bench
