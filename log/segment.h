// A segment: a run of consecutive events of one chain, as it is stored and as it travels.
//
// The events are the truth; a segment is their packaging, and two segmentations of the same events are equally good.
// Events are grouped into *parts* by table, so that the hub can hold back a table's part from a branch that may not
// read it and give the leaf hashes instead, without opening anything. Parts are compressed (zstd) one by one. FORMAT.md
// has the bytes.
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
#include "log/event_place.h"
#include "log/types.h"

namespace assay {

// Beyond these a builder is full; a single event may exceed them alone.
inline constexpr size_t kSegmentBytesMax = 1 << 20;
inline constexpr size_t kSegmentEventsMax = 4096;

struct SegmentPart {
  std::string table;  // "schema.table", each quoted as SQL needs; empty for events of no table (OriginOpened).
  uint32_t event_count = 0;
  bool masked =
      false;  // `payload` is the events' leaf hashes, 32 bytes each, because the reader may not see the table.
  std::string payload;  // Else: the encoded part.
};

class DecodedSegment;

struct Segment {
  OriginId origin;
  Sequence first;
  Sequence last;
  bool ends_transaction = false;  // `last` ends a transaction; else the transaction goes on in the next segment.
  // Per transaction its stamp and size, then, as its last bytes, one byte an event: the index of its part. (The hub
  // masks parts by those bytes and reads nothing else of it.) See FORMAT.md.
  std::string layout;
  std::string leaf_hashes;  // 32 bytes an event, in sequence order. Empty in a stored segment; filled to push.
  std::vector<SegmentPart> parts;
  // All of the above, when somebody has decoded it already: on the thread that fetched it, say. May be null.
  std::shared_ptr<const DecodedSegment> decoded;

  size_t ByteSize() const;
  // Packed together with its neighbours it would take much less room.
  bool IsSmall() const;
};

// One event as a reader of a segment meets it.
struct StoredEvent {
  OriginId origin;
  Sequence sequence;
  HlcStamp stamp;
  bool ends_transaction = false;
  bool masked = false;
  absl::string_view table;  // The SegmentPart::table of its part.
  absl::string_view bytes;  // The event's bytes; empty when masked.
  Hash leaf{};              // SHA-256(0x00 ‖ bytes).
};

// A segment with its parts decompressed and its structure checked. Owns the bytes that `events` point into.
class DecodedSegment {
 public:
  // DATA_LOSS when the bytes do not form a segment: bad counts, lengths, compression, or an event that says another
  // origin or sequence than its place. Memory grows with what the bytes really hold, not with what they declare.
  static absl::StatusOr<DecodedSegment> Decode(const Segment& segment);

  DecodedSegment(DecodedSegment&&) = default;
  DecodedSegment& operator=(DecodedSegment&&) = default;

  const std::vector<StoredEvent>& events() const { return events_; }
  size_t transaction_count() const { return transaction_count_; }
  // Where the first transaction here says that it begins: before the segment, when this is a later piece of it. 0: all
  // of its events here are masked.
  Sequence first_transaction_begins() const { return first_transaction_begins_; }
  size_t ByteSize() const;  // Memory that it takes, about.

 private:
  DecodedSegment() = default;
  absl::Status Unpack(const Segment& segment);
  std::vector<std::unique_ptr<std::string>> payloads_;  // Stable addresses under move.
  ByteArena restored_;                                  // Events that were stored without what their place says.
  std::vector<std::unique_ptr<std::string>> tables_;
  std::vector<StoredEvent> events_;
  size_t transaction_count_ = 0;
  Sequence first_transaction_begins_;
};

// Packs events into segments. It cuts only where a segment may end: after a whole transaction, or, when it holds no
// whole one, inside the one large transaction it is packing.
//
//   while (builder.Full(event)) emit(builder.Finish(false));
//   builder.Add(event);
//   ...
//   while (!builder.empty()) emit(builder.Finish(false));
class SegmentBuilder {
 public:
  // `continues`: the first event to come is not the first of its transaction.
  explicit SegmentBuilder(const OriginId& origin, bool continues = false) : origin_(origin), continues_(continues) {}

  bool empty() const { return layout_parts_.empty(); }
  bool HasWholeTransactions() const { return !transactions_.empty(); }
  size_t raw_bytes() const { return bytes_; }
  // Full before `event`: Finish until it is not.
  bool Full(const StoredEvent& event) const;
  // Appends the event after the last. `masked` events bring their leaf and no bytes.
  void Add(const StoredEvent& event);
  // Compresses the whole transactions and keeps what came after them; with no whole one, compresses everything, as a
  // piece. `with_leaf_hashes` for a push. Not when empty.
  Segment Finish(bool with_leaf_hashes);

 private:
  struct Part {
    std::string table;
    bool masked = false;
    uint32_t event_count = 0;
    std::string raw;            // Encoded, not yet compressed.
    uint32_t whole_events = 0;  // Those of whole transactions.
    size_t whole_bytes = 0;
  };
  struct Transaction {
    HlcStamp stamp;
    uint64_t events = 0;
  };
  size_t PartOf(absl::string_view table, bool masked);
  void KeepTail(SegmentBuilder* from);

  OriginId origin_;
  bool continues_ = false;
  size_t bytes_ = 0;
  Sequence first_;
  std::vector<Part> parts_;
  std::string layout_parts_;               // One byte an event.
  std::vector<Transaction> transactions_;  // Whole ones.
  Transaction tail_;                       // Begun and not ended.
  std::string leaf_hashes_;
};

// Replaces part `index` by its events' leaf hashes, as the hub does for a reader without a grant for its table.
// FAILED_PRECONDITION when the segment has no leaf hashes; DATA_LOSS when it is malformed.
absl::Status MaskPart(Segment* segment, size_t index);

// The stored form of a segment's layout and parts, as kept in one SQLite blob. Its checksum covers origin, first, last
// and ends_transaction too.
std::string EncodeSegmentBody(const Segment& segment);
// Fills layout and parts of a segment whose other fields are set. DATA_LOSS when malformed or not what was encoded;
// FAILED_PRECONDITION when of a newer format.
absl::Status DecodeSegmentBody(absl::string_view body, Segment* segment);

}  // namespace assay
