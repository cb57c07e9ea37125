// Per row, the version of the row's life and of each of its columns: the index of the fold, without the values.
//
// A value is found by its version: (origin, sequence) names the event that wrote it. What the versions mean, and which of two
// wins, is engine/merge.h's business; here they are stored. Reads are cached; writes are buffered and become durable when the
// LogFile commits.
//
// Keys come in no order, so a table of rows by key takes a page of writing for each row of a commit. Therefore a commit appends its
// rows to a list, and only when that list has grown long is it sorted into the table, where then each page takes many of its rows at
// once (as the levels of a log-structured merge tree: O'Neil et al., Acta Informatica 33, 1996). What is on the list is in memory, too,
// in its compact form: the longer the list, the fewer pages a row costs.
// Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "log/column_versions.h"
#include "log/event_log.h"
#include "log/key_filter.h"
#include "log/log_file.h"
#include "log/table_names.h"
#include "log/types.h"

namespace assay {

// First 16 bytes of the SHA-256 of the key's texts, each preceded by its length.
using KeyHash = std::array<uint8_t, 16>;
KeyHash HashKey(absl::Span<const std::string> key);
KeyHash HashEncodedKey(absl::string_view encoded);  // Of EncodeKey.

struct RowRef {
  TableId table;
  KeyHash key{};
  auto operator<=>(const RowRef&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const RowRef& row) {
    return H::combine(std::move(h), row.table.value, row.key);
  }
};

struct RowVersions {
  Version written;         // Newest insert or update; none: never written.
  Version deleted;         // Newest delete; none: never deleted.
  ColumnVersions columns;  // Key columns are not among them.

  bool IsLive() const { return !written.IsNone() && written > deleted; }
  const Version* Find(ColumnId column) const { return columns.Find(column); }
  bool operator==(const RowVersions&) const = default;

  // Compact form: each distinct version once, then which columns have it.
  std::string Encode(EventLog& log) const;
  static absl::StatusOr<RowVersions> Decode(absl::string_view bytes, const EventLog& log);
};

class RowVersionStore {
 public:
  // The longest list, and how long it may be without being sorted in when there is nothing better to do. Of memory, some 150 bytes a row.
  struct Limits {
    size_t listed = 90000;
    size_t tidy = 80000;
  };
  static absl::StatusOr<std::unique_ptr<RowVersionStore>> Open(LogFile* file, EventLog* log) { return Open(file, log, Limits()); }
  static absl::StatusOr<std::unique_ptr<RowVersionStore>> Open(LogFile* file, EventLog* log, Limits limits);

  // nullptr: nothing was ever written under this key. The pointer is valid until the next Put or Get.
  absl::StatusOr<const RowVersions*> Get(const RowRef& row);
  // So that Get need not go to the disk.
  absl::Status Prefetch(const RowRef& row) { return Find(row).status(); }
  absl::Status Put(const RowRef& row, RowVersions versions);
  // Sorts the list in when it has become long, which takes some hundredths of a second: for when there is nothing better to do. Put does it at
  // the latest.
  absl::Status Tidy();
  // Gives memory back: for when there will be nothing to do for a while. Ends the pointers that Get gave.
  absl::Status Rest();
  // Every row of `table`, in key-hash order; `visit` may neither read nor write here.
  absl::Status ForEach(TableId table, const std::function<absl::Status(const KeyHash&, const RowVersions&)>& visit);

 private:
  RowVersionStore(LogFile* file, EventLog* log, Limits limits) : file_(file), log_(log), limits_(limits) {}
  absl::Status Load();
  // Of a reader: what the writer has listed since.
  absl::Status Refresh();
  absl::Status MakeRoom();
  void ForgetStored();  // In memory: rows that are in the table as well.
  absl::Status List();
  absl::Status SortIn();
  // Reads the keys of the whole table.
  absl::Status FillFilter();

  enum class Place : uint8_t {
    kTable,   // As it is in row_version.
    kList,    // Newer than that, and in row_version_recent.
    kMemory,  // Newer than both: not durable yet.
  };
  struct Entry {
    std::string versions;  // RowVersions::Encode; empty: none.
    Place place = Place::kTable;
  };
  // Good until the next Put or Find.
  absl::StatusOr<const Entry*> Find(const RowRef& row);
  LogFile* file_;
  LogFile::Participation participation_;
  EventLog* log_;
  const Limits limits_;
  absl::flat_hash_map<RowRef, Entry> cache_;
  std::optional<std::pair<RowRef, RowVersions>> newest_used_;  // A row is mostly read, changed, and read again.
  std::vector<RowRef> changed_;  // kMemory.
  size_t listed_ = 0;            // Entries that are kList.
  KeyFilter filter_;             // Of a writer: of row_version.
  int64_t list_end_ = 0;         // Of a reader: the newest entry that it has seen.
  Statement get_, put_, append_, clear_, newest_;
};

}  // namespace assay
