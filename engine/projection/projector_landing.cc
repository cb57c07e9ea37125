// A projection's own transaction comes by in capture: it is recognised, and its batch is merged.
#include <utility>

#include "engine/projection/projector.h"
#include "log/annotate.h"
#include "log/check.h"

namespace assay {

bool Projector::Claims(absl::string_view tag, HlcStamp* stamp) {
  const std::optional<OpenIntent>& first = flights_.FirstToLand().intent;
  if (!first.has_value() || tag != first->tag()) return false;
  *stamp = first->stamp();
  answer_rate_.Begin();
  return true;
}

bool Projector::Meant(const RowRef& ref, ChangeKind kind, const TableShape& shape, absl::Span<const TupleValue> tuple) {
  std::optional<OpenIntent>& first = flights_.FirstToLand().intent;
  if (first.has_value() && first->Meant(ref, kind, shape, tuple, *stores_.names)) return true;
  answer_rate_.Note(clock_->Now());
  return false;
}

absl::Status Projector::Landed() {
  const bool replied = IsLanding();  // The echo may come before the reply.
  ASSAY_CHECK(replied || flight().intent.has_value());
  Flight& first = flights_.FirstToLand();
  OpenIntent landed = *std::exchange(first.intent, std::nullopt);
  Batch* batch = &first.batch;
  // After a restart the batch is not in memory; the log has it.
  if (batch->to() != landed.to()) ASSAY_RETURN_IF_ERROR(batch->Regather(landed.to()));
  ASSAY_RETURN_IF_ERROR(stores_.state->EraseIntent(landed.batch()));
  ASSAY_RETURN_IF_ERROR(stores_.state->Write(kBatchLandedNote, landed.batch()));
  jobs_.OnLanded(clock_->Now());
  ASSAY_RETURN_IF_ERROR(Settle(std::move(landed).TakeRows(), batch));
  if (!replied) Finish();
  if (flight().stage == Stage::kCommitted) Committed();
  return absl::OkStatus();
}

absl::Status Projector::Settle(std::deque<IntentRow> rows, Batch* batch) {
  ASSAY_RETURN_IF_ERROR(settler_.Settle(std::move(rows), *batch));
  jobs_.ProbeOften();
  events_projected_ += batch->event_count();
  // What was gathered at full size and landed may be larger the next time.
  if (batch->Full()) flights_.Grow();
  batch->Clear();
  return absl::OkStatus();
}

}  // namespace assay
