#include "engine/pending_row.h"

#include <algorithm>
#include <utility>

namespace assay {
namespace {

constexpr size_t kUnusedMin = 64;  // Bytes not worth the copying.

}  // namespace

void PendingRow::Set(const Value& value, Slot* slot) {
  const size_t held = slot->kind == Value::Kind::kText ? slot->size : 0;
  slot->kind = value.kind;
  slot->declared = value.declared;
  if (value.kind == Value::Kind::kText && value.text.size() <= held) {
    std::copy(value.text.begin(), value.text.end(), texts_.begin() + static_cast<ptrdiff_t>(slot->at));
    slot->size = static_cast<uint32_t>(value.text.size());
    unused_ += held - value.text.size();
    return;
  }
  unused_ += held;
  slot->at = 0;
  slot->size = 0;
  if (value.kind != Value::Kind::kText) return;
  if (unused_ > kUnusedMin && unused_ > texts_.size() / 2) {
    std::string used;
    used.reserve(texts_.size() - unused_ + value.text.size());
    for (Slot& each : slots_) {
      const size_t at = used.size();
      used.append(texts_, each.at, each.size);
      each.at = at;
    }
    texts_ = std::move(used);
    unused_ = 0;
  }
  slot->at = texts_.size();
  slot->size = static_cast<uint32_t>(value.text.size());
  texts_.append(value.text.data(), value.text.size());
}

bool PendingRow::OnlyOf(const OriginId& origin) const {
  if (mixed_) return false;
  const Version& any = incoming_.written.IsNone() ? incoming_.deleted : incoming_.written;
  return any.IsNone() || any.origin == origin;
}

void PendingRow::Fold(const Version& version, ChangeKind kind, absl::Span<const Write> writes) {
  mixed_ |= !OnlyOf(version.origin);
  if (kind == ChangeKind::kDelete) {
    incoming_.deleted = std::max(incoming_.deleted, version);
    return;
  }
  incoming_.written = std::max(incoming_.written, version);
  ColumnVersions& columns = incoming_.columns;
  if (columns.empty()) {
    size_t bytes = 0;
    for (const Write& write : writes) bytes += write.value.text.size();
    columns.reserve(writes.size());
    slots_.reserve(writes.size());
    texts_.reserve(bytes);
  }
  size_t at = 0;
  for (const Write& write : writes) {
    while (at < columns.size() && columns.ColumnAt(at) < write.column) ++at;
    if (at == columns.size() || columns.ColumnAt(at) != write.column) {
      columns.Insert(at, write.column, version);
      slots_.insert(slots_.begin() + static_cast<ptrdiff_t>(at), Slot{});
    } else if (columns.VersionAt(at) > version) {
      continue;
    } else {
      columns.Set(at, version);
    }
    Set(write.value, &slots_[at]);
  }
}

PendingRow::Value PendingRow::ValueAt(size_t index) const {
  const Slot& slot = slots_[index];
  return {slot.kind, absl::string_view(texts_.data() + slot.at, slot.size), slot.declared};
}

size_t PendingRow::ByteSize() const {
  return sizeof(*this) + key.capacity() + incoming_.columns.ByteSize() + slots_.capacity() * sizeof(Slot) + texts_.capacity();
}

}  // namespace assay
