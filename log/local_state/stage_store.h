// What the stages remember between steps: cursors, the projections' intents, rows where PostgreSQL differs from the
// fold, and the conflicts seen. All of it is derived or local; none of it is history. Inside the LogFile's transaction
// like everything.
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "log/log_file.h"
#include "log/row_versions/row_versions.h"
#include "log/types.h"

namespace assay {

// A row where PostgreSQL holds something else than the fold, and why. Parked with a cause, or due to be written again.
struct UnsettledRow {
  RowRef row;
  std::string key;         // Encoded key texts (EncodeKey), for people and for writing the row.
  bool held_known = true;  // `held` says what PostgreSQL holds; false: read it and write every column.
  // What PostgreSQL holds; nullopt: never had the row. When not held_known, it says no more than that the row is there.
  std::optional<RowVersions> held;
  std::string cause;     // For people; empty: no failure yet, simply due.
  std::string sqlstate;  // Five characters, or empty.
  OriginId origin;       // The event whose projection first failed.
  Sequence sequence;
  int64_t since_ms = 0;     // Unix milliseconds.
  int64_t retry_at_ms = 0;  // Not before; 0: at once.
  uint32_t attempts = 0;
};

// A version that lost to one that had not seen it (or the winner to a loser it had not seen: same thing).
struct Conflict {
  int64_t id = 0;  // Assigned by the store, rising.
  RowRef row;
  std::string key;                 // EncodeKey.
  std::optional<ColumnId> column;  // nullopt: the row's life (delete against edit).
  Version winner;
  Version loser;
  std::string rule;  // "newest write of a column", "newest delete or write of a row", ...
  int64_t found_ms = 0;
};

class StageStore {
 public:
  static absl::StatusOr<std::unique_ptr<StageStore>> Open(LogFile* file, EventLog* log);

  // For a log file opened read-only: sees what the writer has committed since. Refresh the EventLog first.
  absl::Status Refresh();

  // Named values, small: "clock", "captured", "batch". nullopt: never set.
  absl::StatusOr<std::optional<std::string>> Get(absl::string_view name);
  absl::Status Set(absl::string_view name, absl::string_view value);
  absl::StatusOr<uint64_t> GetNumber(absl::string_view name, uint64_t otherwise);
  absl::Status SetNumber(absl::string_view name, uint64_t value);

  // How far each origin's chain is merged and projected.
  Sequence Projected(const OriginId& origin) const;
  absl::Status SetProjected(const OriginId& origin, Sequence sequence);

  // How much of origin `of` a transaction of `by` at `sequence` had seen: the last entry at or before it.
  absl::Status AddSeen(const OriginId& by, Sequence sequence, const OriginId& of, Sequence seen);
  absl::StatusOr<Sequence> Seen(const OriginId& by, Sequence sequence, const OriginId& of);

  // The projections whose outcomes are not settled yet, by their numbers, as the engine serialized them.
  absl::StatusOr<std::vector<std::string>> Intents();
  absl::Status PutIntent(uint64_t batch, absl::string_view intent);
  absl::Status EraseIntent(uint64_t batch);
  absl::Status ClearIntents();

  absl::StatusOr<std::optional<UnsettledRow>> Unsettled(const RowRef& row);
  absl::Status PutUnsettled(const UnsettledRow& row);
  absl::Status EraseUnsettled(const RowRef& row);
  // Rows with retry_at_ms <= `now_ms`, oldest `since_ms` first.
  absl::StatusOr<std::vector<UnsettledRow>> UnsettledDue(int64_t now_ms, size_t count_max);
  // `parked_only`: those with a cause.
  absl::StatusOr<std::vector<UnsettledRow>> ListUnsettled(bool parked_only, size_t count_max);
  int64_t UnsettledCount() const;
  int64_t ParkedCount() const;
  // Makes every row (or the one table's) due now. Returns how many.
  absl::StatusOr<int64_t> RetryUnsettled(std::optional<TableId> table);
  absl::StatusOr<std::optional<int64_t>> NextRetryMs();  // nullopt: nothing unsettled.

  absl::Status AddConflict(const Conflict& conflict);
  absl::StatusOr<std::vector<Conflict>> ListConflicts(int64_t after_id, size_t count_max);
  int64_t ConflictCount() const;

 private:
  StageStore(LogFile* file, EventLog* log) : file_(file), log_(log) {}
  absl::Status Load();
  absl::Status WriteValues();
  LogFile* file_;
  LogFile::Participation participation_;
  EventLog* log_;
  // Set in this transaction of the log: some change with each captured one.
  std::map<std::string, std::string, std::less<>> values_;
  std::map<OriginId, Sequence> projected_;
  int64_t unsettled_count_ = 0, parked_count_ = 0, conflict_count_ = 0;
  Statement get_, set_, set_projected_, add_seen_, seen_, unsettled_, put_unsettled_, erase_unsettled_, add_conflict_;
};

}  // namespace assay
