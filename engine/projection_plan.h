// From "these rows have news" and "this is what PostgreSQL shows" to what to write, what to leave, and what cannot be written.
//
// Decides nothing about who wins (engine/merge.h does) and calls nobody; the one input from outside is ReadReply.
// Not thread-safe.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/batch.h"
#include "engine/column_history.h"
#include "engine/database.h"
#include "engine/fold_values.h"
#include "log/row_versions.h"
#include "log/stage_store.h"
#include "log/table_names.h"
#include "proto/state.pb.h"

namespace assay {

// A row to be brought to the fold: it has news in the batch, or is unsettled, or both.
struct TargetRow {
  RowRef ref;
  RowKey key;
  const PendingRow* pending = nullptr;    // Null: only unsettled.
  std::optional<UnsettledRow> unsettled;
  uint64_t versions_at_read = 0;          // VersionsDigest when the read was asked for.
};

// Why PostgreSQL would not take a row when it was tried.
struct Refusal {
  std::string sqlstate;
  std::string cause;
};

struct ProjectionPlan {
  std::vector<TableWrites> writes;
  std::vector<std::vector<RowRef>> write_refs;  // Parallel to `writes` and their rows.
  std::vector<v1::ProjectionIntent::Row> rows;  // One per target.
  // A row that was not there when it was read is to be inserted, and the log has heard of a change to it since: it may have come and
  // gone, which nothing in PostgreSQL would show. Read again.
  bool outdated = false;
};

class ProjectionPlanner {
 public:
  ProjectionPlanner(TableNames* names, RowVersionStore* rows, FoldValues* values, ColumnHistory* history)
      : names_(names), rows_(rows), values_(values), history_(history) {}

  // The keys to read, grouped by table in the order of `targets` (which is sorted by row).
  ReadRequest Request(const std::vector<TargetRow>& targets) const;
  absl::StatusOr<ProjectionPlan> Plan(const std::vector<TargetRow>& targets, const ReadReply& reply,
                                      const std::map<RowRef, Refusal>& refused);

 private:
  struct Table;
  struct Desired {
    ColumnText text;
    std::string type;     // As its writer has it; empty when that is not known.
    uint32_t number = 0;  // TableColumn::number, at its writer.
  };
  // Where the value of a column is to go.
  struct Place {
    enum class Kind : uint8_t {
      kHere,     // To column `index` of the shape, perhaps under another name by now.
      kNowhere,  // It is computed here, or whoever wrote it has dropped the column since.
      kMissing,  // The column is not here yet.
    };
    Kind kind = Kind::kMissing;
    size_t index = 0;
  };
  absl::Status PlanRow(const TargetRow& target, const Table& table, const ReadReply::Row& read,
                       const std::map<RowRef, Refusal>& refused, ProjectionPlan* plan);
  absl::StatusOr<std::optional<Desired>> DesiredValue(const TargetRow& target, const ColumnVersion& column);
  absl::StatusOr<Place> PlaceOf(const TargetRow& target, const Table& table, const ColumnVersion& column, bool held);
  void AddWrite(const TargetRow& target, RowWrite::Operation operation, TableWrites columns, std::vector<ColumnText> values,
                uint32_t xmin, ProjectionPlan* plan);

  TableNames* names_;
  RowVersionStore* rows_;
  FoldValues* values_;
  ColumnHistory* history_;
  // Of the plan being made: where writes of one table, operation and column list are collected.
  std::map<std::tuple<TableId, RowWrite::Operation, std::vector<std::string>, std::vector<std::string>>, size_t> groups_;
};

// Over names and values, so that an echo can be compared with what was meant.
class ValuesHash {
 public:
  void Add(absl::string_view column, const ColumnText& value);
  void Add(absl::string_view column, const TupleValue& value);
  uint64_t Finish() const;

 private:
  std::string text_;
};

// Identifies a row's versions at one moment.
uint64_t VersionsDigest(const RowVersions& versions);

}  // namespace assay
