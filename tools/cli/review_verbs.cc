#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

namespace assay {
namespace {

std::string SideText(const admin::v1::ConflictSide& side) {
  std::string text = side.has_value() ? (side.value().is_null() ? "NULL" : side.value().text()) : side.operation();
  absl::StrAppend(&text, " (", side.branch(), "/", side.sequence(),
                  side.who().empty() ? "" : absl::StrCat(", ", side.who()), ")");
  return text;
}

}  // namespace

int ParkedListVerb(const CliContext& context, const ParkedOptions& options) {
  auto stub = CliConnect(context);
  if (!stub.ok()) return CliNoDaemon(context, stub.status());
  admin::v1::ListParkedRequest request;
  request.set_table(options.table);
  request.set_limit(options.limit);
  grpc::ClientContext call;
  admin::v1::ListParkedReply reply;
  if (grpc::Status answer = (*stub)->ListParked(&call, request, &reply); !answer.ok()) return CliFail(context, answer);
  if (context.json) {
    PrintJson(reply);
    return kExitOk;
  }
  if (reply.rows().empty()) {
    std::cout << (options.table.empty() ? "No row is parked.\n"
                                        : absl::StrCat("No row of ", options.table, " is parked.\n"));
    return kExitOk;
  }
  TextTable table({"TABLE", "KEY", "FROM", "SINCE", "TRIES", "NEXT TRY", "CAUSE"});
  for (const admin::v1::ParkedRow& row : reply.rows()) {
    table.Add({row.table(), absl::StrJoin(row.key(), ", "), absl::StrCat(row.branch(), "/", row.sequence()),
               When(row.has_since(), row.since()), absl::StrCat(row.attempts()),
               Ago(row.has_next_try(), row.next_try()),
               absl::StrCat(row.cause(), row.sqlstate().empty() ? "" : absl::StrCat(" (", row.sqlstate(), ")"))});
  }
  std::cout
      << table.ToString() << Count(reply.total(), "row")
      << " in all. Mend what the cause names, here or at the branch that the row is from. They are tried again by "
         "themselves; at once: assay parked retry\n";
  return kExitOk;
}

int ParkedRetryVerb(const CliContext& context, const ParkedOptions& options) {
  auto stub = CliConnect(context);
  if (!stub.ok()) return CliNoDaemon(context, stub.status());
  admin::v1::RetryParkedRequest request;
  request.set_table(options.table);
  grpc::ClientContext call;
  admin::v1::RetryParkedReply reply;
  if (grpc::Status answer = (*stub)->RetryParked(&call, request, &reply); !answer.ok()) return CliFail(context, answer);
  if (context.json)
    PrintJson(reply);
  else
    std::cout << Count(reply.rows(), "parked row") << " to be tried again now; `assay parked` shows what remains.\n";
  return kExitOk;
}

int ConflictsVerb(const CliContext& context, const ParkedOptions& options) {
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

}  // namespace assay
