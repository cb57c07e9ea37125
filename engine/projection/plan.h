// From "these rows have news" and "this is what PostgreSQL shows" to what to write, what to leave, and what cannot be
// written.
//
// Decides nothing about who wins (engine/fold/merge.h does) and calls nobody; the one input from outside is ReadReply.
// Not thread-safe.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "engine/database.h"
#include "engine/fold/batch.h"
#include "engine/fold/column_history.h"
#include "engine/fold/fold_values.h"
#include "engine/projection/intent.h"
#include "log/local_state/unsettled_rows.h"
#include "log/row_versions/row_versions.h"
#include "log/table_names.h"

namespace assay {

// A row to be brought to the fold, with what is known of it: it has news in the batch, or is unsettled, or both.
//
// The log is asked for it twice: when it becomes a target (or is to be read again), and when it is planned.
struct TargetRow {
  RowRef ref;
  const PendingRow* pending = nullptr;      // Null: only unsettled.
  std::unique_ptr<UnsettledRow> unsettled;  // Null: it is not; then there is something pending.
  bool unknown = false;                     // The log had never heard of the row, and nothing on its way is about it.
  bool read = true;                         // False: it is taken not to be there.

  absl::string_view key() const { return pending != nullptr ? pending->key() : unsettled->key; }
};

// Why PostgreSQL would not take a row when it was tried.
struct Refusal {
  std::string sqlstate;
  std::string cause;
};

struct ProjectionPlan {
  std::vector<TableWrites> writes;
  std::vector<std::vector<uint32_t>> targets;  // Parallel to `writes` and their rows: which target it is.
  std::deque<IntentRow> rows;                  // One per target.
  std::vector<std::vector<uint32_t>> columns;  // What rows' `columns` are about.
  // A row was not there when it was read, and is by what the log knows: the application has inserted it since, or a
  // commit was decoded before it was visible. Or other rows were read than were meant. Read again.
  bool outdated = false;
  HlcStamp newest;  // Of all that the log had of the targets.
  // Rows that were unknown to the log and were read, and those of them that were there.
  size_t unknown_read = 0;
  size_t unknown_there = 0;
};

class ProjectionPlanner {
 public:
  ProjectionPlanner(TableNames* names, FoldValues* values, ColumnHistory* history)
      : names_(names), values_(values), history_(history) {}

  // The keys to read, grouped by table in the order of `targets` (which is sorted by row). A table of which nothing is
  // to be read is named for its shape.
  absl::StatusOr<ReadRequest> Request(const std::vector<TargetRow>& targets) const;
  // What the log knows of a row when the plan is carried out; nullptr: nothing. Valid until the next call.
  using VersionsOf = absl::FunctionRef<absl::StatusOr<const RowVersions*>(const RowRef&)>;
  static absl::StatusOr<const RowVersions*> Unknown(const RowRef&) { return nullptr; }

  // From the next plan on, rows of tables whose objects answer (ReadReply::Table::answers) are refused.
  void SetAsideWhatAnswers(bool aside) { answering_aside_ = aside; }

  absl::StatusOr<ProjectionPlan> Plan(const std::vector<TargetRow>& targets, const ReadReply& reply,
                                      const std::map<RowRef, Refusal>& refused, VersionsOf versions);

 private:
  // The place in the log's key of each column of the database's, which are ordered by their present names. Empty: the
  // same, as mostly.
  using KeyOrder = std::vector<size_t>;
  struct Table;
  struct Desired {
    bool is_null = false;
    absl::string_view text;
    // As its writer has the column, in the schema that the value was written under.
    const v1::TableSchema::Column* declared = nullptr;
    const ResolvedSchema* schema = nullptr;
    size_t pending = 0;    // Index in the pending row's texts; kFromLog when it has not got it.
    std::string from_log;  // What `text` points into then.
    static constexpr size_t kFromLog = SIZE_MAX;
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
  struct PlannedRow;
  absl::Status PlanRow(const TargetRow& target, const RowVersions* stored, Table& table, const ReadReply::Row& read,
                       const std::map<RowRef, Refusal>& refused, ProjectionPlan* plan);
  absl::StatusOr<Table> Describe(TableId id, const ReadReply::Table& read);
  // Why the row that `target` is about cannot be found here by its key; empty: it can.
  absl::StatusOr<std::string> KeyRefusal(const TargetRow& target, const RowVersions& merged, Table& table);
  absl::Status PlanFoundRow(PlannedRow& row, ProjectionPlan* plan);
  absl::Status PlanLiveRow(PlannedRow& row, ProjectionPlan* plan);
  absl::Status ChoosePlaces(PlannedRow& row);
  absl::StatusOr<size_t> PlaceOfReused(const PlannedRow& row, const ColumnVersion& column, size_t local);
  absl::Status ChooseValues(PlannedRow& row, ProjectionPlan* plan);
  // What becomes of a value whose column has the place `local`.
  enum class Fit : uint8_t {
    kFits,
    // Its writer's column has the type that is here by now. What PostgreSQL makes of it is compared when it is written
    // (1.5 may be 1.50), and not in the echo.
    kConverted,
    kWaits,    // It means something else, or nothing, in the column as it is here. `why`, for people.
    kNowhere,  // Whoever wrote it has dropped its column since.
  };
  absl::StatusOr<Fit> FitOf(const PlannedRow& row, const ColumnVersion& column, const Desired& desired,
                            const TableColumn& local, std::string* why);
  absl::StatusOr<bool> IsLoss(const Version& version, const Desired& desired);
  absl::Status NameWhatIsMissing(PlannedRow& row);
  // False: there is nothing that this branch could write. `desired` must stay where it is.
  absl::StatusOr<bool> DesiredValue(const TargetRow& target, const ColumnVersion& column, Desired* desired);
  absl::StatusOr<Place> PlaceOf(const TargetRow& target, const Table& table, const ColumnVersion& column, bool held);
  // The write of `target`: what of its columns, by index in the shape, and as what type where that is another than
  // here.
  struct Written {
    size_t index;
    size_t pending;  // Index in the pending row's texts; Desired::kFromLog when it has not got the text.
    std::optional<absl::string_view> text;
    absl::string_view as;
  };
  absl::Status AddWrite(const TargetRow& target, Table& table, RowWrite::Operation operation,
                        absl::Span<const Written> written, uint32_t xmin, ProjectionPlan* plan);

  TableNames* names_;
  FoldValues* values_;
  ColumnHistory* history_;
  // Of tables as they were last planned.
  std::map<TableId, KeyOrder> key_orders_;
  bool answering_aside_ = false;
};

}  // namespace assay
