#include "engine/capture/foreign_keys.h"

#include "absl/strings/numbers.h"

namespace assay {

void ForeignKeys::Look(const TableShape& shape, absl::Span<const TupleValue> tuple) {
  if (classes_.empty()) return;
  const std::string table = shape.name.ToString();
  for (const uint32_t ordinal : shape.key) {
    const auto own = classes_.find({table, shape.columns[ordinal].name});
    int64_t value = 0;
    if (own == classes_.end() || !absl::SimpleAtoi(tuple[ordinal].text, &value)) continue;
    const KeyClass& keys = own->second;
    if ((static_cast<__int128>(value) - keys.residue) % keys.modulus != 0)
      found_[table] = {std::string(tuple[ordinal].text), keys.sequence};
  }
}

}  // namespace assay
