// Merges a batch into the log, by how its rows came out in PostgreSQL.
//
// The rows' versions, the conflicts between them, the cursors, and what is left to say of rows that did not come out as
// they were meant: refused, written in part, or moved by a local commit that came by before our own. Not thread-safe.
// Inside a LogFile transaction.
#pragma once

#include <deque>
#include <vector>

#include "absl/status/status.h"
#include "engine/clock.h"
#include "engine/config.h"
#include "engine/fold/batch.h"
#include "engine/fold/column_history.h"
#include "engine/fold/conflict_finder.h"
#include "engine/fold/fold_values.h"
#include "engine/projection/intent.h"
#include "log/local_state/stores.h"
#include "log/local_state/unsettled_rows.h"

namespace assay {

class BatchSettler {
 public:
  BatchSettler(const EngineConfig& config, const Stores& stores, FoldValues* values, ColumnHistory* history,
               Clock* clock)
      : config_(config), stores_(stores), conflict_finder_(stores, values, clock), history_(history), clock_(clock) {}

  // `rows` are those of the batch's intent; none, when PostgreSQL had nothing to show of the batch.
  absl::Status Settle(std::deque<IntentRow> rows, const Batch& batch);

 private:
  // A row of which there may be something left to say.
  struct Left {
    IntentRow* row;
    RowVersions before;
    bool moved;  // A local commit changed it before our own came by.
  };
  absl::StatusOr<std::vector<Left>> WhatIsLeft(std::deque<IntentRow>* rows) const;
  absl::Status MergeVersions(const Batch& batch);
  absl::Status SettleRow(const Left& left);

  const EngineConfig& config_;
  const Stores stores_;
  ConflictFinder conflict_finder_;
  ColumnHistory* history_;
  Clock* clock_;
};

}  // namespace assay
