#include "engine/audit/event_proof.h"

#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "log/annotate.h"
#include "log/event_frame.h"
#include "log/merkle_tree.h"

namespace assay {
namespace {

constexpr absl::string_view kFirstLine = "c2sp.org/tlog-proof@v1";
constexpr char kEd25519 = 1;
constexpr size_t kReadBytes = 1 << 20;

// A subtree whose root the proof has: of leaves `from` to `to`, without the latter.
struct Subtree {
  uint64_t from = 0, to = 0;
  MerkleTree tree;
};

// Of leaf `index` among `size`, from the leaf to the root. (RFC 6962, section 2.1.1.)
std::vector<Subtree> PathOf(uint64_t index, uint64_t size) {
  std::vector<Subtree> path;
  for (uint64_t from = 0; size > 1;) {
    uint64_t left = 1;
    while (left * 2 < size) left *= 2;
    if (index - from < left) {
      path.push_back({from + left, from + size, {}});
      size = left;
    } else {
      path.push_back({from, from + left, {}});
      from += left;
      size -= left;
    }
  }
  return {std::make_move_iterator(path.rbegin()), std::make_move_iterator(path.rend())};
}

// The root that `leaf` and the hashes of its path come to; nullopt: the path is of another length.
std::optional<Hash> RootOf(Hash leaf, uint64_t index, uint64_t size, const std::vector<Hash>& hashes) {
  const std::vector<Subtree> path = PathOf(index, size);
  if (path.size() != hashes.size()) return std::nullopt;
  for (size_t i = 0; i < path.size(); ++i)
    leaf = path[i].from > index ? NodeHash(leaf, hashes[i]) : NodeHash(hashes[i], leaf);
  return leaf;
}

std::string KeyId(const OriginId& origin, absl::string_view public_key) {
  const Hash hash = Sha256(absl::StrCat(origin.Hex(), "\n", std::string(1, kEd25519), public_key));
  return std::string(AsBytes(hash).substr(0, 4));
}

struct NamedKey {
  OriginId origin;
  std::string public_key;
};
absl::StatusOr<NamedKey> ParseKey(absl::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(text, absl::MaxSplits('+', 2));
  NamedKey key;
  std::string bytes;
  const absl::StatusOr<OriginId> origin = OriginId::FromHex(parts[0]);
  if (parts.size() != 3 || !origin.ok() || !absl::Base64Unescape(parts[2], &bytes) || bytes.size() != 33 ||
      bytes[0] != kEd25519 || HexEncode(KeyId(*origin, bytes.substr(1))) != parts[1]) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", text, "\" is no key; `assay audit verify` prints each chain's: 32 hexadecimal digits, 8 more, base64"));
  }
  return NamedKey{*origin, bytes.substr(1)};
}

struct ParsedProof {
  std::string event;
  uint64_t index = 0;
  std::vector<Hash> hashes;
  absl::string_view checkpoint;
};
absl::StatusOr<ParsedProof> ParseProof(absl::string_view text) {
  const absl::Status none = absl::InvalidArgumentError(absl::StrCat("it is no proof of an event (", kFirstLine, ")"));
  ParsedProof proof;
  const size_t blank = text.find("\n\n");
  if (blank == absl::string_view::npos) return none;
  proof.checkpoint = text.substr(blank + 2);
  const std::vector<absl::string_view> lines = absl::StrSplit(text.substr(0, blank), '\n');
  absl::string_view extra = lines.size() < 3 ? "" : lines[1], index = lines.size() < 3 ? "" : lines[2];
  if (lines[0] != kFirstLine || !absl::ConsumePrefix(&extra, "extra ") || !absl::ConsumePrefix(&index, "index ") ||
      !absl::Base64Unescape(extra, &proof.event) || absl::Base64Escape(proof.event) != extra ||
      !absl::SimpleAtoi(index, &proof.index) || absl::StrCat(proof.index) != index) {
    return none;
  }
  for (size_t i = 3; i < lines.size(); ++i) {
    std::string bytes;
    if (!absl::Base64Unescape(lines[i], &bytes) || bytes.size() != sizeof(Hash) ||
        absl::Base64Escape(bytes) != lines[i])
      return none;
    std::memcpy(proof.hashes.emplace_back().data(), bytes.data(), bytes.size());
  }
  return proof;
}

}  // namespace

