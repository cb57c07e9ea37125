// The append-only log: every chain this branch holds, its own and the others', as the bytes first written.
//
// A chain is dense from 1. `head` is how far it is held; `complete` how far whole transactions are held: nobody reads
// past `complete`. Appends are buffered into segments and written when the LogFile commits; nothing here changes or
// deletes an event, though Repack puts events into other segments. Callers open the transaction: every Append is inside
// LogFile::Begin and Commit.
//
//   ASSAY_RETURN_IF_ERROR(log.Append(event, serialized));
//   EventReader reader = log.Read(origin, Sequence{42});
//   while (true) { ASSAY_ASSIGN_OR_RETURN(const StoredEvent* event, reader.Next()); if (!event) break; ... }
//
// Not thread-safe; a second thread opens its own LogFile read-only and its own EventLog over it.
//
// DATA_LOSS means this chain is not to be trusted further: a fork, a bad hash, or a damaged file.
#pragma once

#include <functional>
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
#include "log/segment_cache.h"
#include "log/types.h"
#include "proto/event.pb.h"

namespace assay {

struct ChainHead {
  Sequence last;            // 0: nothing held.
  Sequence complete;        // Last event that ends a transaction.
  HlcStamp complete_stamp;  // The stamp of event `complete`.
};

// A small number for an origin inside this one log file; row versions store it instead of 16 bytes.
struct OriginIndex {
  uint32_t value = 0;
  auto operator<=>(const OriginIndex&) const = default;
};

class EventLog;

// Reads one chain forward, from a sequence up to what is complete now. Sees events appended (and committed or not)
// later when asked again after the end.
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
  uint64_t generation_ = 0;  // The log's when `segment_` was read: a rollback may take events away since.
};

class EventLog {
 public:
  static absl::StatusOr<std::unique_ptr<EventLog>> Open(LogFile* file);

  // For a log file opened read-only: sees what the writer has committed since. Readers stay valid.
  absl::Status Refresh();

  // Every origin with at least one event here or given a number by IndexOf, ordered by id.
  std::vector<OriginId> Origins() const;
  ChainHead Head(const OriginId& origin) const;
  // Registers `origin` if it is new (in a file opened read-only: NOT_FOUND). Stable for the life of the file once
  // committed.
  absl::StatusOr<OriginIndex> IndexOf(const OriginId& origin);
  bool HasIndex(uint64_t index) const { return index < origins_by_index_.size(); }
  // The origin of an index that IndexOf gave. CHECKs that it did.
  OriginId OriginOf(OriginIndex index) const;

  // Appends an event this branch wrote: `event` says origin, sequence (head + 1), stamp and end mark; `bytes` is what
  // is stored. `table` as SegmentPart::table. An event out of sequence is a bug and CHECKs.
  absl::Status Append(const v1::Event& event, absl::string_view table, absl::string_view bytes);

  // Appends what is new of a pulled segment, after checking density, leaf hashes (when sent), and each event's own
  // origin and sequence; what is held already must have the same hashes. OUT_OF_RANGE: a gap before it (pull again from
  // the head). DATA_LOSS: a fork or damaged bytes; nothing was appended. Of a fork, evidence is kept if the caller
  // commits.
  absl::Status AppendPulled(const Segment& segment);

  // Why a chain did not go on with what was pulled.
  struct Refusal {
    absl::Status cause = absl::OkStatus();  // OK: all that is new was appended.
    // What is held here is contradicted (a fork, a signed root) or damaged: pulling again cannot mend that. Otherwise
    // the fault is in what came, and the same may come right another time.
    bool about_held = false;
    bool signed_claim = false;  // The chain's own key signed what contradicts.
  };
  // Appends what a reply brought of one chain: `segments` in order, up to the first that is refused as AppendPulled
  // would. Then the chain must begin with its opening. It must also agree with `checkpoint` (empty: none), the newest
  // that its origin signed as far as the hub tells, if that reaches no further than what is held now. If either fails,
  // nothing of the reply is appended. `complete`: where the hub says that the chain's last whole transaction ends;
  // nothing beyond is taken. Evidence is kept if the caller commits. A status: the log could not be written or read.
  absl::StatusOr<Refusal> AppendChain(const OriginId& origin, absl::Span<const Segment* const> segments,
                                      Sequence complete, absl::string_view checkpoint);

