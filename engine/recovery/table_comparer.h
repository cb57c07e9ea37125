// The walk that reconciling and repairing share: rows that PostgreSQL holds are looked up in the fold of the log, one
// by one, and what they differ by is handed to a policy.
//
// A policy derives from this and says what a difference comes to. It has the writes in common: a row is recorded as if
// it had been captured, takes on the fold's versions, or is noted as due to be written again.
//
//   for each pass in {kCompare, kWrite}:
//     policy.BeginPass(pass, …);  per table: BeginTable(shape), Row(tuple) …;  policy.EndPass()
//
// Everything happens inside one LogFile transaction that the caller begins and ends. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/capture/recorder.h"
#include "engine/database.h"
#include "engine/fold/fold_values.h"
#include "engine/recovery/fold_index.h"
#include "engine/recovery/row_feed.h"
#include "log/event_log.h"
#include "log/local_state/unsettled_rows.h"
#include "log/row_versions/row_versions.h"
#include "log/table_names.h"

namespace assay {

struct RowDifference {
  TableName table;
  RowKey key;
  std::string column;      // Empty: the row as a whole, which the fleet has deleted.
  ColumnText here, fleet;  // nullopt: NULL (or, of a deleted row, not there).
};
inline constexpr size_t kDifferencesListed = 100;

class TableComparer {
 public:
  struct Parts {
    EventLog* log;
    TableNames* names;
    RowVersionStore* rows;
    UnsettledRows* unsettled;
    Recorder* recorder;
  };
  enum class Pass : uint8_t { kCompare, kWrite };

  virtual ~TableComparer() = default;
  TableComparer(const TableComparer&) = delete;
  TableComparer& operator=(const TableComparer&) = delete;

  absl::Status BeginTable(std::shared_ptr<const TableShape> shape);
  // Every column of one row, text or NULL.
  absl::Status Row(absl::Span<const TupleValue> tuple);

 protected:
  struct ComparedRow {
    const RowRef& ref;
    const RowKey& key;
    const FoldIndex::Entry* entry;  // nullptr: kOnlyHere. Good until the fold is asked again.
    const RowComparison& comparison;
    absl::Span<const TupleValue> tuple;
  };

  TableComparer(const Parts& parts, FoldIndex* fold)
      : parts_(parts), values_(parts.log, parts.names), fold_(fold), feed_(parts.recorder) {}

  // What the policy does with a row that is here.
  virtual absl::Status Compared(const ComparedRow& row) = 0;

  // What is written from here on was read at `at`, and is recorded as of `time_us`.
  void Begin(Pass pass, Lsn at, int64_t time_us);
  // How what is written from here on came to be known, and what it counts against others. EDIT: the log never got it,
  // or a person chose it; it counts from now.
  absl::Status WriteAs(v1::TransactionHeader::Source source, v1::RowChange::Standing standing) {
    return feed_.SetSource(source, standing);
  }
  absl::Status CommitPass() { return feed_.Commit(); }
  bool writing() const { return pass_ == Pass::kWrite; }

  const Parts& parts() const { return parts_; }
  FoldIndex& fold() { return *fold_; }
  FoldValues& values() { return values_; }
  const TableShape& shape() const { return *shape_; }
  TableId table() const { return table_; }
  const ColumnHistory::Key& key() const { return key_; }
  // Of column `ordinal` of the table.
  ColumnId ColumnAt(uint32_t ordinal) const { return columns_[ordinal]; }
  bool IsKey(uint32_t ordinal) const { return is_key_[ordinal]; }
  absl::StatusOr<ColumnText> ValueOf(const Version& version, uint32_t ordinal) {
    return values_.Value(version, columns_[ordinal]);
  }

  // The row here is as the fold has it: its versions count from here on.
  absl::Status TakeOn(const RowRef& ref, const RowVersions& versions);
  absl::Status TakeOn(const ComparedRow& row) { return TakeOn(row.ref, row.entry->versions); }
  // The fold is to be written over the row. `there`: PostgreSQL holds the row, and it is not known in which version.
  absl::Status MakeDue(const RowRef& ref, const RowKey& key, const RowVersions& versions, bool there);
  absl::Status WriteInsert(absl::Span<const TupleValue> tuple);
  // Writes only `ordinals` of a row that the fold has; their old values are the fold's, as far as it has any.
  absl::Status WriteUpdate(const ComparedRow& row, const std::vector<uint32_t>& ordinals);
  // All but the relation.
  absl::Status Record(CaptureItem item, size_t bytes) { return feed_.Record(shape_, std::move(item), bytes); }

 private:
  const Parts parts_;
  FoldValues values_;
  FoldIndex* fold_;
  RowFeed feed_;
  Pass pass_ = Pass::kCompare;
  int64_t time_us_ = 0;
  std::shared_ptr<const TableShape> shape_;
  TableId table_;
  ColumnHistory::Key key_;
  std::vector<ColumnId> columns_;
  std::vector<bool> is_key_;
};

// Of all the tuple's values.
size_t BytesOf(absl::Span<const TupleValue> tuple);

}  // namespace assay
