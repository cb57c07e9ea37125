#include "adapters/grpc/sync_follower.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/audit/proto_text.h"
#include "engine/human_text.h"
#include "engine/status_sentence.h"
#include "log/annotate.h"

namespace assay {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(1);

uint64_t Between(uint64_t from, uint64_t at, uint64_t to) { return std::clamp(at, from, std::max(from, to)) - from; }

absl::Status Failed(const LinkStatus& link, uint32_t failures_before, absl::Time begun, absl::string_view what) {
  if (link.status.ok() || (link.failures <= failures_before && link.since < begun)) return absl::OkStatus();
  return Annotate(link.status, what);
}

// A branch that is halted or stopped is in step with nobody, however little there is to do. `state`: which of the two.
absl::Status NotInStep(const DaemonStatus& status, absl::string_view state) {
  if (status.state != state) return absl::OkStatus();
  for (const Problem& problem : status.problems) {
    if (EntryOf(problem.kind).state != state) continue;
    return absl::FailedPreconditionError(absl::StrCat("not in step: ", SentenceOf(problem), " ", RemedyOf(problem)));
  }
  return absl::FailedPreconditionError(absl::StrCat("not in step: the branch is ", state));
}

}  // namespace

absl::StatusOr<SyncFollower> SyncFollower::Begin(const DaemonStatus& status, absl::Time now) {
  const EngineStatus& engine = status.engine;
  if (!status.engine_link.status.ok())
    return absl::UnavailableError(absl::StrCat("stopped: ", status.engine_link.status.message()));
  if (!engine.has_hub)
    return absl::FailedPreconditionError(
        "no hub is configured, everything stays local: add [hub] url = … to the config");
  if (engine.paused) return absl::FailedPreconditionError("sync is paused: run assay sync resume first");
  ASSAY_RETURN_IF_ERROR(NotInStep(status, "halted"));
  SyncFollower out;
  out.begun_ = out.moved_ = now;
  out.push_failures_ = engine.hub_push.failures;
  out.pull_failures_ = engine.hub_pull.failures;
  out.projection_failures_ = engine.projection.failures;
  for (const OriginStatus& origin : engine.origins) {
    if (origin.own) {
      out.own_target_ = origin.complete.value;
      out.own_hub_head_ = origin.hub_head.value;
    } else {
      out.chains_[origin.origin] = Chain{origin.head.value, origin.projected.value, origin.complete.value};
    }
  }
  return out;
}

absl::StatusOr<admin::v1::SyncProgress> SyncFollower::Look(const DaemonStatus& status, absl::Time now) {
  const EngineStatus& engine = status.engine;
  ASSAY_RETURN_IF_ERROR(Annotate(status.engine_link.status, "stopped"));
  ASSAY_RETURN_IF_ERROR(NotInStep(status, "halted"));
  ASSAY_RETURN_IF_ERROR(Failed(engine.hub_push, push_failures_, begun_, "push"));
  ASSAY_RETURN_IF_ERROR(Failed(engine.hub_pull, pull_failures_, begun_, "pull"));
  ASSAY_RETURN_IF_ERROR(Failed(engine.projection, projection_failures_, begun_, "project"));

  if (!heard_ && engine.last_pull >= begun_) {
    heard_ = true;
    for (const OriginStatus& origin : engine.origins) {
      if (origin.own || !origin.status.ok()) continue;
      Chain& chain = chains_[origin.origin];  // One that was not here before began at zero.
      chain.target = std::max(chain.target, origin.hub_head.value);
    }
  }
  admin::v1::SyncProgress out;
  for (const OriginStatus& origin : engine.origins) {
    if (origin.own) {
      out.set_pushed(Between(own_hub_head_, origin.hub_head.value, own_target_));
      out.set_push_total(Between(own_hub_head_, own_target_, own_target_));
      continue;
    }
    auto it = chains_.find(origin.origin);
    if (it == chains_.end() || !origin.status.ok())
      continue;  // A chain that is stopped is in the status, and holds up no other.
    const Chain& chain = it->second;
    out.set_pulled(out.pulled() + Between(chain.head, origin.head.value, chain.target));
    out.set_pull_total(out.pull_total() + Between(chain.head, chain.target, chain.target));
    out.set_projected(out.projected() + Between(chain.projected, origin.projected.value, chain.target));
    out.set_projected_total(out.projected_total() + Between(chain.projected, chain.target, chain.target));
  }
  // What a stage still has to do at its rate; nothing when it is through.
  absl::Duration left;
  const auto stage = [&](uint64_t missing, const Progress& progress) {
    if (missing == 0) return 0.0;
    left = std::max(left, TimeLeft(missing, progress.events_per_second));
    return progress.events_per_second;
  };
  out.set_pushed_per_second(stage(out.push_total() - out.pushed(), status.push));
  out.set_pulled_per_second(stage(out.pull_total() - out.pulled(), status.pull));
  out.set_projected_per_second(stage(out.projected_total() - out.projected(), status.projection));
  if (heard_ && left < absl::InfiniteDuration()) *out.mutable_time_left() = ToProto(left);
  // Without PostgreSQL the hub is reached all the same, and nothing more.
  const bool hub_is_done = heard_ && out.pushed() == out.push_total() && out.pulled() == out.pull_total();
  out.set_done(hub_is_done && out.projected() == out.projected_total());
  if (hub_is_done) ASSAY_RETURN_IF_ERROR(NotInStep(status, "stopped"));
  const uint64_t sum = out.pushed() + out.pulled() + out.projected() + (heard_ ? 1 : 0);
  if (sum != moved_sum_) moved_sum_ = sum, moved_ = now;
  if (!out.done() && now - moved_ > kPatience) {
    return absl::DeadlineExceededError(absl::StrCat("nothing has moved for ", ShortLength(kPatience),
                                                    ": see what assay status says; it goes on by itself"));
  }
  return out;
}

}  // namespace assay
