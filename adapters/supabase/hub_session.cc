#include "adapters/supabase/hub_session.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/supabase/hub_error.h"
#include "adapters/supabase/json.h"
#include "engine/problem.h"
#include "log/annotate.h"

namespace assay {
namespace {
constexpr absl::string_view kHubVersion = "1";

std::string ApplicationName(const HubOptions& options) {
  return options.lane.empty() ? "assay" : absl::StrCat("assay ", options.lane);
}

}  // namespace

absl::StatusOr<std::unique_ptr<HubSession>> HubSession::Create(HubOptions options) {
  ASSAY_ASSIGN_OR_RETURN(HubUrl url, HubUrl::Parse(options.url, options.allow_insecure));
  return std::unique_ptr<HubSession>(new HubSession(std::move(options), std::move(url)));
}

absl::StatusOr<Connection*> HubSession::Connected() {
  if (connection_ != nullptr && connection_->usable()) return connection_.get();
  connection_.reset();
  if (options_.password != nullptr) {
    if (const absl::StatusOr<std::string> password = options_.password(); password.ok()) url_.SetPassword(*password);
  }
  absl::StatusOr<std::unique_ptr<Connection>> connection =
      Connection::Open(url_.Conninfo(), {.application_name = ApplicationName(options_),
                                         .connect_timeout = options_.connect_timeout,
                                         .call_timeout = options_.call_timeout,
                                         .pin_settings = false,
                                         .interrupt = options_.interrupt});
  if (!connection.ok()) return HubError(connection.status(), url_);
  connection_ = *std::move(connection);
  EndGhosts();
  if (!connection_->usable()) return absl::UnavailableError("hub: the connection was lost");
  return connection_.get();
}

// Of a broken line the hub knows nothing for a while: its sessions would use up the login's connections, and a push
// that stands still in one of them holds the chain. Whoever cannot end them only waits longer. (Behind a transaction
// pooler the sessions are the pooler's: it keeps none of this name, or one that nobody uses now.)
void HubSession::EndGhosts() {
  if (options_.lane.empty()) return;
  connection_
      ->Execute(
          "SELECT pg_catalog.pg_terminate_backend(ghost.pid)"
          " FROM pg_catalog.pg_stat_activity AS ghost, pg_catalog.pg_stat_activity AS this"
          " WHERE this.pid = pg_catalog.pg_backend_pid() AND ghost.usename = this.usename AND ghost.pid <> this.pid"
          "  AND ghost.application_name = $1 AND ghost.backend_start < this.backend_start",
          {ApplicationName(options_)})
      .IgnoreError();
}

absl::StatusOr<std::string> HubSession::Call(absl::string_view sql, absl::Span<const absl::string_view> parameters) {
  for (;;) {
    const bool kept = connection_ != nullptr && connection_->usable();
    ASSAY_ASSIGN_OR_RETURN(Connection * connection, Connected());
    const absl::StatusOr<Result> result = connection->ExecuteBinary(sql, parameters);
    if (result.ok()) {
      // Whatever the call is named.
      constexpr Result::Column kOnly = Result::Column::At(0);
      if (result->rows() == 1 && result->columns() == 1 && !result->IsNull(0, kOnly)) return result->String(0, kOnly);
      return absl::InvalidArgumentError("hub: its answer is not one value");
    }
    // Poolers and hubs close what was idle, which shows only now.
    if (kept && !connection->usable() && absl::IsUnavailable(result.status())) continue;
    return HubError(result.status(), url_);
  }
}

absl::Status HubSession::Script(absl::string_view sql) {
  ASSAY_ASSIGN_OR_RETURN(Connection * connection, Connected());
  return HubError(connection->ExecuteScript(sql).status(), url_);
}

absl::StatusOr<HubIdentity> HubSession::WhoAmI() {
  ASSAY_ASSIGN_OR_RETURN(const std::string text, Call("SELECT assay_hub.whoami()::text", {}));
  ASSAY_ASSIGN_OR_RETURN(const JsonObject json, ParseJsonObject(text, "whoami"));
  if (const std::string version = TextField(json, "version"); version != kHubVersion) {
    const absl::Status status = absl::FailedPreconditionError(
        absl::StrCat("hub: it is of version \"", version, "\" and this Assay speaks version ", kHubVersion,
                     ": install the newer of the two on both sides"));
    return WithProblem(status, ProblemKind::kHubOtherVersion);
  }
  ASSAY_ASSIGN_OR_RETURN(const uint64_t number, NumberField(json, "number"));
  HubIdentity identity{TextField(json, "name"), static_cast<uint32_t>(number), TimeField(json, "hub_time")};
  if (options_.branch_number != 0 &&
      (options_.branch_number != identity.branch_number || options_.branch_name != identity.branch_name)) {
    const absl::Status status = absl::FailedPreconditionError(absl::StrCat(
        "hub: this login was enrolled as branch ", identity.branch_name, " (number ", identity.branch_number,
        "), and the config says ", options_.branch_name, " (number ", options_.branch_number,
        "): correct branch.name and branch.number, or use the login that was made for this branch"));
    return WithProblem(status, ProblemKind::kHubOtherBranch);
  }
  return identity;
}

}  // namespace assay
