// Tables compared with the log, by the daemon itself: those that are due, or those that somebody asks for.
//
//   Sentinel sentinel({.url = url, .log_path = …, .state_dir = …, .time_of_day = absl::Hours(3)});
//   const CheckRound round = sentinel.Run({}, hooks);            // What is due now, at its leisure: mostly nothing.
//   const CheckRound round = sentinel.Run({.asked = true}, hooks);   // All of them, at once.
//
// It reads the log through a file of its own and the tables over a connection of its own; what it finds, the engine
// writes down. One thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "adapters/libpq/connection.h"
#include "log/local_state/notes.h"
#include "tools/sentinel/schedule.h"
#include "tools/sentinel/table_check.h"

namespace assay {

struct SentinelOptions {
  std::string url;  // As the daemon connects.
  std::string log_path;
  std::string state_dir;                      // Where a file has room for 16 bytes a row.
  std::optional<absl::Duration> time_of_day;  // When all tables are due: as LastNight has it.
  absl::Duration after;
  std::shared_ptr<Interrupt> interrupt;  // May be null.
};

struct CheckRequest {
  bool asked = false;               // By a person: at once, and with all the time there is.
  std::vector<std::string> tables;  // By TableName::ToString. Empty: all that are enrolled.
};

struct RoundHooks {
  CheckHooks check;
  // The round has begun: so many tables.
  std::function<void(size_t tables)> begun;
  // One of them was compared; `ended_ms` is set.
  std::function<void(const std::string& table, CheckedTable checked)> checked;
  std::function<absl::Time()> now;
};

struct CheckRound {
  size_t compared = 0;
  // What kept tables from being compared, for people, a table each.
  std::vector<std::string> not_compared;
  // Not OK: why the round could not be taken, or ended early. Of a table that cannot be read, or whose rows of the log
  // cannot: the others were compared.
  absl::Status status;
};

class Sentinel {
 public:
  explicit Sentinel(SentinelOptions options) : options_(std::move(options)) {}
  CheckRound Run(const CheckRequest& request, const RoundHooks& hooks);

 private:
  const SentinelOptions options_;
  // As which each table was compared last, in this process. One that is altered may have nothing to be declared for.
  std::map<std::string, TableShape> compared_;
};

}  // namespace assay
