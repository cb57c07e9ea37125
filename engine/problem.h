// What is wrong with a branch, as data: one catalogue of kinds for every face.
//
// A Problem says what was found: its kind, what it is about, since when, and when it is tried again. Severity, sentence
// and remedy belong to the kind and stand beside it in engine/problem_kinds.def. So no two faces word the same fact
// differently, and no problem can contradict its kind. What somebody turned off on purpose is a state and no problem.
//
//   Problem problem{.kind = ProblemKind::kHubUnreachable, .cause = "nobody answers there"};
//   SentenceOf(problem);  // "The hub cannot be reached: nobody answers there."
//
// To add a kind: one row in the catalogue, a place that raises it, and a test that sees it raised.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace assay {

enum class Severity : uint8_t { kNote, kWarn, kBad };

enum class ProblemKind : uint8_t {
#define ASSAY_PROBLEM(enumerator, name, severity, state, sentence, remedy) enumerator,
#include "engine/problem_kinds.def"
#undef ASSAY_PROBLEM
};

struct Problem {
  ProblemKind kind;
  // What it is about, by the name people know: a branch, a column of a row, a file. Kind and subject identify a
  // problem; both stay the same while it lasts.
  std::string subject;
  std::string cause;                        // Completes the sentence, in a shop's words; may be empty.
  uint64_t count = 0;                       // Of rows, where the kind counts them.
  std::string detail;                       // What PostgreSQL, the hub or the disk said, as they said it; may be empty.
  absl::Time since = absl::InfinitePast();  // InfinitePast: not known.
  absl::Time next_try = absl::InfinitePast();  // InfinitePast: it is not tried again by itself, or nobody knows when.
};

struct ProblemEntry {
  ProblemKind kind;
  absl::string_view name;  // "hub-unreachable".
  Severity severity;
  absl::string_view state;  // The word for a branch that has it; empty: it changes nothing.
  absl::string_view sentence;
  absl::string_view remedy;
};

// Every kind, in the order of the enum.
absl::Span<const ProblemEntry> ProblemCatalogue();
const ProblemEntry& EntryOf(ProblemKind kind);

inline absl::string_view ProblemName(ProblemKind kind) { return EntryOf(kind).name; }
inline Severity SeverityOf(ProblemKind kind) { return EntryOf(kind).severity; }
// "note", "warn", "bad".
absl::string_view SeverityName(Severity severity);
std::string SentenceOf(const Problem& problem);
std::string RemedyOf(const Problem& problem);

// The worst one, and of those the first; nullptr when there is none.
const Problem* WorstOf(absl::Span<const Problem> problems);
// The word for the branch that follows from them: "halted", "stopped", "offline", or empty.
absl::string_view StateFrom(absl::Span<const Problem> problems);

// Gives each problem that does not know its beginning the one it had in `before`, or else `now`.
void KeepSince(absl::Span<const Problem> before, absl::Time now, std::vector<Problem>* problems);

// Whoever sees a failure may know its kind better than its code tells: this says so on the status itself.
// `cause` as in Problem.
absl::Status WithProblem(absl::Status status, ProblemKind kind, absl::string_view cause = "");
struct NamedProblem {
  ProblemKind kind;
  std::string cause;
};
// What WithProblem said; nullopt: nothing.
std::optional<NamedProblem> ProblemNamedBy(const absl::Status& status);

}  // namespace assay