  // Does this branch's grant name the table of a part?
  using Granted = std::function<bool(absl::string_view table)>;
  // The first event that is masked here and of a table that is granted now; nullopt: none. Or a little before it.
  std::optional<Sequence> FirstToUnmask(const OriginId& origin, const Granted& granted) const;
  // Takes from a pulled segment what is masked here of tables that are granted now, if it is what the leaf hashes held
  // here are of. Returns the events that can be read since. The segment's events are held, and nothing granted is
  // masked before it.
  absl::StatusOr<std::vector<Sequence>> Unmask(const Segment& segment, const Granted& granted);

  // How many events are masked here, of all chains, by table.
  std::map<std::string, uint64_t> MaskedEvents() const;

  EventReader Read(const OriginId& origin, Sequence from);
  // One event's bytes. NOT_FOUND when it is not held, PERMISSION_DENIED when it is masked here.
  absl::StatusOr<std::string> ReadEvent(const OriginId& origin, Sequence sequence);

  // The stored segments from `from` on, leaf hashes filled in, about `bytes_max` together and at least one event; for a
  // push. The first is cut to begin at `from`. Includes pieces of transactions that have no end mark yet when
  // `complete_only` is false. Empty at the head.
  absl::StatusOr<std::vector<Segment>> ReadSegments(const OriginId& origin, Sequence from, size_t bytes_max,
                                                    bool complete_only);

  // Root over the first `head.last` events.
  Hash Root(const OriginId& origin) const;
  // Root over the first `size` events; reads a few thousand of them at most. OUT_OF_RANGE beyond the head.
  absl::StatusOr<Hash> RootAt(const OriginId& origin, uint64_t size);
  // The OriginOpened that begins the chain. NOT_FOUND before event 1 is held.
  absl::StatusOr<v1::OriginOpened> Opening(const OriginId& origin);

  // Keeps the newest checkpoint seen of an origin; one ahead of the head is held against the chain once it gets there.
  // DATA_LOSS when `text` is not signed by the chain's key, or contradicts the chain held here or one kept before (same
  // size, another root): then evidence of both is kept, if the caller commits. NOT_FOUND before event 1, which has the
  // key, is held.
  absl::Status KeepCheckpoint(const OriginId& origin, absl::string_view text);
  // The checkpoint of the chain as it is here, signed with its own key and kept. FAILED_PRECONDITION when `key` is
  // another. Any other error is one of KeepCheckpoint.
  absl::StatusOr<std::string> SignCheckpoint(const OriginId& origin, const SigningKey& key);
  std::optional<std::string> NewestCheckpoint(const OriginId& origin) const;

  int64_t EventCount() const;  // Over all chains.

  // Sales that come one by one leave a segment each, and take twice the room that they need. True: of some chain
  // `events` or more have come since it was last looked at.
  bool ShouldRepack(size_t events) const;
  // Packs about so many of them together, the oldest of one chain; nothing if ShouldRepack says no. For when there is
  // nothing else to do.
  absl::Status Repack(size_t events);

 private:
  friend class EventReader;
  explicit EventLog(LogFile* file) : file_(file) {}

  struct Chain {
    OriginId origin;
    OriginIndex index;
    ChainHead head;
    HlcStamp last_stamp;  // Of event `head.last`.
    Sequence stored;      // Written as segments; what follows is in `builder`.
    Sequence repacked;    // Segments up to there are not looked at again.
    MerkleTree tree;
    SegmentBuilder builder;
    std::string checkpoint;  // Newest seen; may be empty.
    Checkpoint claim;        // What it says.
    std::string public_key;  // As event 1 says, once it was asked for.
    bool dirty = false;      // Differs from its row.
    struct Masked {
      Sequence first, last;
      uint64_t events = 0;
    };
    std::map<std::string, Masked, std::less<>> masked;  // By table.
    bool masked_dirty = false;                          // Differs from its rows.

