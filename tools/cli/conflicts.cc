#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/cli/command_line.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

namespace assay {
namespace {

struct ConflictsOptions {
  std::string table;
  uint32_t limit = 100;
};

std::string SideText(const admin::v1::ConflictSide& side) {
  std::string text = side.has_value() ? (side.value().is_null() ? "NULL" : side.value().text()) : side.operation();
  absl::StrAppend(&text, " (", side.branch(), "/", side.sequence(),
                  side.who().empty() ? "" : absl::StrCat(", ", side.who()), ")");
  return text;
}

int Conflicts(const CliContext& context, const ConflictsOptions& options) {
  auto stub = CliConnect(context);
  if (!stub.ok()) return CliNoDaemon(context, stub.status());
  admin::v1::ListConflictsRequest request;
  request.set_table(options.table);
  request.set_limit(options.limit);
  grpc::ClientContext call;
  admin::v1::ListConflictsReply reply;
  if (grpc::Status answer = (*stub)->ListConflicts(&call, request, &reply); !answer.ok())
    return CliFail(context, answer);
  if (context.json) {
    PrintJson(reply);
    return kExitOk;
  }
  if (reply.conflicts().empty()) {
    std::cout << "No conflict: no change has replaced one that its writer had not seen.\n";
    return kExitOk;
  }
  TextTable table({"FOUND", "TABLE", "KEY", "COLUMN", "KEPT", "LOST"});
  for (const admin::v1::Conflict& conflict : reply.conflicts()) {
    table.Add({When(conflict.has_found(), conflict.found()), conflict.table(), absl::StrJoin(conflict.key(), ", "),
               conflict.column().empty() ? "(the row)" : conflict.column(), SideText(conflict.winner()),
               SideText(conflict.loser())});
  }
  std::cout << table.ToString() << reply.total()
            << " in all. What was lost is in the log: assay log show BRANCH/NUMBER\n";
  return kExitOk;
}

}  // namespace

void AddConflicts(CommandLine& line) {
  auto options = std::make_shared<ConflictsOptions>();
  CLI::App* verb = line.AddVerb(
      {"conflicts", "Changes that lost to one that had not seen them", "assay conflicts --table public.products"},
      [options](const CliContext& context) { return Conflicts(context, *options); });
  verb->add_option("--table", options->table, "Only this table, schema.table");
  verb->add_option("--limit", options->limit, "At most so many")->capture_default_str();
}

}  // namespace assay
