#include <iostream>

#include "tools/cli/event_text.h"
#include "tools/cli/log.h"

namespace assay {
namespace {

using admin::v1::LogEvent;

struct LogTailOptions {
  std::string table, branch;
};

int TailEvents(const CliContext& context, const LogTailOptions& options) {
  auto stub = CliConnect(context);
  if (!stub.ok()) return CliNoDaemon(context, stub.status());
  admin::v1::TailEventsRequest request;
  request.set_table(options.table);
  request.set_origin(options.branch);
  grpc::ClientContext call;
  auto reader = (*stub)->TailEvents(&call, request);
  LogEvent event;
  while (reader->Read(&event)) {
    if (context.json)
      PrintJson(event);
    else
      std::cout << EventLine(event) << std::endl;
  }
  return CliFail(context, reader->Finish());
}

}  // namespace

void AddLogTail(CommandLine& line, CLI::App* log) {
  auto options = std::make_shared<LogTailOptions>();
  CLI::App* verb = line.AddVerb(
      {"tail", "Events as they come in, until Ctrl-C", "assay log tail --table public.products"},
      [options](const CliContext& context) { return TailEvents(context, *options); }, log);
  verb->add_option("--table", options->table, "schema.table");
  verb->add_option("--branch,--origin", options->branch, "A branch's name, or the first digits of an origin");
}

}  // namespace assay
