// Rows where PostgreSQL holds something else than the fold, and why.
//
// A row is *parked* when PostgreSQL would not take it, and says the cause; without a cause it is merely *due* to be
// looked at or written again. Everything else flows on meanwhile. What PostgreSQL holds instead is kept beside it, so
// that a local edit of such a row is recorded as what it is: a write that had not seen the other.
//
// A parked row that will never be written, as one of a table that is gone on purpose, can be *forgotten* by a person:
// it is not tried again and not counted as parked, and stays listed. The next event of that row takes that back.
//
// Nobody writes a row here but by a transition, which has the name of what has happened. Each says which fields it
// changes; all others stay. Not thread-safe. Transitions: inside a LogFile transaction.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "log/event_log.h"
#include "log/log_file.h"
#include "log/row_versions/row_versions.h"
#include "log/table_names.h"
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
  OriginId origin;       // The event that waits: the one whose projection first failed, of a parked row.
  Sequence sequence;
  int64_t since_ms = 0;     // Unix milliseconds.
  int64_t retry_at_ms = 0;  // Not before; 0: at once.
  uint32_t attempts = 0;
  int64_t forgotten_ms = 0;  // When a person said that it is not to be waited for; 0: nobody has.
  // Of what is said here: another one after each transition, and never used again. 0: not stored.
  uint64_t revision = 0;

  // PostgreSQL has such a row, whatever it says.
  bool IsThere() const { return held.has_value() && (!held_known || held->IsLive()); }
};

// What a transition has to say of a row that was settled: its key, and the event that waits.
struct WaitingEvent {
  std::string key;  // EncodeKey.
  OriginId origin;
  Sequence sequence;
};

// Why PostgreSQL would not take a row, as UnsettledRow has it.
struct ParkCause {
  std::string text;
  std::string sqlstate;
};

class UnsettledRows {
 public:
  // Up to so many parked rows each is tried by its own time, and so many make a portion to begin with.
  static constexpr size_t kPortionMin = 500;

  static absl::StatusOr<std::unique_ptr<UnsettledRows>> Open(LogFile* file, EventLog* log);
  UnsettledRows(const UnsettledRows&) = delete;
  UnsettledRows& operator=(const UnsettledRows&) = delete;

  // For a log file opened read-only: counts what the writer has committed since. Refresh the EventLog first.
  absl::Status Refresh();

  // nullopt: the row is settled.
  absl::StatusOr<std::optional<UnsettledRow>> Find(const RowRef& row);

  // ---- Transitions ----
  // A row that was settled begins with the waiting event, since `now_ms`, and due at once.

  // PostgreSQL has the row as the fold has it: it is unsettled no longer.
  absl::Status Settle(const RowRef& row);

  // A projection could not write the row, or not all of it. Its key and cause are these now, and the next try comes
  // after a while: RetryDelay, and longer where many wait, so that all of them together are tried a few a second. That
  // notices soon when a table or a column appears, and costs next to nothing until it does. Unless it was parked
  // before, this is the first failure: the event, `since_ms` and `attempts` begin anew. Refused: PostgreSQL took
  // nothing, and holds what it held. `held_if_settled` is what that was if the row was settled.
  absl::Status ParkRefused(const RowRef& row, const WaitingEvent& waiting, const ParkCause& cause,
                           const RowVersions& held_if_settled, int64_t now_ms);
  // Written, but for columns that are not here: PostgreSQL holds `held`.
  absl::Status ParkPartly(const RowRef& row, const WaitingEvent& waiting, const ParkCause& cause, RowVersions held,
                          int64_t now_ms);

  // A local commit changed the row before our own went by, so nobody knows what PostgreSQL holds. Due at once, and the
  // rest as when parked; `attempts` does not count it. `there_if_wrote`: the projection wrote the row, and whether it
  // is there since; nullopt: it wrote nothing, so the row is there or not as before, and as `there_if_settled` says if
  // it was settled.
  absl::Status MarkMoved(const RowRef& row, const WaitingEvent& waiting, const ParkCause& cause,
                         std::optional<bool> there_if_wrote, bool there_if_settled, int64_t now_ms);