std::string VerifierKey(const OriginId& origin, absl::string_view public_key) {
  return absl::StrCat(origin.Hex(), "+", HexEncode(KeyId(origin, public_key)), "+",
                      absl::Base64Escape(absl::StrCat(std::string(1, kEd25519), public_key)));
}

absl::StatusOr<std::string> ProveEvent(EventLog* log, const OriginId& origin, Sequence sequence) {
  const std::optional<std::string> checkpoint = log->NewestCheckpoint(origin);
  if (!checkpoint.has_value()) return absl::NotFoundError("the chain has no checkpoint in this log");
  ASSAY_ASSIGN_OR_RETURN(const v1::OriginOpened opening, log->Opening(origin));
  ASSAY_ASSIGN_OR_RETURN(const Checkpoint claim, VerifyCheckpoint(*checkpoint, opening.public_key()));
  ASSAY_ASSIGN_OR_RETURN(const std::string event, log->ReadEvent(origin, sequence));
  if (claim.size > log->Head(origin).last.value)
    return absl::OutOfRangeError(absl::StrCat("the newest checkpoint covers ", claim.size, " events, and this log has ",
                                              log->Head(origin).last.value, " of them"));
  if (sequence.value > claim.size)
    return absl::OutOfRangeError(absl::StrCat("the newest checkpoint covers ", claim.size,
                                              " events: the event is not signed yet. Try again in a minute"));
  const uint64_t index = sequence.value - 1;
  std::vector<Subtree> path = PathOf(index, claim.size);
  for (uint64_t at = 0; at < claim.size;) {
    ASSAY_ASSIGN_OR_RETURN(const std::vector<Segment> segments,
                           log->ReadSegments(origin, Sequence{at + 1}, kReadBytes, /*complete_only=*/false));
    if (segments.empty()) return absl::DataLossError("the log's segments end before its head");
    for (const Segment& segment : segments) {
      for (size_t i = 0; i * sizeof(Hash) < segment.leaf_hashes.size(); ++i, ++at) {
        Hash leaf;
        std::memcpy(leaf.data(), segment.leaf_hashes.data() + i * sizeof(Hash), sizeof(Hash));
        for (Subtree& subtree : path) {
          if (at >= subtree.from && at < subtree.to) subtree.tree.Append(leaf);
        }
      }
    }
  }
  std::string proof = absl::StrCat(kFirstLine, "\nextra ", absl::Base64Escape(event), "\nindex ", index, "\n");
  for (const Subtree& subtree : path) absl::StrAppend(&proof, absl::Base64Escape(AsBytes(subtree.tree.Root())), "\n");
  absl::StrAppend(&proof, "\n", *checkpoint);
  // Nobody is handed one that does not hold.
  ASSAY_RETURN_IF_ERROR(CheckProof(proof, VerifierKey(origin, opening.public_key())).status());
  return proof;
}

absl::StatusOr<ProvenEvent> CheckProof(absl::string_view text, absl::string_view key) {
  ASSAY_ASSIGN_OR_RETURN(const NamedKey named, ParseKey(key));
  ASSAY_ASSIGN_OR_RETURN(const ParsedProof proof, ParseProof(text));
  ProvenEvent proven{{}, Sequence{proof.index + 1}, proof.event};
  const absl::StatusOr<Checkpoint> checkpoint = VerifyCheckpoint(proof.checkpoint, named.public_key);
  if (!checkpoint.ok())
    return absl::DataLossError(absl::StrCat("its checkpoint does not hold: ", checkpoint.status().message()));
  proven.checkpoint = *checkpoint;
  if (checkpoint->origin != named.origin)
    return absl::DataLossError(absl::StrCat("it is about chain ", checkpoint->origin.Hex()));
  if (proof.index >= checkpoint->size)
    return absl::DataLossError(absl::StrCat("the checkpoint covers ", checkpoint->size, " events"));
  if (RootOf(LeafHash(proof.event), proof.index, checkpoint->size, proof.hashes) != checkpoint->root)
    return absl::DataLossError("event and hashes do not come to the root that was signed");
  EventFrame frame;
  if (!ScanEvent(proof.event, &frame) || frame.origin != named.origin.AsBytes() || frame.sequence != proof.index + 1)
    return absl::DataLossError("the event says of itself that it is another one");
  return proven;
}

}  // namespace assay
