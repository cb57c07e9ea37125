// Pairs of writes that had not seen each other: a version lost to one whose writer did not know of it.
//
// Which pairs these are is a function of the log, and engine/fold/conflict_finder.h has it: branches that hold the same
// events have the same pairs, in whichever order the events came. A pair is kept for kConflictDays of the log's own
// time after its loser was written: each commit drops those whose time is over. That time is the newest stamp of any
// chain, also of an event that is withheld here. Not thread-safe. Changes inside a LogFile transaction.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/event_log.h"
#include "log/log_file.h"
#include "log/row_versions/row_ref.h"
#include "log/table_names.h"
#include "log/types.h"

namespace assay {

inline constexpr int64_t kConflictDays = 90;

struct Conflict {
  int64_t id = 0;  // Assigned by Conflicts, rising.
  RowRef row;
  std::string key;                 // EncodeKey.
  std::optional<ColumnId> column;  // nullopt: the row's life (delete against edit).
  Version winner;
  Version loser;
  std::string rule;  // "newest write of a column", "newest delete or write of a row", ...
  int64_t found_ms = 0;
  bool listed = true;  // False: they do not disagree, and nobody need look.
};

class Conflicts {
 public:
  static absl::StatusOr<std::unique_ptr<Conflicts>> Open(LogFile* file, EventLog* log);
  Conflicts(const Conflicts&) = delete;
  Conflicts& operator=(const Conflicts&) = delete;

  // For a log file opened read-only: counts what the writer has committed since. Refresh the EventLog first.
  absl::Status Refresh();

  // Keeps it under the next id, unless its time is over; `conflict.id` is not looked at.
  absl::Status Add(const Conflict& conflict);
  absl::Status Remove(const Conflict& conflict);
  absl::Status Clear();
  // False: no pair of this row is kept. In memory.
  bool MayHave(const RowRef& row) const { return rows_.contains(row); }
  // Adds to `pairs` those of a row, listed or not, of which a side is of `origin` and after `seen`. Not one that is
  // there already.
  absl::Status AddUnseen(const RowRef& row, const OriginId& origin, Sequence seen, std::vector<Conflict>* pairs);

  // Of those that are listed: with larger ids than `after_id`, in their order.
  absl::StatusOr<std::vector<Conflict>> List(int64_t after_id, size_t count_max);
  // With smaller ids than `before_id`, the newest first.
  absl::StatusOr<std::vector<Conflict>> ListNewest(int64_t before_id, size_t count_max);
  int64_t count() const { return count_; }

 private:
  Conflicts(LogFile* file, EventLog* log) : file_(file), log_(log) {}
  absl::Status Load();
  absl::Status Prune();
  absl::Status FindOldest();
  // The oldest stamp of a loser that is kept.
  HlcStamp Horizon() const;
  absl::StatusOr<std::vector<Conflict>> Read(Statement& rows);

  LogFile* file_;
  LogFile::Participation participation_;
  EventLog* log_;
  int64_t count_ = 0;
  // Of a writer alone.
  absl::flat_hash_set<RowRef> rows_;  // Those that have a pair, and perhaps some that had.
  HlcStamp oldest_;                   // No loser is older.
  Statement add_, unseen_, remove_;
};

}  // namespace assay
