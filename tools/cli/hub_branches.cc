#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "engine/audit/proto_text.h"
#include "tools/cli/hub.h"
#include "tools/cli/text.h"

namespace assay {
namespace {

int ListBranches(const CliContext& context, const HubAccess& access) {
  absl::StatusOr<std::unique_ptr<HubAdmin>> admin = OpenHubAdmin(context, access);
  if (!admin.ok()) return CliFail(context, admin.status(), kExitUsage);
  absl::StatusOr<std::vector<EnrolledBranch>> branches = (*admin)->Branches();
  if (!branches.ok()) return CliFail(context, branches.status());
  google::protobuf::Struct object;
  google::protobuf::ListValue* list = (*object.mutable_fields())["branches"].mutable_list_value();
  TextTable table({{"NO"},
                   {"NAME", Fit::kMiddle},
                   {"LOGIN", Fit::kWhole, 2},
                   {"ACTIVE"},
                   {"HEARD"},
                   {"MAY READ", Fit::kEnd},
                   {"FORKS", Fit::kWhole, 1},
                   {"SET ASIDE"}});
  for (const EnrolledBranch& branch : *branches) {
    const bool seen = branch.last_seen > absl::InfinitePast();
    const std::string last_seen =
        seen ? absl::FormatTime(absl::RFC3339_sec, branch.last_seen, absl::UTCTimeZone()) : "";
    table.Add({absl::StrCat(branch.number), branch.name, branch.login_role,
               branch.retired  ? "retired"
               : branch.active ? "yes"
                               : "no",
               seen ? Ago(true, ToProto(branch.last_seen)) : "never", absl::StrJoin(branch.tables, ", "),
               absl::StrCat(branch.forks),
               branch.set_aside.has_value() ? absl::StrCat("after event ", *branch.set_aside) : ""});
    auto& fields = *list->add_values()->mutable_struct_value()->mutable_fields();
    fields["number"] = JsonCount(branch.number);
    fields["name"] = JsonText(branch.name);
    fields["login_role"] = JsonText(branch.login_role);
    fields["active"] = JsonFlag(branch.active);
    fields["retired"] = JsonFlag(branch.retired);
    if (branch.set_aside.has_value()) fields["set_aside_after"] = JsonCount(static_cast<double>(*branch.set_aside));
    fields["last_seen"] = JsonText(last_seen);
    fields["forks"] = JsonCount(static_cast<double>(branch.forks));
    fields["tables"] = JsonTexts(branch.tables);
  }
  if (context.json) {
    PrintJson(object);
  } else {
    std::cout << (table.empty() ? "No branch is enrolled yet: assay hub enrol NAME --number N\n" : table.ToString());
  }
  return kExitOk;
}

}  // namespace

void AddHubBranches(CommandLine& line, CLI::App* hub, std::shared_ptr<const HubAccess> access) {
  line.AddVerb(
      {"branches", "Every branch that was enrolled", "assay hub branches"},
      [access](const CliContext& context) { return ListBranches(context, *access); }, hub);
}

}  // namespace assay
