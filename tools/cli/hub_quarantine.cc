#include <cstdint>
#include <iostream>
#include <optional>

#include "absl/strings/str_cat.h"
#include "tools/cli/hub.h"

namespace assay {
namespace {

struct QuarantineOptions {
  std::string name;
  std::optional<uint64_t> after;
  bool lift = false;
};

int Quarantine(const CliContext& context, const HubAccess& access, const QuarantineOptions& options) {
  absl::StatusOr<std::unique_ptr<HubAdmin>> admin = OpenHubAdmin(context, access);
  if (!admin.ok()) return CliFail(context, admin.status(), kExitUsage);
  const auto chains =
      options.lift ? (*admin)->LiftQuarantine(options.name) : (*admin)->Quarantine(options.name, options.after);
  if (!chains.ok()) return CliFail(context, chains.status());
  std::string text;
  for (const HubAdmin::QuarantinedChain& chain : *chains) {
    const std::string short_name = chain.origin.substr(0, 8);
    absl::StrAppend(&text, text.empty() ? "" : "\n",
                    options.lift ? absl::StrCat("Chain ", short_name, " of ", options.name, " is taken again.")
                                 : absl::StrCat("Of chain ", short_name, " of ", options.name, " nothing after event ",
                                                chain.after, " is given to anybody."));
  }
  if (!options.lift) {
    absl::StrAppend(&text,
                    "\nIt stays at the hub as evidence. That branch begins anew with `assay repair`. To take this "
                    "back: assay hub quarantine ",
                    options.name, " --lift");
  }
  return HubDone(context, text);
}

}  // namespace

void AddHubQuarantine(CommandLine& line, CLI::App* hub, std::shared_ptr<const HubAccess> access) {
  auto options = std::make_shared<QuarantineOptions>();
  CLI::App* verb = line.AddVerb(
      {"quarantine", "Set aside what is damaged or hostile of a branch's changes, as evidence: nobody takes more of it",
       "assay hub quarantine pune-1"},
      [=](const CliContext& context) { return Quarantine(context, *access, *options); }, hub);
  verb->add_option("name", options->name, "The branch")->required();
  CLI::Option* after = verb->add_option(
      "--after", options->after,
      "The last event that is given; the default is the last that every branch could take, or all that there is");
  verb->add_flag("--lift", options->lift, "Take it back")->excludes(after);
}

}  // namespace assay
