#include "absl/strings/str_cat.h"
#include "tools/cli/hub.h"

namespace assay {
namespace {

int Retire(const CliContext& context, const HubAccess& access, const std::string& name) {
  absl::StatusOr<std::unique_ptr<HubAdmin>> admin = OpenHubAdmin(context, access);
  if (!admin.ok()) return CliFail(context, admin.status(), kExitUsage);
  if (absl::Status status = (*admin)->Retire(name); !status.ok()) return CliFail(context, status);
  return HubDone(context,
                 absl::StrCat("Branch ", name,
                              " is closed for good: it can neither push nor pull, and nobody waits for it. Its history "
                              "stays. To take that back: assay hub activate ",
                              name));
}

}  // namespace

void AddHubRetire(CommandLine& line, CLI::App* hub, std::shared_ptr<const HubAccess> access) {
  auto name = std::make_shared<std::string>();
  line.AddVerb(
          {"retire", "A shop is closed for good: nobody waits for it any more", "assay hub retire pune-2"},
          [=](const CliContext& context) { return Retire(context, *access, *name); }, hub)
      ->add_option("name", *name, "The branch")
      ->required();
}

}  // namespace assay
