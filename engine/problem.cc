#include "engine/problem.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "engine/human_text.h"

namespace assay {
namespace {

using enum Severity;

constexpr ProblemEntry kCatalogue[] = {
#define ASSAY_PROBLEM(enumerator, name, severity, state, sentence, remedy) \
  {ProblemKind::enumerator, name, severity, state, sentence, remedy},
#include "engine/problem_kinds.def"
#undef ASSAY_PROBLEM
};

// The words for a branch, the worst first.
constexpr absl::string_view kStates[] = {"halted", "stopped", "offline"};

constexpr absl::string_view kPayload = "assay/problem";

std::string Filled(absl::string_view text, const Problem& problem) {
  // One pass, so that a subject which happens to read "{cause}" stays what it is.
  return absl::StrReplaceAll(text,
                             {{": {cause}", problem.cause.empty() ? std::string() : absl::StrCat(": ", problem.cause)},
                              {"{cause}", problem.cause},
                              {"{subject}", problem.subject},
                              {"{rows}", Count(problem.count, "row")}});
}

}  // namespace

absl::Span<const ProblemEntry> ProblemCatalogue() { return kCatalogue; }

const ProblemEntry& EntryOf(ProblemKind kind) { return kCatalogue[static_cast<size_t>(kind)]; }

absl::string_view SeverityName(Severity severity) {
  constexpr absl::string_view kNames[] = {"note", "warn", "bad"};
  return kNames[static_cast<size_t>(severity)];
}

std::string SentenceOf(const Problem& problem) { return Filled(EntryOf(problem.kind).sentence, problem); }

std::string RemedyOf(const Problem& problem) { return Filled(EntryOf(problem.kind).remedy, problem); }

const Problem* WorstOf(absl::Span<const Problem> problems) {
  const auto worst = std::max_element(problems.begin(), problems.end(), [](const Problem& a, const Problem& b) {
    return SeverityOf(a.kind) < SeverityOf(b.kind);
  });
  return worst == problems.end() ? nullptr : &*worst;
}

absl::string_view StateFrom(absl::Span<const Problem> problems) {
  for (const absl::string_view state : kStates) {
    const auto has = [&](const Problem& problem) { return EntryOf(problem.kind).state == state; };
    if (std::any_of(problems.begin(), problems.end(), has)) return state;
  }
  return "";
}

void KeepSince(absl::Span<const Problem> before, absl::Time now, std::vector<Problem>* problems) {
  for (Problem& problem : *problems) {
    if (problem.since != absl::InfinitePast()) continue;
    const auto same = std::find_if(before.begin(), before.end(), [&](const Problem& old) {
      return old.kind == problem.kind && old.subject == problem.subject;
    });
    problem.since = same == before.end() ? now : same->since;
  }
}

absl::Status WithProblem(absl::Status status, ProblemKind kind, absl::string_view cause) {
  if (!status.ok()) status.SetPayload(kPayload, absl::Cord(absl::StrCat(ProblemName(kind), ":", cause)));
  return status;
}

std::optional<NamedProblem> ProblemNamedBy(const absl::Status& status) {
  const auto payload = status.GetPayload(kPayload);
  if (!payload.has_value()) return std::nullopt;
  const std::pair<std::string, std::string> said = absl::StrSplit(std::string(*payload), absl::MaxSplits(':', 1));
  for (const ProblemEntry& entry : kCatalogue) {
    if (entry.name == said.first) return NamedProblem{entry.kind, said.second};
  }
  return std::nullopt;
}

}  // namespace assay
