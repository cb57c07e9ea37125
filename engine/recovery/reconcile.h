// Compares rows that PostgreSQL holds with the fold of the log, and writes the difference as flagged events.
//
// Enrolling a database that already has data, joining a fleet, and (later) repairing a gap are this one operation.
// Against an empty log every row is new and becomes a BASELINE event. Against a fleet's log: a row that is equal writes
// nothing and takes on the fleet's versions; a row only here is BASELINE; a row only in the log comes by projection; a
// row that differs waits for a choice.
//
//   ASSAY_ASSIGN_OR_RETURN(auto fold, FoldIndex::Build(file, log, names, nullptr));
//   Reconciler reconciler(parts, fold.get(), DifferenceChoice::kAsk);
//   for each pass in {kCompare, kWrite}:
//     reconciler.BeginPass(pass, …);  per table: BeginTable(shape), Row(tuple) …;  reconciler.EndPass()
//     if (reconciler.MustAsk()) roll back, show reconciler.report().differences
//
// Everything happens inside one LogFile transaction that the caller begins and ends, and in flat memory. Not
// thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/capture/recorder.h"
#include "engine/database.h"
#include "engine/fold/fold_values.h"
#include "engine/recovery/row_feed.h"
#include "log/event_log.h"
#include "log/local_state/unsettled_rows.h"
#include "log/log_file.h"
#include "log/row_versions/row_versions.h"
#include "log/table_names.h"

namespace assay {

// What every row should be, by all complete events in the log: the versions, and a hash of each value instead of the
// value. Lives in a temporary SQLite table, so a million rows need no more memory than a thousand.
class FoldIndex {
 public:
  struct Entry {
    RowVersions versions;
    std::vector<uint64_t> hashes;  // Parallel to versions.columns.
  };
  // Sees each row change as it is folded.
  using Visitor = std::function<void(const ResolvedChange&)>;

  // Folds the whole log. Inside a LogFile transaction. Masked events are not there to be folded.
  static absl::StatusOr<std::unique_ptr<FoldIndex>> Build(LogFile* file, EventLog* log, TableNames* names,
                                                          const Visitor& visit);
  ~FoldIndex();

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
  FoldIndex(LogFile* file, EventLog* log) : file_(file), log_(log) {}
  absl::Status Fold(const ResolvedChange& change, const OriginId& origin);
  absl::StatusOr<Entry*> Load(const RowRef& row);
  absl::Status Flush();

  LogFile* file_;
  EventLog* log_;
  Statement get_, put_, mark_;
  absl::flat_hash_map<RowRef, Entry> cache_;  // Written back and emptied when it grows: see Flush.
  bool building_ = true;
  bool empty_ = true;
  HlcStamp newest_;
};

// As FoldIndex keeps a value: NULL and each text differ.
uint64_t HashValue(const TupleValue& value);

struct RowComparison {
  enum class Kind : uint8_t {
    kOnlyHere,  // Nobody wrote it.
    kEqual,     // Every column that the fold knows has the same value.
    kDiffers,   // `differing` have not.
    kDeleted,   // The fold says it was deleted.
  };
  Kind kind = Kind::kOnlyHere;
  std::vector<uint32_t> differing;  // Ordinals of the tuple.
  std::vector<uint32_t> unknown;    // Columns that nobody in the log has written: they exist only here.
};
// `columns` and `is_key` parallel to `tuple`; key columns are not compared. Pure.
RowComparison CompareRow(const FoldIndex::Entry* entry, absl::Span<const ColumnId> columns,
                         const std::vector<bool>& is_key, absl::Span<const TupleValue> tuple);

enum class DifferenceChoice : uint8_t {
  kAsk,    // List them and write nothing.
  kHere,   // What this database holds is written now, and wins.
  kFleet,  // What the fleet holds wins. What was here is kept in the log, stamped older than anything, and loses.
};

struct RowDifference {
  TableName table;
  RowKey key;
  std::string column;      // Empty: the row as a whole, which the fleet has deleted.
  ColumnText here, fleet;  // nullopt: NULL (or, of a deleted row, not there).
};

struct ReconcileReport {
  uint64_t rows = 0;     // Seen here.
  uint64_t written = 0;  // Only here: BASELINE events.
  uint64_t equal = 0;
  uint64_t differing_rows = 0;
  uint64_t differing_columns = 0;
  std::vector<RowDifference> differences;  // The first kDifferencesListed.
};
inline constexpr size_t kDifferencesListed = 100;

class Reconciler {
 public:
  struct Parts {
    EventLog* log;
    TableNames* names;
    RowVersionStore* rows;
    UnsettledRows* unsettled;
    Recorder* recorder;
  };
  enum class Pass : uint8_t { kCompare, kWrite };

  // `fresh_chain`: nothing but the opening is in this branch's chain, so that evidence can still be stamped before it
  // all. Otherwise kFleet leaves no evidence and makes the row due to be written.
  Reconciler(const Parts& parts, FoldIndex* fold, DifferenceChoice choice, bool fresh_chain)
      : parts_(parts),
        values_(parts.log, parts.names),
        fold_(fold),
        choice_(choice),
        fresh_chain_(fresh_chain),
        feed_(parts.recorder) {}

  // `at`: the WAL position at which the rows were read; `time_us`: Unix microseconds, the events' time. kCompare may be
  // left out when the fold is empty.
  absl::Status BeginPass(Pass pass, Lsn at, int64_t time_us);
  absl::Status BeginTable(std::shared_ptr<const TableShape> shape);
  // Every column of one row, text or NULL.
  absl::Status Row(absl::Span<const TupleValue> tuple);
  absl::Status EndPass();

  // There are differences and nobody has chosen: roll back.
  bool MustAsk() const { return choice_ == DifferenceChoice::kAsk && report_.differing_rows > 0; }
  const ReconcileReport& report() const { return report_; }

 private:
  absl::Status Differs(const RowRef& ref, const RowKey& key, const FoldIndex::Entry& entry,
                       const RowComparison& comparison, absl::Span<const TupleValue> tuple);
  absl::Status List(const RowKey& key, const FoldIndex::Entry& entry, const RowComparison& comparison,
                    absl::Span<const TupleValue> tuple);
  absl::Status TakeOn(const RowRef& ref, const RowVersions& versions);
  // Writes only `ordinals` of an existing row; their old values are the fleet's, as far as it has any.
  absl::Status WriteUpdate(const FoldIndex::Entry& entry, absl::Span<const TupleValue> tuple,
                           const std::vector<uint32_t>& ordinals);

  Parts parts_;
  FoldValues values_;
  FoldIndex* fold_;
  DifferenceChoice choice_;
  bool fresh_chain_;

  Pass pass_ = Pass::kCompare;
  int64_t time_us_ = 0;
  std::shared_ptr<const TableShape> shape_;
  TableId table_;
  std::vector<ColumnId> columns_;
  std::vector<bool> is_key_;
  RowFeed feed_;
  ReconcileReport report_;
};

}  // namespace assay