  // The row is to be written again, whatever was said of it before: PostgreSQL holds `held` (nullopt: never had it).
  absl::Status MarkDue(const RowRef& row, const WaitingEvent& waiting, std::optional<RowVersions> held, int64_t now_ms);
  // The same of a row that is there with values that no version stands for: each is compared.
  absl::Status MarkDifferent(const RowRef& row, const WaitingEvent& waiting, int64_t now_ms);

  // PostgreSQL has not got the value of `column` that it was thought to hold: `held` loses the column, and the row is
  // due at once. False: the row is settled, and nothing is changed.
  absl::StatusOr<bool> LoseColumn(const RowRef& row, ColumnId column);

  // A local edit was captured: PostgreSQL holds `held` since. Due at once. Not of a row whose `held` is unknown.
  absl::Status NoteLocalEdit(const RowRef& row, const WaitingEvent& waiting, RowVersions held, int64_t now_ms);
  // A local edit was captured, and what PostgreSQL holds is unknown, now or still; `there`: not a delete. Due at once.
  absl::Status NoteUnseenEdit(const RowRef& row, const WaitingEvent& waiting, bool there, int64_t now_ms);

  // A person wants it tried: every row (or the one table's) is due now. Returns how many. Of one table also those that
  // were forgotten.
  absl::StatusOr<int64_t> RetryNow(std::optional<TableId> table);

  // A person does not want to wait for what is parked of `table`, or for its one row of `key` (EncodeKey). Every other
  // transition of such a row takes that back. Returns how many.
  absl::StatusOr<int64_t> Forget(TableId table, const std::optional<std::string>& key, int64_t now_ms);

  // ---- Lists ----

  // The next portion to be tried: rows with retry_at_ms <= `now_ms`, oldest `since_ms` first. What has become settled
  // since the last portion makes others due that wait for the same cause in the same table, twice as many; portions
  // double as well, up to `count_max`, as long as all of them is settled. Inside a LogFile transaction.
  absl::StatusOr<std::vector<UnsettledRow>> Due(int64_t now_ms, size_t count_max);
  // The last portion came to nothing, as when it took too long: portions begin small again.
  void NotePortionFailed() { failed_ = true; }
  // Oldest `since_ms` first. Parked are those with a cause that nobody has forgotten.
  enum class Which : uint8_t { kAll, kParked, kForgotten };
  absl::StatusOr<std::vector<UnsettledRow>> List(Which which, size_t count_max,
                                                 std::optional<TableId> table = std::nullopt);
  absl::StatusOr<std::optional<int64_t>> NextRetryMs();  // nullopt: nothing is to be tried.
  int64_t count() const { return count_; }
  int64_t parked_count() const { return parked_count_; }
  int64_t forgotten_count() const { return forgotten_count_; }

 private:
  // A row on its way through a transition.
  struct Entry {
    UnsettledRow row;
    bool was_there = false, was_parked = false, was_forgotten = false;
  };
  UnsettledRows(LogFile* file, EventLog* log) : file_(file), log_(log) {}
  absl::Status Load();
  absl::StatusOr<UnsettledRow> Decode(const Statement& row) const;
  absl::StatusOr<std::vector<UnsettledRow>> ReadAll(Statement& rows) const;
  // The row as it is, or as it begins.
  static Entry EntryOf(UnsettledRow known);
  absl::StatusOr<Entry> Begin(const RowRef& row, const WaitingEvent& waiting, int64_t now_ms);
  absl::StatusOr<Entry> BeginFailure(const RowRef& row, const WaitingEvent& waiting, const ParkCause& cause,
                                     int64_t now_ms);
  absl::Status ParkUntilRetry(Entry entry, int64_t now_ms);
  absl::Status Write(const Entry& entry);
  absl::Status WakeThoseLikeTheSettled();

  LogFile* file_;
  LogFile::Participation participation_;
  EventLog* log_;
  int64_t count_ = 0, parked_count_ = 0, forgotten_count_ = 0;
  // Since the last portion: how many parked rows of a table were settled, by their cause; and whether any was parked.
  std::map<std::pair<TableId, std::string>, int64_t> settled_;
  bool failed_ = false;
  size_t portion_ = kPortionMin;
  Statement find_, put_, erase_, due_;
};

// How long a row is left alone that could not be written `attempts` times before. Short at first, since a missing
// column or parent row is often on its way; long later, since each try costs the shop's database.
absl::Duration RetryDelay(uint32_t attempts);

}  // namespace assay
