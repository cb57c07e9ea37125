#include "absl/strings/str_cat.h"
#include "tools/cli/hub.h"

namespace assay {
namespace {

int SetActive(const CliContext& context, const HubAccess& access, const std::string& name, bool active) {
  absl::StatusOr<std::unique_ptr<HubAdmin>> admin = OpenHubAdmin(context, access);
  if (!admin.ok()) return CliFail(context, admin.status(), kExitUsage);
  if (absl::Status status = (*admin)->SetActive(name, active); !status.ok()) return CliFail(context, status);
  return HubDone(
      context,
      absl::StrCat("Branch ", name, active ? " may push and pull again." : " can neither push nor pull from now on."));
}

}  // namespace

// `deactivate`, too: one is the other's way back.
void AddHubActivate(CommandLine& line, CLI::App* hub, std::shared_ptr<const HubAccess> access) {
  const auto add = [&](const VerbWords& words, bool active) {
    auto name = std::make_shared<std::string>();
    line.AddVerb(
            words, [=](const CliContext& context) { return SetActive(context, *access, *name, active); }, hub)
        ->add_option("name", *name, "The branch")
        ->required();
  };
  add({"deactivate", "From now on a branch can neither push nor pull", "assay hub deactivate mumbai-1"}, false);
  add({"activate", "A deactivated branch may come back", "assay hub activate mumbai-1"}, true);
}

}  // namespace assay
