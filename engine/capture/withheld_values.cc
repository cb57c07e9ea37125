#include "engine/capture/withheld_values.h"

#include <algorithm>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/row_versions/row_ref.h"

namespace assay {
namespace {

constexpr char kNote[] = "withheld";
constexpr size_t kValuesMax = 100;

}  // namespace

absl::Status WithheldValues::Load() {
  values_.clear();
  ASSAY_ASSIGN_OR_RETURN(const std::optional<std::string> note, state_->Get(kNote));
  ASSAY_ASSIGN_OR_RETURN(const std::vector<std::string> texts, DecodeKey(note.value_or("")));
  for (size_t i = 0; i + 4 <= texts.size(); i += 4) {
    WithheldValue& value = values_.emplace_back(WithheldValue{texts[i], texts[i + 1], texts[i + 2]});
    if (!absl::SimpleAtoi(texts[i + 3], &value.bytes))
      return absl::DataLossError("the log's note of large values is damaged");
  }
  return absl::OkStatus();
}

absl::Status WithheldValues::Note(const TableShape& shape, const RowKey& key, const v1::RowChange& row,
                                  absl::Span<const uint32_t> withheld, absl::Span<const TupleValue> tuple) {
  if (values_.empty() && withheld.empty()) return absl::OkStatus();
  const std::string table = shape.name.ToString(), encoded = EncodeKey(key);
  const size_t erased = std::erase_if(values_, [&](const WithheldValue& known) {
    if (known.table != table || known.key != encoded) return false;
    return row.operation() != v1::RowChange::UPDATE ||
           std::any_of(row.columns().begin(), row.columns().end(), [&](const v1::ColumnChange& column) {
             return shape.columns[column.ordinal()].name == known.column;
           });
  });
  for (uint32_t i : withheld) values_.push_back({table, encoded, shape.columns[i].name, tuple[i].text.size()});
  if (values_.size() > kValuesMax) values_.erase(values_.begin(), values_.end() - kValuesMax);
  if (erased == 0 && withheld.empty()) return absl::OkStatus();
  std::vector<std::string> texts;
  for (const WithheldValue& value : values_)
    texts.insert(texts.end(), {value.table, value.key, value.column, absl::StrCat(value.bytes)});
  return state_->Set(kNote, EncodeKey(texts));
}

}  // namespace assay
