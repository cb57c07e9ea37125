#include "engine/remotes/session_gate.h"

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/bytes.h"

namespace assay {
namespace {

// Starts in a row without a reply that are remembered. An older one could matter only if just its reply, and every one
// since, was lost.
constexpr size_t kKnownMax = 64;

std::string Nonce(Random& random) {
  std::string nonce;
  while (nonce.size() < KnownSessions::kNonceBytes) PutFixed64(&nonce, random.Next());
  return nonce;
}

}  // namespace

absl::Status SessionGate::Load() {
  ASSAY_ASSIGN_OR_RETURN(refusal_, SessionRefusal(*state_));
  ASSAY_ASSIGN_OR_RETURN(set_aside_, state_->Read(kSetAsideNote));
  ASSAY_ASSIGN_OR_RETURN(const KnownSessions sessions, state_->Read(kSessionsNote));
  counter_ = sessions.counter;
  known_ = sessions.nonces;
  return absl::OkStatus();
}

absl::Status SessionGate::Store() { return state_->Write(kSessionsNote, {counter_, known_}); }

absl::Status SessionGate::Step(bool paused, Sequence head) {
  wake_ = absl::InfiniteFuture();
  if (!config_.has_hub || busy_ || paused || open_) return absl::OkStatus();
  if (clock_->Now() < link_.next_try) {
    wake_ = link_.next_try;
    return absl::OkStatus();
  }
  SessionRequest request{own_, counter_, known_, session_, head};
  if (session_.empty()) {
    request.session = session_ = Nonce(*random_);
    // The oldest is the one that is known to have been opened: what drops out is the second.
    if (known_.size() == kKnownMax) known_.erase(known_.begin() + 1);
    known_.push_back(session_);
    ASSAY_RETURN_IF_ERROR(Store());
  }
  asked_head_ = head;
  call_ = HubOpenSession{std::move(request)};
  busy_ = true;
  return absl::OkStatus();
}

absl::Status SessionGate::OnReply(const absl::StatusOr<SessionReply>& reply) {
  busy_ = false;
  asked_ = true;
  if (!reply.ok()) {
    link_.Fail(reply.status(), clock_->Now(), *random_);  // As it came: it may name its problem.
    return absl::OkStatus();
  }
  link_.Succeed(clock_->Now());
  if (!reply->opened) return Refused(*reply);
  counter_ = reply->counter;
  known_ = {session_};
  open_ = true;
  if (!refusal_.empty()) {
    refusal_.clear();
    set_aside_ = false;
    ASSAY_RETURN_IF_ERROR(state_->Write(kRefusalNote, ""));
    ASSAY_RETURN_IF_ERROR(state_->Write(kSetAsideNote, false));
  }
  return Store();
}

absl::Status SessionGate::Refused(const SessionReply& reply) {
  constexpr absl::string_view kCopy =
      "another machine runs with a copy of this branch, or everything here was restored from an older copy";
  set_aside_ = reply.set_aside;
  if (reply.set_aside) {
    refusal_ = "the head office has set this log's chain aside";
  } else if (reply.hub_last > asked_head_) {
    refusal_ = absl::StrCat("the hub has ", reply.hub_last.value, " events of this log's chain, the log itself only ",
                            asked_head_.value, ": ", kCopy);
  } else {
    refusal_ = absl::StrCat("the hub has session ", reply.counter, " of this log's chain, which this log (session ",
                            counter_, ") does not know: ", kCopy);
  }
  // Asked again now and then: the other copy may be told to give way.
  link_.TryAt(clock_->Now() + absl::Minutes(1));
  ASSAY_RETURN_IF_ERROR(state_->Write(kSetAsideNote, set_aside_));
  return state_->Write(kRefusalNote, refusal_);
}

absl::StatusOr<std::string> SessionRefusal(LocalState& state) { return state.Read(kRefusalNote); }

}  // namespace assay
