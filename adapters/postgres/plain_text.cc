#include "adapters/postgres/plain_text.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"

namespace assay {
namespace {

bool IsDigits(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isdigit(c); });
}

bool IsPlainInteger(absl::string_view text) {
  if (absl::ConsumePrefix(&text, "-") && text == "0") return false;
  return IsDigits(text) && (text[0] != '0' || text.size() == 1);
}

// "numeric" shows as many digits after the point as it was given; "numeric(12,2)" two, and would round others.
bool IsPlainNumeric(absl::string_view type, absl::string_view text) {
  const bool negative = absl::ConsumePrefix(&text, "-");
  const size_t point = text.find('.');
  const absl::string_view whole = text.substr(0, point);
  const absl::string_view part = point == absl::string_view::npos ? absl::string_view() : text.substr(point + 1);
  if (!IsDigits(whole) || (whole[0] == '0' && whole.size() > 1)) return false;
  if (point != absl::string_view::npos && !IsDigits(part)) return false;
  if (negative && text.find_first_of("123456789") == absl::string_view::npos) return false;
  if (!absl::ConsumePrefix(&type, "numeric")) return false;
  if (type.empty()) return true;
  const size_t comma = type.find(',');
  size_t scale = 0;
  if (comma == absl::string_view::npos || type.back() != ')' ||
      !absl::SimpleAtoi(type.substr(comma + 1, type.size() - comma - 2), &scale)) {
    return false;
  }
  return part.size() == scale;
}

// 8-4-4-4-12 in lower case.
bool IsPlainUuid(absl::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !absl::ascii_isxdigit(text[i]) || absl::ascii_isupper(text[i])) return false;
  }
  return true;
}

bool IsLike(absl::string_view text, absl::string_view pattern) {
  return text.size() == pattern.size() && std::equal(text.begin(), text.end(), pattern.begin(), [](char c, char like) {
           return like == '9' ? absl::ascii_isdigit(c) : c == like;
         });
}

// The year 0000 is none, and 24:00 is the next day's; other days and times that are none are refused.
bool IsPlainDate(absl::string_view text) { return IsLike(text, "9999-99-99") && text.substr(0, 4) != "0000"; }

bool IsPlainTimestamp(absl::string_view text) {
  if (text.size() < 19 || !IsPlainDate(text.substr(0, 10)) || !IsLike(text.substr(10, 9), " 99:99:99")) return false;
  if (text.substr(11, 2) > "23" || text.substr(17, 2) > "59") return false;
  text.remove_prefix(19);
  if (text.empty()) return true;
  return text.size() <= 7 && text[0] == '.' && IsDigits(text.substr(1)) && text.back() != '0';
}

bool IsPlainHex(absl::string_view text) {
  return absl::ConsumePrefix(&text, "\\x") && text.size() % 2 == 0 &&
         std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f'); });
}

}  // namespace

bool IsPlainText(absl::string_view type, absl::string_view text) {
  // json is kept as it was written, jsonb is not.
  if (type == "text" || type == "character varying" || type == "json") return true;
  if (type == "integer" || type == "bigint" || type == "smallint") return IsPlainInteger(text);
  if (type == "numeric" || absl::StartsWith(type, "numeric(")) return IsPlainNumeric(type, text);
  if (type == "boolean") return text == "t" || text == "f";
  if (type == "uuid") return IsPlainUuid(text);
  if (type == "date") return IsPlainDate(text);
  if (type == "timestamp without time zone") return IsPlainTimestamp(text);
  if (type == "timestamp with time zone") return absl::ConsumeSuffix(&text, "+00") && IsPlainTimestamp(text);
  if (type == "bytea") return IsPlainHex(text);
  if (absl::ConsumePrefix(&type, "character varying(") && absl::ConsumeSuffix(&type, ")")) {
    // Blanks beyond its length would be cut in silence. There are no more characters than bytes.
    size_t length = 0;
    return absl::SimpleAtoi(type, &length) && text.size() <= length;
  }
  return false;
}

}  // namespace assay
