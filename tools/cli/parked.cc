#include <iostream>
#include <string>
#include <vector>

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
  bool forgotten = false;
  std::vector<std::string> key;
};

std::string NoneOf(const ParkedOptions& options) {
  return absl::StrCat("No row", options.table.empty() ? "" : absl::StrCat(" of ", options.table), " is ",
                      options.forgotten ? "forgotten" : "parked", ".\n");
}

std::string ParkedText(const admin::v1::ListParkedReply& reply, const ParkedOptions& options) {
  const bool forgotten = options.forgotten;
  TextTable table({{"ROW", Fit::kMiddle},
                   {"FROM"},
                   {"SINCE"},
                   {"TRIES", Fit::kWhole, 2},
                   {forgotten ? "FORGOTTEN" : "NEXT TRY", Fit::kWhole, 1},
                   {"CAUSE", Fit::kEnd}});
  for (const admin::v1::ParkedRow& row : reply.rows()) {
    table.Add({absl::StrCat(row.table(), " ", absl::StrJoin(row.key(), ", ")),
               absl::StrCat(row.branch(), "/", row.sequence()), When(row.has_since(), row.since()),
               absl::StrCat(row.attempts()),
               forgotten ? When(row.has_forgotten(), row.forgotten()) : Ago(row.has_next_try(), row.next_try()),
               absl::StrCat(row.cause(), row.sqlstate().empty() ? "" : absl::StrCat(" (", row.sqlstate(), ")"))});
  }
  const int64_t total = forgotten ? reply.forgotten() : reply.total();
  const std::string count =
      absl::StrCat(Count(static_cast<uint64_t>(total), "row"), options.table.empty() ? "" : " in all tables");
  return absl::StrCat(TitleLine(absl::StrCat(count, forgotten    ? ", which nobody waits for."
                                                    : total == 1 ? " waits to be written."
                                                                 : " wait to be written.")),
                      table.ToString());
}

// What can be done about them; for people alone.
std::string HintsText(const admin::v1::ListParkedReply& reply, const ParkedOptions& options) {
  if (options.forgotten) return reply.rows().empty() ? "" : "To take them up again: assay parked retry --table TABLE\n";
  std::string text;
  if (!reply.rows().empty()) {
    text =
        "Mend what the cause names, here or at the branch that the row is from. They are tried again by themselves; at "
        "once: assay parked retry\nWhat will never come, as of a table that is gone on purpose: assay parked forget "
        "--table TABLE\n";
  }
  if (reply.forgotten() > 0) {
    absl::StrAppend(&text, Count(static_cast<uint64_t>(reply.forgotten()), "row"),
                    reply.forgotten() == 1 ? " is" : " are", " not waited for: assay parked --forgotten\n");
  }
  const int64_t total = options.forgotten ? reply.forgotten() : reply.total();
  if (options.table.empty() && reply.rows_size() < total)
    absl::StrAppend(&text, "1 to ", reply.rows_size(), " of ", Grouped(static_cast<uint64_t>(total)),
                    ". More: --limit, or --table TABLE\n");
  return text;
}

int ListParked(const CliContext& context, const ParkedOptions& options) {
  auto stub = CliConnect(context);
  if (!stub.ok()) return CliNoDaemon(context, stub.status());
  admin::v1::ListParkedRequest request;
  request.set_table(options.table);
  request.set_limit(options.limit);
  request.set_forgotten(options.forgotten);
  grpc::ClientContext call;
  admin::v1::ListParkedReply reply;
  if (grpc::Status answer = (*stub)->ListParked(&call, request, &reply); !answer.ok()) return CliFail(context, answer);
  if (context.json) {
    PrintJson(reply);
    return kExitOk;
  }
  std::cout << (reply.rows().empty() ? NoneOf(options) : ParkedText(reply, options)) << std::flush;
  std::cerr << HintsText(reply, options);
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

int ForgetParked(const CliContext& context, const ParkedOptions& options) {
  auto stub = CliConnect(context);
  if (!stub.ok()) return CliNoDaemon(context, stub.status());
  admin::v1::ForgetParkedRequest request;
  request.set_table(options.table);
  for (const std::string& part : options.key) request.add_key(part);
  grpc::ClientContext call;
  admin::v1::ForgetParkedReply reply;
  if (grpc::Status answer = (*stub)->ForgetParked(&call, request, &reply); !answer.ok())
    return CliFail(context, answer);
  if (context.json)
    PrintJson(reply);
  else
    std::cout
        << Count(reply.rows(), "row") << " of " << options.table
        << " will not be waited for. `assay parked --forgotten` lists what is not; the next change of such a row, "
           "or `assay parked retry --table "
        << options.table << "`, takes it up again.\n";
  return kExitOk;
}

}  // namespace

void AddParked(CommandLine& line) {
  auto options = std::make_shared<ParkedOptions>();
  const auto list = [options](const CliContext& context) { return ListParked(context, *options); };
  CLI::App* parked = line.AddVerb(
      {"parked", "Rows that could not be written here, and why", "assay parked retry --table public.products"}, list);
  parked->require_subcommand(0, 1);
  // The verbs below take them, too: what those do not know falls through to their parent.
  CLI::Option* table = parked->add_option("--table", options->table, "Only this table, schema.table");
  parked->add_option("--limit", options->limit, "At most so many")->capture_default_str();
  parked->add_flag("--forgotten", options->forgotten, "Those that nobody waits for any more");
  line.AddVerb({"ls", "List them", "assay parked ls --table public.products"}, list, parked);
  line.AddVerb(
      {"retry", "Try them again now", "assay parked retry"},
      [options](const CliContext& context) { return RetryParked(context, *options); }, parked);
  line.AddVerb(
          {"forget", "Do not wait for what will never come: all of --table, or its row with --key",
           "assay parked forget --table public.old_rates"},
          [options](const CliContext& context) { return ForgetParked(context, *options); }, parked)
      ->add_option("--key", options->key, "Only the row with this key; of several columns, in the key's order")
      ->needs(table);
}

}  // namespace assay
