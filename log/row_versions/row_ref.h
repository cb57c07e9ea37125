// Which row: its table, and the hash of its key.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "log/table_names.h"

namespace assay {

// Key texts, each preceded by its varint length.
std::string EncodeKey(absl::Span<const std::string> key);
absl::StatusOr<std::vector<std::string>> DecodeKey(absl::string_view bytes);

// First 16 bytes of the SHA-256 of the key's texts, each preceded by its length. Which columns they are of, see
// KeyColumns.
using KeyHash = std::array<uint8_t, 16>;
KeyHash HashKey(absl::Span<const std::string> key);
KeyHash HashEncodedKey(absl::string_view encoded);  // `encoded`: by EncodeKey.

inline absl::string_view View(const KeyHash& key) { return {reinterpret_cast<const char*>(key.data()), key.size()}; }

// A row is its table, its key's columns, and their values: the row with id 2 is not the one with code 2, whichever of
// the two is the table's key today.
struct RowRef {
  TableId table;
  KeyHash key{};  // By RowOf.
  bool operator==(const RowRef&) const = default;
  // The keys as their bytes compare, in words of eight: a row is found by comparing it with some fifty others.
  std::strong_ordering operator<=>(const RowRef& other) const {
    if (table != other.table) return table <=> other.table;
    if (Word(0) != other.Word(0)) return Word(0) <=> other.Word(0);
    return Word(8) <=> other.Word(8);
  }
  template <typename H>
  friend H AbslHashValue(H h, const RowRef& row) {
    return H::combine(std::move(h), row.table.value, row.key);
  }

 private:
  uint64_t Word(size_t at) const {
    uint64_t word = 0;
    for (size_t i = 0; i < 8; ++i) word = word << 8 | key[at + i];
    return word;
  }
};

// The row of `table` whose columns `key_columns` (KeyColumns) have these values.
RowRef RowOf(TableId table, uint64_t key_columns, absl::string_view encoded_key);
RowRef RowOf(TableId table, uint64_t key_columns, absl::Span<const std::string> key);

}  // namespace assay
