// The conflicts that this branch has seen: a version lost to one whose writer had not seen it.
//
// Each is found once, when the later of the two is merged or captured, and is only ever read again by people. The list
// is this branch's own; another branch finds the same conflicts when it merges the same events. Not thread-safe. Add
// inside a LogFile transaction.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/event_log.h"
#include "log/log_file.h"
#include "log/row_versions/row_ref.h"
#include "log/table_names.h"
#include "log/types.h"

namespace assay {

struct Conflict {
  int64_t id = 0;  // Assigned by Conflicts, rising.
  RowRef row;
  std::string key;                 // EncodeKey.
  std::optional<ColumnId> column;  // nullopt: the row's life (delete against edit).
  Version winner;
  Version loser;
  std::string rule;  // "newest write of a column", "newest delete or write of a row", ...
  int64_t found_ms = 0;
};

class Conflicts {
 public:
  static absl::StatusOr<std::unique_ptr<Conflicts>> Open(LogFile* file, EventLog* log);
  Conflicts(const Conflicts&) = delete;
  Conflicts& operator=(const Conflicts&) = delete;

  // For a log file opened read-only: counts what the writer has committed since. Refresh the EventLog first.
  absl::Status Refresh();

  // Keeps it under the next id; `conflict.id` is not looked at.
  absl::Status Add(const Conflict& conflict);
  // Those with larger ids than `after_id`, in their order.
  absl::StatusOr<std::vector<Conflict>> List(int64_t after_id, size_t count_max);
  int64_t count() const { return count_; }

 private:
  Conflicts(LogFile* file, EventLog* log) : file_(file), log_(log) {}
  absl::Status Load();

  LogFile* file_;
  LogFile::Participation participation_;
  EventLog* log_;
  int64_t count_ = 0;
  Statement add_;
};

}  // namespace assay
