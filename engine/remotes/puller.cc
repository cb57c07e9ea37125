#include "engine/remotes/puller.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"

namespace assay {
namespace {

// Three missed ones make a branch look offline to the others.
constexpr absl::Duration kHeartbeatInterval = absl::Seconds(30);
// A branch that has come to another state says so before that.
constexpr absl::Duration kHeartbeatIntervalMin = absl::Seconds(5);
// How often a chain is asked for in vain before others go on without it: for about a minute.
constexpr uint32_t kFailuresOfPatience = 6;

// Catching up and being done with it alternate with every change that comes by.
absl::string_view Steady(absl::string_view state) { return state == "catching-up" ? "running" : state; }

}  // namespace

void Puller::Failed(absl::Status status) {
  more_ = false;
  link_.Fail(std::move(status), clock_->Now(), *random_);
  next_pull_ = absl::InfinitePast();  // Due, as soon as it may be tried.
}

void Puller::SyncNow() {
  next_pull_ = next_heartbeat_ = absl::InfinitePast();
  link_.TryAt(absl::InfinitePast());
  for (auto& [origin, trouble] : troubles_) {
    if (trouble.next_try != absl::InfiniteFuture()) trouble.TryAt(absl::InfinitePast());
  }
}

void Puller::SetInterval(absl::Duration interval) {
  interval_ = interval;
  next_pull_ = std::min(next_pull_, clock_->Now() + interval);
}

void Puller::MeasureOffset(absl::Time hub_time, absl::Duration round_trip) {
  clock_offset_ = hub_time - (clock_->Now() - round_trip / 2);
}

void Puller::OnPulled(absl::StatusOr<PullReply> reply, absl::Duration round_trip) {
  busy_ = false;
  const bool unwanted = std::exchange(unwanted_, false);
  if (!reply.ok()) {
    ahead_.reset();
    return Failed(reply.status());
  }
  MeasureOffset(reply->heads.hub_time, round_trip);
  if (!unwanted) pulled_.push_back(*std::move(reply));
}

void Puller::OnHeartbeat(const absl::StatusOr<HeartbeatReply>& reply, absl::Duration round_trip) {
  busy_ = false;
  if (!reply.ok()) {
    next_heartbeat_ = heartbeat_.Fail(reply.status(), clock_->Now(), *random_);
    return Failed(reply.status());
  }
  heartbeat_.Succeed(clock_->Now());
  link_.Succeed(clock_->Now());
  heard_ = clock_->Now();
  MeasureOffset(reply->hub_time, round_trip);
  branches_ = reply->branches;
  next_heartbeat_ = clock_->Now() + kHeartbeatInterval;
}

uint64_t Puller::Behind() const {
  uint64_t behind = 0;
  for (const auto& [origin, head] : hub_heads_) {
    if (origin == own_) continue;
    behind += head.complete.value - std::min(head.complete, log_->Head(origin).last).value;
  }
  return behind;
}

std::set<OriginId> Puller::GivenUp() const {
  std::set<OriginId> given_up;
  for (const auto& [origin, trouble] : troubles_) {
    if (trouble.next_try == absl::InfiniteFuture() || trouble.failures >= kFailuresOfPatience) given_up.insert(origin);
  }
  return given_up;
}

absl::Time Puller::NextRetry() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [origin, trouble] : troubles_) next = std::min(next, trouble.next_try);
  return next;
}

void Puller::Trouble(const OriginId& origin, absl::Status status, bool for_good) {
  Link& trouble = troubles_.try_emplace(origin, absl::Seconds(1), absl::Minutes(5)).first->second;
  trouble.Fail(std::move(status), clock_->Now(), *random_);
  if (for_good) trouble.TryAt(absl::InfiniteFuture());
}

absl::StatusOr<EventLog::Refusal> Puller::CheckOwn(const std::vector<const Segment*>& segments, const HubHead& head) {
  const Sequence own_last = log_->Head(own_).last;
  Sequence last = std::max(head.last, head.complete);
  for (const Segment* segment : segments) last = std::max(last, segment->last);
  if (last > own_last) {
    return EventLog::Refusal{absl::FailedPreconditionError(
        absl::StrCat("it has ", last.value, " events of this chain, and this branch has written ", own_last.value))};
  }
  if (segments.empty()) return EventLog::Refusal{};
  // Nothing of it is new here: this only compares.
  return log_->AppendChain(own_, segments, own_last, /*checkpoint=*/"");
}

absl::StatusOr<bool> Puller::AppendChain(const OriginId& origin, const std::vector<const Segment*>& segments,
                                         const HubHead& head, bool more) {
  const Sequence before = log_->Head(origin).last;
  ASSAY_ASSIGN_OR_RETURN(
      EventLog::Refusal refusal,
      origin == own_ ? CheckOwn(segments, head) : log_->AppendChain(origin, segments, head.complete, head.checkpoint));
  const ChainHead held = log_->Head(origin);
  const bool lacks = held.complete < head.complete;
  if (refusal.cause.ok() && lacks && !more) {
    refusal.cause = absl::OutOfRangeError(absl::StrCat(
        "the hub says that it has whole transactions of it up to event ", head.complete.value,
        ", and gives none after ", held.last.value,
        held.complete < held.last ? absl::StrCat(", inside the transaction after ", held.complete.value) : ""));
  }
  if (!refusal.cause.ok()) {
    Trouble(origin, std::move(refusal.cause), refusal.about_held && origin != own_);
    return false;
  }
  // The reply may have been full before it came to this chain: then nothing is known of it yet.
  if (!lacks || held.last > before) {
    troubles_.erase(origin);
  }
  return true;
}

