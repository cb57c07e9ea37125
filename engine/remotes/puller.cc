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
// Heartbeats tell what is new. Once in a while everything is told, whatever a hub has left out.
constexpr absl::Duration kWholeInterval = absl::Hours(24);

}  // namespace

void Puller::Failed(absl::Status status) {
  more_ = false;
  link_.Fail(std::move(status), clock_->Now(), *random_);
  next_pull_ = absl::InfinitePast();  // Due, as soon as it may be tried.
}

void Puller::SyncNow() {
  next_pull_ = next_heartbeat_ = absl::InfinitePast();
  link_.TryAt(absl::InfinitePast());
  intake_.RetryNow();
}

void Puller::SetInterval(absl::Duration interval) {
  interval_ = interval;
  next_pull_ = std::min(next_pull_, clock_->Now() + interval);
}

void Puller::MeasureOffset(absl::Time hub_time, absl::Duration round_trip) {
  clock_offset_ = hub_time - (clock_->Now() - round_trip / 2);
  hub_told_time_ = true;
}

void Puller::OnPulled(absl::StatusOr<PullReply> reply, absl::Duration round_trip) {
  busy_ = false;
  const bool unwanted = std::exchange(unwanted_, false);
  if (!reply.ok()) {
    ahead_.reset();
    size_.Failed(reply.status());
    return Failed(reply.status());
  }
  size_.Succeeded(reply->segments);
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
  TakeBranches(*reply);
  if (reply->set_aside.has_value()) set_aside_ = *reply->set_aside;
  if (reply->granted.has_value()) granted_ = *reply->granted;
  intake_.SetAside(set_aside_);
  intake_.SetGrants(granted_);
  if (intake_.HasMasked()) next_pull_ = absl::InfinitePast();
  next_heartbeat_ = clock_->Now() + kHeartbeatInterval;
}

void Puller::TakeBranches(const HeartbeatReply& reply) {
  if (reply.whole) {
    branches_ = reply.branches;
    whole_heard_ = clock_->Now();
    whole_wanted_ = false;
  } else {
    for (BranchPresence& branch : branches_) {
      // Nothing was told of it, and it was not quiet: it was heard since then.
      if (branch.last_seen >= told_ - kQuietAfter)
        branch.last_seen = std::max(branch.last_seen, reply.hub_time - kQuietAfter);
    }
    for (const BranchPresence& news : reply.branches) {
      const auto known = std::find_if(branches_.begin(), branches_.end(), [&](const BranchPresence& branch) {
        return branch.report.number == news.report.number;
      });
      known == branches_.end() ? branches_.push_back(news) : void(*known = news);
    }
  }
  told_ = reply.hub_time;
}

void Puller::AskAboutAll() {
  whole_wanted_ = true;
  next_heartbeat_ = absl::InfinitePast();
}

uint64_t Puller::Behind() const {
  uint64_t behind = 0;
  for (const auto& [origin, head] : hub_heads_) {
    if (origin == own_) continue;
    behind += head.complete.value - std::min(head.complete, log_->Head(origin).last).value;
  }
  return behind;
}

absl::Status Puller::Append(const PullReply& reply) {
  const bool unmasking = intake_.unmasking();
  ASSAY_ASSIGN_OR_RETURN(const bool news, intake_.Append(reply));
  hub_heads_ = reply.heads.heads;
  if (reply.more && !news && !unmasking && !reply.arriving) {
    Failed(absl::InvalidArgumentError("the hub says that there is more, and gives nothing that is new"));
    return absl::OkStatus();
  }
  link_.Succeed(clock_->Now());
  last_pull_ = clock_->Now();
  more_ = reply.more && !unmasking;
  if ((reply.more || intake_.HasMasked()) && !ahead_.has_value()) next_pull_ = absl::InfinitePast();
  return absl::OkStatus();
}

// A chain in trouble may be asked for again with the next pull, or left out of it: which, is known when the reply
// before it is judged.
bool Puller::MayAskAhead() const {
  return pulled_.size() == 1 && !ahead_.has_value() && pulled_[0].more && !pulled_[0].segments.empty() &&
         troubles().empty() && !intake_.unmasking();
}

PullRequest Puller::NextRequest() {
  PullRequest request = intake_.NextRequest();
  for (const PullReply& reply : pulled_) {
    for (const Segment& segment : reply.segments) {
      if (segment.origin != own_) request.have[segment.origin] = std::max(request.have[segment.origin], segment.last);
    }
  }
  return request;
}

void Puller::DropAhead() {
  unwanted_ = pulled_.empty();  // It is still on its way.
  pulled_.clear();
  ahead_.reset();
  next_pull_ = absl::InfinitePast();
}

void Puller::Ask(bool may_report, const BranchReport& report) {
  const absl::Time now = clock_->Now();
  if (report.state != told_state_ && heartbeat_.failures == 0) {
    next_heartbeat_ = std::min(next_heartbeat_, heard_ + kHeartbeatIntervalMin);
  }
  const absl::Time next_heartbeat = may_report ? next_heartbeat_ : absl::InfiniteFuture();
  const bool may_try = now >= link_.next_try;
  if (may_try && now >= next_heartbeat && link_.status.ok() && last_pull_ != absl::InfinitePast()) {
    const bool whole = whole_wanted_ || now - whole_heard_ >= kWholeInterval;
    call_ = HubHeartbeat{report, whole ? absl::InfinitePast() : told_};
    told_state_ = report.state;
    busy_ = true;
  } else if (may_try && (HasWork() || now >= std::min(next_pull_, intake_.NextRetry()))) {
    // With a reply that is here and has more after it, at once. Set before the next one is there: a hint that comes in
    // between calls for another pull.
    next_pull_ = now + interval_;
    const bool unmask = !HasWork() && intake_.HasMasked() && std::exchange(unmask_turn_, !unmask_turn_);
    HubPull pull{unmask ? intake_.NextUnmaskRequest() : NextRequest()};
    pull.request.bytes_max = size_.bytes();
    if (HasWork()) ahead_ = pull.request.have;
    call_ = std::move(pull);
    busy_ = true;
  } else {
    wake_ = std::max(link_.next_try, std::min({next_pull_, next_heartbeat, intake_.NextRetry()}));
  }
}

absl::Status Puller::Step(bool paused, bool may_append, bool may_report, const BranchReport& report) {
  wake_ = absl::InfiniteFuture();
  if (!config_.has_hub) return absl::OkStatus();
  more_ &= !paused;
  if (!busy_ && !paused && MayAskAhead()) {
    Ask(may_report, report);
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
  if (!busy_ && !paused && !HasWork()) Ask(may_report, report);
  return absl::OkStatus();
}

}  // namespace assay
