#include "engine/recovery/table_comparer.h"

#include <utility>

#include "engine/column_text.h"
#include "engine/fold/merge.h"
#include "log/annotate.h"
#include "log/check.h"

namespace assay {

size_t BytesOf(absl::Span<const TupleValue> tuple) {
  size_t bytes = 0;
  for (const TupleValue& value : tuple) bytes += value.text.size();
  return bytes;
}

void TableComparer::Begin(Pass pass, Lsn at, int64_t time_us) {
  pass_ = pass;
  time_us_ = time_us;
  feed_.Begin(at, time_us);
}

absl::Status TableComparer::BeginTable(std::shared_ptr<const TableShape> shape) {
  shape_ = std::move(shape);
  ASSAY_ASSIGN_OR_RETURN(table_, parts_.names->IdOf(shape_->name));
  ASSAY_ASSIGN_OR_RETURN(const DeclaredTable* declared, parts_.recorder->Describe(shape_));
  key_ = declared->key;
  columns_.clear();
  is_key_.assign(shape_->columns.size(), false);
  for (uint32_t key : shape_->key) is_key_[key] = true;
  for (const TableColumn& column : shape_->columns) {
    ASSAY_ASSIGN_OR_RETURN(const ColumnId id, parts_.names->ColumnIdOf(table_, column.name));
    columns_.push_back(id);
  }
  return absl::OkStatus();
}

absl::Status TableComparer::Row(absl::Span<const TupleValue> tuple) {
  ASSAY_CHECK(tuple.size() == columns_.size());
  RowKey key;
  for (uint32_t ordinal : key_.ordinals) key.emplace_back(tuple[ordinal].text);
  const RowRef ref = RowOf(table_, key_.columns, key);
  ASSAY_ASSIGN_OR_RETURN(const FoldIndex::Entry* entry, fold_->Find(ref));
  return Compared({ref, key, entry, CompareRow(entry, columns_, is_key_, tuple), tuple});
}

absl::Status TableComparer::TakeOn(const RowRef& ref, const RowVersions& versions) {
  ASSAY_RETURN_IF_ERROR(parts_.unsettled->Settle(ref));
  return parts_.rows->Put(ref, versions);
}

absl::Status TableComparer::MakeDue(const RowRef& ref, const RowKey& key, const RowVersions& versions, bool there) {
  ASSAY_RETURN_IF_ERROR(parts_.rows->Put(ref, versions));
  const Version newest = Newest(versions);
  const WaitingEvent waiting{EncodeKey(key), newest.origin, newest.sequence};
  if (there) return parts_.unsettled->MarkDifferent(ref, waiting, time_us_ / 1000);
  return parts_.unsettled->MarkDue(ref, waiting, std::nullopt, time_us_ / 1000);
}

absl::Status TableComparer::WriteInsert(absl::Span<const TupleValue> tuple) {
  CaptureItem item;
  item.kind = CaptureItem::Kind::kInsert;
  item.new_tuple.assign(tuple.begin(), tuple.end());
  return Record(std::move(item), BytesOf(tuple));
}

absl::Status TableComparer::WriteUpdate(const ComparedRow& row, const std::vector<uint32_t>& ordinals) {
  if (ordinals.empty()) return absl::OkStatus();
  CaptureItem item;
  item.kind = CaptureItem::Kind::kUpdate;
  item.new_tuple.assign(row.tuple.begin(), row.tuple.end());
  item.old_tuple = item.new_tuple;
  std::vector<ColumnText> before;
  before.reserve(ordinals.size());  // The tuple points into it.
  size_t bytes = 0;
  for (uint32_t ordinal : ordinals) {
    bytes += row.tuple[ordinal].text.size();
    const Version* version = row.entry->versions.Find(columns_[ordinal]);
    if (version == nullptr) {
      item.old_tuple[ordinal] = {TupleValue::Kind::kUnchanged, {}};  // Nobody says what it was before.
      continue;
    }
    ASSAY_ASSIGN_OR_RETURN(ColumnText value, ValueOf(*version, ordinal));
    before.push_back(std::move(value));
    item.old_tuple[ordinal] = TupleOf(before.back());
  }
  return Record(std::move(item), bytes);
}

}  // namespace assay
