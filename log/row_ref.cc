#include "log/row_ref.h"

#include <cstring>

#include "log/merkle_tree.h"
#include "log/stage_store.h"

namespace assay {

KeyHash HashKey(absl::Span<const std::string> key) { return HashEncodedKey(EncodeKey(key)); }

KeyHash HashEncodedKey(absl::string_view encoded) {
  const Hash hash = Sha256(encoded);
  KeyHash out;
  std::memcpy(out.data(), hash.data(), out.size());
  return out;
}

}  // namespace assay
