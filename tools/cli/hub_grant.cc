#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/cli/hub.h"

namespace assay {
namespace {

struct GrantOptions {
  std::string name;
  std::vector<std::string> tables;
};

int GrantTables(const CliContext& context, const HubAccess& access, const GrantOptions& options) {
  absl::StatusOr<std::unique_ptr<HubAdmin>> admin = OpenHubAdmin(context, access);
  if (!admin.ok()) return CliFail(context, admin.status(), kExitUsage);
  absl::StatusOr<std::vector<std::string>> tables = ParseGrants(options.tables);
  if (!tables.ok()) return CliFail(context, tables.status(), kExitUsage);
  if (absl::Status status = (*admin)->SetGrants(options.name, *tables); !status.ok()) return CliFail(context, status);
  return HubDone(context, absl::StrCat("Branch ", options.name, " may read: ", absl::StrJoin(*tables, ", "),
                                       ". What it was not given until now comes by itself, within minutes."));
}

}  // namespace

void AddHubGrant(CommandLine& line, CLI::App* hub, std::shared_ptr<const HubAccess> access) {
  auto options = std::make_shared<GrantOptions>();
  CLI::App* verb = line.AddVerb(
      {"grant", "Which tables of others a branch may read, as a whole",
       "assay hub grant mumbai-1 --tables public.products"},
      [access, options](const CliContext& context) { return GrantTables(context, *access, *options); }, hub);
  verb->add_option("name", options->name, "The branch")->required();
  verb->add_option("--tables", options->tables, "schema.table, or * for all")->required();
}

}  // namespace assay
