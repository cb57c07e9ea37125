#include "engine/fold/pending_rows.h"

#include <algorithm>

#include "engine/fold/fold_values.h"
#include "log/annotate.h"
#include "log/bytes.h"

namespace assay {

void PendingRows::Clear() {
  index_.clear();
  rows_.clear();
  schemas_.clear();
  schema_.reset();
  new_rows_ = bytes_ = 0;
}

void PendingRows::Seal() { index_ = {}; }

absl::Status PendingRows::TakeSchema(const StoredEvent& stored, Sequence schema) {
  if (schema_ != nullptr && schema_sequence_ == schema && schema_origin_ == stored.origin) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(schema_, SchemaOfRow(stored.origin, schema, *names_));
  schema_origin_ = stored.origin;
  schema_sequence_ = schema;
  schemas_.insert(schema_);
  return absl::OkStatus();
}

absl::Status PendingRows::Fold(const StoredEvent& stored, const RowEvent& event, uint32_t epoch) {
  if (const absl::Status status = TakeSchema(stored, event.schema); !status.ok())
    return absl::IsPermissionDenied(status) ? absl::OkStatus() : status;  // As good as masked.
  ASSAY_RETURN_IF_ERROR(CheckKeySize(event.key.size(), schema_->key.size()));
  writes_.clear();
  for (const RowEvent::Column& column : event.columns) {
    ASSAY_RETURN_IF_ERROR(CheckOrdinal(column.ordinal, schema_->columns.size()));
    if (event.kind == ChangeKind::kDelete) continue;
    PendingRow::Write& write = writes_.emplace_back();
    write.column = schema_->columns[column.ordinal];
    if (!column.has_value && !column.is_null) continue;
    write.kind = column.is_null ? PendingRow::Kind::kNull : PendingRow::Kind::kText;
    if (!column.is_null) write.text = column.value;
  }
  const auto not_before = [](const PendingRow::Write& a, const PendingRow::Write& b) { return a.column >= b.column; };
  if (std::adjacent_find(writes_.begin(), writes_.end(), not_before) != writes_.end()) {
    std::reverse(writes_.begin(), writes_.end());  // Of a column that is named twice, the last counts.
    std::stable_sort(writes_.begin(), writes_.end(), [](const auto& a, const auto& b) { return a.column < b.column; });
    const auto same = [](const auto& a, const auto& b) { return a.column == b.column; };
    writes_.erase(std::unique(writes_.begin(), writes_.end(), same), writes_.end());
  }

  key_.clear();
  for (const absl::string_view text : event.key) PutSized(&key_, text);
  const auto found = index_.find(Place(*schema_, key_));
  const bool is_new = found == index_.end();
  if (is_new && event.kind == ChangeKind::kInsert) ++new_rows_;
  if (!is_new) bytes_ -= (*found)->ByteSize();
  PendingRow& row =
      is_new ? rows_.emplace_back(RowOf(schema_->table, schema_->key_columns, key_), key_, writes_) : **found;
  const Version version{StampThatCounts(event.standing, stored.stamp), stored.origin, stored.sequence};
  row.Fold(version, event.kind, writes_, *schema_, epoch);
  if (is_new) index_.insert(&row);
  bytes_ += row.ByteSize();
  return absl::OkStatus();
}

}  // namespace assay
