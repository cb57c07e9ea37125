// Says of most rows that were never stored that they were not, without a look at the disk (Bloom, CACM 13(7), 1970).
//
// New rows are most of what a shop writes, and looking each of them up in a table of millions costs more than all else
// that recording it takes. Keys are hashes already, so their own words serve as the filter's hash functions: with 10
// bits a row and four of them, one row in eighty is looked up in vain, with 20 one in a thousand. Not thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/numeric/int128.h"

namespace assay {

class KeyFilter {
 public:
  // For about `rows` rows, of `bits_a_row` bits each. With more of them it grows by a filter of twice the size beside
  // the others (Almeida et al., Information Processing Letters 101(6), 2007).
  explicit KeyFilter(uint64_t rows = 0, uint64_t bits_a_row = 10) : bits_a_row_(bits_a_row) { Grow(rows); }

  template <typename Row>
  void Add(const Row& row) {
    if (count_ == capacity_) Grow(2 * capacity_);
    ++count_;
    ForEachBit(row, parts_.back(), [this](uint64_t bit) {
      parts_.back()[bit / 64] |= uint64_t{1} << bit % 64;
      return true;
    });
  }
  // False: certainly not.
  template <typename Row>
  bool MayHave(const Row& row) const {
    for (const Bits& bits : parts_) {
      if (ForEachBit(row, bits, [&bits](uint64_t bit) { return (bits[bit / 64] >> bit % 64 & 1) != 0; })) return true;
    }
    return false;
  }

 private:
  using Bits = std::vector<uint64_t>;

  void Grow(uint64_t rows) {
    capacity_ = std::max<uint64_t>(rows, 64);
    count_ = 0;
    parts_.emplace_back((capacity_ * bits_a_row_ + 63) / 64);
  }

  template <typename Row, typename Visit>
  static bool ForEachBit(const Row& row, const Bits& bits, Visit visit) {
    uint32_t words[4];
    static_assert(sizeof(words) == sizeof(row.key));
    std::memcpy(words, row.key.data(), sizeof(words));
    for (uint32_t i = 0; i < 4; ++i) {
      // Of two words, so that more than 2^32 bits could be told apart; and with the table, since the keys of two may be
      // alike.
      const uint64_t mixed = uint64_t{words[i] ^ row.table.value * 0x9E3779B9u} << 32 | words[(i + 1) % 4];
      // Into the range by a multiplication (Lemire, ACM TOMACS 29(1), 2019), which takes a fraction of a division's
      // time.
      if (!visit(absl::Uint128High64(absl::uint128(mixed) * (bits.size() * 64)))) return false;
    }
    return true;
  }

  uint64_t bits_a_row_;
  uint64_t capacity_ = 0, count_ = 0;  // The last part's: keys it has room for, and has.
  std::vector<Bits> parts_;            // Never none.
};

}  // namespace assay
