#include "engine/column_text.h"

#include <algorithm>
#include <initializer_list>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace assay {
namespace {

constexpr size_t kListedBytes = 400;

}  // namespace

absl::string_view Essence(absl::string_view text, absl::string_view type) {
  const auto is = [&](std::initializer_list<absl::string_view> types) {
    return std::any_of(types.begin(), types.end(),
                       [&](absl::string_view name) { return absl::StartsWith(type, name); });
  };
  if (is({"numeric", "smallint", "integer", "bigint"})) {
    if (text.find_first_not_of("+-.0123456789") != absl::string_view::npos || !absl::StrContains(text, '.'))
      return text;
    while (absl::ConsumeSuffix(&text, "0")) {
    }
    absl::ConsumeSuffix(&text, ".");
  } else if (is({"timestamp", "date"})) {
    absl::ConsumeSuffix(&text, "+00");
    absl::ConsumeSuffix(&text, " 00:00:00");
  } else if (is({"character("})) {
    while (absl::ConsumeSuffix(&text, " ")) {
    }
  }
  return text;
}

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
