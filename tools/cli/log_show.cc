#include <iostream>

#include "absl/strings/str_cat.h"
#include "tools/cli/event_text.h"
#include "tools/cli/log.h"
#include "tools/cli/text.h"

namespace assay {
namespace {

using admin::v1::LogEvent;

TextTable FactsOf(const LogEvent& event) {
  TextTable facts({"EVENT", absl::StrCat(event.branch(), "/", event.sequence())});
  facts.Add({"origin", event.origin()});
  facts.Add({"time", TimeText(event)});
  facts.Add({"operation", event.operation()});
  if (!event.table().empty()) facts.Add({"table", event.table()});
  if (!event.key().empty()) facts.Add({"key", KeyText(event)});
  if (!event.note().empty()) facts.Add({"note", event.note()});
  facts.Add({"transaction",
             absl::StrCat("begins at ", event.transaction_first(), event.ends_transaction() ? ", ends here" : "")});
  if (event.has_commit_time()) facts.Add({"committed", When(true, event.commit_time())});
  if (!event.commit_lsn().empty()) facts.Add({"at LSN", event.commit_lsn()});
  facts.Add({"source", event.source()});
  if (event.has_who()) {
    const admin::v1::Who& who = event.who();
    for (const auto& [label, text] :
         {std::pair("database user", who.database_user()), std::pair("application user", who.application_user()),
          std::pair("terminal", who.terminal()), std::pair("reason", who.reason()),
          std::pair("application", who.application_name()), std::pair("client", who.client_address())}) {
      if (!text.empty()) facts.Add({label, text});
    }
  }
  return facts;
}

TextTable ColumnsOf(const LogEvent& event) {
  TextTable columns({"COLUMN", "BEFORE", "AFTER"});
  for (const admin::v1::Change& change : event.columns()) {
    columns.Add({change.column(), change.has_old_value() ? ValueText(change.old_value()) : "-",
                 change.has_new_value() ? ValueText(change.new_value()) : "-"});
  }
  return columns;
}

// `name`: "mumbai-1/17", or an origin's first digits and a sequence.
int ShowEvent(const CliContext& context, const std::string& name) {
  std::string origin;
  uint64_t sequence = 0;
  if (!ParseEventName(name, &origin, &sequence)) {
    return CliFail(context,
                   absl::InvalidArgumentError("name an event as BRANCH/NUMBER or ORIGIN/NUMBER, e.g. mumbai-1/17"),
                   kExitUsage);
  }
  auto stub = CliConnect(context);
  if (!stub.ok()) return CliNoDaemon(context, stub.status());
  admin::v1::GetEventRequest request;
  request.set_origin(origin);
  request.set_sequence(sequence);
  grpc::ClientContext call;
  LogEvent event;
  if (grpc::Status answer = (*stub)->GetEvent(&call, request, &event); !answer.ok()) return CliFail(context, answer);
  if (context.json) {
    PrintJson(event);
    return kExitOk;
  }
  std::cout << FactsOf(event).ToString();
  if (!event.columns().empty()) std::cout << "\n" << ColumnsOf(event).ToString();
  return kExitOk;
}

}  // namespace

void AddLogShow(CommandLine& line, CLI::App* log) {
  auto event = std::make_shared<std::string>();
  line.AddVerb(
          {"show", "One event, whole", "assay log show mumbai-1/17"},
          [event](const CliContext& context) { return ShowEvent(context, *event); }, log)
      ->add_option("event", *event, "BRANCH/NUMBER or ORIGIN/NUMBER")
      ->required();
}

}  // namespace assay
