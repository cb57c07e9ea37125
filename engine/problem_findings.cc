#include "engine/problem_findings.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/column_text.h"
#include "engine/human_text.h"
#include "engine/remotes/chain_intake.h"
#include "log/row_versions/row_ref.h"

namespace assay {
namespace {

constexpr absl::Duration kClockOffsetMax = absl::Seconds(5);
constexpr size_t kDifferenceBytes = 60;  // Of each value that differs.

Problem OfLink(ProblemKind kind, absl::string_view subject, const LinkStatus& link) {
  const std::optional<NamedProblem> named = ProblemNamedBy(link.status);
  Problem problem{.kind = named.has_value() ? named->kind : kind, .subject = std::string(subject)};
  if (named.has_value()) problem.cause = named->cause;
  problem.detail = std::string(link.status.message());
  problem.since = link.since;
  problem.next_try = link.next_try;
  return problem;
}

ProblemKind CaptureKind(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return ProblemKind::kDatabaseAway;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return ProblemKind::kDatabaseLogin;
    default:
      return ProblemKind::kCaptureStopped;
  }
}

// As engine/remotes/hub.h means the codes.
ProblemKind HubKind(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
      return ProblemKind::kHubUnreachable;
    case absl::StatusCode::kAborted:
      return ProblemKind::kHubBusy;
    case absl::StatusCode::kUnauthenticated:
      return ProblemKind::kHubPasswordRefused;
    case absl::StatusCode::kPermissionDenied:
      return ProblemKind::kHubBranchUnknown;
    case absl::StatusCode::kResourceExhausted:
      return ProblemKind::kHubFull;
    case absl::StatusCode::kDataLoss:  // Other content under names that this log has given, too.
      return ProblemKind::kHubHasMore;
    default:
      return ProblemKind::kHubDisagrees;
  }
}

// What is not listed of `total` problems of that kind, one a table.
void CountTheRest(ProblemKind kind, size_t total, std::vector<Problem>* problems) {
  if (total <= problems->size()) return;
  problems->push_back({.kind = kind, .subject = "more tables", .detail = absl::StrCat(total, " tables in all")});
}

// "7 min 12 s": a clock is set by two units.

}  // namespace

std::vector<Problem> DatabaseProblems(const LinkStatus& capture, const LinkStatus& projection, bool halted) {
  std::vector<Problem> problems;
  // A link that was not tried yet is no trouble. What halts the branch stops capture, too, and is a problem already.
  const bool capture_fails = !capture.status.ok() && capture.failures > 0;
  if (capture_fails && !(halted && absl::IsFailedPrecondition(capture.status))) {
    problems.push_back(OfLink(CaptureKind(capture.status.code()), "", capture));
  }
  const bool same_cause = capture_fails && capture.status.code() == projection.status.code();
  if (!projection.status.ok() && !same_cause) problems.push_back(OfLink(ProblemKind::kRowsNotWritten, "", projection));
  return problems;
}

std::vector<Problem> HubProblems(absl::string_view branch, absl::Span<const LinkStatus> links) {
  std::vector<Problem> problems;
  for (const LinkStatus& link : links) {
    if (link.status.ok()) continue;
    Problem problem = OfLink(HubKind(link.status.code()), branch, link);
    const auto same = std::find_if(problems.begin(), problems.end(),
                                   [&](const Problem& known) { return known.kind == problem.kind; });
    if (same == problems.end()) {
      problems.push_back(std::move(problem));
    } else {
      same->since = std::min(same->since, problem.since);
      same->next_try = std::min(same->next_try, problem.next_try);
    }
  }
  return problems;
}

std::string ChainName::ForPeople() const {
  return branch.empty() ? absl::StrCat("a branch not known here (", origin.Hex().substr(0, 8), ")") : branch;
}

