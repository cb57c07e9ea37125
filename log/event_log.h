// The append-only log: every chain this branch holds, its own and the others', as the bytes first written.
//
// A chain is dense from 1. `head` is how far it is held; `complete` how far whole transactions are held: nobody reads past
// `complete`. Appends are buffered into segments and written when the LogFile commits; nothing here changes or deletes an
// event. Callers open the transaction: every Append is inside LogFile::Begin and Commit.
//
//   ASSAY_RETURN_IF_ERROR(log.Append(event, serialized));
//   EventReader reader = log.Read(origin, Sequence{42});
//   while (true) { ASSAY_ASSIGN_OR_RETURN(const StoredEvent* event, reader.Next()); if (!event) break; ... }
//
// Not thread-safe; a second thread opens its own LogFile read-only and its own EventLog over it.
// DATA_LOSS means this chain is not to be trusted further: a fork, a bad hash, or a damaged file.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/checkpoint.h"
#include "log/log_file.h"
#include "log/merkle_tree.h"
#include "log/segment.h"
#include "log/types.h"
#include "proto/event.pb.h"

namespace assay {

struct ChainHead {
  Sequence last;             // 0: nothing held.
  Sequence complete;         // Last event that ends a transaction.
  HlcStamp complete_stamp;   // Of that transaction.
};

// A small number for an origin inside this one log file; row versions store it instead of 16 bytes.
struct OriginIndex {
  uint32_t value = 0;
  auto operator<=>(const OriginIndex&) const = default;
};

// Reads one chain forward, from a sequence up to what is complete now. Sees events appended (and committed or not) later when
// asked again after the end.
class EventLog;
class EventReader {
 public:
  // nullptr: no further complete event yet. The pointer is valid until the next call.
  absl::StatusOr<const StoredEvent*> Next();
  Sequence next_sequence() const { return next_; }

 private:
  friend class EventLog;
  EventReader(EventLog* log, const OriginId& origin, Sequence from) : log_(log), origin_(origin), next_(from) {}
  EventLog* log_;
  OriginId origin_;
  Sequence next_;
  std::shared_ptr<const DecodedSegment> segment_;
};

class EventLog {
 public:
  static absl::StatusOr<std::unique_ptr<EventLog>> Open(LogFile* file);

  // Every origin with at least one event here or named by AddOrigin, ordered by id.
  std::vector<OriginId> Origins() const;
  ChainHead Head(const OriginId& origin) const;
  // Registers `origin` if it is new. Stable for the life of the file.
  absl::StatusOr<OriginIndex> IndexOf(const OriginId& origin);
  // The origin of an index that IndexOf gave. CHECKs that it did.
  OriginId OriginOf(OriginIndex index) const;

  // Appends an event this branch wrote: `event` says origin, sequence (head + 1), stamp and end mark; `bytes` is what is
  // stored. `table` as SegmentPart::table. An event out of sequence is a bug and CHECKs.
  absl::Status Append(const v1::Event& event, absl::string_view table, absl::string_view bytes);

  // Appends what is new of a pulled segment, after checking density, leaf hashes (when sent), and each event's own origin and
  // sequence; what is held already must have the same hashes. OUT_OF_RANGE: a gap before it (pull again from the head).
  // DATA_LOSS: a fork or damaged bytes; nothing was appended.
  absl::Status AppendPulled(const Segment& segment);

  EventReader Read(const OriginId& origin, Sequence from);
  // One event's bytes. NOT_FOUND when it is not held, PERMISSION_DENIED when it is masked here.
  absl::StatusOr<std::string> ReadEvent(const OriginId& origin, Sequence sequence);

  // The stored segments from `from` on, leaf hashes filled in, about `bytes_max` together and at least one event; for a push.
  // The first is cut to begin at `from`. Includes pieces of transactions that have no end mark yet when `complete_only` is
  // false. Empty at the head.
  absl::StatusOr<std::vector<Segment>> ReadSegments(const OriginId& origin, Sequence from, size_t bytes_max,
                                                    bool complete_only);

  // Root over the first `head.last` events.
  Hash Root(const OriginId& origin) const;
  // The OriginOpened that begins the chain. NOT_FOUND before event 1 is held.
  absl::StatusOr<v1::OriginOpened> Opening(const OriginId& origin);

  // Keeps the newest checkpoint seen of an origin. DATA_LOSS when `text` contradicts the chain held here or one kept before
  // (same size, another root), or is not signed by the chain's key; evidence of both is kept.
  absl::Status KeepCheckpoint(const OriginId& origin, absl::string_view text);
  std::optional<std::string> NewestCheckpoint(const OriginId& origin) const;

  int64_t EventCount() const;  // Over all chains.

 private:
  friend class EventReader;
  explicit EventLog(LogFile* file) : file_(file) {}

  struct Chain {
    OriginIndex index;
    ChainHead head;
    MerkleTree tree;
    std::unique_ptr<SegmentBuilder> builder;
    std::optional<std::string> checkpoint;
  };
  absl::Status Load();
  absl::Status FlushAll();
  absl::Status Flush(Chain& chain);
  absl::StatusOr<std::shared_ptr<const DecodedSegment>> SegmentHolding(const OriginId& origin, Sequence sequence);

  LogFile* file_;
  std::map<OriginId, Chain> chains_;
  std::vector<OriginId> origins_by_index_;
};

}  // namespace assay
