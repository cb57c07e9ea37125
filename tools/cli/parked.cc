#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/cli/command_line.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

namespace assay {
namespace {

struct ParkedOptions {
  std::string table;
  uint32_t limit = 100;
};

int ListParked(const CliContext& context, const ParkedOptions& options) {
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

int RetryParked(const CliContext& context, const ParkedOptions& options) {
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

}  // namespace

void AddParked(CommandLine& line) {
  auto options = std::make_shared<ParkedOptions>();
  const auto list = [options](const CliContext& context) { return ListParked(context, *options); };
  CLI::App* parked = line.AddVerb(
      {"parked", "Rows that could not be written here, and why", "assay parked retry --table public.products"}, list);
  parked->require_subcommand(0, 1);
  // `ls` and `retry` take them, too: what they do not know falls through to their parent.
  parked->add_option("--table", options->table, "Only this table, schema.table");
  parked->add_option("--limit", options->limit, "At most so many")->capture_default_str();
  line.AddVerb({"ls", "List them", "assay parked ls --table public.products"}, list, parked);
  line.AddVerb(
      {"retry", "Try them again now", "assay parked retry"},
      [options](const CliContext& context) { return RetryParked(context, *options); }, parked);
}

}  // namespace assay
