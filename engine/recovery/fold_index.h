// The fold of the whole log, to compare tables with: which versions every row should have, and which values.
//
//   ASSAY_ASSIGN_OR_RETURN(auto fold, FoldIndex::Build(file, stores, clock, nullptr));
//   ASSAY_ASSIGN_OR_RETURN(const FoldIndex::Entry* entry, fold->Find(ref));
//   const RowComparison comparison = CompareRow(entry, columns, is_key, tuple);
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/clock.h"
#include "engine/database.h"
#include "engine/fold/conflict_finder.h"
#include "engine/fold/fold_values.h"
#include "log/event_log.h"
#include "log/local_state/stores.h"
#include "log/log_file.h"
#include "log/row_versions/row_versions.h"
#include "log/scratch_file.h"
#include "log/table_names.h"

namespace assay {

// What every row should be, by all complete events in the log: the versions, and a hash of each value instead of the
// value. Lives in a file beside the log (ScratchFile), some 200 bytes a row, so a million rows need no more
// memory than a thousand. RESOURCE_EXHAUSTED: its disk is full.
class FoldIndex {
 public:
  struct Entry {
    RowVersions versions;
    std::vector<uint64_t> hashes;  // Parallel to versions.columns.
  };
  // Sees each row change as it is folded.
  using Visitor = std::function<void(const ResolvedChange&)>;

  // Folds the whole log, in the order of stamps. Inside a LogFile transaction. Masked events are not there to be
  // folded; a row that nobody can read is left out and noted (NoteUnreadable). Makes the list of conflicts anew by all
  // that the log has: a row that is compared takes on versions that no batch has brought.
  static absl::StatusOr<std::unique_ptr<FoldIndex>> Build(LogFile* file, const Stores& stores, Clock* clock,
                                                          const Visitor& visit);

  // nullptr: nobody ever wrote this row. Valid until the next call.
  absl::StatusOr<const Entry*> Find(const RowRef& row);
  bool empty() const { return empty_; }

  // Which rows were met, so that those that were not can be looked at: in the order of their keys' hashes.
  absl::Status ForgetSeen();
  absl::Status MarkSeen(const RowRef& row);
  absl::Status ForEachUnseen(TableId table, const std::function<absl::Status(const RowRef&, const Entry&)>& visit);
  // Of all that was folded: a database that is compared with it may hold any of it, so its next write must beat it.
  HlcStamp newest() const { return newest_; }

 private:
  FoldIndex(LogFile* file, const Stores& stores, Clock* clock)
      : file_(file), stores_(stores), values_(stores.log, stores.names), finder_(stores, &values_, clock) {}
  absl::Status Prepare();
  absl::Status FoldAll(const Visitor& visit);
  absl::Status FoldEvent(const StoredEvent& stored, const Visitor& visit);
  absl::Status Fold(const ResolvedChange& change, const OriginId& origin);
  absl::StatusOr<Entry*> Load(const RowRef& row);
  absl::Status Flush();

  LogFile* file_;
  const Stores stores_;
  FoldValues values_;
  ConflictFinder finder_;
  std::unique_ptr<ScratchFile> scratch_;
  Statement get_, put_, mark_;
  absl::flat_hash_map<RowRef, Entry> cache_;  // Written back and emptied when it grows: see Flush.
  bool building_ = true;
  bool empty_ = true;
  HlcStamp newest_;
};

// Instead of a value that was too large for an event: it is at its writer alone, and neither equals what is here nor
// differs from it.
inline constexpr uint64_t kValueNotInLog = 0;
// As FoldIndex keeps a value: NULL and each text differ, and neither is kValueNotInLog.
uint64_t HashValue(const TupleValue& value);

struct RowComparison {
  enum class Kind : uint8_t {
    kOnlyHere,  // Nobody wrote it.
    kEqual,     // Every column of which the fold has a value has the same.
    kDiffers,   // `differing` have not.
    kDeleted,   // The fold says it was deleted.
  };
  Kind kind = Kind::kOnlyHere;
  std::vector<uint32_t> differing;  // Ordinals of the tuple.
  std::vector<uint32_t> unknown;    // Columns that nobody in the log has written: they exist only here.
  size_t compared = 0;              // Of how many columns both have a value.
};
// What is here and what is in the log, column by column, by their values' hashes. `columns` and `is_key` parallel to
// `hashes`, each HashValue of what is here, or kValueNotInLog: then the column is not compared, as key columns are not.
// Pure.
RowComparison CompareRow(const FoldIndex::Entry* entry, absl::Span<const ColumnId> columns,
                         const std::vector<bool>& is_key, absl::Span<const uint64_t> hashes);
// The same of a tuple.
RowComparison CompareRow(const FoldIndex::Entry* entry, absl::Span<const ColumnId> columns,
                         const std::vector<bool>& is_key, absl::Span<const TupleValue> tuple);

}  // namespace assay
