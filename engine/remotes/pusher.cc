#include "engine/remotes/pusher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/problem.h"
#include "log/annotate.h"

namespace assay {
void Pusher::Failed(absl::Status status) {
  link_.Fail(std::move(status), clock_->Now(), *random_);
  hub_last_.reset();  // What it has by the next try is its to say.
}

void Pusher::OnHeads(const absl::StatusOr<HubHeads>& reply) {
  busy_ = false;
  if (!reply.ok()) return Failed(reply.status());
  auto it = reply->heads.find(own_);
  const Sequence hub_last = it == reply->heads.end() ? Sequence{} : it->second.last;
  TakeHubLast(hub_last, /*pushed=*/false);
}

void Pusher::TakeHubLast(Sequence hub_last, bool pushed) {
  const Sequence own_last = log_->Head(own_).last;
  if (hub_last > own_last) {
    const absl::Status status = absl::FailedPreconditionError(absl::StrCat(
        "the hub has ", hub_last.value, " events of this branch's log, the log itself only ", own_last.value,
        ": the log file was restored from a copy, or another machine runs with a copy of it"));
    return Failed(WithProblem(status, ProblemKind::kHubHasMore));
  }
  // A hub that says what it has, and takes nothing, is not working: asking it must not begin the back-off of the pushes
  // anew.
  if (pushed || hub_last == own_last || link_.status.ok()) link_.Succeed(clock_->Now());
  hub_last_ = hub_heard_ = hub_last;
}

bool Pusher::HubHasMore() const {
  const std::optional<NamedProblem> named = ProblemNamedBy(link_.status);
  return named.has_value() && named->kind == ProblemKind::kHubHasMore;
}

void Pusher::OnHubHead(Sequence last) {
  if (!hub_heard_.has_value()) hub_heard_ = last;
  if (busy_ || !hub_last_.has_value()) return;
  if (last < *hub_last_ || last > log_->Head(own_).last) hub_last_.reset();
}

void Pusher::OnPushed(const absl::StatusOr<PushReply>& reply) {
  busy_ = false;
  if (!reply.ok()) {
    if (absl::IsOutOfRange(reply.status())) {  // The hub has less than it had: ask again, at once.
      hub_last_.reset();
      return;
    }
    size_.Failed(reply.status());
    return Failed(reply.status());
  }
  const Sequence before = hub_last_.value_or(Sequence{});
  if (reply->arriving) {  // Of one large segment: the same again, as long as some of it comes.
    link_.Succeed(clock_->Now());
    return;
  }
  if (reply->last <= before) {
    // To push the same once more, at once and for ever, would be the answer.
    return Failed(absl::InvalidArgumentError(absl::StrCat("the hub took what follows event ", before.value,
                                                          ", and says that it has ", reply->last.value, " events")));
  }
  size_.Succeeded(pushed_bytes_);
  last_push_ = clock_->Now();
  TakeHubLast(reply->last, /*pushed=*/true);
}

absl::Status Pusher::Step(bool paused) {
  wake_ = absl::InfiniteFuture();
  if (busy_ || paused || !config_.has_hub) return absl::OkStatus();
  if (clock_->Now() < link_.next_try) {
    wake_ = link_.next_try;
    return absl::OkStatus();
  }
  if (!hub_last_.has_value()) {
    call_ = HubGetHeads{};
    busy_ = true;
    return absl::OkStatus();
  }
  const ChainHead head = log_->Head(own_);
  if (*hub_last_ >= head.last) return absl::OkStatus();
  PushRequest request{own_, {}, {}};
  ASSAY_ASSIGN_OR_RETURN(request.segments,
                         log_->ReadSegments(own_, hub_last_->Next(), size_.bytes(), /*complete_only=*/false));
  if (request.segments.empty()) return absl::OkStatus();
  if (config_.signing_key.has_value() && request.segments.back().last == head.last) {
    ASSAY_ASSIGN_OR_RETURN(request.checkpoint, log_->SignCheckpoint(own_, *config_.signing_key));
  }
  pushed_bytes_ = TransferSize::BytesIn(request.segments);
  call_ = HubPush{std::move(request)};
  busy_ = true;
  return absl::OkStatus();
}

}  // namespace assay