    bool InTransaction() const { return head.complete < head.last; }
    std::string Checksum() const;
  };
  struct Evidence {
    OriginIndex origin;
    std::string kind;
    Sequence at;
    std::string held, offered;
  };
  absl::Status Load();
  absl::Status LoadChain(const Statement& row);
  absl::Status CheckSegmentEnds();
  const Chain* Find(const OriginId& origin) const;
  Chain* FindOrAdd(const OriginId& origin);

  // Moves the head over `event` and packs it.
  absl::Status Take(Chain& chain, const StoredEvent& event);
  absl::Status Advance(Chain& chain, const StoredEvent& event);
  absl::Status Store(Chain& chain, const Segment& segment);
  // Writes what is buffered: whole transactions, and the piece after them when `with_piece`.
  absl::Status Flush(Chain& chain, bool with_piece);
  absl::Status BeforeCommit();
  // Appends what is new of a segment; a refused one changes nothing.
  absl::StatusOr<Refusal> TakeSegment(const Segment& segment);
  // What TakeSegment must know before it changes anything.
  absl::StatusOr<Refusal> CheckOverlap(Chain& chain, const DecodedSegment& decoded);
  Refusal CheckNew(const Chain& chain, const DecodedSegment& decoded, size_t skip);
  // Opening and checkpoint of a chain that was held up to `held` before this reply.
  absl::StatusOr<Refusal> CheckChain(const OriginId& origin, Sequence held, absl::string_view checkpoint);
  // What the chain's opening has. As Opening; DATA_LOSS when event 1 opens nothing.
  absl::StatusOr<std::string> PublicKey(const OriginId& origin);
  // Keeps `text` as the newest checkpoint, or says why KeepCheckpoint would not.
  absl::StatusOr<Refusal> TakeCheckpoint(const OriginId& origin, absl::string_view text);
  // The same of `claim`, which `text` makes and whose signature is known to be good.
  absl::StatusOr<Refusal> TakeClaim(Chain& chain, const Checkpoint& claim, absl::string_view text);
  // `root` is ours at the size that `claim` is about. Keeps evidence when they differ.
  Refusal CheckRoot(const Chain& chain, const Checkpoint& claim, absl::string_view text, const Hash& root);
  // Puts a chain back to how it was, after the file was.
  void Restore(const OriginId& origin, std::optional<Chain> before);
  void KeepEvidence(const Chain& chain, absl::string_view kind, Sequence at, absl::string_view held,
                    absl::string_view offered);
  absl::Status StoreEvidence();
  absl::Status InsertSegment(const Chain& chain, const Segment& segment);
  absl::Status RepackChain(Chain& chain, size_t events);
  absl::Status RemoveSegments(const Chain& chain, Sequence first, Sequence last);
  // Puts the events of `given` into the place of those of `stored` that are masked. Returns which.
  absl::StatusOr<std::vector<Sequence>> UnmaskStored(Chain& chain, const Segment& stored, const DecodedSegment& given,
                                                     const Granted& granted);
  absl::Status LoadMasked();
  absl::Status StoreMasked(Chain& chain);
  absl::Status LoadRepacked();
  absl::Status StoreRepacked();

  // The stored segment that holds `sequence`. DATA_LOSS when there is none.
  absl::StatusOr<std::shared_ptr<const DecodedSegment>> SegmentHolding(Chain& chain, Sequence sequence);
  // The same, undecoded: nullopt past the end.
  absl::StatusOr<std::optional<Segment>> LoadSegment(const Chain& chain, Sequence sequence);
  // Is `sequence`, the first of a stored segment, not the first of its transaction?
  absl::StatusOr<bool> ContinuesAt(const Chain& chain, Sequence sequence);

  LogFile* file_;
  LogFile::Participation participation_;
  uint64_t generation_ = 1;
  std::map<OriginId, Chain> chains_;
  Chain* newest_ = nullptr;  // Appends come in runs: the chain of the last one.
  std::vector<OriginId> origins_by_index_;
  SegmentCache cache_;
  bool repacked_changed_ = false;   // Of some chain, since it was stored.
  std::vector<Evidence> evidence_;  // Not written yet: what is refused is rolled back, and the evidence of it stays.
  Statement insert_segment_, select_segment_, select_end_, upsert_chain_;
};

}  // namespace assay
