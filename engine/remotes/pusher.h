// Streams this branch's chain to the hub: asks what the hub has, then sends what follows, as fast as it is accepted.
//
// The hub's head is the only cursor: a hub restored from a backup says so by having less, and gets the rest again.
// Pieces of a large transaction go before its end is there; the hub shows them to nobody until then. Not thread-safe.
#pragma once

#include <optional>

#include "engine/clock.h"
#include "engine/config.h"
#include "engine/link.h"
#include "engine/remotes/hub_calls.h"
#include "engine/remotes/transfer_size.h"
#include "log/event_log.h"

namespace assay {

class Pusher {
 public:
  Pusher(const EngineConfig& config, const OriginId& own, EventLog* log, Clock* clock, Random* random)
      : config_(config), own_(own), log_(log), clock_(clock), random_(random) {}

  // Inside a LogFile transaction. Puts the next call into TakeCall when there is something to push.
  absl::Status Step(bool paused);
  void OnHeads(const absl::StatusOr<HubHeads>& reply);
  void OnPushed(const absl::StatusOr<PushReply>& reply);
  // What a pull learned by the way. A hub that has less than it had (restored from a backup) is asked, and gets the
  // rest again; one that has more than there is is asked too, and then named.
  void OnHubHead(Sequence last);
  // Try at once.
  void SyncNow() { link_.TryAt(absl::InfinitePast()); }

  std::optional<HubCall> TakeCall() { return std::exchange(call_, std::nullopt); }
  absl::Time NextWake() const { return wake_; }

  // A call is under way.
  bool busy() const { return busy_; }
  const LinkStatus& link() const { return link_; }
  // When last asked, it had more of the own chain than there is here.
  bool HubHasMore() const;
  // nullopt: not asked yet, or not since it failed.
  std::optional<Sequence> hub_last() const { return hub_last_; }
  // The same for people, as it was last heard: a line that fails does not take back what has arrived.
  std::optional<Sequence> hub_heard() const { return hub_heard_; }
  absl::Time last_push() const { return last_push_; }

 private:
  // The hub says that it has our chain up to `hub_last`; `pushed`: after it took something.
  void TakeHubLast(Sequence hub_last, bool pushed);
  void Failed(absl::Status status);

  const EngineConfig& config_;
  const OriginId own_;
  EventLog* log_;
  Clock* clock_;
  Random* random_;
  std::optional<HubCall> call_;
  bool busy_ = false;
  std::optional<Sequence> hub_last_, hub_heard_;
  absl::Time wake_ = absl::InfiniteFuture();
  absl::Time last_push_ = absl::InfinitePast();
  TransferSize size_;
  size_t pushed_bytes_ = 0;  // Of the last push.
  Link link_{absl::Milliseconds(500), absl::Seconds(60)};
};

}  // namespace assay
