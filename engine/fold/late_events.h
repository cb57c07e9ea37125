// Merges events that come after what follows them in their chain is merged: those that were masked until this branch
// was granted their table.
//
// The merge is a join, so they change what they would have changed before. PostgreSQL has not got it: such a row is due
// to be written, as one that could not be written until now, with its values from the log. Not thread-safe. Inside a
// LogFile transaction.
#pragma once

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/clock.h"
#include "engine/fold/conflict_finder.h"
#include "engine/fold/fold_values.h"
#include "log/local_state/stores.h"
#include "log/types.h"

namespace assay {

class LateEvents {
 public:
  LateEvents(const Stores& stores, Clock* clock)
      : stores_(stores), clock_(clock), values_(stores.log, stores.names), conflict_finder_(stores, &values_, clock) {}

  // `events` of the chain of `origin`, rising. Again: changes nothing.
  absl::Status Merge(const OriginId& origin, absl::Span<const Sequence> events);

 private:
  absl::Status MergeRow(const ResolvedChange& change, const OriginId& origin);

  const Stores stores_;
  Clock* clock_;
  FoldValues values_;
  ConflictFinder conflict_finder_;
};

}  // namespace assay
