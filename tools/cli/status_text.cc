#include "tools/cli/status_text.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/audit/proto_text.h"
#include "tools/cli/text.h"

namespace assay {
namespace {

using admin::v1::Branch;
using admin::v1::Link;
using admin::v1::Problem;
using admin::v1::Status;

std::string NextTryText(const google::protobuf::Timestamp& next_try) {
  return FromProto(next_try) <= absl::Now() ? "being tried now" : absl::StrCat("next try ", Ago(true, next_try));
}

// `problems` has most messages in full already.
std::string LinkText(const Link& link, const google::protobuf::RepeatedPtrField<Problem>& problems) {
  if (link.code() == "CANCELLED") return link.message();  // Turned off.
  if (link.ok()) return link.has_since() ? absl::StrCat("working since ", When(true, link.since())) : "working";
  const bool told = std::any_of(problems.begin(), problems.end(),
                                [&](const Problem& each) { return absl::StrContains(each.detail(), link.message()); });
  std::string text = told ? "NOT WORKING, see above" : absl::StrCat("NOT WORKING: ", link.message());
  if (link.has_since()) absl::StrAppend(&text, "; since ", When(true, link.since()));
  if (link.has_next_try()) absl::StrAppend(&text, ", ", NextTryText(link.next_try()));
  return text;
}

// Before the hub has been heard nobody knows what it has.
bool HubHeard(const Status& status) { return status.has_last_pull() || status.has_last_push(); }

// How many changes wait to be sent, and how many of others wait to be written here.
struct Waiting {
  explicit Waiting(const Status& status) {
    for (const admin::v1::Origin& origin : status.origins()) {
      const uint64_t newest = std::max(origin.head(), origin.hub_head());
      if (!origin.own())
        to_come += newest - std::min(newest, origin.projected());
      else if (HubHeard(status))
        to_send += newest - origin.hub_head();
    }
  }
  uint64_t to_send = 0, to_come = 0;
};

std::string Lag(const Status& status, const admin::v1::Origin& origin) {
  if (origin.own()) {
    if (!HubHeard(status)) return "";
    return origin.hub_head() >= origin.head() ? ""
                                              : absl::StrCat(Grouped(origin.head() - origin.hub_head()), " to send");
  }
  const uint64_t newest = std::max(origin.head(), origin.hub_head());
  return origin.projected() >= newest ? "" : absl::StrCat(Grouped(newest - origin.projected()), " to come");
}

// The sentence says the same as these marks; they are for the eye that runs down a page.
std::string Mark(Problem::Severity severity) {
  if (severity == Problem::BAD) return Painted(Paint::kRed, "!!");
  return severity == Problem::WARN ? Painted(Paint::kYellow, " !") : " -";
}

// A line that begins with `label`, and goes on below itself.
std::string Labelled(absl::string_view label, absl::string_view text) {
  return absl::StrCat(label, Wrapped(Printable(text), TextWidth(label), TextWidth(label)), "\n");
}

std::string ProblemText(const Problem& problem) {
  std::string text = Labelled(absl::StrCat(" ", Mark(problem.severity()), " "), problem.sentence());
  std::string times = problem.has_since() ? absl::StrCat("since ", When(true, problem.since())) : "";
  if (problem.has_next_try()) absl::StrAppend(&times, times.empty() ? "" : ", ", NextTryText(problem.next_try()));
  if (!times.empty()) absl::StrAppend(&text, "      ", Painted(Paint::kDim, times), "\n");
  if (!problem.detail().empty()) text += Labelled("      found: ", problem.detail());
  return text + Labelled("    do: ", problem.remedy());
}

std::string HeadText(const Status& status) {
  constexpr absl::string_view kWell = "All is well";
  const size_t indent = TextWidth(status.branch()) + 2;
  absl::string_view headline = status.sentence().headline();
  std::string painted;
  if (absl::ConsumePrefix(&headline, kWell)) painted = Painted(Paint::kGreen, kWell);
  absl::StrAppend(&painted, Painted(Paint::kBold, Printable(headline)));
  std::string text = TitleLine(absl::StrCat(Painted(Paint::kBold, Printable(status.branch())), "  ", painted));
  if (!status.sentence().line().empty()) text += Labelled(std::string(indent, ' '), status.sentence().line());
  return text;
}

// "Clock agrees with the hub's."
std::string ClockText(const Status& status) {
  if (!status.has_hub_clock_offset()) return "";
  const absl::Duration offset = FromProto(status.hub_clock_offset());
  // What a line's delay makes of it is nobody's fault.
  if (absl::AbsDuration(offset) < absl::Seconds(1)) return "Clock agrees with the hub's.  ";
  return absl::StrCat("Clock is ", TwoUnits(absl::AbsDuration(offset)),
                      offset < absl::ZeroDuration() ? " ahead of" : " behind", " the hub's.  ");
}

// "Not shown to this branch: 1,204 changes of public.customers", or nothing.
std::string MaskedText(const Status& status) {
  constexpr int kTablesNamed = 3;
  std::string text;
  uint64_t others = 0;
  for (int i = 0; i < status.masked_size(); ++i) {
    const admin::v1::Masked& masked = status.masked(i);
    if (i >= kTablesNamed) {
      others += masked.events();
    } else {
      absl::StrAppend(&text, text.empty() ? "Not shown to this branch: " : ", ", Count(masked.events(), "change"),
                      " of ", masked.table());
    }
  }
  if (others > 0) absl::StrAppend(&text, ", and ", Count(others, "change"), " of other tables");
  return text.empty() ? "" : Labelled("  ", text);
}

// "Tables compared with the log …: 14 tables, 1,204 rows, nothing differs".
std::string VerificationText(const admin::v1::Verification& found) {
  std::string text = "Tables compared with the log: ";
  if (found.compared() == 0) {
    text += "never";
  } else {
    absl::StrAppend(
        &text, Ago(found.has_newest(), found.newest()), "; ", Grouped(found.compared()), " of ",
        Count(found.tables(), "table"), found.has_oldest() ? absl::StrCat(" since ", When(true, found.oldest())) : "",
        ", ", Count(found.rows(), "row"), ", ",
        found.differing_rows() == 0
            ? "nothing differs"
            : absl::StrCat(Count(found.differing_rows(), "row"), found.differing_rows() == 1 ? " differs" : " differ"));
    if (found.restless_rows() > 0)
      absl::StrAppend(&text, ", ", Count(found.restless_rows(), "row"), " changed at each look");
  }
  if (found.tables_total() > 0) {
    absl::StrAppend(&text, "; now table ", found.tables_done() + 1, " of ", found.tables_total());
    if (!found.table().empty()) absl::StrAppend(&text, ", ", found.table(), ": ", Count(found.table_rows(), "row"));
  }
  return Labelled("  ", text);
}

std::string CountsText(const Status& status) {
  const Waiting waiting(status);
  const auto count = [](uint64_t number) { return Painted(number > 0 ? Paint::kBlue : Paint::kNone, Grouped(number)); };
  std::vector<std::string> counts;
  if (status.has_hub()) {
    counts.push_back(absl::StrCat("To send  ", HubHeard(status) ? count(waiting.to_send) : "not known"));
    counts.push_back(absl::StrCat("To come  ", count(waiting.to_come)));
  }
  counts.push_back(absl::StrCat("Rows waiting  ", count(static_cast<uint64_t>(status.parked_rows()))));
  counts.push_back(absl::StrCat("Conflicts  ", count(static_cast<uint64_t>(status.conflicts()))));
  std::string text = absl::StrCat("  ", absl::StrJoin(counts, "     "), "\n");
  // One below the other where they have no room beside each other.
  if (Screen().live && TextWidth(text) > static_cast<size_t>(Screen().width) + 1)
    text = absl::StrCat("  ", absl::StrJoin(counts, "\n  "), "\n");
  text += Labelled("  ", absl::StrCat(ClockText(status), "Log ", Bytes(status.log_bytes()), ", ",
                                      Count(status.events_total(), "change"), "."));
  return text + MaskedText(status) + VerificationText(status.verification());
}

std::string StagesText(const Status& status) {
  TextTable stages({{"STAGE"}, {"STATE", Fit::kEnd}, {"CATCHING UP"}});
  const auto add = [&](const char* name, const Link& link, bool behind, const admin::v1::Progress& progress) {
    stages.Add({name, LinkText(link, status.problems()), behind ? ProgressText(progress) : ""});
  };
  if (status.has_engine() && !status.engine().ok()) add("engine", status.engine(), false, {});
  add("capture", status.capture(), false, {});
  if (status.has_hub() && status.paused()) {
    stages.Add({"push", "paused", ""});
    stages.Add({"pull", "paused", ""});
  } else if (status.has_hub()) {
    add("push", status.push(), status.has_push_progress(), status.push_progress());
    add("pull", status.pull(), status.has_pull_progress(), status.pull_progress());
  }
  add("projection", status.projection(), status.has_projection_progress(), status.projection_progress());
  if (status.has_hub())
    add("realtime", status.realtime(), false, {});
  else
    stages.Add({"hub", "none configured: everything stays on this machine", ""});
  TextTable chains(
      {{"CHAIN", Fit::kMiddle}, {"ORIGIN"}, {"HELD"}, {"AT THE HUB"}, {"IN POSTGRESQL"}, {"LAG", Fit::kEnd}});
  for (const admin::v1::Origin& origin : status.origins()) {
    const std::string name = absl::StrCat(origin.branch().empty() ? "?" : origin.branch(), origin.own() ? " here" : "");
    chains.Add({name, origin.origin().substr(0, 8), Grouped(origin.head()),
                HubHeard(status) ? Grouped(origin.hub_head()) : "-", Grouped(origin.projected()),
                origin.error().empty() ? Lag(status, origin) : origin.error()});
  }
  std::string text = absl::StrCat("\n", stages.ToString(), "\n", chains.ToString(), "\n");
  std::string last = status.has_last_captured_commit()
                         ? absl::StrCat("Last commit captured ", AgoAndWhen(true, status.last_captured_commit()))
                         : "No commit captured since the daemon started";
  absl::StrAppend(&last, " (WAL position ", status.captured_lsn(), ")");
  if (status.has_hub()) {
    absl::StrAppend(&last, "; last push ", AgoAndWhen(status.has_last_push(), status.last_push()), "; last pull ",
                    AgoAndWhen(status.has_last_pull(), status.last_pull()), "; next pull ",
                    Ago(status.has_next_pull(), status.next_pull()), ", every ", Length(status.interval()));
  }
  text += Labelled("  ", absl::StrCat(last, "."));
  if (status.unattributed_transactions() > 0)
    absl::StrAppend(&text, "  ", Count(status.unattributed_transactions(), "unattributed transaction"), ".\n");
  return absl::StrCat(text, "  assayd ", status.version(), ", pid ", status.pid(), ", up since ",
                      When(status.has_started(), status.started()), "\n");
}

Paint PaintOf(const std::string& state) {
  if (state == "In step") return Paint::kGreen;
  if (state == "Syncing") return Paint::kBlue;
  if (state == "Halted" || state == "Not working") return Paint::kRed;
  return state == "Offline" || state == "Not heard" ? Paint::kYellow : Paint::kNone;
}

}  // namespace

std::string StatusText(const Status& status, const admin::v1::ListBranchesReply& branches, bool stages) {
  std::string text = absl::StrCat(HeadText(status), "\n");
  for (const Problem& problem : status.problems()) text += ProblemText(problem);
  if (!status.problems().empty()) text += "\n";
  text += CountsText(status);
  if (branches.branches_size() > 1) absl::StrAppend(&text, "\n", BranchesTable(branches, BranchDetail::kShort));
  if (stages) text += StagesText(status);
  return text;
}

std::string BranchState(const Branch& branch) {
  if (branch.retired()) return "Retired";
  if (!branch.active()) return "Switched off";
  if (branch.state() == "shut-down" && !branch.self()) return "Shut down";
  if (!branch.self() && !branch.online()) return "Not heard";
  const std::pair<absl::string_view, absl::string_view> words[] = {
      {"running", branch.behind() > 0 ? "Syncing" : "In step"},
      {"catching-up", "Syncing"},
      {"offline", "Offline"},
      {"paused", "Paused"},
      {"starting", "Starting"},
      {"halted", "Halted"},
      {"stopped", "Not working"},
      {"local-only", "On its own"},
  };
  for (const auto& [state, word] : words) {
    if (branch.state() == state) return std::string(word);
  }
  return branch.state();  // Of a newer version.
}

std::string BranchesTable(const admin::v1::ListBranchesReply& reply, BranchDetail detail) {
  const bool all = detail == BranchDetail::kAll;
  std::vector<Column> columns = {{"BRANCH", Fit::kMiddle}, {"STATE"}, {"BEHIND"}, {"HEARD"}};
  if (all) {
    columns = {{"NO"},
               {"BRANCH", Fit::kMiddle},
               {"STATE"},
               {"HEARD"},
               {"BEHIND"},
               {"NOT HERE YET"},
               {"WAITING", Fit::kWhole, 1},
               {"CHANGES", Fit::kWhole, 2},
               {"VERSION", Fit::kWhole, 3}};
  }
  TextTable table(std::move(columns));
  for (const Branch& branch : reply.branches()) {
    const std::string state = BranchState(branch);
    const std::string name = absl::StrCat(branch.name(), branch.self() ? " here" : "");
    const std::string heard = branch.self() ? "now" : Ago(branch.has_last_seen(), branch.last_seen());
    const TextCell shown(state, PaintOf(state));
    if (!all) {
      table.Add({name, shown, Grouped(branch.behind()), heard});
      continue;
    }
    table.Add({absl::StrCat(branch.number()), name, shown, heard, Grouped(branch.behind()),
               branch.self() ? "-" : Grouped(branch.unreceived()), Grouped(static_cast<uint64_t>(branch.parked_rows())),
               Grouped(branch.head()), branch.version()});
  }
  return table.ToString();
}

}  // namespace assay
