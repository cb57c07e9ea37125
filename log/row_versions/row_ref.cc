#include "log/row_versions/row_ref.h"

#include <cstring>

#include "log/bytes.h"
#include "log/merkle_tree.h"

namespace assay {

std::string EncodeKey(absl::Span<const std::string> key) {
  std::string out;
  for (const std::string& text : key) PutSized(&out, text);
  return out;
}

absl::StatusOr<std::vector<std::string>> DecodeKey(absl::string_view bytes) {
  std::vector<std::string> key;
  ByteReader reader(bytes);
  while (!reader.empty()) {
    absl::string_view text;
    if (!reader.Sized(&text)) return absl::DataLossError("an encoded key is cut short");
    key.emplace_back(text);
  }
  return key;
}

KeyHash HashKey(absl::Span<const std::string> key) { return HashEncodedKey(EncodeKey(key)); }

RowRef RowOf(TableId table, uint64_t key_columns, absl::string_view encoded_key) {
  RowRef row{table, HashEncodedKey(encoded_key)};
  for (size_t i = 0; i < sizeof(key_columns); ++i) row.key[i] ^= static_cast<uint8_t>(key_columns >> (56 - 8 * i));
  return row;
}

RowRef RowOf(TableId table, uint64_t key_columns, absl::Span<const std::string> key) {
  return RowOf(table, key_columns, EncodeKey(key));
}

KeyHash HashEncodedKey(absl::string_view encoded) {
  const Hash hash = Sha256(encoded);
  KeyHash out;
  std::memcpy(out.data(), hash.data(), out.size());
  return out;
}

}  // namespace assay
