#include <algorithm>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "tools/cli/command_line.h"
#include "tools/cli/status_text.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

namespace assay {
namespace {

std::string BranchesText(const admin::v1::ListBranchesReply& reply) {
  const auto in_step = std::count_if(reply.branches().begin(), reply.branches().end(),
                                     [](const admin::v1::Branch& branch) { return BranchState(branch) == "In step"; });
  const int count = reply.branches_size();
  return absl::StrCat(
      TitleLine(absl::StrCat(count, count == 1 ? " branch, " : " branches, ", in_step, " in step. ",
                             reply.has_heard() ? absl::StrCat("As the hub told ", Ago(true, reply.heard()), ".")
                                               : "The hub has not told about the others yet.")),
      BranchesTable(reply, BranchDetail::kAll));
}

int Branches(const CliContext& context) {
  auto stub = CliConnect(context);
  if (!stub.ok()) return CliNoDaemon(context, stub.status());
  grpc::ClientContext call;
  admin::v1::ListBranchesReply reply;
  if (grpc::Status answer = (*stub)->ListBranches(&call, {}, &reply); !answer.ok()) return CliFail(context, answer);
  if (context.json)
    PrintJson(reply);
  else
    std::cout << BranchesText(reply);
  return kExitOk;
}

}  // namespace

void AddBranches(CommandLine& line) {
  line.AddVerb({"branches", "Who is in step, who is not, and how far behind", "assay branches"}, Branches);
}

}  // namespace assay
