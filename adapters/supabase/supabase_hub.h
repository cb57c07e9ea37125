// The hub in Supabase, or in any PostgreSQL where sql/hub.sql is installed, over libpq.
//
//   ASSAY_ASSIGN_OR_RETURN(auto hub, SupabaseHub::Create({.url = config.hub_url, .interrupt = interrupt}));
//   ASSAY_ASSIGN_OR_RETURN(PushReply reply, hub->Push({origin, segments, checkpoint}));
//
// Works through a direct connection, a session pooler and a transaction pooler alike (HubSession). Not thread-safe: one
// per lane, each with its own connection, so that pushes go on while a long pull does. Promises and errors as in
// engine/remotes/hub.h; besides, CANCELLED once interrupted.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "adapters/hub/pieces.h"
#include "adapters/supabase/hub_session.h"
#include "engine/remotes/hub.h"

namespace assay {

class SupabaseHub : public Hub {
 public:
  // Does not connect: a hub that is not reachable now is UNAVAILABLE later. INVALID_ARGUMENT and FAILED_PRECONDITION as
  // HubUrl::Parse, for the configuration.
  static absl::StatusOr<std::unique_ptr<SupabaseHub>> Create(HubOptions options);

  absl::StatusOr<HubHeads> Heads() override;
  absl::StatusOr<PushReply> Push(const PushRequest& request) override;
  absl::StatusOr<PullReply> Pull(const PullRequest& request) override;
  absl::StatusOr<HeartbeatReply> Heartbeat(const BranchReport& report, absl::Time since) override;
  absl::StatusOr<SessionReply> OpenSession(const SessionRequest& request) override;
  // Who the hub takes us for, and its clock: for `assay doctor`.
  absl::StatusOr<HubIdentity> WhoAmI() { return session_->WhoAmI(); }

 private:
  explicit SupabaseHub(std::unique_ptr<HubSession> session) : session_(std::move(session)) {}
  // As HubSession::Call, after having met a hub of our version once.
  absl::StatusOr<std::string> Call(absl::string_view sql, absl::Span<const absl::string_view> parameters);

  // As the public one, which sees to it that no frame is large; `staged`: the first segment, of which that part is at
  // the hub already.
  absl::StatusOr<PushReply> Push(const PushRequest& request, const StagedPart* staged);
  absl::StatusOr<PushReply> PushInPieces(const PushRequest& request);

  std::unique_ptr<HubSession> session_;
  ArrivingParts arriving_;
  bool met_ = false;
};

}  // namespace assay
