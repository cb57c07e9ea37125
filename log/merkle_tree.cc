// OpenSSL's one-shot functions cost more than hashing a small event does; the low-level ones are deprecated and here to
// stay.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "log/merkle_tree.h"

#include <openssl/sha.h>

#include <bit>

#include "log/bytes.h"

namespace assay {
namespace {

constexpr uint8_t kLeafPrefix = 0x00;
constexpr uint8_t kNodePrefix = 0x01;

Hash Finish(SHA256_CTX* context) {
  Hash hash;
  SHA256_Final(hash.data(), context);
  return hash;
}

}  // namespace

Hash Sha256(absl::string_view bytes) {
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, bytes.data(), bytes.size());
  return Finish(&context);
}

Hash LeafHash(absl::string_view event_bytes) {
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, &kLeafPrefix, 1);
  SHA256_Update(&context, event_bytes.data(), event_bytes.size());
  return Finish(&context);
}

Hash NodeHash(const Hash& left, const Hash& right) {
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, &kNodePrefix, 1);
  SHA256_Update(&context, left.data(), left.size());
  SHA256_Update(&context, right.data(), right.size());
  return Finish(&context);
}

void MerkleTree::Append(const Hash& leaf) {
  // Adding a leaf is adding one to the size in binary: each carry joins two subtrees of equal size.
  Hash subtree = leaf;
  for (uint64_t carry = size_; carry & 1; carry >>= 1) {
    subtree = NodeHash(frontier_.back(), subtree);
    frontier_.pop_back();
  }
  frontier_.push_back(subtree);
  ++size_;
}

Hash MerkleTree::Root() const {
  if (frontier_.empty()) return Sha256("");
  Hash root = frontier_.back();
  for (size_t i = frontier_.size() - 1; i-- > 0;) root = NodeHash(frontier_[i], root);
  return root;
}

std::string MerkleTree::Encode() const {
  std::string out;
  out.reserve(8 + frontier_.size() * sizeof(Hash));
  PutFixed64(&out, size_);
  for (const Hash& hash : frontier_) out.append(AsBytes(hash).data(), hash.size());
  return out;
}

absl::StatusOr<MerkleTree> MerkleTree::Decode(absl::string_view bytes) {
  MerkleTree tree;
  ByteReader reader(bytes);
  if (!reader.Fixed64(&tree.size_) || reader.size() != std::popcount(tree.size_) * sizeof(Hash)) {
    return absl::DataLossError("the stored Merkle tree has not as many hashes as its size needs");
  }
  tree.frontier_.resize(std::popcount(tree.size_));
  for (Hash& hash : tree.frontier_) {
    absl::string_view stored;
    reader.Take(hash.size(), &stored);
    std::memcpy(hash.data(), stored.data(), hash.size());
  }
  return tree;
}

}  // namespace assay
