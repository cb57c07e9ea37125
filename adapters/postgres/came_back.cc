#include "adapters/postgres/came_back.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "adapters/libpq/sqlstate.h"
#include "adapters/postgres/plain_text.h"
#include "engine/column_text.h"
#include "engine/written_as.h"

namespace assay {
namespace {

constexpr size_t kShownBytes = 60;

// The type that the column's values were written as; empty: as it has here.
absl::string_view WrittenAs(const TableWrites& writes, size_t column) {
  return column < writes.written_as.size() ? absl::string_view(writes.written_as[column]) : absl::string_view();
}

}  // namespace

std::string Shown(const ColumnText& text) {
  if (!text.has_value()) return "NULL";
  const absl::string_view cut = CutText(*text, kShownBytes);
  return absl::StrCat("'", cut, cut.size() < text->size() ? "…'" : "'");
}

CameBack::CameBack(const LocalTable& table, const TableWrites& writes, absl::Span<const uint32_t> rows)
    : table_(table), writes_(writes) {
  for (size_t i = 0; i < writes.columns.size(); ++i) {
    const int column = table.FindWritable(writes.columns[i]);
    const std::string& type = table.shape.columns[column].type;
    if (WrittenAs(writes, i) == kConvertedWhereItWasWritten) continue;
    const bool plain = WrittenAs(writes, i).empty() && std::all_of(rows.begin(), rows.end(), [&](uint32_t row) {
                         const std::optional<absl::string_view> value = writes.Value(writes.rows[row], i);
                         return !value.has_value() || IsPlainText(type, *value);
                       });
    if (plain) continue;
    columns_.push_back(i);
    absl::StrAppend(&returning_, ", t.", table.columns[column].quoted);
  }
}

absl::Status CameBack::Check(const RowWrite& row, const Result& result, int at, int first) const {
  for (size_t i = 0; i < columns_.size(); ++i) {
    const ColumnText written(writes_.Value(row, columns_[i]));
    const ColumnText stored = result.Value(at, Result::Column::At(first + static_cast<int>(i)));
    if (stored == written) continue;
    const std::string& name = writes_.columns[columns_[i]];
    const std::string& type = table_.shape.columns[table_.FindWritable(name)].type;
    const absl::string_view as = WrittenAs(writes_, columns_[i]);
    if (!as.empty() && written.has_value() && stored.has_value()) {
      if (Essence(*written, as) == Essence(*stored, type)) continue;
      return StatusFromSqlstate(
          "22000",
          absl::StrCat(
              "column \"", name, "\" is ", type, " here and ", as,
              " where the value was written, and would not hold all of it; it is written by itself once the types agree"));
    }
    return StatusFromSqlstate(
        "22000", absl::StrCat("column \"", name, "\" of type ", type, " would hold ", Shown(stored), " where ",
                              Shown(written), " was written; it is written by itself once it holds that"));
  }
  return absl::OkStatus();
}

}  // namespace assay
