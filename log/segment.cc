#include "log/segment.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/bytes.h"
#include "log/check.h"
#include "log/event_frame.h"
#include "log/event_place.h"
#include "log/merkle_tree.h"
#include "log/segment_layout.h"
#include "log/segment_part.h"

namespace assay {
namespace {

constexpr uint8_t kBodyFormat = 1;
constexpr size_t kPartsMax = 255;
constexpr size_t kChecksumBytes = 8;
enum PartFlags : uint8_t { kMasked = 1 };

std::string Name(const Segment& segment) {
  return absl::StrCat("segment ", EventName(segment.origin, segment.first), "–", segment.last.value);
}

absl::Status Malformed(absl::string_view why) { return absl::DataLossError(why); }

// The first bytes of a SHA-256 over everything a stored segment says.
std::string Checksum(const Segment& segment, absl::string_view body) {
  std::string place(segment.origin.AsBytes());
  PutFixed64(&place, segment.first.value);
  PutFixed64(&place, segment.last.value);
  place.push_back(segment.ends_transaction ? 1 : 0);
  return std::string(AsBytes(Sha256(absl::StrCat(place, body))).substr(0, kChecksumBytes));
}

// Does an event say what its place says?
absl::Status CheckEvent(const StoredEvent& event, const EventFrame& frame) {
  if (frame.origin != event.origin.AsBytes()) return Malformed("it says another origin");
  if (frame.sequence != event.sequence.value) return Malformed(absl::StrCat("it says sequence ", frame.sequence));
  if (frame.stamp != event.stamp.value) return Malformed("it says another stamp than the layout");
  if (frame.ends_transaction != event.ends_transaction) return Malformed("its end mark is not where the layout says");
  return absl::OkStatus();
}

// What the segment says of itself fits its layout.
absl::Status CheckShape(const Segment& segment, const SegmentLayout& layout) {
  const size_t count = layout.event_parts.size();
  if (segment.first.value == 0 || segment.last < segment.first ||
      segment.last.value - segment.first.value != count - 1) {
    return Malformed("first and last do not match the layout");
  }
  if (!segment.ends_transaction && layout.transactions.size() != 1) return Malformed("a piece of several transactions");
  if (!segment.leaf_hashes.empty() && segment.leaf_hashes.size() != count * sizeof(Hash)) {
    return Malformed("not one leaf hash an event");
  }
  if (segment.parts.empty() || segment.parts.size() > kPartsMax) return Malformed("no parts, or too many");
  return absl::OkStatus();
}

// One part, as its events are taken from it.
struct PartReader {
  ByteReader bytes;
  uint32_t check = 0;  // 0 in the end: the events are those that were packed, where they were packed for.
  uint32_t events_left = 0;

  // Of a masked part, whose size was checked.
  void TakeLeaf(StoredEvent* event) {
    absl::string_view leaf;
    bytes.Take(sizeof(Hash), &leaf);
    std::memcpy(event->leaf.data(), leaf.data(), leaf.size());
  }

