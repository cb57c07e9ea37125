// Values that PostgreSQL has and the log has not, although it knows their rows: what ALTER TABLE … ADD COLUMN computed,
// or a DEFAULT when a row of another branch was written. Nobody edited them, so they are recorded as FOUND: older than
// any edit, and once, since the log has them from then on.
//
// Who compares the table finds them (tools/sentinel), while everything goes on. What is handed in here was read before
// a fence that capture has delivered, and judged by the log after it. So the row may only have changed since. A row
// that the log has seen a change of is left out, and found by the next comparison. A change that is still on its way is
// an edit, comes later, and wins.
//
//   FoundRecorder found(stores, &recorder, clock);
//   ASSAY_ASSIGN_OR_RETURN(size_t recorded, found.Record(rows));
//
// Inside a LogFile transaction, and not inside a captured one. Not thread-safe. Errors are those of the log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/capture/recorder.h"
#include "engine/clock.h"
#include "engine/database.h"
#include "log/local_state/stores.h"
#include "log/row_versions/row_versions.h"
#include "log/types.h"

namespace assay {

struct FoundRow {
  std::vector<ColumnText> values;  // Parallel to the shape's columns.
  std::vector<uint32_t> columns;   // Ordinals of those that the log has nothing of, and that are not NULL.
  RowVersions versions;            // As the log had the row then.
};

struct FoundRows {
  std::shared_ptr<const TableShape> shape;  // As capture delivers it.
  Sequence declared;                        // The table's newest declaration in the own chain then.
  std::vector<FoundRow> rows;
};

class FoundRecorder {
 public:
  FoundRecorder(const Stores& stores, Recorder* recorder, Clock* clock)
      : stores_(stores), recorder_(recorder), clock_(clock) {}

  // Returns how many rows' values went into the log.
  absl::StatusOr<size_t> Record(const FoundRows& found);

 private:
  // The log has the row as it was judged by, and nothing waits for it.
  absl::StatusOr<bool> IsAsItWas(const RowRef& ref, const FoundRow& row);

  const Stores stores_;
  Recorder* recorder_;
  Clock* clock_;
};

}  // namespace assay
