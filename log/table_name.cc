#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "log/table_names.h"

namespace assay {
namespace {

std::string QuoteIfNeeded(const std::string& part) {
  const bool plain = !part.empty() && !absl::ascii_isdigit(part[0]) &&
                     std::all_of(part.begin(), part.end(),
                                 [](char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_'; });
  return plain ? part : absl::StrCat("\"", absl::StrReplaceAll(part, {{"\"", "\"\""}}), "\"");
}

}  // namespace

std::string TableName::ToString() const { return absl::StrCat(QuoteIfNeeded(schema), ".", QuoteIfNeeded(table)); }

absl::StatusOr<TableName> TableName::Parse(absl::string_view text) {
  std::vector<std::string> parts(1);
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"' && quoted && i + 1 < text.size() && text[i + 1] == '"')
      parts.back() += text[i++];
    else if (text[i] == '"')
      quoted = !quoted;
    else if (text[i] == '.' && !quoted)
      parts.emplace_back();
    else
      parts.back() += text[i];
  }
  if (quoted || parts.size() != 2 || parts[0].empty() || parts[1].empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is not a table: write schema.table, like public.products"));
  }
  return TableName{parts[0], parts[1]};
}

}  // namespace assay