std::vector<Problem> ChainProblems(absl::Span<const std::pair<ChainName, LinkStatus>> troubles, const OriginId& own,
                                   size_t total) {
  std::vector<Problem> problems;
  for (const auto& [name, trouble] : troubles) {
    const bool is_own = name.origin == own;
    const bool for_good = trouble.next_try == absl::InfiniteFuture();
    Problem problem = OfLink(is_own     ? ProblemKind::kOwnChainDiffers
                             : for_good ? ProblemKind::kChainForked
                                        : ProblemKind::kChainGarbled,
                             name.ForPeople(), trouble);
    problem.detail = absl::StrCat("chain ", name.origin.Hex().substr(0, 8), ": ", problem.detail);
    if (for_good) problem.next_try = absl::InfinitePast();
    problems.push_back(std::move(problem));
  }
  if (total > troubles.size()) {
    problems.push_back({.kind = ProblemKind::kChainGarbled,
                        .subject = "other branches",
                        .detail = absl::StrCat(total, " chains in all")});
  }
  return problems;
}

std::vector<Problem> SetAsideProblems(absl::Span<const SetAsideChain> aside) {
  std::vector<Problem> problems;
  for (const SetAsideChain& chain : aside) {
    if (problems.size() == kChainsListed) break;
    problems.push_back(
        {.kind = ProblemKind::kChainSetAside,
         .subject = chain.branch,
         .detail = absl::StrCat("chain ", chain.origin.Hex().substr(0, 8), " after event ", chain.after.value)});
  }
  return problems;
}

std::vector<Problem> RowProblems(uint64_t parked, uint64_t forgotten, uint64_t forged) {
  std::vector<Problem> problems;
  if (parked > 0) problems.push_back({.kind = ProblemKind::kRowsWait, .count = parked});
  if (forgotten > 0) problems.push_back({.kind = ProblemKind::kRowsForgotten, .count = forgotten});
  if (forged > 0) problems.push_back({.kind = ProblemKind::kMarkForged, .count = forged});
  return problems;
}

std::vector<Problem> ValueProblems(absl::Span<const WithheldValue> values, size_t row_bytes_max) {
  std::vector<Problem> problems;
  const std::string room = absl::StrCat(row_bytes_max >> 20, " MB");
  for (const WithheldValue& value : values) {
    if (problems.size() == kValuesListed) {
      problems.push_back({.kind = ProblemKind::kValueTooLarge,
                          .subject = "More of that size",
                          .cause = room,
                          .detail = absl::StrCat(values.size(), " values in all")});
      break;
    }
    const absl::StatusOr<std::vector<std::string>> key = DecodeKey(value.key);
    problems.push_back({.kind = ProblemKind::kValueTooLarge,
                        .subject = absl::StrCat("The value of ", value.table, ".", value.column, " in row [",
                                                key.ok() ? absl::StrJoin(*key, ", ") : "?", "]"),
                        .cause = room,
                        .detail = absl::StrCat(value.bytes >> 20, " MB")});
  }
  return problems;
}

std::vector<Problem> UnrecordedProblems(const UnrecordedTables& tables) {
  std::vector<Problem> problems;
  for (const auto& [table, unrecorded] : tables) {
    if (problems.size() == kTablesListed) break;
    problems.push_back({.kind = ProblemKind::kTableUnrecorded, .subject = table, .cause = unrecorded.cause});
    if (unrecorded.rows > 0) problems.back().detail = absl::StrCat(Count(unrecorded.rows, "row"), " so far");
  }
  CountTheRest(ProblemKind::kTableUnrecorded, tables.size(), &problems);
  return problems;
}

std::vector<Problem> DifferenceProblems(const std::map<std::string, CheckedTable>& checked) {
  std::vector<Problem> problems;
  size_t tables = 0;
  for (const auto& [table, found] : checked) {
    if (found.differing == 0 || ++tables > kTablesListed) continue;
    problems.push_back({.kind = ProblemKind::kTableDiffers,
                        .subject = table,
                        .cause = found.cells_listed.empty() ? "" : DifferenceText(found.cells_listed.front()),
                        .count = found.differing,
                        .since = absl::FromUnixMillis(found.ended_ms)});
    if (found.gave_up) problems.back().detail = "there are more: the rest of the table was not looked at";
  }
  CountTheRest(ProblemKind::kTableDiffers, tables, &problems);
  return problems;
}

