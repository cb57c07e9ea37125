#include "engine/fold/conflict_finder.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "log/annotate.h"
#include "log/local_state/local_state.h"

namespace assay {
namespace {

bool IsOf(const Conflict& pair, const std::optional<ColumnId>& column) { return pair.column == column; }

}  // namespace

absl::StatusOr<bool> ConflictFinder::Saw(const Version& later, const Version& earlier) {
  if (later.origin == earlier.origin) return later.sequence >= earlier.sequence;
  for (const Asked& asked : asked_) {
    if (asked.sequence == later.sequence && asked.by == later.origin && asked.of == earlier.origin)
      return asked.seen >= earlier.sequence;
  }
  ASSAY_ASSIGN_OR_RETURN(const Sequence seen, state_->Seen(later.origin, later.sequence, earlier.origin));
  asked_[asked_next_] = {later.origin, earlier.origin, later.sequence, seen};
  asked_next_ = 1 - asked_next_;
  return seen >= earlier.sequence;
}

absl::Status ConflictFinder::Take(const RowRef& row, absl::string_view key, const RowVersions& before,
                                  const RowVersions& change) {
  for (Asked& asked : asked_) asked = {};  // More may be known by now.
  std::vector<Conflict> pairs;
  if (conflicts_->MayHave(row)) {
    ASSAY_ASSIGN_OR_RETURN(pairs, Unseen(row, change));
  }
  ASSAY_RETURN_IF_ERROR(TakeCell({row, key, std::nullopt, &pairs}, Newest(before), Newest(change)));
  for (const ColumnVersion& column : change.columns) {
    const Version* newest = before.Find(column.column);
    if (newest != nullptr) ASSAY_RETURN_IF_ERROR(TakeCell({row, key, column.column, &pairs}, *newest, column.version));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Conflict>> ConflictFinder::Unseen(const RowRef& row, const RowVersions& change) {
  std::vector<Conflict> pairs;
  const Version by = Newest(change);
  for (const OriginId& origin : log_->Origins()) {
    if (origin == by.origin) continue;
    ASSAY_ASSIGN_OR_RETURN(const Sequence seen, state_->Seen(by.origin, by.sequence, origin));
    if (seen < log_->Head(origin).last) ASSAY_RETURN_IF_ERROR(conflicts_->AddUnseen(row, origin, seen, &pairs));
  }
  return pairs;
}

absl::Status ConflictFinder::TakeCell(const Cell& cell, const Version& newest, const Version& edit) {
  if (newest.IsNone() || !IsEdit(newest) || !IsEdit(edit) || newest == edit) return absl::OkStatus();
  if (cell.pairs->empty()) {  // The usual case: there is one end.
    ASSAY_ASSIGN_OR_RETURN(const bool known, Saw(newest, edit));
    ASSAY_ASSIGN_OR_RETURN(const bool seen, Saw(edit, newest));
    return known || seen ? absl::OkStatus() : AddPair(cell, edit, newest);
  }
  std::vector<Version> ends = {newest};
  for (const Conflict& pair : *cell.pairs) {
    if (!IsOf(pair, cell.column)) continue;
    if (pair.winner == newest) ends.push_back(pair.loser);
    if (pair.loser == newest) ends.push_back(pair.winner);
  }
  ASSAY_RETURN_IF_ERROR(Replace(cell, edit));
  for (const Version& end : ends) {
    ASSAY_ASSIGN_OR_RETURN(const bool known, Saw(end, edit));
    if (known) return absl::OkStatus();  // It is one of them, or one of them stands for it.
  }
  for (const Version& end : ends) {
    ASSAY_ASSIGN_OR_RETURN(const bool seen, Saw(edit, end));
    if (!seen) ASSAY_RETURN_IF_ERROR(AddPair(cell, edit, end));
  }
  return absl::OkStatus();
}

absl::Status ConflictFinder::Replace(const Cell& cell, const Version& edit) {
  const auto replaces = [&](const Conflict& pair) -> absl::StatusOr<bool> {
    if (!IsOf(pair, cell.column) || pair.winner == edit || pair.loser == edit) return false;  // Its own come once more.
    ASSAY_ASSIGN_OR_RETURN(const bool winner, Saw(edit, pair.winner));
    ASSAY_ASSIGN_OR_RETURN(const bool loser, Saw(edit, pair.loser));
    if (winner == loser) return false;
    // Unless the other had seen this one, which comes once more then.
    ASSAY_ASSIGN_OR_RETURN(const bool known, Saw(winner ? pair.loser : pair.winner, edit));
    return !known;
  };
  size_t kept = 0;
  for (Conflict& pair : *cell.pairs) {
    ASSAY_ASSIGN_OR_RETURN(const bool replaced, replaces(pair));
    if (replaced) {
      ASSAY_RETURN_IF_ERROR(conflicts_->Remove(pair));
    } else if (Conflict& to = (*cell.pairs)[kept++]; &to != &pair) {
      to = std::move(pair);
    }
  }
  cell.pairs->resize(kept);
  return absl::OkStatus();
}

absl::StatusOr<bool> ConflictFinder::Disagree(const Cell& cell, const Version& a, const Version& b) {
  if (cell.column.has_value()) {
    const absl::StatusOr<ColumnText> one = values_->Value(a, *cell.column), other = values_->Value(b, *cell.column);
    return !one.ok() || !other.ok() || *one != *other;
  }
  const auto deletes = [this](const Version& version) -> absl::StatusOr<bool> {
    ASSAY_ASSIGN_OR_RETURN(const ResolvedChange* change, values_->Change(version));
    return change->row().operation() == v1::RowChange::DELETE;
  };
  const absl::StatusOr<bool> one = deletes(a), other = deletes(b);
  return one.ok() && other.ok() && *one != *other;
}

absl::Status ConflictFinder::AddPair(const Cell& cell, const Version& a, const Version& b) {
  for (const Conflict& known : *cell.pairs) {
    if (IsOf(known, cell.column) && known.winner == std::max(a, b) && known.loser == std::min(a, b))
      return absl::OkStatus();
  }
  Conflict pair{0, cell.row, std::string(cell.key), cell.column, std::max(a, b), std::min(a, b)};
  ASSAY_ASSIGN_OR_RETURN(pair.listed, Disagree(cell, a, b));
  pair.rule = cell.column.has_value() ? "newest write of the column wins"
                                      : "a row lives if its newest write is newer than its newest delete";
  pair.found_ms = absl::ToUnixMillis(clock_->Now());
  return conflicts_->Add(pair);
}

}  // namespace assay
