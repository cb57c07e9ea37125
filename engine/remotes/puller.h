// Brings the other branches' chains here, by version vector, and tells the hub how this branch is doing.
//
// Pulls when a hint comes, when the hub said there is more, and every interval: losing every hint costs latency only.
// What is pulled is appended to the log and nothing else; merging it is the projector's. While there is more, the next
// pull is asked for before the last reply is appended, so that the hub and the line do not wait for this log's disk.
// Not thread-safe.
//
// What a reply brings is judged chain by chain (ChainIntake). Others wait for a chain that stands still for a minute,
// and then go on without (GivenUp). Our own chain is never taken from the hub; if the hub has another one, that is
// named.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/clock.h"
#include "engine/config.h"
#include "engine/link.h"
#include "engine/remotes/chain_intake.h"
#include "engine/remotes/hub_calls.h"
#include "engine/remotes/transfer_size.h"
#include "log/event_log.h"

namespace assay {

class Puller {
 public:
  Puller(const EngineConfig& config, const OriginId& own, EventLog* log, Clock* clock, Random* random)
      : config_(config),
        own_(own),
        log_(log),
        clock_(clock),
        random_(random),
        intake_(own, log, clock, random),
        interval_(config.hub_interval) {}

  void OnPulled(absl::StatusOr<PullReply> reply, absl::Duration round_trip);
  void OnHeartbeat(const absl::StatusOr<HeartbeatReply>& reply, absl::Duration round_trip);
  void OnHint() { next_pull_ = absl::InfinitePast(); }
  // The connection that brings hints was lost: so may be the hub, which a heartbeat shows.
  void OnHintsLost() { next_heartbeat_ = absl::InfinitePast(); }
  void SyncNow();
  void SetInterval(absl::Duration interval);
  // Somebody wants to see all branches with their numbers, which the heartbeats leave out.
  void AskAboutAll();

  // Inside a LogFile transaction: appends what has come, unless that should wait, and puts the next call into TakeCall
  // when one is due. `may_report`: the session is open, without which the hub takes no heartbeat.
  absl::Status Step(bool paused, bool may_append, bool may_report, const BranchReport& report);
  bool HasWork() const { return !pulled_.empty(); }
  // It should be on its way before anything else is done.
  bool HasCallAhead() const { return call_.has_value() && HasWork(); }
  std::optional<HubCall> TakeCall() { return std::exchange(call_, std::nullopt); }
  absl::Time NextWake() const { return wake_; }

  const LinkStatus& link() const { return link_; }
  const std::map<OriginId, HubHead>& hub_heads() const { return hub_heads_; }
  // Chains of which the hub gives something wrong, and those of them that nobody waits for (ChainIntake has both).
  const std::map<OriginId, Link>& troubles() const { return intake_.troubles(); }
  std::set<OriginId> GivenUp() const { return intake_.GivenUp(); }
  // How far each chain is merged: what is masked beyond that stays so for now.
  void UnmaskUpTo(ChainIntake::Merged merged) { intake_.UnmaskUpTo(std::move(merged)); }
  // Masked events that can be read since the last call. They are to be merged in the same transaction of the log.
  std::vector<ChainIntake::Unmasked> TakeUnmasked() { return intake_.TakeUnmasked(); }
  // Chains of which something is granted, and does not come.
  std::set<OriginId> Withheld() const { return intake_.Withheld(); }
  const std::vector<BranchPresence>& branches() const { return branches_; }
  const std::vector<SetAsideChain>& set_aside() const { return set_aside_; }
  absl::Duration interval() const { return interval_; }
  // The hub's clock minus this machine's; zero until the hub has told.
  absl::Duration clock_offset() const { return clock_offset_; }
  bool hub_told_time() const { return hub_told_time_; }
  // This machine's clock was set, or it slept: what was measured holds no more.
  void ForgetOffset() { hub_told_time_ = false; }
  // When the hub last told anything of `branches`, and all of them with their numbers.
  absl::Time heard() const { return heard_; }
  absl::Time whole_heard() const { return whole_heard_; }
  absl::Time last_pull() const { return last_pull_; }
  absl::Time next_pull() const { return std::max(std::min(next_pull_, intake_.NextRetry()), link_.next_try); }
  // Events the hub has and this log has not.
  uint64_t Behind() const;
  // The hub has more, and it is on its way.
  bool more() const { return more_; }

 private:
  absl::Status Append(const PullReply& reply);
  void TakeBranches(const HeartbeatReply& reply);
  // There is more after the reply that is to be appended, and nothing that speaks against appending it.
  bool MayAskAhead() const;
  // For what follows the log and the replies that are still to be appended.
  PullRequest NextRequest();
  // What was asked for ahead follows what was not appended in the end.
  void DropAhead();
  void Ask(bool may_report, const BranchReport& report);
  void Failed(absl::Status status);
  void MeasureOffset(absl::Time hub_time, absl::Duration round_trip);

  const EngineConfig& config_;
  const OriginId own_;
  EventLog* log_;
  Clock* clock_;
  Random* random_;
  ChainIntake intake_;
  absl::Duration interval_;
  std::optional<HubCall> call_;
  std::deque<PullReply> pulled_;  // Still to be appended: one, and perhaps the one that follows it.
  std::optional<std::map<OriginId, Sequence>>
      ahead_;                 // PullRequest::have, of a pull that was asked for before pulled_ was appended.
  bool unwanted_ = false;     // The reply to the pull under way.
  bool unmask_turn_ = false;  // What is masked and granted by now, and what is new, take turns.
  bool busy_ = false;
  bool more_ = false;
  absl::Time next_pull_ = absl::InfinitePast();
  absl::Time next_heartbeat_ = absl::InfinitePast();
  absl::Time wake_ = absl::InfiniteFuture();
  absl::Time last_pull_ = absl::InfinitePast();
  absl::Time heard_ = absl::InfinitePast();
  std::string told_state_;
  TransferSize size_;
  absl::Duration clock_offset_;
  bool hub_told_time_ = false;
  Link link_{absl::Milliseconds(500), absl::Seconds(60)};
  // Of its own: where pulls work, that of the pulls would begin anew after each of them.
  Link heartbeat_{absl::Milliseconds(500), absl::Seconds(60)};
  std::map<OriginId, HubHead> hub_heads_;
  // What the hub has told up to its time `told_`. A branch that is not quiet was heard by it up to kQuietAfter before.
  std::vector<BranchPresence> branches_;
  std::vector<SetAsideChain> set_aside_;
  Grants granted_;
  absl::Time told_ = absl::InfinitePast();
  absl::Time whole_heard_ = absl::InfinitePast();
  bool whole_wanted_ = false;
};

}  // namespace assay
