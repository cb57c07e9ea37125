#include "tools/cli/hub.h"

namespace assay {
namespace {

int InstallHub(const CliContext& context, const HubAccess& access) {
  absl::StatusOr<std::unique_ptr<HubAdmin>> admin = OpenHubAdmin(context, access);
  if (!admin.ok()) return CliFail(context, admin.status(), kExitUsage);
  if (absl::Status status = (*admin)->Install(); !status.ok()) return CliFail(context, status, kExitProblem);
  return HubDone(context, "The hub is installed. Next, for each branch: assay hub enrol NAME --number N");
}

}  // namespace

void AddHubInstall(CommandLine& line, CLI::App* hub, std::shared_ptr<const HubAccess> access) {
  line.AddVerb(
      {"install", "Install or upgrade the hub's schema; again changes nothing", "assay hub install"},
      [access](const CliContext& context) { return InstallHub(context, *access); }, hub);
}

}  // namespace assay
