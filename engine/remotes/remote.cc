#include "engine/remotes/remote.h"

#include <algorithm>
#include <variant>

#include "log/annotate.h"

namespace assay {

Remote::Remote(const EngineConfig& config, const OriginId& own, const Stores& stores, Clock* clock, Random* random)
    : own_(own),
      log_(stores.log),
      state_(stores.state),
      session_(config, own, stores.state, clock, random),
      pusher_(config, own, stores.log, clock, random),
      puller_(config, own, stores.log, clock, random) {
  puller_.UnmaskUpTo([state = stores.state](const OriginId& origin) { return state->Projected(origin); });
}

absl::Status Remote::Load() {
  ASSAY_ASSIGN_OR_RETURN(pause_noted_, state_->Read(kPausedNote));
  return session_.Load();
}

absl::Status Remote::KeepPause() {
  if (paused() == pause_noted_) return absl::OkStatus();
  pause_noted_ = paused();
  return state_->Write(kPausedNote, pause_noted_);
}

void Remote::OnPullReply(HubReply reply, absl::Duration round_trip) {
  pull_reply_ = std::move(reply);
  pull_round_trip_ = round_trip;
}

void Remote::OnHintsChanged(const absl::Status& status) {
  const bool worked = hints_.ok();
  hints_ = status;
  hints_told_ = true;
  if (worked && !status.ok()) puller_.OnHintsLost();
  if (!worked && status.ok()) puller_.OnHint();  // Some may have been missed meanwhile.
}

void Remote::Resume() {
  pause_said_ = false;
  SyncNow();
}

void Remote::SyncNow() {
  session_.SyncNow();
  pusher_.SyncNow();
  puller_.SyncNow();
}

absl::Status Remote::TakeReplies() {
  for (std::optional<HubReply>* reply : {&push_reply_, &pull_reply_}) {
    if (reply->has_value()) ASSAY_RETURN_IF_ERROR(TakeReply(*std::exchange(*reply, std::nullopt)));
  }
  return absl::OkStatus();
}

absl::Status Remote::TakeReply(HubReply reply) {
  if (auto* heads = std::get_if<absl::StatusOr<HubHeads>>(&reply)) {
    pusher_.OnHeads(*heads);
    if (pusher_.HubHasMore()) session_.OnLost();  // The hub judges that, with the session.
  } else if (auto* pushed = std::get_if<absl::StatusOr<PushReply>>(&reply)) {
    if (absl::IsAborted(pushed->status())) session_.OnLost();
    pusher_.OnPushed(*pushed);
  } else if (auto* opened = std::get_if<absl::StatusOr<SessionReply>>(&reply)) {
    return session_.OnReply(*opened);
  } else if (auto* pulled = std::get_if<absl::StatusOr<PullReply>>(&reply)) {
    if (pulled->ok()) {
      const auto head = (*pulled)->heads.heads.find(own_);
      pusher_.OnHubHead(head == (*pulled)->heads.heads.end() ? Sequence{} : head->second.last);
    }
    puller_.OnPulled(std::move(*pulled), pull_round_trip_);
  } else if (auto* heard = std::get_if<absl::StatusOr<HeartbeatReply>>(&reply)) {
    if (absl::IsAborted(heard->status())) session_.OnLost();
    puller_.OnHeartbeat(*heard, pull_round_trip_);
  }
  return absl::OkStatus();
}

absl::Status Remote::StepSession() {
  return pusher_.busy() ? absl::OkStatus() : session_.Step(paused(), log_->Head(own_).last);
}

absl::Status Remote::StepPull(bool may_append, const BranchReport& report) {
  return puller_.Step(paused(), may_append, session_.open(), report);
}

std::optional<HubCall> Remote::TakePushCall() {
  if (std::optional<HubCall> call = session_.TakeCall()) return call;
  std::optional<HubCall> call = pusher_.TakeCall();
  if (!call.has_value()) return std::nullopt;
  if (auto* push = std::get_if<HubPush>(&*call)) push->request.session = session_.session();
  return call;
}

std::optional<HubCall> Remote::TakePullCall() {
  std::optional<HubCall> call = puller_.TakeCall();
  if (!call.has_value()) return std::nullopt;
  if (auto* heartbeat = std::get_if<HubHeartbeat>(&*call)) heartbeat->report.session = session_.session();
  return call;
}

absl::Time Remote::NextWake() const {
  if (paused()) return absl::InfiniteFuture();
  absl::Time wake = absl::InfiniteFuture();
  if (MayPush()) wake = std::min(wake, pusher_.NextWake());
  if (MayPull()) wake = std::min(wake, puller_.NextWake());
  if (!session_.open()) wake = std::min(wake, session_.NextWake());
  return wake;
}

bool Remote::MissesHints() const {
  // CANCELLED: turned off on purpose.
  return MayPush() && !paused() && pusher_.link().status.ok() && puller_.link().status.ok() && hints_told_ &&
         !hints_.ok() && !absl::IsCancelled(hints_);
}

}  // namespace assay
