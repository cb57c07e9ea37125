// Per row, the version of the row's life and of each of its columns: the index of the fold, without the values.
//
// A value is found by its version: (origin, sequence) names the event that wrote it. What the versions mean, and which
// of two wins, is engine/fold/merge.h's business; here they are stored. Reads are cached; writes are buffered and
// become durable when the LogFile commits.
//
// Keys come in no order, so a table of rows by key takes a page of writing for each row of a commit. Therefore a commit
// appends its rows to a list; when that list has grown long it is sorted into a run
// (log/row_versions/row_version_runs); and runs go into the table when there is nothing better to do. What is on the
// list is in memory, too, in its compact form. Newest first: list, runs, table. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "log/event_log.h"
#include "log/log_file.h"
#include "log/row_versions/column_versions.h"
#include "log/row_versions/key_filter.h"
#include "log/row_versions/row_ref.h"
#include "log/row_versions/row_version_runs.h"
#include "log/table_names.h"
#include "log/types.h"

namespace assay {

struct RowVersions {
  Version written;         // Newest insert or update; none: never written.
  Version deleted;         // Newest delete; none: never deleted.
  ColumnVersions columns;  // Key columns are not among them.
  // Some insert is among what was merged, so that `columns` are all that the row had then, and not only what somebody
  // changed of a row whose beginning this log has not got.
  bool whole = false;

  bool IsLive() const { return !written.IsNone() && written > deleted; }
  const Version* Find(ColumnId column) const { return columns.Find(column); }
  // What PostgreSQL shows of the row: not whether that is all of it.
  bool ShowsLike(const RowVersions& other) const {
    return written == other.written && deleted == other.deleted && columns == other.columns;
  }
  bool operator==(const RowVersions&) const = default;

  // Compact form: each distinct version once, then which columns have it.
  std::string Encode(EventLog& log) const;
  static absl::StatusOr<RowVersions> Decode(absl::string_view bytes, const EventLog& log);
};

class RowVersionStore {
 public:
  struct Limits {
    size_t listed = 20'000;  // Rows. Of memory, some 150 bytes each.
    size_t runs = 32;        // With more of them, the oldest goes into the table at once.
  };
  static absl::StatusOr<std::unique_ptr<RowVersionStore>> Open(LogFile* file, EventLog* log) {
    return Open(file, log, Limits());
  }
  static absl::StatusOr<std::unique_ptr<RowVersionStore>> Open(LogFile* file, EventLog* log, Limits limits);

  // nullptr: nothing was ever written under this key. The pointer is valid until the next Put or Get.
  absl::StatusOr<const RowVersions*> Get(const RowRef& row);
  // So that Get need not go to the disk.
  absl::Status Prefetch(const RowRef& row) { return Find(row).status(); }
  absl::Status Put(const RowRef& row, RowVersions versions);
  // There are runs. Tidy brings some `rows_max` rows of the oldest into the table: for when there is nothing better to
  // do.
  bool untidy() const { return runs_->count() > 0; }
  absl::Status Tidy(size_t rows_max);
  // Gives memory back: for when there will be nothing to do for a while. Ends the pointers that Get gave.
  absl::Status Rest();
  // Every row of `table`, in key-hash order; `visit` may neither read nor write here.
  absl::Status ForEach(TableId table, const std::function<absl::Status(const KeyHash&, const RowVersions&)>& visit);
  // The same of those from `from` on, until `visit` says false.
  absl::Status ForEachFrom(TableId table, const KeyHash& from,
                           const std::function<absl::StatusOr<bool>(const KeyHash&, const RowVersions&)>& visit);

 private:
  RowVersionStore(LogFile* file, EventLog* log, Limits limits) : file_(file), log_(log), limits_(limits) {}
  absl::Status Load();
  // In a reader: takes in what the writer has listed since.
  absl::Status Refresh();
  absl::Status MakeRoom();
  void ForgetStored();  // Takes sorted rows out of memory.
  absl::Status List();
  absl::Status AddRun();                                // Makes a run of what is on the list and in memory.
  absl::StatusOr<size_t> MoveToTable(size_t rows_max);  // Returns how many rows of the oldest run it moved.
  // Reads the keys of the whole table and of the runs.
  absl::Status FillFilter();

  enum class Place : uint8_t {
    kSorted,  // What a run or row_version has.
    kList,    // Newer than that, and in row_version_recent.
    kMemory,  // Newer than both: not durable yet.
  };
  struct Entry {
    std::string versions;  // RowVersions::Encode; empty: none.
    Place place = Place::kSorted;
  };
  // Good until the next Put or Find.
  absl::StatusOr<const Entry*> Find(const RowRef& row);
  LogFile* file_;
  LogFile::Participation participation_;
  EventLog* log_;
  const Limits limits_;
  std::unique_ptr<RowVersionRuns> runs_;
  absl::flat_hash_map<RowRef, Entry> cache_;
  std::optional<std::pair<RowRef, RowVersions>> newest_used_;  // A row is mostly read, changed, and read again.
  std::vector<RowRef> changed_;                                // Entries that are kMemory.
  size_t listed_ = 0;                                          // Entries that are kList.
  KeyFilter filter_;      // In a writer: rows of the runs and of row_version. A rollback leaves it as it is.
  int64_t list_end_ = 0;  // In a reader: the newest entry that it has seen.
  Statement get_, put_, append_, clear_, newest_;
};

}  // namespace assay
