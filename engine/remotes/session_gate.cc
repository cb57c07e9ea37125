#include "engine/remotes/session_gate.h"

#include <algorithm>

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

absl::StatusOr<std::string> LeafOf(EventLog& log, const OriginId& origin, Sequence sequence) {
  // An event that is not the end of its transaction can be the hub's last one, too.
  ASSAY_ASSIGN_OR_RETURN(const std::string bytes, log.ReadEvent(origin, sequence));
  return std::string(AsBytes(LeafHash(bytes)));
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

absl::Status SessionGate::Step(bool paused) {
  wake_ = absl::InfiniteFuture();
  if (!config_.has_hub || busy_ || paused || open_) return absl::OkStatus();
  if (clock_->Now() < link_.next_try) {
    wake_ = link_.next_try;
    return absl::OkStatus();
  }
  SessionRequest request{own_, counter_, known_, session_, log_->Head(own_).last};
  // As a rule the hub has all of it.
  request.shown = std::min(asked_for_.value_or(request.last), request.last);
  if (request.shown.value > 0) {
    ASSAY_ASSIGN_OR_RETURN(request.leaf, LeafOf(*log_, own_, request.shown));
  }
  if (session_.empty()) {
    request.session = session_ = Nonce(*random_);
    // The oldest is the one that is known to have been opened: what drops out is the second.
    if (known_.size() == kKnownMax) known_.erase(known_.begin() + 1);
    known_.push_back(session_);
    ASSAY_RETURN_IF_ERROR(Store());
  }
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
  if (reply->answer == SessionAnswer::kShow && !asked_for_.has_value()) {
    asked_ = !refusal_.empty();  // Nothing is known yet.
    asked_for_ = reply->last;
    link_.TryAt(absl::InfinitePast());
    return absl::OkStatus();
  }
  asked_for_.reset();
  if (reply->answer == SessionAnswer::kShow) {
    link_.Fail(absl::UnavailableError("the hub's copy of the own chain grows while it is compared"), clock_->Now(),
               *random_);
    return absl::OkStatus();
  }
  link_.Succeed(clock_->Now());
  if (!reply->opened()) return Refuse(*reply);
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

absl::Status SessionGate::Refuse(const SessionReply& reply) {
  set_aside_ = reply.answer == SessionAnswer::kSetAside;
  const std::string what =
      reply.answer == SessionAnswer::kUnknown
          ? absl::StrCat("the hub has session ", reply.counter, " of this log's chain, which this log (session ",
                         counter_, ") does not know")
      : reply.answer == SessionAnswer::kHubHasMore
          ? absl::StrCat("the hub has ", reply.last.value, " events of this log's chain, the log itself only ",
                         log_->Head(own_).last.value)
          : absl::StrCat("the hub has another event under the name ", EventName(own_, reply.last), " than this log");
  refusal_ = set_aside_ ? "the head office has set this log's chain aside"
                        : absl::StrCat(what,
                                       ": another machine runs with a copy of this branch, or everything here was "
                                       "restored from an older copy");
  // Asked again now and then: the other copy may be told to give way.
  link_.TryAt(clock_->Now() + absl::Minutes(1));
  ASSAY_RETURN_IF_ERROR(state_->Write(kSetAsideNote, set_aside_));
  return state_->Write(kRefusalNote, refusal_);
}

absl::StatusOr<std::string> SessionRefusal(LocalState& state) { return state.Read(kRefusalNote); }

}  // namespace assay
