#include "engine/capture/withheld_values.h"

#include <algorithm>

#include "log/annotate.h"
#include "log/row_versions/row_ref.h"

namespace assay {
namespace {

constexpr size_t kValuesMax = 100;

}  // namespace

absl::Status WithheldValues::Load() {
  ASSAY_ASSIGN_OR_RETURN(values_, state_->Read(kWithheldNote));
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
  return state_->Write(kWithheldNote, values_);
}

}  // namespace assay
