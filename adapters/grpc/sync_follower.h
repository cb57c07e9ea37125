// Follows one "sync now" from status to status until what was there when it began is at the hub and in the database.
//
//   ASSIGN(SyncFollower follower, SyncFollower::Begin(status, now));
//   ...tell the engine, then for every status: ASSIGN(progress, follower.Look(status, now)); until progress.done()
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/operator.h"
#include "proto/admin.pb.h"

namespace assay {

class SyncFollower {
 public:
  // FAILED_PRECONDITION: no hub, paused, or halted. UNAVAILABLE: the engine is down.
  static absl::StatusOr<SyncFollower> Begin(const DaemonStatus& status, absl::Time now);

  // How far it is. The link's own error when a try since Begin failed; FAILED_PRECONDITION when the branch was halted,
  // or all is done that can be done without its PostgreSQL; DEADLINE_EXCEEDED when nothing moved for a minute.
  absl::StatusOr<admin::v1::SyncProgress> Look(const DaemonStatus& status, absl::Time now);

 private:
  struct Chain {
    uint64_t head = 0;  // When it began.
    uint64_t projected = 0;
    uint64_t target = 0;  // What the hub had, once the first pull since came back.
  };
  absl::Time begun_;
  absl::Time moved_;
  uint64_t moved_sum_ = 0;
  uint32_t push_failures_ = 0, pull_failures_ = 0, projection_failures_ = 0;
  uint64_t own_target_ = 0, own_hub_head_ = 0;
  std::map<OriginId, Chain> chains_;  // The others'.
  bool heard_ = false;
};

}  // namespace assay
