// The running daemon as its services see it: a picture of how it is, and a handful of commands.
//
// The daemon's host is the real body (tools/daemon); tests bring a scripted one. Every function may be called from any
// thread, answers within milliseconds of an engine that is well, and works also while the engine is down.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/status.h"
#include "log/table_names.h"

namespace assay {

// A stage that catches up: "47/100".
struct Progress {
  uint64_t done = 0;             // Events since it fell behind, or since the daemon began.
  uint64_t total = 0;            // Equal to `done`: nothing is under way.
  double events_per_second = 0;  // Lately. 0: nothing moves, or it is not known yet.
};

// Tables that are compared with the log now, or were.
struct CheckProgress {
  bool under_way = false;
  std::string table;  // The one that is compared.
  uint64_t rows = 0;  // Of it, so far.
  size_t tables_done = 0, tables = 0;
  // Of the rounds that somebody asked for (CheckTables): the number of the last that has ended, why it ended early, and
  // which tables were not compared, for people, one each.
  uint64_t ended = 0;
  absl::Status status;
  std::vector<std::string> not_compared;
};

struct DaemonStatus {
  std::string state = "starting";  // The engine's word; "stopped" while there is none.
  std::vector<Problem> problems;   // The engine's; while there is none, why not, and nothing from memory.
  EngineStatus engine;             // As last published: of the engine before, while there is none.
  Progress push, pull, projection;
  CheckProgress check;
  LinkStatus engine_link;  // Not OK: there is no engine now, why, and when the next one is tried.
  std::string version;
  int pid = 0;
  absl::Time started = absl::InfinitePast();
  absl::Time as_of = absl::InfinitePast();
  uint64_t change = 0;  // Rises with every picture published.
};

class Operator {
 public:
  virtual ~Operator() = default;

  // As of now: it has all that could be read in the log before it was asked for, so that nobody is shown a parked row
  // and then told that all is well. Of an engine that is held up for a second, the newest there is; `as_of` says so.
  virtual DaemonStatus Status() = 0;
  // The status as soon as its `change` is above `seen`, at latest after `wait`.
  virtual DaemonStatus WaitForChange(uint64_t seen, absl::Duration wait) = 0;

  // UNAVAILABLE while the engine is down; OK means the engine has been told, not that it is done.
  virtual absl::Status SyncNow() = 0;
  // Asks the hub about all branches: EngineStatus::branches_whole_heard rises when it has told.
  virtual absl::Status AskAboutAll() = 0;
  virtual absl::Status Pause() = 0;
  virtual absl::Status Resume() = 0;
  virtual absl::Status SetInterval(absl::Duration interval) = 0;
  virtual absl::Status RetryParked(std::optional<TableName> table) = 0;
  // Compares these tables (none: all that are enrolled) with the log. Returns the number of the round, which has ended
  // when CheckProgress::ended is no less; EngineStatus::checked has what was found. NOT_FOUND: a table is not enrolled.
  virtual absl::StatusOr<uint64_t> CheckTables(std::vector<TableName> tables) = 0;
  virtual absl::Status ForgetParked(TableName table, std::optional<std::vector<std::string>> key) = 0;

  // The log file; readers open it for themselves, read-only.
  virtual std::string log_path() const = 0;
};

}  // namespace assay
