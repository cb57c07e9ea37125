#include <iostream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "engine/audit/proto_text.h"
#include "engine/column_text.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

namespace assay {
namespace {

using admin::v1::LogEvent;

std::string ValueText(const admin::v1::Value& value) {
  if (value.is_null()) return "NULL";
  return absl::StrCat(value.text(), value.cut_from() > 0
                                        ? absl::StrCat("… (", Bytes(static_cast<int64_t>(value.cut_from())), ")")
                                        : "");
}

std::string KeyText(const LogEvent& event) {
  return absl::StrJoin(event.key(), ", ", [](std::string* out, const admin::v1::Cell& cell) {
    absl::StrAppend(out, cell.column(), "=", ValueText(cell.value()));
  });
}

std::string WhoText(const LogEvent& event) {
  if (!event.has_who())
    return event.source() == "LIVE" && !event.table().empty() && event.operation() != "SCHEMA" ? "unattributed" : "";
  const admin::v1::Who& who = event.who();
  std::string text = who.application_user().empty() ? who.database_user() : who.application_user();
  if (!who.terminal().empty()) absl::StrAppend(&text, " at ", who.terminal());
  return text;
}

std::string ChangesText(const LogEvent& event) {
  if (!event.note().empty()) return event.note();
  return absl::StrJoin(event.columns(), ", ", [](std::string* out, const admin::v1::Change& change) {
    if (change.has_old_value() && change.has_new_value()) {
      absl::StrAppend(out, change.column(), " ", ValueText(change.old_value()), " → ", ValueText(change.new_value()));
    } else {
      absl::StrAppend(out, change.column(), " ",
                      ValueText(change.has_new_value() ? change.new_value() : change.old_value()));
    }
  });
}

// What was there before the fleet has a stamp older than anything, which is no time. As wide as a time.
std::string TimeText(const LogEvent& event) {
  constexpr int64_t kYear1971 = 31'536'000;
  const bool known = event.has_time() && event.time().seconds() > kYear1971;
  return known ? When(true, event.time()) : "-                  ";
}

void PrintEventLine(const LogEvent& event) {
  constexpr size_t kChangesMax = 160;
  std::string changes = Printable(ChangesText(event));
  if (changes.size() > kChangesMax) changes = absl::StrCat(CutText(changes, kChangesMax), "…");
  const std::string who = WhoText(event);
  std::cout << TimeText(event) << "  " << Printable(event.branch()) << "/" << event.sequence() << "  "
            << event.operation() << "  " << Printable(event.table())
            << (event.key().empty() ? "" : absl::StrCat(" [", Printable(KeyText(event)), "]")) << "  " << changes
            << (who.empty() ? "" : absl::StrCat("  by ", Printable(who))) << std::endl;
}

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

}  // namespace

int LogListVerb(const CliContext& context, const LogOptions& options) {
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
      PrintEventLine(event);
  }
  if (grpc::Status answer = reader->Finish(); !answer.ok()) return CliFail(context, answer);
  if (!context.json && count == 0)
    std::cout << "No event " << (options.table.empty() ? "" : absl::StrCat("of ", options.table, " ")) << "matches.\n";
  if (!context.json && options.limit > 0 && count == options.limit) {
    std::cout << "(the " << (options.oldest_first ? "oldest " : "newest ") << count << "; --limit 0 shows all)\n";
  }
  return kExitOk;
}

int LogTailVerb(const CliContext& context, const LogOptions& options) {
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
      PrintEventLine(event);
  }
  return CliFail(context, reader->Finish());
}

int LogShowVerb(const CliContext& context, const std::string& name) {
  const size_t slash = name.rfind('/');
  uint64_t sequence = 0;
  if (slash == std::string::npos || !absl::SimpleAtoi(name.substr(slash + 1), &sequence) || sequence == 0) {
    return CliFail(context,
                   absl::InvalidArgumentError("name an event as BRANCH/NUMBER or ORIGIN/NUMBER, e.g. mumbai-1/17"),
                   kExitUsage);
  }
  auto stub = CliConnect(context);
  if (!stub.ok()) return CliNoDaemon(context, stub.status());
  admin::v1::GetEventRequest request;
  request.set_origin(name.substr(0, slash));
  request.set_sequence(sequence);
  grpc::ClientContext call;
  LogEvent event;
  if (grpc::Status answer = (*stub)->GetEvent(&call, request, &event); !answer.ok()) return CliFail(context, answer);
  if (context.json) {
    PrintJson(event);
    return kExitOk;
  }
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
  std::cout << facts.ToString();
  if (event.columns().empty()) return kExitOk;
  TextTable columns({"COLUMN", "BEFORE", "AFTER"});
  for (const admin::v1::Change& change : event.columns()) {
    columns.Add({change.column(), change.has_old_value() ? ValueText(change.old_value()) : "-",
                 change.has_new_value() ? ValueText(change.new_value()) : "-"});
  }
  std::cout << "\n" << columns.ToString();
  return kExitOk;
}

}  // namespace assay
