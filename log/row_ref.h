// Which row: its table, and the hash of its key.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "log/table_names.h"

namespace assay {

// First 16 bytes of the SHA-256 of the key's texts, each preceded by its length.
using KeyHash = std::array<uint8_t, 16>;
KeyHash HashKey(absl::Span<const std::string> key);
KeyHash HashEncodedKey(absl::string_view encoded);  // Of EncodeKey.

inline absl::string_view View(const KeyHash& key) { return {reinterpret_cast<const char*>(key.data()), key.size()}; }

struct RowRef {
  TableId table;
  KeyHash key{};
  auto operator<=>(const RowRef&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const RowRef& row) {
    return H::combine(std::move(h), row.table.value, row.key);
  }
};

}  // namespace assay
