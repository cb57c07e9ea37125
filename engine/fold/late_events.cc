#include "engine/fold/late_events.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "engine/fold/merge.h"
#include "engine/fold/unreadable_rows.h"
#include "log/annotate.h"
#include "log/local_state/unsettled_rows.h"

namespace assay {

absl::Status LateEvents::Merge(const OriginId& origin, absl::Span<const Sequence> events) {
  values_.Clear();
  for (const Sequence sequence : events) {
    EventReader reader = stores_.log->Read(origin, sequence);
    ASSAY_ASSIGN_OR_RETURN(const StoredEvent* stored, reader.Next());
    if (stored == nullptr || stored->masked) continue;
    absl::StatusOr<v1::Event> event = ParseEvent(stored->bytes, origin);
    if (event.ok()) ASSAY_RETURN_IF_ERROR(NoteSeen(*event, origin, stores_.state));
    const absl::StatusOr<ResolvedChange> change =
        event.ok() ? ResolveChange(*std::move(event), origin, *stores_.names) : event.status();
    if (absl::IsPermissionDenied(change.status())) continue;  // As good as masked.
    // Its chain is merged beyond it: there is nothing to stop any more.
    if (absl::IsInvalidArgument(change.status()) || absl::IsDataLoss(change.status())) {
      ASSAY_RETURN_IF_ERROR(NoteUnreadable(*stored, change.status(), stores_.state));
      continue;
    }
    ASSAY_RETURN_IF_ERROR(change.status());
    if (change->event.has_row()) ASSAY_RETURN_IF_ERROR(MergeRow(*change, origin));
  }
  return absl::OkStatus();
}

absl::Status LateEvents::MergeRow(const ResolvedChange& change, const OriginId& origin) {
  const RowKey key(change.row().key().begin(), change.row().key().end());
  const RowRef ref = RowOf(change.schema->table, change.schema->key_columns, key);
  const RowClaim claim = ClaimOf(change, origin);
  ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, stores_.rows->Get(ref));
  const bool known = stored != nullptr;
  RowVersions before;
  if (known) before = *stored;
  ASSAY_RETURN_IF_ERROR(conflict_finder_.Take(ref, EncodeKey(key), before, VersionsOf(claim)));
  RowVersions merged = before;
  assay::Merge(VersionsOf(claim), &merged);
  if (merged == before) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(stores_.rows->Put(ref, std::move(merged)));
  const WaitingEvent waiting{EncodeKey(key), origin, claim.version.sequence};
  const int64_t now_ms = absl::ToUnixMillis(clock_->Now());
  ASSAY_ASSIGN_OR_RETURN(std::optional<UnsettledRow> unsettled, stores_.unsettled->Find(ref));
  if (unsettled.has_value() && unsettled->held_known)
    return stores_.unsettled->MarkDue(ref, waiting, std::move(unsettled->held), now_ms);
  if (!unsettled.has_value() && known) return stores_.unsettled->MarkDue(ref, waiting, std::move(before), now_ms);
  if (!unsettled.has_value()) return stores_.unsettled->MarkDue(ref, waiting, std::nullopt, now_ms);
  // It is compared at its next try as it is.
  return unsettled->IsThere() ? stores_.unsettled->MarkDifferent(ref, waiting, now_ms) : absl::OkStatus();
}

}  // namespace assay
