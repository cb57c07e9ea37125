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
    ASSAY_ASSIGN_OR_RETURN(tree, MerkleTree::Decode(nearest.OnlyBlob()));
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

absl::StatusOr<std::string> EventLog::PublicKey(const OriginId& origin) {
  const auto found = chains_.find(origin);
  if (found != chains_.end() && !found->second.public_key.empty()) return found->second.public_key;
  ASSAY_ASSIGN_OR_RETURN(const v1::OriginOpened opening, Opening(origin));
  found->second.public_key = opening.public_key();
  return opening.public_key();
}

EventLog::Refusal EventLog::CheckRoot(const Chain& chain, const Checkpoint& claim, absl::string_view text,
                                      const Hash& root) {
  if (claim.root == root) return {};
  KeepEvidence(chain, "checkpoint", {claim.size}, AsBytes(root), text);
  return {absl::DataLossError(absl::StrCat("origin ", chain.origin.Hex(), " signed another history of its first ",
                                           claim.size, " events (root ", HexEncode(AsBytes(claim.root)),
                                           ") than the one here (root ", HexEncode(AsBytes(root)), ")")),
          /*about_held=*/false, /*signed_claim=*/true};
}

absl::Status EventLog::KeepCheckpoint(const OriginId& origin, absl::string_view text) {
  ASSAY_ASSIGN_OR_RETURN(Refusal refusal, TakeCheckpoint(origin, text));
  return std::move(refusal.cause);
}

absl::StatusOr<EventLog::Refusal> EventLog::TakeCheckpoint(const OriginId& origin, absl::string_view text) {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_ASSIGN_OR_RETURN(const std::string public_key, PublicKey(origin));
  const absl::StatusOr<Checkpoint> checkpoint = VerifyCheckpoint(text, public_key);
  if (!checkpoint.ok()) return Refusal{checkpoint.status()};
  if (checkpoint->origin != origin) {
    return Refusal{absl::InvalidArgumentError(
        absl::StrCat("a checkpoint of ", checkpoint->origin.Hex(), " under the name of ", origin.Hex()))};
  }
  return TakeClaim(*FindOrAdd(origin), *checkpoint, text);
}

absl::StatusOr<EventLog::Refusal> EventLog::TakeClaim(Chain& chain, const Checkpoint& claim, absl::string_view text) {
  if (claim.size == chain.claim.size && claim.root != chain.claim.root && !chain.checkpoint.empty()) {
    KeepEvidence(chain, "checkpoint", {claim.size}, chain.checkpoint, text);
    return Refusal{absl::DataLossError(absl::StrCat("origin ", chain.origin.Hex(),
                                                    " signed two histories of its first ", claim.size, " events")),
                   /*about_held=*/true, /*signed_claim=*/true};
  }
  if (claim.size <= chain.head.last.value) {
    const absl::StatusOr<Hash> root = RootAt(chain.origin, claim.size);
    // Damaged on our own disk: the chain cannot go on, the others can.
    if (absl::IsDataLoss(root.status())) return Refusal{root.status(), /*about_held=*/true};
    ASSAY_RETURN_IF_ERROR(root.status());
    if (Refusal refusal = CheckRoot(chain, claim, text, *root); !refusal.cause.ok()) return refusal;
  }
  if (claim.size > chain.claim.size) {
    chain.checkpoint = std::string(text);
    chain.claim = claim;
    chain.dirty = true;
  }
  return Refusal{};
}

// Nothing is to be verified of a signature that was made here; that took longer than to make it, with every push.
absl::StatusOr<std::string> EventLog::SignCheckpoint(const OriginId& origin, const SigningKey& key) {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_ASSIGN_OR_RETURN(const std::string public_key, PublicKey(origin));
  if (public_key != key.public_key()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the signing key is not the one that chain ", origin.Hex(),
                     " was opened with: put that chain's key file back, or open a new origin"));
  }
  Chain& chain = *FindOrAdd(origin);
  const Checkpoint claim{origin, chain.head.last.value, chain.tree.Root()};
  std::string text = assay::SignCheckpoint(claim, key);
  ASSAY_ASSIGN_OR_RETURN(Refusal refusal, TakeClaim(chain, claim, text));
  if (!refusal.cause.ok()) return std::move(refusal.cause);
  return text;
}

std::optional<std::string> EventLog::NewestCheckpoint(const OriginId& origin) const {
  const Chain* chain = Find(origin);
  if (chain == nullptr || chain->checkpoint.empty()) return std::nullopt;
  return chain->checkpoint;
}

}  // namespace assay
