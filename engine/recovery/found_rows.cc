#include "engine/recovery/found_rows.h"

#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "engine/column_text.h"
#include "engine/recovery/row_feed.h"
#include "log/annotate.h"
#include "log/check.h"
#include "log/local_state/notes.h"
#include "log/local_state/unsettled_rows.h"

namespace assay {

absl::StatusOr<size_t> FoundRecorder::Record(const FoundRows& found) {
  ASSAY_CHECK(!recorder_->InTransaction());
  ASSAY_ASSIGN_OR_RETURN(const DeclaredShape newest, stores_.state->Read(kShapeNote, found.shape->name.ToString()));
  if (newest.sequence != found.declared) return 0;  // It was altered since.
  ASSAY_ASSIGN_OR_RETURN(const DeclaredTable* table, recorder_->Describe(found.shape));
  RowFeed feed(recorder_);
  feed.Begin(recorder_->captured().commit_lsn, absl::ToUnixMicros(clock_->Now()));
  ASSAY_RETURN_IF_ERROR(feed.SetSource(v1::TransactionHeader::RECONCILE, v1::RowChange::FOUND));
  size_t recorded = 0;
  for (const FoundRow& row : found.rows) {
    RowKey key;
    for (const uint32_t ordinal : table->key.ordinals) key.push_back(row.values[ordinal].value_or(""));
    ASSAY_ASSIGN_OR_RETURN(const bool as_it_was, IsAsItWas(RowOf(table->table, table->key.columns, key), row));
    if (!as_it_was) continue;
    CaptureItem item;
    item.kind = CaptureItem::Kind::kUpdate;
    size_t bytes = 0;
    for (const ColumnText& value : row.values) item.new_tuple.push_back(TupleOf(value));
    item.old_tuple = item.new_tuple;
    for (const uint32_t ordinal : row.columns) {
      item.old_tuple[ordinal] = {TupleValue::Kind::kUnchanged, {}};  // Nobody says what it was before.
      bytes += item.new_tuple[ordinal].text.size();
    }
    ASSAY_RETURN_IF_ERROR(feed.Record(found.shape, std::move(item), bytes));
    ++recorded;
  }
  ASSAY_RETURN_IF_ERROR(feed.Commit());
  recorder_->SetSource(v1::TransactionHeader::LIVE, v1::RowChange::EDIT);
  return recorded;
}

absl::StatusOr<bool> FoundRecorder::IsAsItWas(const RowRef& ref, const FoundRow& row) {
  ASSAY_ASSIGN_OR_RETURN(const RowVersions* versions, stores_.rows->Get(ref));
  if (versions == nullptr || !(*versions == row.versions)) return false;
  ASSAY_ASSIGN_OR_RETURN(const std::optional<UnsettledRow> unsettled, stores_.unsettled->Find(ref));
  return !unsettled.has_value();
}

}  // namespace assay
