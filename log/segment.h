// A segment: a run of consecutive events of one chain, as it is stored and as it travels.
//
// The events are the truth; a segment is their packaging, and two segmentations of the same events are equally good. Events
// are grouped into *parts* by table, so that the hub can hold back a table's part from a branch that may not read it and
// give the leaf hashes instead, without opening anything. Parts are compressed (zstd) one by one. FORMAT.md has the bytes.
//
// A segment holds whole transactions, or a piece of exactly one large transaction. At most 255 parts.
// Plain values, not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "log/types.h"

namespace assay {

// Beyond these a builder is full; a single event may exceed them alone.
inline constexpr size_t kSegmentBytesMax = 1 << 20;
inline constexpr size_t kSegmentEventsMax = 4096;

struct SegmentPart {
  std::string table;         // "schema.table", each quoted as SQL needs; empty for events of no table (OriginOpened).
  uint32_t event_count = 0;
  bool masked = false;       // `payload` is the events' leaf hashes, 32 bytes each, because the reader may not see the table.
  std::string payload;       // Else: the encoded part.
};

struct Segment {
  OriginId origin;
  Sequence first;
  Sequence last;
  bool ends_transaction = false;  // `last` ends a transaction; else the transaction goes on in the next segment.
  // Per transaction its stamp and size, then, as its last bytes, one byte an event: the index of its part. (The hub masks parts
  // by those bytes and reads nothing else of it.) See FORMAT.md.
  std::string layout;
  std::string leaf_hashes;        // 32 bytes an event, in sequence order. Empty in a stored segment; filled to push.
  std::vector<SegmentPart> parts;

  size_t ByteSize() const;
};

// One event as a reader of a segment meets it.
struct StoredEvent {
  OriginId origin;
  Sequence sequence;
  HlcStamp stamp;
  bool ends_transaction = false;
  bool masked = false;
  absl::string_view table;  // As SegmentPart::table.
  absl::string_view bytes;  // The event's bytes; empty when masked.
  Hash leaf{};              // SHA-256(0x00 ‖ bytes).
};

// A segment with its parts decompressed and its structure checked. Owns the bytes that `events` point into.
class DecodedSegment {
 public:
  // DATA_LOSS when the bytes do not form a segment: bad counts, lengths, compression, or an event that says another origin or
  // sequence than its place. Never allocates more than the declared and checked sizes.
  static absl::StatusOr<DecodedSegment> Decode(const Segment& segment);

  DecodedSegment(DecodedSegment&&) = default;
  DecodedSegment& operator=(DecodedSegment&&) = default;

  const std::vector<StoredEvent>& events() const { return events_; }

 private:
  DecodedSegment() = default;
  std::vector<std::unique_ptr<std::string>> payloads_;  // Stable addresses under move.
  std::vector<std::unique_ptr<std::string>> tables_;
  std::vector<StoredEvent> events_;
};

class SegmentBuilder {
 public:
  explicit SegmentBuilder(const OriginId& origin) : origin_(origin) {}

  bool empty() const { return count_ == 0; }
  // Full before the next event of `table`: flush first.
  bool Full(absl::string_view table, size_t event_bytes) const;
  // Appends the event after the last. `masked` events bring their leaf and no bytes.
  void Add(const StoredEvent& event);
  // Compresses, and starts over. `with_leaf_hashes` for a push.
  Segment Finish(bool with_leaf_hashes);

 private:
  struct Part {
    std::string table;
    bool masked = false;
    uint32_t event_count = 0;
    std::string raw;  // Encoded, not yet compressed.
  };
  OriginId origin_;
  size_t count_ = 0;
  size_t bytes_ = 0;
  Sequence first_, last_;
  bool ends_transaction_ = false;
  std::vector<Part> parts_;
  std::string layout_parts_;                              // One byte an event.
  std::vector<std::pair<uint64_t, uint32_t>> transactions_;  // Stamp, events.
  std::string leaf_hashes_;
};

// The stored form of a segment's layout and parts, as kept in one SQLite blob.
std::string EncodeSegmentBody(const Segment& segment);
// Fills layout and parts. DATA_LOSS when malformed.
absl::Status DecodeSegmentBody(absl::string_view body, Segment* segment);

}  // namespace assay
