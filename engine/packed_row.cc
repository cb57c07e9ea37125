#include "engine/packed_row.h"

#include <algorithm>
#include <limits>
#include <new>

#include "log/bytes.h"
#include "log/check.h"

namespace assay {

PackedRow::PackedRow(absl::string_view key, size_t columns, size_t bytes) {
  bytes += key.size();
  // A row of 4 GB would have had to come in many events, each of which is held in memory as well.
  ASSAY_CHECK(columns <= std::numeric_limits<uint32_t>::max() && bytes <= std::numeric_limits<uint32_t>::max());
  static_assert(alignof(Piece) >= alignof(Slot) && sizeof(Piece) % alignof(Slot) == 0);
  void* memory = ::operator new(sizeof(Piece) + columns * sizeof(Slot) + bytes);
  piece_ = new (memory) Piece{.users = 1,
                              .size = 0,
                              .slots = static_cast<uint32_t>(columns),
                              .key_size = static_cast<uint32_t>(key.size()),
                              .end = static_cast<uint32_t>(key.size()),
                              .bytes = static_cast<uint32_t>(bytes),
                              .unused = 0};
  std::copy(key.begin(), key.end(), this->bytes());
}

PackedRow::PackedRow(const PackedRow& other) : piece_(other.piece_) {
  piece_->users.fetch_add(1, std::memory_order_relaxed);
}

PackedRow::~PackedRow() {
  if (piece_ == nullptr || piece_->users.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  piece_->~Piece();
  ::operator delete(piece_);
}

PackedRow::KeyTexts PackedRow::KeyParts() const {
  KeyTexts texts;
  for (ByteReader reader(key()); !reader.empty();) ASSAY_CHECK(reader.Sized(&texts.emplace_back()));
  return texts;
}

void PackedRow::Move(size_t slots, size_t bytes) {
  PackedRow moved(key(), slots, piece_->end - piece_->unused - piece_->key_size + bytes);
  Piece& to = *moved.piece_;
  to.size = piece_->size;
  for (size_t i = 0; i < to.size; ++i) {
    const absl::string_view text = TextAt(i);
    moved.slots()[i] = {to.end, static_cast<uint32_t>(text.size()), this->slots()[i].kind};
    std::copy(text.begin(), text.end(), moved.bytes() + to.end);
    to.end += static_cast<uint32_t>(text.size());
  }
  *this = std::move(moved);
}

void PackedRow::MakeOwn() {
  if (piece_->users.load(std::memory_order_acquire) > 1) Move(piece_->slots, piece_->bytes - piece_->end);
}

void PackedRow::Insert(size_t index) {
  MakeOwn();
  if (piece_->size == piece_->slots) Move(piece_->size + piece_->size / 4 + 2, piece_->bytes - piece_->end);
  Slot* slot = slots() + index;
  std::copy_backward(slot, slots() + piece_->size, slots() + piece_->size + 1);
  *slot = {};
  ++piece_->size;
}

void PackedRow::Set(size_t index, Kind kind, absl::string_view text) {
  ASSAY_CHECK(text.size() < size_t{1} << 30);
  MakeOwn();
  const uint32_t size = static_cast<uint32_t>(text.size());
  Slot& slot = slots()[index];
  if (size <= slot.size) {
    piece_->unused += slot.size - size;
    slot.size = size;
    slot.kind = static_cast<uint32_t>(kind);
    std::copy(text.begin(), text.end(), bytes() + slot.at);
    return;
  }
  piece_->unused += slot.size;
  slot.size = 0;
  if (size > piece_->bytes - piece_->end) {
    // So much more that a row whose texts grow time and again is not moved each time.
    Move(piece_->slots, size + std::max<size_t>(32, (piece_->end - piece_->unused) / 4));
  }
  slots()[index] = {piece_->end, size, static_cast<uint32_t>(kind)};
  std::copy(text.begin(), text.end(), bytes() + piece_->end);
  piece_->end += size;
}

void PackedRow::Add(std::optional<absl::string_view> text) {
  Insert(size());
  Set(size() - 1, text.has_value() ? Kind::kText : Kind::kNull, text.value_or(absl::string_view()));
}

size_t PackedRow::ByteSize() const { return sizeof(Piece) + piece_->slots * sizeof(Slot) + piece_->bytes; }

}  // namespace assay
