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

// On the disk.
absl::string_view NameOf(SessionGate::Refused refused) {
  if (refused == SessionGate::Refused::kSetAside) return "set-aside";
  return refused == SessionGate::Refused::kReplaced ? "replaced" : "";
}

std::string AsCopy(absl::string_view what) {
  return absl::StrCat(
      what, ": another machine runs with a copy of this branch, or everything here was restored from an older copy");
}

}  // namespace

absl::Status SessionGate::Load() {
  ASSAY_ASSIGN_OR_RETURN(SessionRefusal refusal, ReadSessionRefusal(*state_));
  refused_ = refusal.as;
  refusal_ = std::move(refusal.why);
  ASSAY_ASSIGN_OR_RETURN(replaces_, state_->Read(kReplacesNote));
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
  request.replaces = replaces_;
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
    refused_ = Refused::kNot;
    ASSAY_RETURN_IF_ERROR(state_->Write(kRefusalNote, ""));
    ASSAY_RETURN_IF_ERROR(state_->Write(kRefusedAsNote, ""));
  }
  return Store();
}

absl::Status SessionGate::Refuse(const SessionReply& reply) {
  refused_ = reply.answer == SessionAnswer::kSetAside   ? Refused::kSetAside
             : reply.answer == SessionAnswer::kReplaced ? Refused::kReplaced
                                                        : Refused::kCopy;
  refusal_ = WhyRefused(reply);
  // Asked again now and then: the other machine may be told to give way.
  link_.TryAt(clock_->Now() + absl::Minutes(1));
  if (refused_ == Refused::kReplaced) {
    // The place that it had is gone. After a restore of the hub it must not be taken back without a person's word.
    replaces_ = OriginId{};
    ASSAY_RETURN_IF_ERROR(state_->Write(kReplacesNote, replaces_));
  }
  ASSAY_RETURN_IF_ERROR(state_->Write(kRefusedAsNote, std::string(NameOf(refused_))));
  return state_->Write(kRefusalNote, refusal_);
}

std::string SessionGate::WhyRefused(const SessionReply& reply) const {
  const Sequence own_last = log_->Head(own_).last;
  switch (reply.answer) {
    case SessionAnswer::kSetAside:
      return "the head office has set this log's chain aside";
    case SessionAnswer::kReplaced:
      return absl::StrCat("the hub takes chain ", reply.living.origin.Hex().substr(0, 8),
                          " for this branch's, of which it heard last at ",
                          absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", reply.living.heard, absl::UTCTimeZone()),
                          own_last > reply.last
                              ? absl::StrCat("; ", own_last.value - reply.last.value,
                                             own_last.value - reply.last.value == 1
                                                 ? " event of this log is not at the hub, and stays in this log"
                                                 : " events of this log are not at the hub, and stay in this log")
                              : "");
    case SessionAnswer::kUnknown:
      return AsCopy(absl::StrCat("the hub has session ", reply.counter,
                                 " of this log's chain, which this log (session ", counter_, ") does not know"));
    case SessionAnswer::kHubHasMore:
      return AsCopy(absl::StrCat("the hub has ", reply.last.value, " events of this log's chain, the log itself only ",
                                 own_last.value));
    default:
      return AsCopy(
          absl::StrCat("the hub has another event under the name ", EventName(own_, reply.last), " than this log"));
  }
}

absl::StatusOr<SessionRefusal> ReadSessionRefusal(LocalState& state) {
  SessionRefusal refusal;
  ASSAY_ASSIGN_OR_RETURN(refusal.why, state.Read(kRefusalNote));
  if (refusal.why.empty()) return refusal;
  refusal.as = SessionGate::Refused::kCopy;
  ASSAY_ASSIGN_OR_RETURN(const std::string as, state.Read(kRefusedAsNote));
  for (const auto known : {SessionGate::Refused::kSetAside, SessionGate::Refused::kReplaced}) {
    if (as == NameOf(known)) refusal.as = known;
  }
  return refusal;
}

}  // namespace assay
