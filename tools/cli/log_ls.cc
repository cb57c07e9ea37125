#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "engine/audit/proto_text.h"
#include "tools/cli/event_text.h"
#include "tools/cli/log.h"

namespace assay {
namespace {

using admin::v1::LogEvent;

struct LogLsOptions {
  std::string table, branch, since, until;
  std::vector<std::string> key;
  uint64_t first = 0, last = 0;
  uint32_t limit = 50;
  bool oldest_first = false;
};

absl::Status ParseTime(const std::string& text, google::protobuf::Timestamp* time) {
  absl::Time parsed;
  std::string error;
  const absl::TimeZone local = absl::LocalTimeZone();
  if (!absl::ParseTime(absl::RFC3339_full, text, &parsed, &error) &&
      !absl::ParseTime("%Y-%m-%d %H:%M:%E*S", text, local, &parsed, &error) &&
      !absl::ParseTime("%Y-%m-%d %H:%M", text, local, &parsed, &error) &&
      !absl::ParseTime("%Y-%m-%d", text, local, &parsed, &error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is no time; write 2026-11-23, \"2026-11-23 14:30\" or 2026-11-23T14:30:00Z"));
  }
  *time = ToProto(parsed);
  return absl::OkStatus();
}

int ListEvents(const CliContext& context, const LogLsOptions& options) {
  admin::v1::ListEventsRequest request;
  request.set_table(options.table);
  for (const std::string& key : options.key) request.add_key(key);
  request.set_origin(options.branch);
  request.set_first(options.first);
  request.set_last(options.last);
  request.set_limit(options.limit);
  request.set_newest_first(!options.oldest_first);
  for (auto [text, time] : {std::pair(&options.since, &admin::v1::ListEventsRequest::mutable_since),
                            std::pair(&options.until, &admin::v1::ListEventsRequest::mutable_until)}) {
    if (text->empty()) continue;
    if (absl::Status status = ParseTime(*text, (request.*time)()); !status.ok())
      return CliFail(context, status, kExitUsage);
  }
  auto stub = CliConnect(context);
  if (!stub.ok()) return CliNoDaemon(context, stub.status());
  grpc::ClientContext call;
  auto reader = (*stub)->ListEvents(&call, request);
  LogEvent event;
  uint64_t count = 0;
  while (reader->Read(&event)) {
    ++count;
    if (context.json)
      PrintJson(event);
    else
      std::cout << EventLine(event) << std::endl;
  }
  if (grpc::Status answer = reader->Finish(); !answer.ok()) return CliFail(context, answer);
  if (!context.json && count == 0)
    std::cout << "No event " << (options.table.empty() ? "" : absl::StrCat("of ", options.table, " ")) << "matches.\n";
  if (!context.json && options.limit > 0 && count == options.limit) {
    std::cout << "(the " << (options.oldest_first ? "oldest " : "newest ") << count << "; --limit 0 shows all)\n";
  }
  return kExitOk;
}

}  // namespace

void AddLogLs(CommandLine& line, CLI::App* log) {
  auto options = std::make_shared<LogLsOptions>();
  CLI::App* verb = line.AddVerb(
      {"ls", "Events, newest first", "assay log ls --branch mumbai-1 --since 2026-11-23"},
      [options](const CliContext& context) { return ListEvents(context, *options); }, log);
  verb->add_option("--table", options->table, "schema.table");
  verb->add_option("--key", options->key, "With --table: only this row; one value for each key column");
  verb->add_option("--branch,--origin", options->branch, "A branch's name, or the first digits of an origin");
  verb->add_option("--since", options->since, "2026-11-23, \"2026-11-23 14:30\" (local) or 2026-11-23T14:30:00Z");
  verb->add_option("--until", options->until, "As --since; not included");
  verb->add_option("--first", options->first, "With --branch: from this number on");
  verb->add_option("--last", options->last, "With --branch: up to this number");
  verb->add_option("--limit", options->limit, "At most so many; 0: all")->capture_default_str();
  verb->add_flag("--oldest-first", options->oldest_first, "In the order in which they happened");
}

}  // namespace assay
