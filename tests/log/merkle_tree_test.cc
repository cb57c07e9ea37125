#include "log/merkle_tree.h"

#include <bit>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace assay {
namespace {

std::string Hex(const Hash& hash) { return HexEncode(AsBytes(hash)); }

// RFC 6962, section 2.1, word for word.
Hash ByDefinition(const std::vector<std::string>& leaves, size_t begin, size_t end) {
  if (begin == end) return Sha256("");
  if (end - begin == 1) return LeafHash(leaves[begin]);
  const size_t half = std::bit_floor(end - begin - 1);
  return NodeHash(ByDefinition(leaves, begin, begin + half), ByDefinition(leaves, begin + half, end));
}

// Goal: our roots are those that everyone's verifiers compute.
// Method: the test vectors of the Certificate Transparency reference implementation.
TEST(MerkleTreeTest, RootsAreThoseOfCertificateTransparency) {
  const char* const leaves[] = {
      "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
  const char* const roots[] = {"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                               "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                               "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                               "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                               "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                               "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                               "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                               "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
  MerkleTree tree;
  EXPECT_EQ(Hex(tree.Root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  for (size_t i = 0; i < std::size(leaves); ++i) {
    tree.Append(LeafHash(absl::HexStringToBytes(leaves[i])));
    EXPECT_EQ(Hex(tree.Root()), roots[i]) << i + 1;
    EXPECT_EQ(tree.size(), i + 1);
  }
}

TEST(MerkleTreeTest, GrownRootEqualsTheDefinitionAtEverySize) {
  std::vector<std::string> leaves;
  MerkleTree tree;
  for (size_t size = 0; size <= 130; ++size) {
    EXPECT_EQ(tree.Root(), ByDefinition(leaves, 0, size)) << size;
    leaves.push_back(absl::StrCat("event ", size));
    tree.Append(LeafHash(leaves.back()));
  }
}

TEST(MerkleTreeTest, StoredTreeGrowsOnAsIfNeverStored) {
  MerkleTree tree;
  for (int i = 0; i < 100; ++i) {
    absl::StatusOr<MerkleTree> stored = MerkleTree::Decode(tree.Encode());
    ASSERT_TRUE(stored.ok()) << stored.status();
    tree.Append(LeafHash(absl::StrCat(i)));
    stored->Append(LeafHash(absl::StrCat(i)));
    EXPECT_EQ(stored->Root(), tree.Root());
    EXPECT_EQ(stored->size(), tree.size());
  }
}

TEST(MerkleTreeTest, StoredTreeOfAnotherLengthIsRefused) {
  MerkleTree tree;
  for (int i = 0; i < 7; ++i) tree.Append(LeafHash(absl::StrCat(i)));
  const std::string stored = tree.Encode();
  for (size_t size = 0; size < stored.size(); ++size) {
    EXPECT_EQ(MerkleTree::Decode(stored.substr(0, size)).status().code(), absl::StatusCode::kDataLoss) << size;
  }
  EXPECT_EQ(MerkleTree::Decode(stored + "x").status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace assay