  // Fills in the bytes and the leaf of `event`, of which everything else is known. `begins`: where its transaction
  // begins, if that is in this segment.
  absl::Status TakeEvent(Sequence begins, ByteArena* restored, StoredEvent* event, EventFrame* frame) {
    const EventPlace place{event->origin, event->sequence, event->stamp, begins, event->ends_transaction};
    if (!assay::TakeEvent(place, &bytes, restored, &event->bytes)) return Malformed("a part ends inside an event");
    event->leaf = LeafHash(event->bytes);
    check = PartCheck(check, AsBytes(event->leaf));
    const absl::Status fits = ScanEvent(event->bytes, frame) ? CheckEvent(*event, *frame) : Malformed("it is no event");
    return fits.ok() ? fits : Annotate(fits, EventName(event->origin, event->sequence));
  }
};

// Decompresses the parts into `payloads`, one each. Together they may have kPartBytesMax.
absl::StatusOr<std::vector<PartReader>> OpenParts(const Segment& segment,
                                                  std::vector<std::unique_ptr<std::string>>* payloads) {
  size_t budget = kPartBytesMax;
  std::vector<PartReader> readers;
  for (const SegmentPart& part : segment.parts) {
    uint32_t check = 0;
    if (part.masked) {
      if (part.payload.size() != part.event_count * sizeof(Hash)) return Malformed("not one leaf hash a masked event");
      payloads->push_back(std::make_unique<std::string>(part.payload));
    } else {
      ASSAY_ASSIGN_OR_RETURN(UnpackedPart unpacked, UnpackPart(part.payload, budget));
      budget -= std::min(budget, unpacked.bytes.size());
      payloads->push_back(std::make_unique<std::string>(std::move(unpacked.bytes)));
      check = unpacked.check;
    }
    readers.push_back({ByteReader(*payloads->back()), check, part.event_count});
  }
  return readers;
}

}  // namespace

size_t Segment::ByteSize() const {
  size_t size = layout.size() + leaf_hashes.size();
  for (const SegmentPart& part : parts) size += part.table.size() + part.payload.size();
  return size;
}

bool Segment::IsSmall() const {
  constexpr size_t kEvents = 256, kBytes = 64 << 10;
  return last.value - first.value + 1 < kEvents && ByteSize() < kBytes;
}

// A segment of one sale takes far more than its bytes: each block of the heap has its own, and whoever keeps segments
// keeps some 160 more for each, in a list, a map and a shared pointer.
size_t DecodedSegment::ByteSize() const {
  constexpr size_t kBlock = 16, kKept = 160, kArenaMin = 1024;
  const auto of = [](const std::vector<std::unique_ptr<std::string>>& strings) {
    size_t size = strings.empty() ? 0 : kBlock + strings.capacity() * sizeof(strings[0]);
    for (const auto& each : strings) size += sizeof(*each) + kBlock + each->capacity() + kBlock;
    return size;
  };
  const size_t restored = restored_.size() == 0 ? 0 : std::max(restored_.size(), kArenaMin) + 4 * kBlock;
  return sizeof(*this) + kKept + of(payloads_) + of(tables_) + kBlock + events_.capacity() * sizeof(StoredEvent) +
         restored;
}

absl::StatusOr<DecodedSegment> DecodedSegment::Decode(const Segment& segment) {
  DecodedSegment decoded;
  ASSAY_RETURN_IF_ERROR(Annotate(decoded.Unpack(segment), Name(segment)));
  return decoded;
}

absl::Status DecodedSegment::Unpack(const Segment& segment) {
  SegmentLayout layout;
  ASSAY_RETURN_IF_ERROR(layout.Parse(segment.layout));
  ASSAY_RETURN_IF_ERROR(CheckShape(segment, layout));
  for (const SegmentPart& part : segment.parts) tables_.push_back(std::make_unique<std::string>(part.table));
  ASSAY_ASSIGN_OR_RETURN(std::vector<PartReader> readers, OpenParts(segment, &payloads_));
  const size_t count = layout.event_parts.size();
  events_.reserve(count);
  size_t transaction = 0;
  uint64_t in_transaction = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint8_t part = static_cast<uint8_t>(layout.event_parts[i]);
    if (part >= readers.size() || readers[part].events_left-- == 0) {
      return Malformed("the layout does not match the parts");
    }
    StoredEvent& event = events_.emplace_back();
    event.origin = segment.origin;
    event.sequence = {segment.first.value + i};
    event.stamp = layout.transactions[transaction].stamp;
    event.masked = segment.parts[part].masked;
    event.table = *tables_[part];
    const bool last_here = ++in_transaction == layout.transactions[transaction].events;
    event.ends_transaction = last_here && (i + 1 < count || segment.ends_transaction);
    if (event.masked) {
      readers[part].TakeLeaf(&event);
    } else {
      const Sequence begins{event.sequence.value + 1 - in_transaction};
      EventFrame frame;
      ASSAY_RETURN_IF_ERROR(readers[part].TakeEvent(begins, &restored_, &event, &frame));
      // A segment's first transaction may have begun before it, but at one place only.
      if (transaction == 0 && first_transaction_begins_.value == 0) {
        first_transaction_begins_ = {std::min(frame.transaction_first, begins.value)};
      }
      const Sequence expected = transaction == 0 ? first_transaction_begins_ : begins;
      if (frame.transaction_first != expected.value || expected.value == 0) {
        return Annotate(Malformed("its transaction begins elsewhere than it says"),
                        EventName(event.origin, event.sequence));
      }
    }
    if (!segment.leaf_hashes.empty() &&
        segment.leaf_hashes.compare(i * sizeof(Hash), sizeof(Hash), AsBytes(event.leaf).data(), sizeof(Hash)) != 0) {
      return Malformed(
          absl::StrCat(EventName(event.origin, event.sequence), " has another hash than was sent with it"));
    }
    if (last_here) {
      ++transaction;
      in_transaction = 0;
    }
  }
  for (const PartReader& reader : readers) {
    if (reader.events_left != 0 || !reader.bytes.empty()) return Malformed("a part has more events than the layout");
    if (reader.check != 0) return Malformed("its events were packed for another place, or are others");
  }
  transaction_count_ = layout.transactions.size();
  return absl::OkStatus();
}

