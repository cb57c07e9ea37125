#include "engine/column_text.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace assay {
namespace {

constexpr size_t kListedBytes = 400;

}  // namespace

ColumnText TextOf(const TupleValue& value) {
  return value.kind == TupleValue::Kind::kText ? ColumnText(std::string(value.text)) : std::nullopt;
}

TupleValue TupleOf(const ColumnText& text) {
  return text.has_value() ? TupleValue{TupleValue::Kind::kText, *text} : TupleValue{TupleValue::Kind::kNull, {}};
}

absl::string_view CutText(absl::string_view text, size_t bytes) {
  size_t size = std::min(text.size(), bytes);
  while (size > 0 && size < text.size() && (static_cast<uint8_t>(text[size]) & 0xc0) == 0x80) --size;
  return text.substr(0, size);
}

ColumnText ListedText(const ColumnText& text) {
  if (!text.has_value() || text->size() <= kListedBytes) return text;
  return absl::StrCat(CutText(*text, kListedBytes), "… (", text->size(), " bytes)");
}

}  // namespace assay
