#include <iostream>

#include "absl/strings/str_cat.h"
#include "tools/cli/command_line.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

namespace assay {
namespace {

int Branches(const CliContext& context) {
  auto stub = CliConnect(context);
  if (!stub.ok()) return CliNoDaemon(context, stub.status());
  grpc::ClientContext call;
  admin::v1::ListBranchesReply reply;
  if (grpc::Status answer = (*stub)->ListBranches(&call, {}, &reply); !answer.ok()) return CliFail(context, answer);
  if (context.json) {
    PrintJson(reply);
    return kExitOk;
  }
  TextTable table(
      {"NUMBER", "BRANCH", "ONLINE", "LAST SEEN", "STATE", "EVENTS", "IT LACKS", "WE LACK", "PARKED", "VERSION"});
  for (const admin::v1::Branch& branch : reply.branches()) {
    table.Add({absl::StrCat(branch.number()), absl::StrCat(branch.name(), branch.self() ? " (this)" : ""),
               branch.retired()   ? "retired"
               : !branch.active() ? "deactivated"
               : branch.online()  ? "yes"
                                  : "no",
               Ago(branch.has_last_seen(), branch.last_seen()), branch.state(), Grouped(branch.head()),
               Grouped(branch.behind()), Grouped(branch.unreceived()), Grouped(branch.parked_rows()),
               branch.version()});
  }
  std::cout << table.ToString();
  std::cout << (reply.has_heard() ? absl::StrCat("As the hub told ", Ago(true, reply.heard()), ".\n")
                                  : "The hub has not told about the others yet.\n");
  return kExitOk;
}

}  // namespace

void AddBranches(CommandLine& line) {
  line.AddVerb({"branches", "Who is online, and how far behind", "assay branches"}, Branches);
}

}  // namespace assay
