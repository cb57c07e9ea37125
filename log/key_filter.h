// Says of most rows that were never stored that they were not, without a look at the disk (Bloom, CACM 13(7), 1970).
//
// New rows are most of what a shop writes, and looking each of them up in a table of millions costs more than all else that recording it
// takes. Keys are hashes already, so their own words serve as the filter's hash functions: with 10 bits a row and four of them,
// one row in eighty is looked up in vain. Not thread-safe.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

namespace assay {

class KeyFilter {
 public:
  // For about `rows` rows.
  explicit KeyFilter(uint64_t rows = 0) : capacity_(rows), bits_(capacity_ * kBitsPerRow / 64 + 1) {}

  template <typename Row>
  void Add(const Row& row) {
    ++count_;
    ForEachBit(row, [this](uint64_t bit) {
      bits_[bit / 64] |= uint64_t{1} << bit % 64;
      return true;
    });
  }
  // False: certainly not.
  template <typename Row>
  bool MayHave(const Row& row) const {
    return ForEachBit(row, [this](uint64_t bit) { return (bits_[bit / 64] >> bit % 64 & 1) != 0; });
  }
  // More rows than it was made for: it says "perhaps" too often.
  bool Full() const { return count_ > capacity_; }

 private:
  static constexpr uint64_t kBitsPerRow = 10;

  template <typename Row, typename Visit>
  bool ForEachBit(const Row& row, Visit visit) const {
    uint32_t words[4];
    static_assert(sizeof(words) == sizeof(row.key));
    std::memcpy(words, row.key.data(), sizeof(words));
    const uint64_t bits = bits_.size() * 64;
    for (uint32_t i = 0; i < 4; ++i) {
      // Of two words, so that more than 2^32 bits could be told apart, and with the table, whose rows' keys may be alike.
      const uint64_t mixed = (uint64_t{words[i]} << 32 | (words[(i + 1) % 4] ^ row.table.value * 0x9E3779B9u));
      if (!visit(mixed % bits)) return false;
    }
    return true;
  }

  uint64_t capacity_;
  uint64_t count_ = 0;
  std::vector<uint64_t> bits_;
};

}  // namespace assay
