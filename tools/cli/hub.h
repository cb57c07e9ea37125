// The verbs below `assay hub`, for the head office, and what they share: how the hub is reached, and how a branch's
// grants are written.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "adapters/supabase/hub_admin.h"
#include "tools/cli/command_line.h"

namespace assay {

// The options of `assay hub` itself, which go with each verb below it.
struct HubAccess {
  std::string url;  // Of the head office's role; empty: SUPABASE_DB_URL, or the config's hub.url.
  bool allow_insecure = false;
};

// INVALID_ARGUMENT: no hub is named, or the url has a password in it.
absl::StatusOr<std::unique_ptr<HubAdmin>> OpenHubAdmin(const CliContext& context, const HubAccess& access);

// Each "schema.table" as the log writes it, and "*" for all. INVALID_ARGUMENT: anything else.
absl::StatusOr<std::vector<std::string>> ParseGrants(const std::vector<std::string>& tables);

// Tells that a verb has done its work. Returns kExitOk.
int HubDone(const CliContext& context, const std::string& text);

using AddedHubVerb = void(CommandLine& line, CLI::App* hub, std::shared_ptr<const HubAccess> access);
AddedHubVerb AddHubInstall, AddHubEnrol, AddHubGrant, AddHubPassword, AddHubActivate, AddHubRetire, AddHubQuarantine,
    AddHubBranches;

}  // namespace assay
