#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "log/table_names.h"

namespace assay {

absl::StatusOr<TableName> TableName::Parse(absl::string_view text) {
  std::vector<std::string> parts(1);
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"' && quoted && i + 1 < text.size() && text[i + 1] == '"') parts.back() += text[i++];
    else if (text[i] == '"') quoted = !quoted;
    else if (text[i] == '.' && !quoted) parts.emplace_back();
    else parts.back() += text[i];
  }
  if (quoted || parts.size() != 2 || parts[0].empty() || parts[1].empty()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not a table: write schema.table, like public.products"));
  }
  return TableName{parts[0], parts[1]};
}

}  // namespace assay
