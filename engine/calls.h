// The calls that the engine asks its host to make, and their replies.
//
// The engine makes no call itself. Each lane has at most one call under way, on whatever thread the host likes; each
// call is answered by one Engine::On…Reply, except DatabaseAbandon, which is not answered.
#pragma once

#include <cstdint>
#include <variant>

#include "absl/status/statusor.h"
#include "engine/database.h"
#include "engine/remotes/hub.h"

namespace assay {

struct DatabaseRead {
  ReadRequest request;
};
struct DatabaseProject {
  ProjectRequest request;
};
struct DatabaseAbandon {};
struct DatabaseLastBatch {};
using DatabaseCall = std::variant<DatabaseRead, DatabaseProject, DatabaseAbandon, DatabaseLastBatch>;

struct HubPush {
  PushRequest request;
};
struct HubPull {
  PullRequest request;
};
struct HubGetHeads {};
struct HubHeartbeat {
  BranchReport report;
};
struct HubOpenSession {
  SessionRequest request;
};
using HubCall = std::variant<HubPush, HubPull, HubGetHeads, HubHeartbeat, HubOpenSession>;

// Each lane has at most one call under way. Pushes go on while a long pull does.
enum class Lane : uint8_t { kDatabase, kHubPush, kHubPull };

struct Call {
  Lane lane;
  std::variant<DatabaseCall, HubCall> call;
};

using DatabaseReply =
    std::variant<absl::StatusOr<ReadReply>, ProjectReply, absl::StatusOr<uint64_t>>;  // Abandon: none.
using HubReply = std::variant<absl::StatusOr<PushReply>, absl::StatusOr<PullReply>, absl::StatusOr<HubHeads>,
                              absl::StatusOr<HeartbeatReply>, absl::StatusOr<SessionReply>>;

}  // namespace assay
