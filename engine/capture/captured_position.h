// How far capture has durably come: the last transaction that is in the log, and the position up to which nothing else
// was of ours.
//
// Stored as one value with each captured transaction. The transaction is remembered whole (LSN, xid, commit time),
// because a server that was restored reuses LSNs: when the stream goes on below it, this very transaction must come by
// again (restore_check.h).
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "log/local_state/local_state.h"
#include "log/types.h"

namespace assay {

struct CapturedPosition {
  // Of the last transaction that left something in the log; zeros: none since the rows were read at a snapshot.
  Lsn commit_lsn;
  Lsn end_lsn;
  int64_t commit_time_us = 0;
  uint32_t xid = 0;
  // Nothing that ends at or before this may be confirmed unless it is durable here; nothing after it ever was. 0: not
  // known (a log from before this was kept).
  Lsn position;
  bool operator==(const CapturedPosition&) const = default;
};

// All zeros when there is none. DATA_LOSS when it is damaged.
absl::StatusOr<CapturedPosition> LoadCapturedPosition(LocalState& state);
absl::Status StoreCapturedPosition(const CapturedPosition& captured, LocalState* state);

}  // namespace assay
