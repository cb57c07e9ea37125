// The calls that the engine asks its host to make to the hub, and their replies: one Engine::OnHubReply each.
#pragma once

#include <variant>

#include "absl/status/statusor.h"
#include "engine/remotes/hub.h"

namespace assay {

struct HubPush {
  PushRequest request;
};
struct HubPull {
  PullRequest request;
};
struct HubGetHeads {};
struct HubHeartbeat {
  BranchReport report;
  absl::Time since = absl::InfinitePast();
};
struct HubOpenSession {
  SessionRequest request;
};
using HubCall = std::variant<HubPush, HubPull, HubGetHeads, HubHeartbeat, HubOpenSession>;

using HubReply = std::variant<absl::StatusOr<PushReply>, absl::StatusOr<PullReply>, absl::StatusOr<HubHeads>,
                              absl::StatusOr<HeartbeatReply>, absl::StatusOr<SessionReply>>;

}  // namespace assay
