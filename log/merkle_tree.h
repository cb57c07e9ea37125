// The Merkle tree of RFC 6962 over a chain's events, grown one leaf at a time.
//
// Only the frontier is kept: the roots of the perfect subtrees that the size splits into, at most 64 hashes, from which
// the root of the whole follows. (RFC 6962, section 2.1: leaf = SHA-256(0x00 ‖ bytes), node = SHA-256(0x01 ‖ left ‖
// right).) Not thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "log/types.h"

namespace assay {

Hash LeafHash(absl::string_view event_bytes);
Hash NodeHash(const Hash& left, const Hash& right);
Hash Sha256(absl::string_view bytes);

class MerkleTree {
 public:
  uint64_t size() const { return size_; }
  void Append(const Hash& leaf);
  // Of the empty tree: SHA-256 of nothing.
  Hash Root() const;

  // Size and frontier as stored with the chain's head.
  std::string Encode() const;
  static absl::StatusOr<MerkleTree> Decode(absl::string_view bytes);

 private:
  uint64_t size_ = 0;
  std::vector<Hash> frontier_;  // Largest subtree first.
};

}  // namespace assay
