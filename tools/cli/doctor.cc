#include "tools/setup/doctor.h"

#include <algorithm>
#include <iostream>

#include "tools/cli/command_line.h"
#include "tools/cli/own_branch.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"
#include "tools/system.h"

namespace assay {
namespace {

void PrintChecksJson(const std::vector<Check>& checks, bool ok) {
  google::protobuf::Struct object;
  auto* list = (*object.mutable_fields())["checks"].mutable_list_value();
  for (const Check& check : checks) {
    auto& fields = *list->add_values()->mutable_struct_value()->mutable_fields();
    fields["name"] = JsonText(check.name);
    fields["result"] = JsonText(std::string(CheckResultName(check.result)));
    fields["detail"] = JsonText(check.detail);
    fields["remedy"] = JsonText(check.remedy);
  }
  (*object.mutable_fields())["ok"] = JsonFlag(ok);
  PrintJson(object);
}

void PrintChecks(const std::vector<Check>& checks) {
  size_t width = 0;
  for (const Check& check : checks) width = std::max(width, check.name.size());
  for (const Check& check : checks) {
    std::string name = check.name;
    name.resize(width, ' ');
    std::cout << (check.result == CheckResult::kOk     ? "ok    "
                  : check.result == CheckResult::kWarn ? "warn  "
                                                       : "FAIL  ")
              << name << "  " << Printable(check.detail) << "\n";
    if (!check.remedy.empty()) std::cout << "        do: " << Printable(check.remedy) << "\n";
  }
}

int DoctorVerb(const CliContext& context, const std::string& admin_url) {
  absl::StatusOr<Config> config = OwnConfig(context, admin_url);
  if (!config.ok()) return CliFail(context, config.status(), kExitUsage);
  DoctorOptions options;
  options.number = config->branch.number;
  options.stride = config->branch.stride;
  options.url = config->postgres.url;
  options.admin_url = config->admin_url();
  options.tables = config->postgres.tables;
  options.exclude = config->postgres.exclude;
  options.sequences = {config->sequences.stride, config->sequences.own};
  options.policies = config->PolicyColumns();
  options.state_dir = config->branch.state_dir;
  options.has_hub = config->has_hub();
  options.hub_url = config->hub.url;
  const absl::StatusOr<std::unique_ptr<SupabaseHub>> hub = OwnHub(*config);
  SystemClock clock;
  const std::vector<Check> checks = Doctor(options, hub.ok() ? hub->get() : nullptr, hub.status(), &clock);
  const bool ok =
      std::none_of(checks.begin(), checks.end(), [](const Check& check) { return check.result == CheckResult::kFail; });
  if (context.json) {
    PrintChecksJson(checks, ok);
  } else {
    PrintChecks(checks);
  }
  return ok ? kExitOk : kExitProblem;
}

}  // namespace

void AddDoctor(CommandLine& line) {
  auto admin_url = std::make_shared<std::string>();
  line.AddVerb({"doctor", "Check everything a branch needs, with the command that mends it", "assay doctor"},
               [admin_url](const CliContext& context) { return DoctorVerb(context, *admin_url); })
      ->add_option("--admin-url", *admin_url, kAdminUrlHelp);
}

}  // namespace assay
