#include "engine/packed_row.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "log/check.h"

namespace assay {

std::unique_ptr<char[]> PackedRow::NewPiece(size_t slots, size_t bytes) {
  // A row of 4 GB would have had to come in many events, each of which is held in memory as well.
  ASSAY_CHECK(slots <= std::numeric_limits<uint32_t>::max() && bytes <= std::numeric_limits<uint32_t>::max());
  std::unique_ptr<char[]> piece(new char[sizeof(Header) + slots * sizeof(Slot) + bytes]);
  *reinterpret_cast<Header*>(piece.get()) = {.slots = static_cast<uint32_t>(slots), .bytes = static_cast<uint32_t>(bytes)};
  return piece;
}

PackedRow::PackedRow(absl::string_view key, size_t columns, size_t bytes) : piece_(NewPiece(columns, key.size() + bytes)) {
  header().key_size = header().end = static_cast<uint32_t>(key.size());
  std::copy(key.begin(), key.end(), this->bytes());
}

void PackedRow::Move(size_t slots, size_t bytes) {
  PackedRow moved(key(), slots, header().end - header().unused - header().key_size + bytes);
  Header& to = moved.header();
  to.size = header().size;
  for (size_t i = 0; i < to.size; ++i) {
    const absl::string_view text = TextAt(i);
    moved.slots()[i] = {to.end, static_cast<uint32_t>(text.size()), this->slots()[i].kind};
    std::copy(text.begin(), text.end(), moved.bytes() + to.end);
    to.end += static_cast<uint32_t>(text.size());
  }
  *this = std::move(moved);
}

void PackedRow::Insert(size_t index) {
  if (header().size == header().slots) Move(header().size + header().size / 4 + 2, header().bytes - header().end);
  Slot* slot = slots() + index;
  std::copy_backward(slot, slots() + header().size, slots() + header().size + 1);
  *slot = {};
  ++header().size;
}

void PackedRow::Set(size_t index, Kind kind, absl::string_view text) {
  ASSAY_CHECK(text.size() < size_t{1} << 30);
  const uint32_t size = static_cast<uint32_t>(text.size());
  Slot& slot = slots()[index];
  if (size <= slot.size) {
    header().unused += slot.size - size;
    slot.size = size;
    slot.kind = static_cast<uint32_t>(kind);
    std::copy(text.begin(), text.end(), bytes() + slot.at);
    return;
  }
  header().unused += slot.size;
  slot.size = 0;
  if (size > header().bytes - header().end) {
    // So much more that a row whose texts grow time and again is not moved each time.
    Move(header().slots, size + std::max<size_t>(32, (header().end - header().unused) / 4));
  }
  slots()[index] = {header().end, size, static_cast<uint32_t>(kind)};
  std::copy(text.begin(), text.end(), bytes() + header().end);
  header().end += size;
}

size_t PackedRow::ByteSize() const { return sizeof(Header) + header().slots * sizeof(Slot) + header().bytes; }

}  // namespace assay
