// A projection's own transaction comes by in capture: it is recognised, and its batch is merged.
#include <algorithm>
#include <utility>

#include "engine/projection/projector.h"
#include "engine/projection/row_digest.h"
#include "log/annotate.h"
#include "log/check.h"

namespace assay {
namespace {

constexpr absl::Duration kAnchorInterval = absl::Seconds(60);

}  // namespace

// Batches land in the order in which they committed, which is that of the WAL.
bool Projector::Claims(absl::string_view tag, HlcStamp* stamp) {
  const std::optional<OpenIntent>& first = FirstToLand().intent;
  if (!first.has_value() || tag != first->tag()) return false;
  *stamp = first->stamp();
  answered_ = false;
  return true;
}

bool Projector::Meant(const RowRef& ref, ChangeKind kind, const TableShape& shape, absl::Span<const TupleValue> tuple) {
  std::optional<OpenIntent>& first = FirstToLand().intent;
  if (first.has_value() && first->Meant(ref, kind, shape, tuple, *names_)) return true;
  if (!std::exchange(answered_, true)) answer_rate_.Note(clock_->Now());
  return false;
}

absl::Status Projector::Landed() {
  const bool replied = IsLanding();  // The echo may come before the reply.
  ASSAY_CHECK(replied || flight_->intent.has_value());
  Flight& flight = FirstToLand();
  OpenIntent landed = *std::exchange(flight.intent, std::nullopt);
  Batch* batch = &flight.batch;
  // After a restart the batch is not in memory; the log has it.
  if (batch->to() != landed.to()) ASSAY_RETURN_IF_ERROR(batch->Regather(landed.to()));
  ASSAY_RETURN_IF_ERROR(state_->EraseIntent(landed.batch()));
  ASSAY_RETURN_IF_ERROR(state_->Write(kBatchLandedNote, landed.batch()));
  activity_ = false;
  anchor_at_ = clock_->Now() + kAnchorInterval;
  ASSAY_RETURN_IF_ERROR(Settle(std::move(landed).TakeRows(), batch));
  if (!replied) Finish();
  if (flight_->stage == Stage::kCommitted) Committed();
  return absl::OkStatus();
}

absl::Status Projector::Settle(std::deque<IntentRow> rows, Batch* batch) {
  // Most rows are written as they were meant to be, and nothing is left to say of them.
  struct Left {
    IntentRow* row;
    RowVersions before;
    bool moved;
  };
  std::vector<Left> left;
  for (IntentRow& row : rows) {
    ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, rows_->Get(row.ref));
    const bool unwritten = row.write == IntentRow::Write::kNothing;
    const bool moved =
        !row.refused && (unwritten || !config_.naive_projection) && VersionsDigest(stored) != row.versions;
    if (!moved && !row.refused && row.remark().missing.empty() && unsettled_->count() == 0) continue;
    left.push_back({&row, stored == nullptr ? RowVersions{} : *stored, moved});
  }
  if (std::any_of(left.begin(), left.end(), [](const Left& one) { return one.row->remark().key.empty(); })) {
    absl::flat_hash_map<RowRef, const PendingRow*> pending;
    for (const PendingRow& row : batch->rows()) pending[row.ref] = &row;
    for (const Left& one : left) {
      const auto at = pending.find(one.row->ref);
      if (!one.row->remark().key.empty() || at == pending.end()) continue;
      const Version named = at->second->newest();
      IntentRow::Remark& remark = one.row->MutableRemark();
      remark.key = std::string(at->second->key());
      remark.origin = named.origin;
      remark.sequence = named.sequence;
    }
  }
  for (const PendingRow& pending : batch->rows()) {
    ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, rows_->Get(pending.ref));
    if (stored == nullptr && pending.steps().size() == 1) {
      ASSAY_RETURN_IF_ERROR(rows_->Put(pending.ref, pending.incoming()));
      continue;
    }
    RowVersions merged;
    if (stored != nullptr) merged = *stored;
    for (const RowVersions& step : pending.steps()) {
      ASSAY_RETURN_IF_ERROR(conflict_finder_.Take(pending.ref, pending.key(), merged, step));
      Merge(step, &merged);
    }
    ASSAY_RETURN_IF_ERROR(rows_->Put(pending.ref, std::move(merged)));
  }
  for (const Left& one : left) {
    ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, rows_->Get(one.row->ref));
    const RowVersions merged = stored == nullptr ? RowVersions{} : *stored;
    ASSAY_RETURN_IF_ERROR(SettleRow(*one.row, one.before, merged, one.moved));
  }
  for (const auto& [declared, sequence] : batch->declared()) {
    ASSAY_RETURN_IF_ERROR(history_.NoteDeclared(declared.first, declared.second, sequence));
  }
  for (const auto& [origin, to] : batch->to()) ASSAY_RETURN_IF_ERROR(state_->SetProjected(origin, to));
  probe_every_ = kProbeMin;
  events_projected_ += batch->event_count();
  // What was gathered at full size and landed may be larger the next time.
  if (batch->Full()) {
    size_.Grow();
    for (Flight* flight : {landing_.get(), flight_.get(), next_.get()}) flight->batch.set_rows_cap(size_.rows());
  }
  batch->Clear();
  return absl::OkStatus();
}

absl::Status Projector::SettleRow(const IntentRow& row, const RowVersions& before, const RowVersions& merged,
                                  bool moved) {
  const IntentRow::Remark& remark = row.remark();
  // What has been noted of the row since it was planned stays true: nothing of it was planned upon.
  ASSAY_ASSIGN_OR_RETURN(const std::optional<UnsettledRow> note, unsettled_->Find(row.ref));
  moved |= !row.refused && note.has_value() && note->revision != row.note;
  if (!row.refused && remark.missing.empty() && !moved) return unsettled_->Settle(row.ref);
  if (remark.key.empty()) return absl::InternalError("a projection has a row that none of its events is about");
  const WaitingEvent waiting{remark.key, remark.origin, remark.sequence};
  const ParkCause cause{remark.cause, remark.sqlstate};
  const int64_t now_ms = absl::ToUnixMillis(clock_->Now());
  if (moved) {
    // An update or a delete would have been stopped by what changed the row. One that was to stay as it is was not
    // written, and one that was absent may have come and gone.
    std::optional<bool> there;
    if (row.write != IntentRow::Write::kNothing) there = row.write != IntentRow::Write::kDelete;
    return unsettled_->MarkMoved(row.ref, waiting, cause, there, before.IsLive(), now_ms);
  }
  if (row.refused) return unsettled_->ParkRefused(row.ref, waiting, cause, before, now_ms);
  // Of the columns that are not here PostgreSQL holds what it held.
  RowVersions written = merged;
  written.columns.EraseIf([&](const ColumnVersion& column) {
    return std::count(remark.missing.begin(), remark.missing.end(), column.column.value) > 0;
  });
  return unsettled_->ParkPartly(row.ref, waiting, cause, std::move(written), now_ms);
}

}  // namespace assay
