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

KeyHash HashEncodedKey(absl::string_view encoded) {
  const Hash hash = Sha256(encoded);
  KeyHash out;
  std::memcpy(out.data(), hash.data(), out.size());
  return out;
}

}  // namespace assay
