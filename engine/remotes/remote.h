// One remote: the session at a hub, what is pushed to it and what is pulled from it.
//
// They share the hub and two lanes. The session and the push have the one, since nothing is pushed without the session;
// the pull and its heartbeats have the other, so that pushes go on while a long pull does. Whether the hub may be asked
// at all is decided elsewhere. Not thread-safe. Load and what returns a Status inside a LogFile transaction.
#pragma once

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/clock.h"
#include "engine/config.h"
#include "engine/remotes/hub_calls.h"
#include "engine/remotes/puller.h"
#include "engine/remotes/pusher.h"
#include "engine/remotes/session_gate.h"
#include "log/local_state/local_state.h"
#include "log/local_state/stores.h"
#include "log/types.h"

namespace assay {

class Remote {
 public:
  Remote(const EngineConfig& config, const OriginId& own, const Stores& stores, Clock* clock, Random* random);

  // Reads what a restart needs. Also after LogFile::Rollback.
  absl::Status Load();

  // ---- Inputs: each is kept, and worked on by a step ----

  void OnPushReply(HubReply reply) { push_reply_ = std::move(reply); }
  // `round_trip` for the clock offset.
  void OnPullReply(HubReply reply, absl::Duration round_trip);
  // Somebody pushed: pull soon.
  void OnHint() { puller_.OnHint(); }
  // `status` of the hint connection: OK while hints work.
  void OnHintsChanged(const absl::Status& status);
  void Pause() { pause_said_ = true; }
  void Resume();
  void SyncNow();
  void SetInterval(absl::Duration interval) { puller_.SetInterval(interval); }
  void AskAboutAll() { puller_.AskAboutAll(); }
  // This machine's clock was set, or it slept.
  void ForgetOffset() { puller_.ForgetOffset(); }

  // ---- Steps, in this order ----

  // What a person has said of pausing lasts until a person says otherwise.
  absl::Status KeepPause();
  absl::Status TakeReplies();
  // Opens the session, once it is due.
  absl::Status StepSession();
  // Appends what a pull brought, unless `may_append` is false, and asks for the next.
  absl::Status StepPull(bool may_append, const BranchReport& report);
  std::vector<ChainIntake::Unmasked> TakeUnmasked() { return puller_.TakeUnmasked(); }
  absl::Status StepPush() { return pusher_.Step(paused()); }

  // The calls of the two lanes, in their order.
  std::optional<HubCall> TakePushCall();
  std::optional<HubCall> TakePullCall();
  bool HasReply() const { return push_reply_.has_value() || pull_reply_.has_value(); }
  // When to step again, if the hub may be asked.
  absl::Time NextWake() const;

  // A session is for who writes at the hub. A hub that opens none now, as one that is read-only, may still give.
  bool MayPull() const { return session_.asked() && session_.refusal().empty(); }
  bool MayPush() const { return session_.open(); }
  bool paused() const { return pause_said_.value_or(pause_noted_); }

  // Its three parts, for those who tell how they are.
  const SessionGate& session() const { return session_; }
  const Pusher& pusher() const { return pusher_; }
  const Puller& puller() const { return puller_; }
  // How the lanes are doing: as the session is, while that fails.
  const LinkStatus& push_link() const { return session_.link().status.ok() ? pusher_.link() : session_.link(); }
  const LinkStatus& pull_link() const { return session_.link().status.ok() ? puller_.link() : session_.link(); }
  const absl::Status& hints() const { return hints_; }
  // Hints are wanted and do not come, though they were tried.
  bool MissesHints() const;

 private:
  absl::Status TakeReply(HubReply reply);

  const OriginId own_;
  LocalState* state_;
  SessionGate session_;
  Pusher pusher_;
  Puller puller_;
  std::optional<HubReply> push_reply_, pull_reply_;  // Not worked on yet.
  absl::Duration pull_round_trip_;
  bool pause_noted_ = false;        // What the log has of it.
  std::optional<bool> pause_said_;  // In this process.
  absl::Status hints_ = absl::UnavailableError("not listening yet");
  bool hints_told_ = false;
};

}  // namespace assay
