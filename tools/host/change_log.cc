#include "tools/host/change_log.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace assay {
namespace {

LogLevel LevelOf(Severity severity) {
  switch (severity) {
    case Severity::kNote:
      return LogLevel::kInfo;
    case Severity::kWarn:
      return LogLevel::kWarning;
    case Severity::kBad:
      return LogLevel::kError;
  }
  return LogLevel::kError;
}

bool Has(const std::vector<Problem>& problems, const Problem& one) {
  return std::any_of(problems.begin(), problems.end(),
                     [&](const Problem& each) { return each.kind == one.kind && each.subject == one.subject; });
}

std::string Begun(const Problem& problem) {
  std::string text = absl::StrCat(ProblemName(problem.kind), ": ", SentenceOf(problem));
  if (!problem.detail.empty()) absl::StrAppend(&text, " (", problem.detail, ")");
  if (problem.next_try > absl::UnixEpoch() && problem.next_try < absl::InfiniteFuture()) {
    absl::StrAppend(&text, " Next try at ", absl::FormatTime("%H:%M:%S", problem.next_try, absl::LocalTimeZone()), ".");
  }
  return text;
}

std::string Ended(const Problem& problem) {
  return absl::StrCat(ProblemName(problem.kind), ": over", problem.subject.empty() ? "" : ", ", problem.subject);
}

}  // namespace

std::vector<LogLine> NewsBetween(const DaemonStatus& before, const DaemonStatus& after) {
  std::vector<LogLine> out;
  // Catching up and being done with it alternate with every change that comes by.
  const auto steady = [](const std::string& word) { return word == "catching-up" ? std::string("running") : word; };
  if (steady(after.state) != steady(before.state)) {
    out.push_back({LogLevel::kInfo, absl::StrCat("state: ", after.state)});
  }
  for (const Problem& problem : after.problems) {
    if (!Has(before.problems, problem)) out.push_back({LevelOf(SeverityOf(problem.kind)), Begun(problem)});
  }
  for (const Problem& problem : before.problems) {
    // Without an engine nobody knows whether what was wrong still is.
    if (after.engine_link.status.ok() && !Has(after.problems, problem)) {
      out.push_back({LogLevel::kInfo, Ended(problem)});
    }
  }
  const auto hints_tell = [](const EngineStatus& engine) { return engine.has_hub && engine.hints.ok(); };
  if (hints_tell(after.engine) && !hints_tell(before.engine) && !before.engine.state.empty()) {
    out.push_back({LogLevel::kInfo, "realtime: listening"});
  }
  return out;
}

}  // namespace assay
