// Rows where PostgreSQL holds something else than the fold, and why.
//
// A row is *parked* when PostgreSQL would not take it, and says the cause; without a cause it is merely *due* to be
// looked at or written again. Everything else flows on meanwhile. Not thread-safe. What changes a row: inside a LogFile
// transaction.
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
#include "log/row_versions/row_versions.h"
#include "log/types.h"

namespace assay {

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

class UnsettledRows {
 public:
  static absl::StatusOr<std::unique_ptr<UnsettledRows>> Open(LogFile* file, EventLog* log);
  UnsettledRows(const UnsettledRows&) = delete;
  UnsettledRows& operator=(const UnsettledRows&) = delete;

  // For a log file opened read-only: counts what the writer has committed since. Refresh the EventLog first.
  absl::Status Refresh();

  // nullopt: PostgreSQL has the row as the fold has it.
  absl::StatusOr<std::optional<UnsettledRow>> Find(const RowRef& row);
  absl::Status Put(const UnsettledRow& row);
  absl::Status Erase(const RowRef& row);
  // Makes every row (or the one table's) due now. Returns how many.
  absl::StatusOr<int64_t> RetryNow(std::optional<TableId> table);

  // Rows with retry_at_ms <= `now_ms`, oldest `since_ms` first.
  absl::StatusOr<std::vector<UnsettledRow>> Due(int64_t now_ms, size_t count_max);
  // `parked_only`: those with a cause.
  absl::StatusOr<std::vector<UnsettledRow>> List(bool parked_only, size_t count_max);
  absl::StatusOr<std::optional<int64_t>> NextRetryMs();  // nullopt: nothing unsettled.
  int64_t count() const { return count_; }
  int64_t parked_count() const { return parked_count_; }

 private:
  UnsettledRows(LogFile* file, EventLog* log) : file_(file), log_(log) {}
  absl::Status Load();
  absl::StatusOr<UnsettledRow> Read(const Statement& row) const;
  absl::StatusOr<std::vector<UnsettledRow>> ReadAll(Statement& rows) const;

  LogFile* file_;
  LogFile::Participation participation_;
  EventLog* log_;
  int64_t count_ = 0, parked_count_ = 0;
  Statement find_, put_, erase_;
};

}  // namespace assay