absl::Status Puller::Append(const PullReply& reply) {
  std::map<OriginId, std::vector<const Segment*>> given;
  for (const auto& [origin, head] : reply.heads.heads) given.try_emplace(origin);
  for (const Segment& segment : reply.segments) given[segment.origin].push_back(&segment);
  const int64_t events_before = log_->EventCount();
  bool refused = false;
  for (const auto& [origin, segments] : given) {
    if (left_out_.contains(origin)) continue;
    const auto head = reply.heads.heads.find(origin);
    ASSAY_ASSIGN_OR_RETURN(
        const bool taken,
        AppendChain(origin, segments, head == reply.heads.heads.end() ? HubHead{} : head->second, reply.more));
    refused |= !taken;
  }
  // What was refused is left out of the next pull, which makes room for others.
  const bool news = refused || log_->EventCount() != events_before;
  hub_heads_ = reply.heads.heads;
  if (reply.more && !news) {
    Failed(absl::InvalidArgumentError("the hub says that there is more, and gives nothing that is new"));
    return absl::OkStatus();
  }
  link_.Succeed(clock_->Now());
  last_pull_ = clock_->Now();
  more_ = reply.more;
  if (reply.more && !ahead_.has_value()) next_pull_ = absl::InfinitePast();
  return absl::OkStatus();
}

// A chain in trouble may be asked for again with the next pull, or left out of it: which, is known when the reply
// before it is judged.
bool Puller::MayAskAhead() const {
  return pulled_.size() == 1 && !ahead_.has_value() && pulled_[0].more && !pulled_[0].segments.empty() &&
         troubles_.empty();
}

PullRequest Puller::NextRequest() {
  constexpr Sequence kNothing{uint64_t{INT64_MAX}};  // Who has that much lacks nothing.
  PullRequest request;
  left_out_.clear();
  for (const OriginId& origin : log_->Origins()) {
    request.have[origin] = log_->Head(origin).last;
    if (std::optional<std::string> kept = log_->NewestCheckpoint(origin); kept.has_value())
      request.checkpoints[origin] = *std::move(kept);
  }
  for (const PullReply& reply : pulled_) {
    for (const Segment& segment : reply.segments) {
      if (segment.origin != own_) request.have[segment.origin] = std::max(request.have[segment.origin], segment.last);
    }
  }
  for (const auto& [origin, trouble] : troubles_) {
    if (trouble.next_try <= clock_->Now()) continue;
    request.have[origin] = kNothing;
    left_out_.insert(origin);
  }
  return request;
}

void Puller::DropAhead() {
  unwanted_ = pulled_.empty();  // It is still on its way.
  pulled_.clear();
  ahead_.reset();
  next_pull_ = absl::InfinitePast();
}

void Puller::Ask(const BranchReport& report) {
  const absl::Time now = clock_->Now();
  if (Steady(report.state) != Steady(told_state_) && heartbeat_.failures == 0) {
    next_heartbeat_ = std::min(next_heartbeat_, heard_ + kHeartbeatIntervalMin);
  }
  const bool may_try = now >= link_.next_try;
  if (may_try && now >= next_heartbeat_ && link_.status.ok() && last_pull_ != absl::InfinitePast()) {
    call_ = HubHeartbeat{report};
    told_state_ = report.state;
    busy_ = true;
  } else if (may_try && (HasWork() || now >= std::min(next_pull_, NextRetry()))) {
    // With a reply that is here and has more after it, at once. Set before the next one is there: a hint that comes in
    // between calls for another pull.
    next_pull_ = now + interval_;
    HubPull pull{NextRequest()};
    if (HasWork()) ahead_ = pull.request.have;
    call_ = std::move(pull);
    busy_ = true;
  } else {
    wake_ = std::max(link_.next_try, std::min({next_pull_, next_heartbeat_, NextRetry()}));
  }
}

absl::Status Puller::Step(bool paused, bool may_append, const BranchReport& report) {
  wake_ = absl::InfiniteFuture();
  if (!config_.has_hub) return absl::OkStatus();
  more_ &= !paused;
  if (!busy_ && !paused && MayAskAhead()) {
    Ask(report);
    if (call_.has_value()) return absl::OkStatus();
  }
  if (HasWork() && !may_append) return absl::OkStatus();
  if (HasWork()) {
    const PullReply reply = std::move(pulled_.front());
    pulled_.pop_front();
    ASSAY_RETURN_IF_ERROR(Append(reply));
    if (ahead_.has_value()) {
      const bool follows = std::all_of(ahead_->begin(), ahead_->end(),
                                       [this](const auto& had) { return had.second <= log_->Head(had.first).last; });
      if (!follows) DropAhead();
      ahead_.reset();
    }
  }
  if (!busy_ && !paused && !HasWork()) Ask(report);
  return absl::OkStatus();
}

}  // namespace assay
