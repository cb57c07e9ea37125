// What single rows should be, by a log that goes on being written: by their versions, and the events behind these.
//
// FoldIndex folds the whole log anew, for a repair. This one is asked piece by piece while the branch works, and keeps
// nothing: what it says holds at the moment in which it is asked. So a row that differs may only have changed in
// between, and whoever asks looks again (tools/sentinel). The comparing itself is CompareRow, as it is for a repair.
//
//   LiveFold fold(stores, own);                            // Stores of a file opened read-only.
//   ASSAY_RETURN_IF_ERROR(fold.BeginTable(shape));
//   ASSAY_RETURN_IF_ERROR(fold.Compare(rows, &checked, &doubtful));    // Thousands at once;
//   ASSAY_ASSIGN_OR_RETURN(LiveFold::Look look, fold.LookAt(key, &values));   // and one, closely.
//
// Not thread-safe. Errors are those of the log file.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/database.h"
#include "engine/fold/column_history.h"
#include "engine/fold/fold_values.h"
#include "engine/recovery/fold_index.h"
#include "engine/recovery/found_rows.h"
#include "log/local_state/notes.h"
#include "log/local_state/stores.h"
#include "log/row_versions/row_versions.h"

namespace assay {

class LiveFold {
 public:
  LiveFold(const Stores& stores, const OriginId& own)
      : stores_(stores), values_(stores.log, stores.names), history_(own, stores.names, stores.state), own_(own) {}

  // Sees what was committed meanwhile; what was compared before is compared again for that. `shape`: as capture
  // delivers it. FAILED_PRECONDITION: the log does not know the table's key as it is now. ABORTED: a column has
  // come that rows wait for; it passes.
  absl::Status BeginTable(const TableShape& shape);
  // Sees what was committed meanwhile, of all that the log has. At the beginning of a transaction of the LogFile: rows
  // that are read in it may rest on events that were appended since.
  absl::Status Refresh();
  // Of the table, as the log knows it: which event of the own chain declares it now.
  Sequence declared() const { return declared_; }
  // Which columns of the shape a RowKey is of, in its order.
  const std::vector<uint32_t>& key_ordinals() const { return key_.ordinals; }

  struct HashedRow {
    RowRef ref;
    RowKey key;
    std::vector<uint64_t> hashes;  // As CompareRow wants them.
  };
  HashedRow Hash(absl::Span<const TupleValue> tuple) const;
  // Appends to `doubtful` which of `rows` are not as the fold has them now, to `found` those that have values of which
  // the fold has none (FoundIn), and counts what was compared. Best inside a transaction of the LogFile, so that it is
  // of one moment.
  absl::Status Compare(absl::Span<const HashedRow> rows, CheckedTable* checked, std::vector<size_t>* doubtful,
                       std::vector<size_t>* found);
  // What of a row, whose values are `here`, the fold has no value of, though it has the row. nullopt: nothing, or the
  // row waits for its projection.
  absl::StatusOr<std::optional<FoundRow>> FoundIn(std::vector<ColumnText> here);

  // The live rows of the fold, a portion of them, by the order of their hashes: calls `visit` with each from `from` on,
  // and moves `from` behind the last. False: that was the end.
  absl::StatusOr<bool> ForEachLive(size_t rows_max, KeyHash* from,
                                   const std::function<absl::Status(const KeyHash&, const RowVersions&)>& visit);
  // nullopt: a row of another key than the table's, which cannot be here; or nobody may read it.
  absl::StatusOr<std::optional<RowKey>> KeyOf(const RowVersions& versions);

  struct Look {
    enum class Verdict : uint8_t {
      kSame,
      kWaits,  // It is parked, or due to be written: it differs by right.
      kDiffers,
    };
    Verdict verdict = Verdict::kSame;
    RowVersions versions;              // As the fold has it.
    std::vector<DifferingCell> cells;  // kDiffers: at least one.
  };
  // `here`: the row's values, parallel to the shape's columns; nullptr: there is no such row.
  absl::StatusOr<Look> LookAt(const RowKey& key, const std::vector<ColumnText>* here);

 private:
  absl::Status ChooseColumns(const TableShape& shape);
  absl::StatusOr<FoldIndex::Entry> EntryOf(const RowVersions& versions);
  // Appends the columns that `row` and the fold differ in, in earnest.
  absl::Status AddCells(const FoldIndex::Entry& entry, const RowKey& key, const std::vector<ColumnText>& here,
                        Look* look);
  // `here`, which has no value, has only the name of the column that `version` was written to: its writer has dropped
  // that one, and the value is of a type that does not go into this one. The projection passes over it, too.
  absl::StatusOr<bool> IsOfADroppedColumn(const Version& version, const v1::TableSchema::Column& written,
                                          const TableColumn& here);
  absl::StatusOr<RowVersions> VersionsOf(const RowRef& ref);
  // Somebody else has renamed a column of the row: whose value is which here, only the projection knows.
  bool MayBeRenamed(const RowVersions& versions) const;
  // Which columns of the row the fold has no value of. NULL is none.
  std::vector<uint32_t> FoundOf(const RowVersions& versions, const HashedRow& row,
                                const std::vector<uint32_t>& unknown) const;

  const Stores stores_;
  FoldValues values_;
  ColumnHistory history_;
  const OriginId own_;

  TableShape shape_;
  TableId table_;
  Sequence declared_;
  ColumnHistory::Key key_;
  std::vector<ColumnId> columns_;  // Parallel to the shape's.
  std::vector<bool> is_key_;
  // Those that are compared. A column that was renamed, or made anew under its name, has values under both.
  std::vector<bool> comparable_;
  std::set<ColumnId> here_;
  bool renamed_elsewhere_ = false;
};

}  // namespace assay
