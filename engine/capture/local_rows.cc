#include "engine/capture/local_rows.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "log/annotate.h"

namespace assay {

absl::StatusOr<bool> LocalRows::IsThere(const RowRef& row, const RowVersions& fold) {
  ASSAY_ASSIGN_OR_RETURN(const std::optional<UnsettledRow> unsettled, unsettled_->Find(row));
  if (!unsettled.has_value()) return fold.IsLive();
  return unsettled->IsThere();
}

absl::StatusOr<std::reference_wrapper<const RowVersions>> LocalRows::Held(const RowRef& row) {
  static const RowVersions kNone;
  if (unsettled_->count() > 0) {
    ASSAY_ASSIGN_OR_RETURN(const std::optional<UnsettledRow> unsettled, unsettled_->Find(row));
    if (unsettled.has_value() && unsettled->held_known) {
      if (!unsettled->held.has_value()) return std::cref(kNone);
      held_ = *unsettled->held;
      return std::cref(held_);
    }
  }
  ASSAY_ASSIGN_OR_RETURN(const RowVersions* versions, rows_->Get(row));
  return std::cref(versions == nullptr ? kNone : *versions);
}

absl::Status LocalRows::MoveFound(const RowRef& ref, const RowKey& key, const RowClaim& claim) {
  ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, rows_->Get(ref));
  RowVersions merged = stored == nullptr ? RowVersions{} : *stored;
  Merge(VersionsOf(claim), &merged);
  const bool shown = merged.IsLive() && std::all_of(claim.columns.begin(), claim.columns.end(), [&](ColumnId column) {
                       return *merged.Find(column) == claim.version;
                     });
  const Version newest = Newest(merged);
  ASSAY_RETURN_IF_ERROR(rows_->Put(ref, std::move(merged)));
  if (shown) return absl::OkStatus();
  return unsettled_->MarkDifferent(ref, {EncodeKey(key), newest.origin, newest.sequence},
                                   absl::ToUnixMillis(clock_->Now()));
}

absl::Status LocalRows::Move(const RowRef& ref, const RowKey& key, RowClaim claim) {
  std::sort(claim.columns.begin(), claim.columns.end());
  if (!IsEdit(claim.version)) return MoveFound(ref, key, claim);
  const ChangeKind kind = claim.kind;
  // PostgreSQL's new row has the columns of its table; a row that was there before may have had more, from branches
  // that know more columns, and has them again.
  const auto drop_untouched = [&](RowVersions* versions) {
    versions->columns.EraseIf([&](const ColumnVersion& column) {
      return !std::binary_search(claim.columns.begin(), claim.columns.end(), column.column);
    });
  };
  RowVersions change = VersionsOf(claim);
  ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, rows_->Get(ref));
  std::optional<UnsettledRow> unsettled;
  if (unsettled_->count() > 0) {
    ASSAY_ASSIGN_OR_RETURN(unsettled, unsettled_->Find(ref));
  }
  if (stored == nullptr && !unsettled.has_value()) return rows_->Put(ref, std::move(change));
  RowVersions merged = stored == nullptr ? RowVersions{} : *stored;
  // The usual case: the clock is past everything this row has, so what PostgreSQL now holds is the fold.
  const bool newest = claim.version > Newest(merged);
  RowVersions before;  // Not of the usual case, which has no use for it.
  if (unsettled.has_value() || !newest || kind == ChangeKind::kInsert) before = merged;
  Merge(change, &merged);
  const bool whole = kind != ChangeKind::kInsert || merged.columns.size() == claim.columns.size();
  if (!unsettled.has_value() && newest && whole) return rows_->Put(ref, std::move(merged));
  ASSAY_RETURN_IF_ERROR(rows_->Put(ref, merged));

  const WaitingEvent waiting{EncodeKey(key), own_, claim.version.sequence};
  const int64_t now_ms = absl::ToUnixMillis(clock_->Now());
  // A remote version that needed no writing was adopted while this change was on its way, and beats it: PostgreSQL
  // shows a loser. What exactly it holds is read when the row is written again.
  if (!newest || (unsettled.has_value() && !unsettled->held_known))
    return unsettled_->NoteUnseenEdit(ref, waiting, /*there=*/kind != ChangeKind::kDelete, now_ms);
  RowVersions held = unsettled.has_value() ? unsettled->held.value_or(RowVersions{}) : before;
  Merge(change, &held);
  if (kind == ChangeKind::kInsert) drop_untouched(&held);
  if (held.ShowsLike(merged)) return unsettled_->Settle(ref);
  return unsettled_->NoteLocalEdit(ref, waiting, std::move(held), now_ms);
}

}  // namespace assay
