// What is done beside the work: checkpoints signed while there is some, and the log tidied when there is none.
//
// Row versions that a busy time left in runs are brought into their table, small segments are packed together, and
// memory is given back. All of it in portions of a few milliseconds, which a sale that comes meanwhile does not feel,
// and so seldom that a daemon with nothing else to do still has next to nothing to do. Not thread-safe. Every call but
// NextWake inside a LogFile transaction.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/clock.h"
#include "engine/config.h"
#include "log/event_log.h"
#include "log/log_file.h"
#include "log/row_versions/row_versions.h"
#include "log/types.h"

namespace assay {

class Housekeeping {
 public:
  Housekeeping(const EngineConfig& config, const OriginId& own, LogFile* file, EventLog* log, RowVersionStore* rows,
               Clock* clock)
      : config_(config), own_(own), file_(file), log_(log), rows_(rows), clock_(clock) {}

  // Signs a checkpoint of the own chain when it has grown and the last one was signed long enough ago.
  absl::Status KeepCheckpoint();
  // `events_done`: recorded and projected since the engine was opened. `busy`: something is under way.
  absl::Status Rest(uint64_t events_done, bool busy);
  // When there is something to do for it.
  absl::Time NextWake() const;
  // The clock was set back: a checkpoint is due at once.
  void OnClockSetBack() { checkpoint_at_ = absl::InfinitePast(); }

 private:
  bool Untidy() const { return rows_->untidy() || log_->ShouldRepack(config_.repack_events); }

  const EngineConfig& config_;
  const OriginId own_;
  LogFile* file_;
  EventLog* log_;
  RowVersionStore* rows_;
  Clock* clock_;
  absl::Time checkpoint_at_ = absl::InfinitePast();
  uint64_t checkpoint_size_ = 0;  // Of the newest that was signed.
  uint64_t events_done_ = 0;      // As it was last told.
  absl::Time tidy_at_ = absl::InfinitePast();
  absl::Time rest_at_ = absl::InfiniteFuture();
};

}  // namespace assay
