#include "engine/fold/pending_row.h"

#include <algorithm>
#include <utility>

#include "log/check.h"

namespace assay {
namespace {

size_t BytesOf(absl::Span<const PendingRow::Write> writes) {
  size_t bytes = 0;
  for (const PendingRow::Write& write : writes) bytes += write.text.size();
  return bytes;
}

// How `schema` declares the `index`th of a row's columns: mostly about there.
const v1::TableSchema::Column& Declared(const ResolvedSchema& schema, ColumnId column, size_t index) {
  const size_t size = schema.columns.size();
  for (size_t tried = 0, at = std::min(index, size); tried <= size; ++tried, ++at) {
    if (at >= size) at = 0;
    if (schema.columns[at] == column) return schema.schema.columns(static_cast<int>(at));
  }
  ASSAY_CHECK(false);
}

}  // namespace

PendingRow::PendingRow(const RowRef& ref, absl::string_view key, absl::Span<const Write> first)
    : ref(ref), texts_(key, first.size(), BytesOf(first)) {}

void PendingRow::FoldStep(const Version& version, ChangeKind kind, absl::Span<const Write> writes) {
  RowClaim claim{kind, version, {}};
  for (const Write& write : writes) claim.columns.push_back(write.column);
  RowVersions& step = steps_->back();
  steps_bytes_ -= step.columns.ByteSize();
  Merge(VersionsOf(claim), &step);
  steps_bytes_ += step.columns.ByteSize();
}

void PendingRow::Fold(const Version& version, ChangeKind kind, absl::Span<const Write> writes,
                      const ResolvedSchema& schema, uint32_t epoch) {
  if (std::exchange(epoch_, epoch) != epoch && !Newest(incoming_).IsNone()) {
    if (steps_ == nullptr) steps_ = std::make_unique<std::vector<RowVersions>>(1, incoming_);
    steps_->emplace_back();
    steps_bytes_ += sizeof(RowVersions);
  }
  if (steps_ != nullptr) FoldStep(version, kind, writes);
  if (declared_ == nullptr || version > newest()) declared_ = &schema;
  if (kind == ChangeKind::kDelete) {
    incoming_.deleted = std::max(incoming_.deleted, version);
    return;
  }
  incoming_.written = std::max(incoming_.written, version);
  incoming_.whole |= kind == ChangeKind::kInsert;
  ColumnVersions& columns = incoming_.columns;
  if (columns.empty()) schema_ = &schema;
  if (schema_ != &schema && schemas_ == nullptr) {
    schemas_ = std::make_unique<std::vector<const ResolvedSchema*>>(columns.size(), schema_);
  }
  size_t at = 0;
  for (const Write& write : writes) {
    while (at < columns.size() && columns.ColumnAt(at) < write.column) ++at;
    if (at == columns.size() || columns.ColumnAt(at) != write.column) {
      columns.Insert(at, write.column, version);
      texts_.Insert(at);
      if (schemas_ != nullptr) schemas_->insert(schemas_->begin() + static_cast<ptrdiff_t>(at), &schema);
    } else if (columns.VersionAt(at) > version) {
      continue;
    } else {
      columns.Set(at, version);
      if (schemas_ != nullptr) (*schemas_)[at] = &schema;
    }
    texts_.Set(at, write.kind, write.text);
  }
}

PendingRow::Value PendingRow::ValueAt(size_t index) const {
  const Kind kind = texts_.KindAt(index);
  if (kind == Kind::kNone) return {};
  const ResolvedSchema& schema = schemas_ == nullptr ? *schema_ : *(*schemas_)[index];
  return {kind, texts_.TextAt(index), &Declared(schema, incoming_.columns.ColumnAt(index), index), &schema};
}

size_t PendingRow::ByteSize() const {
  // NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are what it has.
  const size_t entry_size = sizeof(const ResolvedSchema*);
  const size_t schemas = schemas_ == nullptr ? 0 : sizeof(*schemas_) + schemas_->capacity() * entry_size;
  return sizeof(*this) + incoming_.columns.ByteSize() + texts_.ByteSize() + schemas + steps_bytes_;
}

}  // namespace assay
