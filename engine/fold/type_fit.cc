#include "engine/fold/type_fit.h"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace assay {
namespace {

constexpr int32_t kUnlimited = std::numeric_limits<int32_t>::max();

// "timestamp(3) without time zone" is "timestamp without time zone" with {3}.
struct Parsed {
  std::string name;
  std::vector<int32_t> numbers;

  int32_t Number(size_t index, int32_t if_none) const { return index < numbers.size() ? numbers[index] : if_none; }
};

Parsed Parse(absl::string_view type) {
  const size_t open = type.find('('), close = type.find(')');
  if (open == type.npos || close == type.npos || close < open) return {std::string(type), {}};
  Parsed parsed{absl::StrCat(type.substr(0, open), type.substr(close + 1)), {}};
  for (const absl::string_view text : absl::StrSplit(type.substr(open + 1, close - open - 1), ',')) {
    int32_t number = 0;
    if (!absl::SimpleAtoi(text, &number)) return {std::string(type), {}};
    parsed.numbers.push_back(number);
  }
  return parsed;
}

// Of whole numbers: the larger holds the smaller. 0: it is none.
int WholeNumber(absl::string_view name) {
  return name == "smallint" ? 1 : name == "integer" ? 2 : name == "bigint" ? 3 : 0;
}

bool IsVaryingText(absl::string_view name) { return name == "text" || name == "character varying"; }

bool IsTime(absl::string_view name) {
  return absl::EndsWith(name, " time zone") &&
         (absl::StartsWith(name, "time ") || absl::StartsWith(name, "timestamp "));
}

}  // namespace

bool IsWidening(const TypeText& from, const TypeText& to) {
  if (!from.definition.empty() || !to.definition.empty()) return false;
  const Parsed narrow = Parse(from.type), wide = Parse(to.type);
  if (WholeNumber(narrow.name) > 0) return WholeNumber(narrow.name) < WholeNumber(wide.name);
  if (IsVaryingText(narrow.name) && IsVaryingText(wide.name))
    return narrow.Number(0, kUnlimited) <= wide.Number(0, kUnlimited);
  if (narrow.name != wide.name) return false;
  if (narrow.name == "bit varying") return narrow.Number(0, kUnlimited) <= wide.Number(0, kUnlimited);
  if (IsTime(narrow.name)) return narrow.Number(0, 6) <= wide.Number(0, 6);
  if (narrow.name != "numeric" || narrow.numbers.empty()) return false;
  if (wide.numbers.empty()) return true;
  return narrow.Number(0, 0) <= wide.Number(0, 0) && narrow.Number(1, 0) == wide.Number(1, 0);
}

bool KeepsKeyText(const TypeText& from, const TypeText& to) {
  const auto keeps = [](const TypeText& type) {
    const std::string name = Parse(type.type).name;
    return type.definition.empty() && (WholeNumber(name) > 0 || IsVaryingText(name));
  };
  return keeps(from) && keeps(to);
}

bool IsSameKeyType(const TypeText& from, const TypeText& to) {
  if (from == to) return true;
  if (!from.definition.empty() || !to.definition.empty()) return false;
  const Parsed a = Parse(from.type), b = Parse(to.type);
  return (WholeNumber(a.name) > 0 && WholeNumber(b.name) > 0) || (IsVaryingText(a.name) && IsVaryingText(b.name));
}

}  // namespace assay
