// What others wrote: checked against the chain held here, then appended, or refused with nothing changed.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/check.h"
#include "log/event_log.h"

namespace assay {
namespace {

// A pulled segment at least this large is stored as it came; smaller ones are packed together.
constexpr size_t kStoreAsPulledEvents = 256;
constexpr size_t kStoreAsPulledBytes = 64 << 10;
constexpr int kEvidenceMax = 16;

}  // namespace

absl::Status EventLog::AppendPulled(const Segment& segment) {
  ASSAY_ASSIGN_OR_RETURN(Refusal refusal, TakeSegment(segment));
  return std::move(refusal.cause);
}

absl::StatusOr<EventLog::Refusal> EventLog::AppendChain(const OriginId& origin,
                                                        absl::Span<const Segment* const> segments, Sequence complete,
                                                        absl::string_view checkpoint) {
  ASSAY_CHECK(file_->InTransaction());
  std::optional<Chain> before;
  if (const Chain* held = Find(origin); held != nullptr) before = *held;
  const Sequence held = before.has_value() ? before->head.last : Sequence{};
  if (segments.empty()) return CheckChain(origin, held, checkpoint);
  ASSAY_RETURN_IF_ERROR(file_->Execute("SAVEPOINT pulled"));
  Refusal refusal;
  for (const Segment* segment : segments) {
    ASSAY_CHECK(segment->origin == origin);
    if (segment->last > complete) {
      // Nobody is given a part of a transaction whose end the hub has not got: it might never come.
      refusal.cause = absl::InvalidArgumentError(absl::StrCat(EventName(origin, segment->last),
                                                              " was given, and the chain's last whole "
                                                              "transaction was said to end at ",
                                                              complete.value));
    } else {
      ASSAY_ASSIGN_OR_RETURN(refusal, TakeSegment(*segment));
    }
    if (!refusal.cause.ok()) break;
  }
  // What came before a bad segment is as good as a reply that ended there. What the origin itself contradicts is good
  // for nothing.
  ASSAY_ASSIGN_OR_RETURN(Refusal contradiction, CheckChain(origin, held, checkpoint));
  if (contradiction.cause.ok()) {
    ASSAY_RETURN_IF_ERROR(file_->Execute("RELEASE pulled"));
    return refusal;
  }
  ASSAY_RETURN_IF_ERROR(file_->Execute("ROLLBACK TO pulled; RELEASE pulled"));
  Restore(origin, std::move(before));
  return contradiction;
}

absl::StatusOr<EventLog::Refusal> EventLog::CheckChain(const OriginId& origin, Sequence held,
                                                       absl::string_view checkpoint) {
  const Sequence last = Head(origin).last;
  if (last.value == 0) return Refusal{};  // Nothing to check, and no key to check it with.
  const absl::StatusOr<std::string> opening = PublicKey(origin);
  if (absl::IsPermissionDenied(opening.status())) {
    return Refusal{absl::DataLossError(absl::StrCat(EventName(origin, {1}), ", which opens the chain, was withheld")),
                   held.value > 0};
  }
  if (absl::IsDataLoss(opening.status())) return Refusal{opening.status(), held.value > 0};
  ASSAY_RETURN_IF_ERROR(opening.status());
  if (checkpoint.empty()) return Refusal{};
  const absl::StatusOr<Checkpoint> claim = ParseCheckpoint(checkpoint);
  if (!claim.ok()) return Refusal{Annotate(claim.status(), "the newest checkpoint of the chain is unreadable")};
  if (claim->size > last.value) return Refusal{};  // It comes again, with the events that it is about.
  ASSAY_ASSIGN_OR_RETURN(Refusal refusal, TakeCheckpoint(origin, checkpoint));
  refusal.about_held |= refusal.signed_claim && claim->size <= held.value;
  return refusal;
}

void EventLog::Restore(const OriginId& origin, std::optional<Chain> before) {
  // Readers and the cache may hold segments that are gone.
  ++generation_;
  cache_.Clear();
  const auto found = chains_.find(origin);
  if (found == chains_.end()) return;
  const OriginIndex index = found->second.index;
  if (before.has_value()) {
    found->second = *std::move(before);
  } else if (std::any_of(evidence_.begin(), evidence_.end(), [&](const Evidence& e) { return e.origin == index; })) {
    found->second = Chain{.origin = origin, .index = index, .builder = SegmentBuilder(origin), .dirty = true};
  } else {
    ASSAY_CHECK(origins_by_index_.back() == origin);
    origins_by_index_.pop_back();
    chains_.erase(found);
    newest_ = nullptr;
  }
}

absl::StatusOr<EventLog::Refusal> EventLog::TakeSegment(const Segment& segment) {
  ASSAY_CHECK(file_->InTransaction());
  const ChainHead before = Head(segment.origin);
  if (segment.first > before.last.Next()) {
    return Refusal{absl::OutOfRangeError(absl::StrCat("after ", EventName(segment.origin, before.last), " comes ",
                                                      segment.first.value, ": a gap; pull again from the head"))};
  }
  // The declarations, and what opens a chain: without them the rest cannot be read.
  if (std::any_of(segment.parts.begin(), segment.parts.end(),
                  [](const auto& p) { return p.masked && p.table.empty(); }))
    return Refusal{absl::DataLossError(absl::StrCat(EventName(segment.origin, segment.first),
                                                    " and what follows came without "
                                                    "the events of no table, which nobody is denied"))};
  std::shared_ptr<const DecodedSegment> decoded = segment.decoded;
  if (decoded == nullptr) {
    absl::StatusOr<DecodedSegment> now = DecodedSegment::Decode(segment);
    if (!now.ok()) return Refusal{now.status()};
    decoded = std::make_shared<const DecodedSegment>(*std::move(now));
  }
  Chain& chain = *FindOrAdd(segment.origin);
  ASSAY_ASSIGN_OR_RETURN(Refusal refusal, CheckOverlap(chain, *decoded));
  const size_t skip = chain.head.last.value + 1 - segment.first.value;
  const auto& events = decoded->events();
  if (!refusal.cause.ok() || skip >= events.size()) return refusal;
  refusal = CheckNew(chain, *decoded, skip);
  if (!refusal.cause.ok()) return refusal;

  const bool large = events.size() >= kStoreAsPulledEvents || segment.ByteSize() >= kStoreAsPulledBytes;
  const bool stands_alone = !chain.InTransaction() || decoded->transaction_count() == 1;
  if (skip > 0 || !large || !stands_alone) {
    for (size_t i = skip; i < events.size(); ++i) ASSAY_RETURN_IF_ERROR(Take(chain, events[i]));
    return refusal;
  }
  ASSAY_RETURN_IF_ERROR(Flush(chain, /*with_piece=*/true));
  ASSAY_RETURN_IF_ERROR(Store(chain, segment));
  for (const StoredEvent& event : events) ASSAY_RETURN_IF_ERROR(Advance(chain, event));
  chain.builder = SegmentBuilder(chain.origin, chain.InTransaction());
  cache_.Add(chain.index.value, std::move(decoded));  // Folding it is what mostly comes next.
  return refusal;
}

absl::StatusOr<EventLog::Refusal> EventLog::CheckOverlap(Chain& chain, const DecodedSegment& decoded) {
  if (decoded.events().front().sequence > chain.head.last) return Refusal{};
  ASSAY_RETURN_IF_ERROR(Flush(chain, /*with_piece=*/true));
  std::shared_ptr<const DecodedSegment> held;
  for (const StoredEvent& event : decoded.events()) {
    if (event.sequence > chain.head.last) break;
    if (held == nullptr || held->events().back().sequence < event.sequence) {
      absl::StatusOr<std::shared_ptr<const DecodedSegment>> holding = SegmentHolding(chain, event.sequence);
      // Damaged on our own disk: the chain cannot go on, the others can.
      if (absl::IsDataLoss(holding.status())) return Refusal{holding.status(), /*about_held=*/true};
      ASSAY_ASSIGN_OR_RETURN(held, std::move(holding));
    }
    const StoredEvent& ours = held->events()[event.sequence.value - held->events().front().sequence.value];
    if (ours.leaf == event.leaf) continue;
    KeepEvidence(chain, "fork", event.sequence, ours.masked ? AsBytes(ours.leaf) : ours.bytes,
                 event.masked ? AsBytes(event.leaf) : event.bytes);
    return Refusal{absl::DataLossError(absl::StrCat("fork: another ", EventName(event.origin, event.sequence),
                                                    " is held here (", HexEncode(AsBytes(ours.leaf)),
                                                    ") than was pulled (", HexEncode(AsBytes(event.leaf)), ")")),
                   /*about_held=*/true};
  }
  return Refusal{};
}

EventLog::Refusal EventLog::CheckNew(const Chain& chain, const DecodedSegment& decoded, size_t skip) {
  const auto& events = decoded.events();
  const bool begins = !chain.InTransaction();
  const StoredEvent& first = events[skip];
  if (begins ? first.stamp <= chain.last_stamp : first.stamp != chain.last_stamp) {
    return {absl::DataLossError(
        absl::StrCat(EventName(first.origin, first.sequence), ": its stamp does not ",
                     begins ? "rise above the transaction before" : "equal that of its transaction"))};
  }
  const Sequence claimed = decoded.first_transaction_begins();
  if (skip == 0 && claimed.value != 0 && claimed != chain.head.complete.Next()) {
    return {absl::DataLossError(absl::StrCat(EventName(first.origin, first.sequence), ": its transaction begins at ",
                                             claimed.value, " by its own word and at ", chain.head.complete.value + 1,
                                             " here"))};
  }
  if (chain.claim.size < first.sequence.value || chain.claim.size > events.back().sequence.value) return {};
  // The signed word about this stretch came before the stretch did.
  MerkleTree tree = chain.tree;
  for (size_t i = skip; tree.size() < chain.claim.size; ++i) tree.Append(events[i].leaf);
  return CheckRoot(chain, chain.claim, chain.checkpoint, tree.Root());
}

void EventLog::KeepEvidence(const Chain& chain, absl::string_view kind, Sequence at, absl::string_view held,
                            absl::string_view offered) {
  if (evidence_.size() >= kEvidenceMax) return;
  evidence_.push_back({chain.index, std::string(kind), at, std::string(held), std::string(offered)});
}

absl::Status EventLog::StoreEvidence() {
  if (evidence_.empty()) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(Statement insert,
                         file_->Prepare("INSERT OR IGNORE INTO evidence SELECT ?1, ?2, ?3, ?4, ?5 WHERE "
                                        "(SELECT count(*) FROM evidence WHERE origin = ?1) < ?6"));
  for (const Evidence& evidence : evidence_) {
    ASSAY_RETURN_IF_ERROR(insert.BindInt(1, evidence.origin.value)
                              .BindText(2, evidence.kind)
                              .BindInt(3, static_cast<int64_t>(evidence.at.value))
                              .BindBlob(4, evidence.held)
                              .BindBlob(5, evidence.offered)
                              .BindInt(6, kEvidenceMax)
                              .Run());
  }
  evidence_.clear();
  return absl::OkStatus();
}

}  // namespace assay
