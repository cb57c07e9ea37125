#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/audit/proto_text.h"
#include "tools/cli/event_text.h"
#include "tools/cli/log.h"
#include "tools/cli/terminal.h"
#include "tools/cli/time_input.h"

namespace assay {
namespace {

using admin::v1::LogEvent;

struct LogLsOptions {
  std::string table, branch, since, until, after;
  std::vector<std::string> key;
  uint64_t first = 0, last = 0;
  uint32_t limit = 50;
  bool oldest_first = false;
};

// "No row of public.products has the key GC-22-1205", or which words found nothing.
std::string NothingFound(const LogLsOptions& options) {
  const bool more = !options.since.empty() || !options.until.empty() || !options.branch.empty() || options.first != 0 ||
                    options.last != 0;
  if (!options.key.empty() && !more)
    return absl::StrCat("no row of ", options.table, " in the log has the key ", absl::StrJoin(options.key, ", "));
  return absl::StrCat("no event", options.table.empty() ? "" : absl::StrCat(" of ", options.table),
                      options.key.empty() ? "" : absl::StrCat(" with the key ", absl::StrJoin(options.key, ", ")),
                      more ? " is between those bounds" : " is in the log");
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
    const absl::StatusOr<absl::Time> parsed = ParsePastTime(*text, absl::Now(), Screen().zone);
    if (!parsed.ok()) return CliFail(context, parsed.status(), kExitUsage);
    *(request.*time)() = ToProto(*parsed);
  }
  if (!options.after.empty()) {
    uint64_t sequence = 0;
    if (!ParseEventName(options.after, request.mutable_after_origin(), &sequence))
      return CliFail(context, absl::InvalidArgumentError("--after names an event: BRANCH/NUMBER, as mumbai-1/17"),
                     kExitUsage);
    request.set_after_sequence(sequence);
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
  if (count == 0) return CliFail(context, absl::NotFoundError(NothingFound(options)));
  // Where a page ends, the next one begins.
  if (!context.json && options.limit > 0 && count == options.limit) {
    std::cerr << "The " << (options.oldest_first ? "oldest " : "newest ") << count << ". More: --limit 0 for all"
              << ", or --after " << event.origin().substr(0, 8) << "/" << event.sequence() << "\n";
  }
  return kExitOk;
}

}  // namespace

void AddLogLs(CommandLine& line, CLI::App* log) {
  auto options = std::make_shared<LogLsOptions>();
  CLI::App* verb = line.AddVerb(
      {"ls", "Events, newest first", "assay log ls --branch mumbai-1 --since 2h"},
      [options](const CliContext& context) { return ListEvents(context, *options); }, log);
  verb->add_option("--table", options->table, "schema.table");
  verb->add_option("--key", options->key, "With --table: only this row; one value for each key column");
  verb->add_option("--branch,--origin", options->branch, "A branch's name, or the first digits of an origin");
  verb->add_option("--since", options->since,
                   "From then on: 1h, 3d, yesterday, 14:30, 2026-11-23, \"2026-11-23 14:30\" or 2026-11-23T14:30:00Z");
  verb->add_option("--until", options->until, "As --since; not included");
  verb->add_option("--first", options->first, "With --branch: from this number on");
  verb->add_option("--last", options->last, "With --branch: up to this number");
  verb->add_option("--after", options->after, "Go on after this event of the list: BRANCH/NUMBER");
  verb->add_option("--limit", options->limit, "At most so many; 0: all")->capture_default_str();
  verb->add_flag("--oldest-first", options->oldest_first, "In the order in which they happened");
}

}  // namespace assay
