// Checkpoints: what an origin has signed about its chain, held against the chain that is here.
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/check.h"
#include "log/event_log.h"

namespace assay {

Hash EventLog::Root(const OriginId& origin) const {
  const Chain* chain = Find(origin);
  return chain == nullptr ? MerkleTree().Root() : chain->tree.Root();
}

absl::StatusOr<Hash> EventLog::RootAt(const OriginId& origin, uint64_t size) {
  const auto found = chains_.find(origin);
  const uint64_t held = found == chains_.end() ? 0 : found->second.head.last.value;
  if (size > held) return absl::OutOfRangeError(absl::StrCat(EventName(origin, {size}), " is not held here yet"));
  if (size == 0) return MerkleTree().Root();
  Chain& chain = found->second;
  if (size == held) return chain.tree.Root();

  MerkleTree tree;
  ASSAY_ASSIGN_OR_RETURN(
      Statement nearest,
      file_->Prepare("SELECT tree FROM tree WHERE origin = ?1 AND size <= ?2 ORDER BY size DESC LIMIT 1"));
  nearest.BindInt(1, chain.index.value).BindInt(2, static_cast<int64_t>(size));
  ASSAY_ASSIGN_OR_RETURN(const bool row, nearest.Step());
  if (row) {
    ASSAY_ASSIGN_OR_RETURN(tree, MerkleTree::Decode(nearest.Blob(0)));
    if (tree.size() > size) return absl::DataLossError("a stored Merkle tree is larger than its name says");
  }
  while (tree.size() < size) {
    ASSAY_ASSIGN_OR_RETURN(const auto segment, SegmentHolding(chain, {tree.size() + 1}));
    const auto& events = segment->events();
    for (size_t i = tree.size() + 1 - events.front().sequence.value; i < events.size() && tree.size() < size; ++i) {
      tree.Append(events[i].leaf);
    }
  }
  return tree.Root();
}

absl::StatusOr<v1::OriginOpened> EventLog::Opening(const OriginId& origin) {
  ASSAY_ASSIGN_OR_RETURN(const std::string bytes, ReadEvent(origin, {1}));
  v1::Event event;
  if (!event.ParseFromString(bytes) || !event.has_origin_opened()) {
    return absl::DataLossError(absl::StrCat(EventName(origin, {1}), " does not open its chain"));
  }
  return event.origin_opened();
}

EventLog::Refusal EventLog::CheckRoot(const Chain& chain, const Checkpoint& claim, absl::string_view text, const Hash& root) {
  if (claim.root == root) return {};
  KeepEvidence(chain, "checkpoint", {claim.size}, AsBytes(root), text);
  return {absl::DataLossError(absl::StrCat("origin ", chain.origin.Hex(), " signed another history of its first ", claim.size,
                                           " events (root ", HexEncode(AsBytes(claim.root)), ") than the one here (root ",
                                           HexEncode(AsBytes(root)), ")")),
          /*about_held=*/false, /*signed_claim=*/true};
}

absl::Status EventLog::KeepCheckpoint(const OriginId& origin, absl::string_view text) {
  ASSAY_ASSIGN_OR_RETURN(Refusal refusal, TakeCheckpoint(origin, text));
  return std::move(refusal.cause);
}

absl::StatusOr<EventLog::Refusal> EventLog::TakeCheckpoint(const OriginId& origin, absl::string_view text) {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_ASSIGN_OR_RETURN(const v1::OriginOpened opening, Opening(origin));
  const absl::StatusOr<Checkpoint> checkpoint = VerifyCheckpoint(text, opening.public_key());
  if (!checkpoint.ok()) return Refusal{checkpoint.status()};
  if (checkpoint->origin != origin) {
    return Refusal{absl::InvalidArgumentError(
        absl::StrCat("a checkpoint of ", checkpoint->origin.Hex(), " under the name of ", origin.Hex()))};
  }
  Chain& chain = *FindOrAdd(origin);
  if (checkpoint->size == chain.claim.size && checkpoint->root != chain.claim.root && !chain.checkpoint.empty()) {
    KeepEvidence(chain, "checkpoint", {checkpoint->size}, chain.checkpoint, text);
    return Refusal{absl::DataLossError(absl::StrCat("origin ", origin.Hex(), " signed two histories of its first ",
                                                    checkpoint->size, " events")),
                   /*about_held=*/true, /*signed_claim=*/true};
  }
  if (checkpoint->size <= chain.head.last.value) {
    const absl::StatusOr<Hash> root = RootAt(origin, checkpoint->size);
    // Damaged on our own disk: the chain cannot go on, the others can.
    if (absl::IsDataLoss(root.status())) return Refusal{root.status(), /*about_held=*/true};
    ASSAY_RETURN_IF_ERROR(root.status());
    if (Refusal refusal = CheckRoot(chain, *checkpoint, text, *root); !refusal.cause.ok()) return refusal;
  }
  if (checkpoint->size > chain.claim.size) {
    chain.checkpoint = std::string(text);
    chain.claim = *checkpoint;
    chain.dirty = true;
  }
  return Refusal{};
}

std::optional<std::string> EventLog::NewestCheckpoint(const OriginId& origin) const {
  const Chain* chain = Find(origin);
  if (chain == nullptr || chain->checkpoint.empty()) return std::nullopt;
  return chain->checkpoint;
}

}  // namespace assay
