// A column has come to a table here: which rows are to be looked at again.
//
// NULLs that other branches wrote to it before were passed over (ColumnHistory::NoteNull). The column may have come
// with another default, so of those rows it is not known any more to hold what the log has. Nor is it of any row that
// has a value of a column which is another one by now under its old name. Not thread-safe. Every call inside a LogFile
// transaction.
#pragma once

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/database.h"
#include "engine/fold/column_history.h"
#include "engine/fold/fold_values.h"
#include "log/local_state/unsettled_rows.h"
#include "log/row_versions/row_versions.h"

namespace assay {

class AppearedColumns {
 public:
  AppearedColumns(RowVersionStore* rows, UnsettledRows* unsettled, FoldValues* values, ColumnHistory* history)
      : rows_(rows), unsettled_(unsettled), values_(values), history_(history) {}

  // Makes the rows due whose columns have appeared in `shape`, which is how `table` is now. True: some column has.
  absl::StatusOr<bool> MakeRowsDue(TableId table, const TableShape& shape, absl::Time now);

 private:
  // Those whose `column` was written since `since`, by one of `which`.
  absl::Status MakeDue(TableId table, ColumnId column, HlcStamp since,
                       absl::FunctionRef<absl::StatusOr<bool>(const Version&)> which, absl::Time now);
  absl::StatusOr<bool> WasPassedOver(TableId table, ColumnId column, const Version& version, const TableShape& shape);

  RowVersionStore* rows_;
  UnsettledRows* unsettled_;
  FoldValues* values_;
  ColumnHistory* history_;
};

}  // namespace assay
