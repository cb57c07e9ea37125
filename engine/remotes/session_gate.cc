#include "engine/remotes/session_gate.h"

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/bytes.h"

namespace assay {
namespace {

constexpr char kSession[] = "hub_session";
constexpr char kRefusal[] = "hub_session_refused";
constexpr size_t kNonceBytes = 16;
// Starts in a row without a reply that are remembered. An older one could matter only if just its reply, and every one
// since, was lost.
constexpr size_t kKnownMax = 64;

std::string Nonce(Random& random) {
  std::string nonce;
  while (nonce.size() < kNonceBytes) PutFixed64(&nonce, random.Next());
  return nonce;
}

}  // namespace

absl::Status SessionGate::Load() {
  counter_ = 0;
  known_.clear();
  ASSAY_ASSIGN_OR_RETURN(refusal_, SessionRefusal(*state_));
  ASSAY_ASSIGN_OR_RETURN(const std::optional<std::string> stored, state_->Get(kSession));
  if (!stored.has_value()) return absl::OkStatus();
  ByteReader reader(*stored);
  bool good = reader.Fixed64(&counter_);
  while (good && !reader.empty()) {
    absl::string_view nonce;
    good = reader.Take(kNonceBytes, &nonce);
    known_.emplace_back(nonce);
  }
  if (!good) return absl::DataLossError("the log's note of its session at the hub is damaged; run `assay repair`");
  return absl::OkStatus();
}

absl::Status SessionGate::Store() {
  std::string bytes;
  PutFixed64(&bytes, counter_);
  for (const std::string& nonce : known_) bytes += nonce;
  return state_->Set(kSession, bytes);
}

absl::Status SessionGate::Step(bool paused) {
  wake_ = absl::InfiniteFuture();
  if (!config_.has_hub || busy_ || paused || open_) return absl::OkStatus();
  if (clock_->Now() < next_try_) {
    wake_ = next_try_;
    return absl::OkStatus();
  }
  SessionRequest request{own_, counter_, known_, session_};
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
    if (link_.status.code() != reply.status().code()) link_.since = clock_->Now();
    link_.status = reply.status();  // As it came: it may name its problem.
    link_.next_try = next_try_ = backoff_.Fail(clock_->Now(), *random_);
    link_.failures = backoff_.failures();
    return absl::OkStatus();
  }
  if (!link_.status.ok() || link_.since == absl::InfinitePast()) link_ = {absl::OkStatus(), clock_->Now()};
  backoff_.Succeed();
  if (!reply->opened) {
    refusal_ = absl::StrCat(
        "the hub has session ", reply->counter, " of this log's chain, which this log (session ", counter_,
        ") does not know: another machine runs with a copy of this branch, or everything here was restored "
        "from an older copy");
    // Asked again now and then: the other copy may be told to give way.
    next_try_ = clock_->Now() + absl::Minutes(1);
    return state_->Set(kRefusal, refusal_);
  }
  counter_ = reply->counter;
  known_ = {session_};
  open_ = true;
  if (!refusal_.empty()) {
    refusal_.clear();
    ASSAY_RETURN_IF_ERROR(state_->Set(kRefusal, ""));
  }
  return Store();
}

absl::StatusOr<std::string> SessionRefusal(LocalState& state) {
  ASSAY_ASSIGN_OR_RETURN(const std::optional<std::string> stored, state.Get(kRefusal));
  return stored.value_or("");
}

}  // namespace assay
