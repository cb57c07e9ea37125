// What capture asks of whoever projects: is this row, which comes by under our tag, one that was meant?
//
// Capture asks and the projection answers, so neither has to know the other. Not thread-safe. Every call inside the
// LogFile transaction that records.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/database.h"
#include "engine/fold/merge.h"
#include "log/row_versions/row_ref.h"
#include "log/types.h"

namespace assay {

// The other end of a projection: it knows what it meant to write.
class ProjectionEcho {
 public:
  virtual ~ProjectionEcho() = default;
  // True: `tag` opens the projection whose outcome is open. The clock takes on `stamp` when it is seen.
  virtual bool Claims(absl::string_view tag, HlcStamp* stamp) = 0;
  // True, once per row: the claimed projection meant exactly this. `tuple` holds the new values (key only, of a
  // delete).
  virtual bool Meant(const RowRef& row, ChangeKind kind, const TableShape& shape,
                     absl::Span<const TupleValue> tuple) = 0;
  // The claimed projection has committed: its effects belong to the log here, in WAL order.
  virtual absl::Status Landed() = 0;
};

}  // namespace assay