absl::Status MaskPart(Segment* segment, size_t index) {
  ASSAY_CHECK(index < segment->parts.size());
  SegmentPart& part = segment->parts[index];
  if (part.masked) return absl::OkStatus();
  if (segment->leaf_hashes.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(Name(*segment), " has no leaf hashes to mask with"));
  }
  SegmentLayout layout;
  ASSAY_RETURN_IF_ERROR(Annotate(layout.Parse(segment->layout), Name(*segment)));
  std::string leaves;
  for (size_t i = 0; i < layout.event_parts.size(); ++i) {
    if (static_cast<uint8_t>(layout.event_parts[i]) != index) continue;
    if ((i + 1) * sizeof(Hash) > segment->leaf_hashes.size()) return Malformed("not one leaf hash an event");
    leaves.append(segment->leaf_hashes, i * sizeof(Hash), sizeof(Hash));
  }
  segment->decoded.reset();  // It shows what is withheld from now on.
  part.masked = true;
  part.payload = std::move(leaves);
  return absl::OkStatus();
}

std::string EncodeSegmentBody(const Segment& segment) {
  std::string body;
  body.reserve(segment.ByteSize() + 16 * (segment.parts.size() + 1) + kChecksumBytes);
  body.push_back(kBodyFormat);
  PutSized(&body, segment.layout);
  PutVarint(&body, segment.parts.size());
  for (const SegmentPart& part : segment.parts) {
    PutSized(&body, part.table);
    PutVarint(&body, part.event_count);
    body.push_back(part.masked ? kMasked : 0);
    PutSized(&body, part.payload);
  }
  body.append(Checksum(segment, body));
  return body;
}

absl::Status DecodeSegmentBody(absl::string_view body, Segment* segment) {
  const std::string name = Name(*segment);
  if (body.size() <= kChecksumBytes) return Malformed(absl::StrCat(name, ": too short"));
  const absl::string_view checksum = body.substr(body.size() - kChecksumBytes);
  body.remove_suffix(kChecksumBytes);
  if (checksum != Checksum(*segment, body)) return Malformed(absl::StrCat(name, ": its checksum does not hold"));
  if (static_cast<uint8_t>(body[0]) != kBodyFormat) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, " has format ", static_cast<uint8_t>(body[0]), ", unknown here: install a newer Assay"));
  }
  ByteReader reader(body.substr(1));
  absl::string_view layout, table, payload;
  uint64_t part_count, event_count;
  uint8_t flags;
  if (!reader.Sized(&layout) || !reader.Varint(&part_count) || part_count > kPartsMax)
    return Malformed(absl::StrCat(name, ": bad head"));
  segment->layout = std::string(layout);
  segment->parts.clear();
  for (uint64_t i = 0; i < part_count; ++i) {
    if (!reader.Sized(&table) || !reader.Varint(&event_count) || event_count > UINT32_MAX || !reader.Byte(&flags) ||
        !reader.Sized(&payload)) {
      return Malformed(absl::StrCat(name, ": bad part"));
    }
    if ((flags & ~kMasked) != 0) {
      return absl::FailedPreconditionError(
          absl::StrCat(name, " has a part of a kind unknown here: install a newer Assay"));
    }
    segment->parts.push_back(
        {std::string(table), static_cast<uint32_t>(event_count), flags == kMasked, std::string(payload)});
  }
  if (!reader.empty()) return Malformed(absl::StrCat(name, ": more bytes than parts"));
  return absl::OkStatus();
}

}  // namespace assay
