#include "engine/projection/batch_settler.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "engine/projection/row_digest.h"
#include "log/annotate.h"

namespace assay {
namespace {

// The row is named by an event that waits for it: where the intent has none, by the newest that is about it.
void NameRow(const PendingRow& pending, IntentRow* row) {
  const Version newest = pending.newest();
  IntentRow::Remark& remark = row->MutableRemark();
  remark.key = std::string(pending.key());
  remark.origin = newest.origin;
  remark.sequence = newest.sequence;
}

}  // namespace

absl::Status BatchSettler::Settle(std::deque<IntentRow> rows, const Batch& batch) {
  ASSAY_ASSIGN_OR_RETURN(const std::vector<Left> left, WhatIsLeft(&rows));
  const auto nameless = [](const Left& one) { return one.row->remark().key.empty(); };
  if (std::any_of(left.begin(), left.end(), nameless)) {
    absl::flat_hash_map<RowRef, const PendingRow*> pending;
    for (const PendingRow& row : batch.rows()) pending[row.ref] = &row;
    for (const Left& one : left) {
      const auto at = pending.find(one.row->ref);
      if (nameless(one) && at != pending.end()) NameRow(*at->second, one.row);
    }
  }
  ASSAY_RETURN_IF_ERROR(MergeVersions(batch));
  for (const Left& one : left) ASSAY_RETURN_IF_ERROR(SettleRow(one));
  for (const auto& [declared, sequence] : batch.declared()) {
    ASSAY_RETURN_IF_ERROR(history_->NoteDeclared(declared.first, declared.second, sequence));
  }
  for (const auto& [origin, to] : batch.to()) ASSAY_RETURN_IF_ERROR(stores_.state->SetProjected(origin, to));
  return absl::OkStatus();
}

// Most rows are written as they were meant to be, and nothing is left to say of them.
absl::StatusOr<std::vector<BatchSettler::Left>> BatchSettler::WhatIsLeft(std::deque<IntentRow>* rows) const {
  std::vector<Left> left;
  for (IntentRow& row : *rows) {
    ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, stores_.rows->Get(row.ref));
    const bool unwritten = row.write == IntentRow::Write::kNothing;
    const bool moved =
        !row.refused && (unwritten || !config_.naive_projection) && VersionsDigest(stored) != row.versions;
    if (!moved && !row.refused && row.remark().missing.empty() && stores_.unsettled->count() == 0) continue;
    left.push_back({&row, stored == nullptr ? RowVersions{} : *stored, moved});
  }
  return left;
}

absl::Status BatchSettler::MergeVersions(const Batch& batch) {
  for (const PendingRow& pending : batch.rows()) {
    ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, stores_.rows->Get(pending.ref));
    if (stored == nullptr && pending.steps().size() == 1) {
      ASSAY_RETURN_IF_ERROR(stores_.rows->Put(pending.ref, pending.incoming()));
      continue;
    }
    RowVersions merged;
    if (stored != nullptr) merged = *stored;
    for (const RowVersions& step : pending.steps()) {
      ASSAY_RETURN_IF_ERROR(conflict_finder_.Take(pending.ref, pending.key(), merged, step));
      Merge(step, &merged);
    }
    ASSAY_RETURN_IF_ERROR(stores_.rows->Put(pending.ref, std::move(merged)));
  }
  return absl::OkStatus();
}

absl::Status BatchSettler::SettleRow(const Left& left) {
  const IntentRow& row = *left.row;
  const IntentRow::Remark& remark = row.remark();
  UnsettledRows& unsettled = *stores_.unsettled;
  bool moved = left.moved;
  // What has been noted of the row since it was planned stays true: nothing of it was planned upon.
  ASSAY_ASSIGN_OR_RETURN(const std::optional<UnsettledRow> note, unsettled.Find(row.ref));
  moved |= !row.refused && note.has_value() && note->revision != row.note;
  if (!row.refused && remark.missing.empty() && !moved) return unsettled.Settle(row.ref);
  if (remark.key.empty()) return absl::InternalError("a projection has a row that none of its events is about");
  const WaitingEvent waiting{remark.key, remark.origin, remark.sequence};
  const ParkCause cause{remark.cause, remark.sqlstate};
  const int64_t now_ms = absl::ToUnixMillis(clock_->Now());
  if (moved) {
    // An update or a delete would have been stopped by what changed the row. One that was to stay as it is was not
    // written, and one that was absent may have come and gone.
    std::optional<bool> there;
    if (row.write != IntentRow::Write::kNothing) there = row.write != IntentRow::Write::kDelete;
    return unsettled.MarkMoved(row.ref, waiting, cause, there, left.before.IsLive(), now_ms);
  }
  if (row.refused) return unsettled.ParkRefused(row.ref, waiting, cause, left.before, now_ms);
  // Of the columns that are not here PostgreSQL holds what it held.
  ASSAY_ASSIGN_OR_RETURN(const RowVersions* merged, stores_.rows->Get(row.ref));
  RowVersions written = merged == nullptr ? RowVersions{} : *merged;
  written.columns.EraseIf([&](const ColumnVersion& column) {
    return std::count(remark.missing.begin(), remark.missing.end(), column.column.value) > 0;
  });
  return unsettled.ParkPartly(row.ref, waiting, cause, std::move(written), now_ms);
}

}  // namespace assay
