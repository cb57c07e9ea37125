#include "adapters/postgres/copy_rows.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "adapters/postgres/came_back.h"
#include "adapters/postgres/plain_text.h"
#include "log/check.h"

namespace assay {
namespace {

constexpr size_t kWorthCopying = 32;

// As COPY reads it (the manual, COPY, "Text Format").
void AppendCopied(absl::string_view text, std::string* out) {
  for (const char c : text) {
    switch (c) {
      case '\\':
        out->append("\\\\");
        break;
      case '\n':
        out->append("\\n");
        break;
      case '\r':
        out->append("\\r");
        break;
      case '\t':
        out->append("\\t");
        break;
      default:
        out->push_back(c);
    }
  }
}

}  // namespace

bool CanCopy(const LocalTable& table, const TableWrites& writes, absl::Span<const uint32_t> rows) {
  if (rows.size() < kWorthCopying || writes.rows[rows[0]].operation != RowWrite::Operation::kInsert) return false;
  if (!table.answers.empty() || !CameBack(table, writes, rows).Sure()) return false;
  return std::all_of(rows.begin(), rows.end(), [&](uint32_t row) {
    const PackedRow::KeyTexts key = writes.rows[row].row.KeyParts();
    for (size_t i = 0; i < key.size(); ++i) {
      if (!IsPlainText(table.shape.columns[table.shape.key[i]].type, key[i])) return false;
    }
    return true;
  });
}

absl::Status CopyRows(Connection& connection, const LocalTable& table, const TableWrites& writes,
                      absl::Span<const uint32_t> rows) {
  std::string names;
  for (const uint32_t key : table.shape.key)
    absl::StrAppend(&names, names.empty() ? "" : ", ", table.columns[key].quoted);
  for (const std::string& name : writes.columns) {
    const int column = table.FindWritable(name);
    ASSAY_CHECK(column >= 0);
    absl::StrAppend(&names, ", ", table.columns[column].quoted);
  }
  std::string text;
  for (const uint32_t row : rows) {
    const RowWrite& write = writes.rows[row];
    const size_t begin = text.size();
    for (const absl::string_view key : write.row.KeyParts()) {
      if (text.size() > begin) text.push_back('\t');
      AppendCopied(key, &text);
    }
    for (size_t i = 0; i < writes.columns.size(); ++i) {
      const std::optional<absl::string_view> value = writes.Value(write, i);
      text.push_back('\t');
      if (value.has_value()) {
        AppendCopied(*value, &text);
      } else {
        text.append("\\N");
      }
    }
    text.push_back('\n');
  }
  return connection.CopyIn(absl::StrCat("COPY ", table.quoted, " (", names, ") FROM STDIN"), text).status();
}

}  // namespace assay
