#include "log/event_place.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/match.h"
#include "log/bytes.h"
#include "log/proto_field.h"

namespace assay {
namespace {

enum Lead : uint64_t { kWhole = 0, kPlaceLeftOut = 1 };

// A larger event gains nothing, and is not to be in memory twice.
constexpr size_t kLeaveOutMax = size_t{4} << 10;
constexpr size_t kPlaceBytesMax = 64;  // More than the fields of a place ever take.
constexpr size_t kChunkMin = size_t{1} << 10, kChunkMax = size_t{64} << 10;

// The fields of the place as they are serialized.
class PlaceFields {
 public:
  explicit PlaceFields(const EventPlace& place) {
    Varint(SizedTag(1));
    Varint(place.origin.bytes.size());
    std::memcpy(end_, place.origin.bytes.data(), place.origin.bytes.size());
    end_ += place.origin.bytes.size();
    Varint(VarintTag(2));
    Varint(place.sequence.value);
    Varint(Fixed64Tag(3));
    for (int shift = 0; shift < 64; shift += 8) *end_++ = static_cast<char>(place.stamp.value >> shift);
    Varint(VarintTag(4));
    Varint(place.transaction_first.value);
    if (!place.ends_transaction) return;
    Varint(VarintTag(5));
    Varint(1);
  }

  absl::string_view bytes() const { return {bytes_, static_cast<size_t>(end_ - bytes_)}; }

 private:
  void Varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) *end_++ = static_cast<char>(value | 0x80);
    *end_++ = static_cast<char>(value);
  }

  char bytes_[kPlaceBytesMax];
  char* end_ = bytes_;
};

}  // namespace

absl::string_view ByteArena::Join(absl::string_view left, absl::string_view right) {
  const size_t size = left.size() + right.size();
  if (chunks_.empty() || chunks_.back()->capacity() - chunks_.back()->size() < size) {
    chunks_.push_back(std::make_unique<std::string>());
    chunks_.back()->reserve(std::max(size, std::clamp(size_, kChunkMin, kChunkMax)));  // As much again.
  }
  std::string& chunk = *chunks_.back();
  const size_t at = chunk.size();
  chunk.append(left.data(), left.size());
  chunk.append(right.data(), right.size());
  size_ += size;
  return absl::string_view(chunk).substr(at);
}

void PutEvent(const EventPlace& place, absl::string_view event, std::string* part) {
  const PlaceFields fields(place);
  const bool left_out = event.size() <= kLeaveOutMax && absl::StartsWith(event, fields.bytes());
  if (left_out) event.remove_prefix(fields.bytes().size());
  PutVarint(part, uint64_t{event.size()} << 1 | (left_out ? kPlaceLeftOut : kWhole));
  part->append(event.data(), event.size());
}

bool TakeEvent(const EventPlace& place, ByteReader* part, ByteArena* arena, absl::string_view* event) {
  uint64_t lead;
  if (!part->Varint(&lead) || !part->Take(lead >> 1, event)) return false;
  if ((lead & 1) == kPlaceLeftOut) *event = arena->Join(PlaceFields(place).bytes(), *event);
  return true;
}

}  // namespace assay
