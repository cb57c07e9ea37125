#include "engine/puller.h"

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

// Catching up and being done with it alternate with every change that comes by.
absl::string_view Steady(absl::string_view state) { return state == "catching-up" ? "running" : state; }

}  // namespace

void Puller::Working() {
  if (!link_.status.ok() || link_.since == absl::InfinitePast()) link_ = {absl::OkStatus(), clock_->Now()};
  backoff_.Succeed();
}

void Puller::Failed(absl::Status status) {
  if (link_.status.code() != status.code()) link_.since = clock_->Now();
  link_.status = std::move(status);
  link_.next_try = next_try_ = backoff_.Fail(clock_->Now(), *random_);
  link_.failures = backoff_.failures();
  next_pull_ = absl::InfinitePast();  // Due, as soon as it may be tried.
}

void Puller::SyncNow() { next_pull_ = next_heartbeat_ = next_try_ = absl::InfinitePast(); }

void Puller::SetInterval(absl::Duration interval) {
  interval_ = interval;
  next_pull_ = std::min(next_pull_, clock_->Now() + interval);
}

void Puller::MeasureOffset(absl::Time hub_time, absl::Duration round_trip) {
  clock_offset_ = hub_time - (clock_->Now() - round_trip / 2);
}

void Puller::OnPulled(absl::StatusOr<PullReply> reply, absl::Duration round_trip) {
  busy_ = false;
  if (!reply.ok()) return Failed(reply.status());
  MeasureOffset(reply->heads.hub_time, round_trip);
  pulled_ = *std::move(reply);
}

void Puller::OnHeartbeat(const absl::StatusOr<HeartbeatReply>& reply, absl::Duration round_trip) {
  busy_ = false;
  if (!reply.ok()) {
    // With a backoff of its own: where pulls work, the common one would begin anew after each of them.
    next_heartbeat_ = heartbeat_backoff_.Fail(clock_->Now(), *random_);
    return Failed(reply.status());
  }
  heartbeat_backoff_.Succeed();
  Working();
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

absl::Status Puller::Append(const PullReply& reply) {
  bool gap = false;
  for (const Segment& segment : reply.segments) {
    // Our own chain comes back only from a hub that has more of it than we do, which the pusher names.
    if (segment.origin == own_ || damaged_.contains(segment.origin)) continue;
    absl::Status status = log_->AppendPulled(segment);
    if (absl::IsDataLoss(status) || absl::IsInvalidArgument(status)) {
      damaged_[segment.origin] = std::move(status);
    } else if (absl::IsOutOfRange(status)) {
      gap = true;  // Pulling again from what is held closes it, unless the hub itself has the gap.
    } else if (!status.ok()) {
      return status;
    }
  }
  for (const auto& [origin, head] : reply.heads.heads) {
    if (origin == own_ || head.checkpoint.empty() || damaged_.contains(origin)) continue;
    // The checkpoint may cover more than this reply brought: it is kept, and checked, once that is here.
    if (log_->Head(origin).last < head.complete) continue;
    absl::Status status = log_->KeepCheckpoint(origin, head.checkpoint);
    if (absl::IsDataLoss(status) || absl::IsInvalidArgument(status)) {
      damaged_[origin] = std::move(status);
    } else if (!status.ok()) {
      return status;
    }
  }
  hub_heads_ = reply.heads.heads;
  if (gap) {
    Failed(absl::OutOfRangeError("the hub left out events between what is held here and what it sent; pulling again"));
    return absl::OkStatus();
  }
  Working();
  last_pull_ = clock_->Now();
  if (reply.more) next_pull_ = absl::InfinitePast();
  return absl::OkStatus();
}

absl::Status Puller::Step(bool paused, const BranchReport& report) {
  wake_ = absl::InfiniteFuture();
  if (!config_.has_hub) return absl::OkStatus();
  if (pulled_.has_value()) {
    const PullReply reply = *std::exchange(pulled_, std::nullopt);
    ASSAY_RETURN_IF_ERROR(Append(reply));
  }
  if (busy_ || paused) return absl::OkStatus();
  const absl::Time now = clock_->Now();
  if (Steady(report.state) != Steady(told_state_) && heartbeat_backoff_.failures() == 0) {
    next_heartbeat_ = std::min(next_heartbeat_, heard_ + kHeartbeatIntervalMin);
  }
  const bool may_try = now >= next_try_;
  if (may_try && now >= next_heartbeat_ && link_.status.ok() && last_pull_ != absl::InfinitePast()) {
    call_ = HubHeartbeat{report};
    told_state_ = report.state;
    busy_ = true;
  } else if (may_try && now >= next_pull_) {
    PullRequest request;
    for (const OriginId& origin : log_->Origins()) request.have[origin] = log_->Head(origin).last;
    // Set before the reply is there: a hint that comes in between calls for another pull.
    next_pull_ = now + interval_;
    call_ = HubPull{std::move(request)};
    busy_ = true;
  } else {
    wake_ = std::max(next_try_, std::min(next_pull_, next_heartbeat_));
  }
  return absl::OkStatus();
}

}  // namespace assay