std::string DifferenceText(const DifferingCell& cell) {
  const absl::StatusOr<std::vector<std::string>> key = DecodeKey(cell.key);
  const std::string row = absl::StrCat("row [", key.ok() ? absl::StrJoin(*key, ", ") : "?", "]");
  if (cell.column.empty()) {
    return absl::StrCat(row, cell.here.has_value() ? " is here" : " is not here", ", and in the log it is ",
                        !cell.log.has_value()    ? "not known"
                        : *cell.log == "present" ? "there"
                                                 : *cell.log);
  }
  const auto text = [](const std::optional<std::string>& value) {
    return value.has_value() ? absl::StrCat("'", CutText(*value, kDifferenceBytes), "'") : "NULL";
  };
  return absl::StrCat(row, ", column ", cell.column, ": ", text(cell.here), " here, ", text(cell.log), " in the log");
}

std::vector<Problem> ForeignKeyProblems(const ForeignKeys& keys) {
  std::vector<Problem> problems;
  for (const auto& [table, found] : keys.found()) {
    if (problems.size() == kTablesListed) break;
    problems.push_back(
        {.kind = ProblemKind::kKeyForeign,
         .subject = table,
         .cause = absl::StrCat("row [", found.key, "], and ", found.sequence, " hands out no such number here")});
  }
  CountTheRest(ProblemKind::kKeyForeign, keys.found().size(), &problems);
  return problems;
}

std::vector<Problem> IdentityProblems(const std::map<std::string, ReplicaIdentity>& identities) {
  std::vector<Problem> problems;
  for (const auto& [table, identity] : identities) {
    if (problems.size() == kTablesListed) break;
    problems.push_back({.kind = ProblemKind::kIdentityNotFull,
                        .subject = table,
                        .cause = identity == ReplicaIdentity::kIndex     ? "that of an index"
                                 : identity == ReplicaIdentity::kNothing ? "none"
                                                                         : "its key alone"});
  }
  CountTheRest(ProblemKind::kIdentityNotFull, identities.size(), &problems);
  return problems;
}

std::vector<Problem> SurveyProblems(absl::Span<const Problem> found) {
  std::vector<Problem> problems;
  for (size_t first = 0, last = 0; first < found.size(); first = last) {
    std::vector<Problem> of_kind;
    for (; last < found.size() && found[last].kind == found[first].kind; ++last) {
      if (of_kind.size() < kTablesListed) of_kind.push_back(found[last]);
    }
    CountTheRest(found[first].kind, last - first, &of_kind);
    std::move(of_kind.begin(), of_kind.end(), std::back_inserter(problems));
  }
  return problems;
}

std::vector<Problem> UnreadableProblems(const UnreadableTables& tables,
                                        const std::function<ChainName(const OriginId&)>& name) {
  std::vector<Problem> problems;
  for (const auto& [at, rows] : tables) {
    if (problems.size() == kTablesListed) break;
    problems.push_back({.kind = ProblemKind::kRowsUnreadable,
                        .subject = absl::StrCat(name(at.first).ForPeople(), " to ", at.second),
                        .cause = rows.cause,
                        .detail = absl::StrCat("first event ", EventName(at.first, rows.first))});
  }
  CountTheRest(ProblemKind::kRowsUnreadable, tables.size(), &problems);
  return problems;
}

std::vector<Problem> AheadProblems(absl::string_view branch, const OriginId& own, HlcStamp stamp,
                                   const RecorderCounters& counters, absl::Time now) {
  std::vector<Problem> problems;
  const absl::Time stamped = absl::FromUnixMillis(stamp.millis());
  if (stamped > now + kStampAheadMax) {
    problems.push_back({.kind = ProblemKind::kChainAhead, .subject = std::string(branch), .cause = UtcText(stamped)});
  }
  if (counters.ahead_until > now) {
    problems.push_back({.kind = ProblemKind::kCommitAhead,
                        .subject = std::string(branch),
                        .cause = UtcText(counters.ahead_until),
                        .detail = EventName(own, counters.ahead)});
  }
  return problems;
}

std::optional<Problem> ClockProblem(absl::Duration offset) {
  if (absl::AbsDuration(offset) <= kClockOffsetMax) return std::nullopt;
  return Problem{.kind = ProblemKind::kClockOff,
                 .cause = absl::StrCat(TwoUnits(absl::AbsDuration(offset)),
                                       offset > absl::ZeroDuration() ? " behind" : " ahead of")};
}

}  // namespace assay
