#include <algorithm>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/audit/proto_text.h"
#include "tools/cli/command_line.h"
#include "tools/cli/text.h"
#include "tools/cli/verbs.h"

namespace assay {
namespace {

using admin::v1::Link;
using admin::v1::Problem;
using admin::v1::Status;

struct StatusOptions {
  bool watch = false;
  bool check = false;
};

// As monitoring programs take them from a plugin.
enum MonitorCode { kMonitorOk = 0, kMonitorWarning = 1, kMonitorCritical = 2, kMonitorUnknown = 3 };

// `problems` has most messages in full already.
std::string LinkText(const Link& link, const google::protobuf::RepeatedPtrField<Problem>& problems) {
  if (link.code() == "CANCELLED") return link.message();  // Turned off.
  if (link.ok()) return link.has_since() ? absl::StrCat("working since ", When(true, link.since())) : "working";
  const bool told = std::any_of(problems.begin(), problems.end(),
                                [&](const Problem& each) { return absl::StrContains(each.detail(), link.message()); });
  std::string text = told ? "NOT WORKING, see above" : absl::StrCat("NOT WORKING: ", link.message());
  if (link.has_since()) absl::StrAppend(&text, "; since ", When(true, link.since()));
  if (link.has_next_try()) {
    const bool due = FromProto(link.next_try()) <= absl::Now();
    text += due ? ", being tried now" : absl::StrCat(", next try ", Ago(true, link.next_try()));
  }
  return text;
}

// Before the hub has been heard nobody knows what it has.
bool HubHeard(const Status& status) { return status.has_last_pull() || status.has_last_push(); }

std::string Lag(const Status& status, const admin::v1::Origin& origin) {
  if (origin.own()) {
    if (!HubHeard(status)) return "";
    return origin.hub_head() >= origin.head() ? ""
                                              : absl::StrCat(Grouped(origin.head() - origin.hub_head()), " to push");
  }
  const uint64_t newest = std::max(origin.head(), origin.hub_head());
  return origin.projected() >= newest ? "" : absl::StrCat(Grouped(newest - origin.projected()), " to come");
}

// The sentence says the same as these marks; they are for the eye that runs down a page.
absl::string_view Mark(Problem::Severity severity) {
  if (severity == Problem::BAD) return "!!";
  return severity == Problem::WARN ? " !" : " -";
}

std::string ProblemText(const Problem& problem) {
  std::string text = absl::StrCat(" ", Mark(problem.severity()), " ", Printable(problem.sentence()), "\n");
  std::string times = problem.has_since() ? absl::StrCat("since ", When(true, problem.since())) : "";
  if (problem.has_next_try()) {
    const bool due = FromProto(problem.next_try()) <= absl::Now();
    absl::StrAppend(&times, times.empty() ? "" : ", ",
                    due ? "being tried now" : absl::StrCat("next try ", Ago(true, problem.next_try())));
  }
  if (!times.empty()) absl::StrAppend(&text, "      ", times, "\n");
  if (!problem.detail().empty()) absl::StrAppend(&text, "      found: ", Printable(problem.detail()), "\n");
  absl::StrAppend(&text, "    do: ", Printable(problem.remedy()), "\n");
  return text;
}

// "\nNot shown to this branch: 1,204 changes of public.customers", or nothing.
std::string MaskedText(const Status& status) {
  constexpr int kTablesNamed = 3;
  std::string text;
  uint64_t others = 0;
  for (int i = 0; i < status.masked_size(); ++i) {
    const admin::v1::Masked& masked = status.masked(i);
    if (i >= kTablesNamed) {
      others += masked.events();
    } else {
      absl::StrAppend(&text, text.empty() ? "\nNot shown to this branch: " : ", ", Count(masked.events(), "change"),
                      " of ", Printable(masked.table()));
    }
  }
  if (others > 0) absl::StrAppend(&text, ", and ", Count(others, "change"), " of other tables");
  return text;
}

// "Tables compared with the log …: 14 tables, 1,204 rows, nothing differs".
std::string VerificationText(const admin::v1::Verification& found) {
  std::string text = "\nTables compared with the log: ";
  if (found.compared() == 0) {
    text += "never";
  } else {
    absl::StrAppend(
        &text, "last ", Ago(found.has_newest(), found.newest()), "; ", Grouped(found.compared()), " of ",
        Count(found.tables(), "table"), found.has_oldest() ? absl::StrCat(" since ", When(true, found.oldest())) : "",
        ", ", Count(found.rows(), "row"), ", ",
        found.differing_rows() == 0
            ? "nothing differs"
            : absl::StrCat(Count(found.differing_rows(), "row"), found.differing_rows() == 1 ? " differs" : " differ"));
    if (found.restless_rows() > 0)
      absl::StrAppend(&text, ", ", Count(found.restless_rows(), "row"), " changed at each look");
  }
  if (found.tables_total() == 0) return text;
  absl::StrAppend(&text, "; now table ", found.tables_done() + 1, " of ", found.tables_total());
  if (!found.table().empty())
    absl::StrAppend(&text, ", ", Printable(found.table()), ": ", Count(found.table_rows(), "row"));
  return text;
}

std::string StatusText(const Status& status) {
  const std::string indent(status.branch().size() + 2, ' ');
  std::string text = absl::StrCat(Printable(status.branch()), "  ", Printable(status.sentence().headline()), "\n");
  if (!status.sentence().line().empty()) {
    absl::StrAppend(&text, indent, Printable(status.sentence().line()), "\n");
  }
  text += "\n";
  for (const Problem& problem : status.problems()) text += ProblemText(problem);
  if (!status.problems().empty()) text += "\n";
  const bool behind = status.has_push_progress() || status.has_pull_progress() || status.has_projection_progress();
  TextTable links({"STAGE", "STATE", behind ? "CATCHING UP" : ""});
  const auto progress = [](bool present, const admin::v1::Progress& each) { return present ? ProgressText(each) : ""; };
  if (status.has_engine() && !status.engine().ok())
    links.Add({"engine", LinkText(status.engine(), status.problems()), ""});
  links.Add({"capture", LinkText(status.capture(), status.problems()), ""});
  if (status.has_hub()) {
    links.Add({"push", status.paused() ? "paused" : LinkText(status.push(), status.problems()),
               progress(status.has_push_progress(), status.push_progress())});
    links.Add({"pull", status.paused() ? "paused" : LinkText(status.pull(), status.problems()),
               progress(status.has_pull_progress(), status.pull_progress())});
  }
  links.Add({"projection", LinkText(status.projection(), status.problems()),
             progress(status.has_projection_progress(), status.projection_progress())});
  if (status.has_hub()) {
    links.Add({"realtime", LinkText(status.realtime(), status.problems()), ""});
  } else {
    links.Add({"hub", "none configured: everything stays on this machine", ""});
  }
  absl::StrAppend(&text, links.ToString(), "\n");
  TextTable chains({"CHAIN", "ORIGIN", "HELD", "AT THE HUB", "IN POSTGRESQL", "LAG"});
  for (const admin::v1::Origin& origin : status.origins()) {
    const std::string name =
        absl::StrCat(origin.branch().empty() ? "?" : origin.branch(), origin.own() ? " (this)" : "");
    chains.Add({name, origin.origin().substr(0, 8), Grouped(origin.head()),
                HubHeard(status) ? Grouped(origin.hub_head()) : "-", Grouped(origin.projected()),
                origin.error().empty() ? Lag(status, origin) : origin.error()});
  }
  absl::StrAppend(&text, chains.ToString(), "\n");
  text += status.has_last_captured_commit()
              ? absl::StrCat("Last commit captured ", Ago(true, status.last_captured_commit()))
              : "No commit captured since the daemon started";
  if (status.has_hub()) {
    absl::StrAppend(&text, ", last push ", Ago(status.has_last_push(), status.last_push()), ", last pull ",
                    Ago(status.has_last_pull(), status.last_pull()), ", next pull ",
                    Ago(status.has_next_pull(), status.next_pull()), " (every ", Length(status.interval()), ")");
  }
  absl::StrAppend(&text, "\nLog ", Bytes(status.log_bytes()), " with ", Count(status.events_total(), "event"), ", ",
                  Count(status.conflicts(), "conflict"), " (assay conflicts), ",
                  Count(status.parked_rows(), "parked row"), " (assay parked)");
  if (status.unattributed_transactions() > 0) {
    absl::StrAppend(&text, ", ", Count(status.unattributed_transactions(), "unattributed transaction"));
  }
  absl::StrAppend(&text, MaskedText(status), VerificationText(status.verification()));
  if (status.has_hub_clock_offset()) {
    const absl::Duration offset = FromProto(status.hub_clock_offset());
    const absl::Duration shown = absl::Trunc(absl::AbsDuration(offset), absl::Milliseconds(1));
    absl::StrAppend(
        &text, "\nThis machine's clock ",
        shown == absl::ZeroDuration()
            ? "agrees with"
            : absl::StrCat("is ", absl::FormatDuration(shown), offset < absl::ZeroDuration() ? " ahead of" : " behind"),
        " the hub's");
  }
  absl::StrAppend(&text, "\nassayd ", status.version(), ", pid ", status.pid(), ", up since ",
                  When(status.has_started(), status.started()));
  return text + "\n";
}

Problem::Severity WorstSeverity(const Status& status) {
  Problem::Severity worst = Problem::NOTE;
  for (const Problem& problem : status.problems()) worst = std::max(worst, problem.severity());
  return worst;
}

int ShowStatus(const CliContext& context, const Status& status) {
  if (context.json) {
    PrintJson(status);
  } else {
    std::cout << StatusText(status) << std::flush;
  }
  return WorstSeverity(status) == Problem::NOTE ? kExitOk : kExitProblem;
}

// One line for a monitoring program, and a code it knows: what could not be looked at is unknown, and not well.
int CheckStatus(const grpc::Status& answer, const Status& status) {
  if (!answer.ok()) {
    std::cout << "UNKNOWN: " << Printable(answer.error_message()) << "\n";
    return kMonitorUnknown;
  }
  const Problem::Severity worst = WorstSeverity(status);
  const MonitorCode code = worst == Problem::BAD    ? kMonitorCritical
                           : worst == Problem::WARN ? kMonitorWarning
                                                    : kMonitorOk;
  uint64_t to_send = 0;
  for (const admin::v1::Origin& origin : status.origins()) {
    if (origin.own() && origin.head() > origin.hub_head()) to_send = origin.head() - origin.hub_head();
  }
  std::cout << (code == kMonitorCritical  ? "CRITICAL"
                : code == kMonitorWarning ? "WARNING"
                                          : "OK")
            << ": " << Printable(status.sentence().headline()) << " | to_send=" << (status.has_hub() ? to_send : 0)
            << " rows_waiting=" << status.parked_rows() << "\n";
  return code;
}

int ShowOrWatchStatus(const CliContext& context, const StatusOptions& options) {
  auto stub = CliConnect(context);
  Status status;
  if (!stub.ok() && options.check)
    return CheckStatus(grpc::Status(grpc::StatusCode::UNAVAILABLE, std::string(stub.status().message())), status);
  if (!stub.ok()) return CliNoDaemon(context, stub.status());
  grpc::ClientContext call;
  if (!options.watch) {
    call.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    const grpc::Status answer = (*stub)->GetStatus(&call, {}, &status);
    if (options.check) return CheckStatus(answer, status);
    return answer.ok() ? ShowStatus(context, status) : CliFail(context, answer);
  }
  auto reader = (*stub)->WatchStatus(&call, {});
  while (reader->Read(&status)) {
    if (OnTerminal() && !context.json) std::cout << "\033[H\033[2J";
    ShowStatus(context, status);
  }
  return CliFail(context, reader->Finish());
}

}  // namespace

void AddStatus(CommandLine& line) {
  auto options = std::make_shared<StatusOptions>();
  CLI::App* verb =
      line.AddVerb({"status", "How this branch is: what is stuck, why, and what comes next", "assay status --watch"},
                   [options](const CliContext& context) { return ShowOrWatchStatus(context, *options); });
  CLI::Option* watch = verb->add_flag("-w,--watch", options->watch, "Again whenever it changes, until Ctrl-C");
  verb->add_flag("--check", options->check,
                 "One line for a monitoring program; exit code 0 OK, 1 warning, 2 critical, 3 unknown")
      ->excludes(watch);
}

}  // namespace assay
