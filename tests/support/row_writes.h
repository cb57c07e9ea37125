// What a projection is to write, as tests make it up.
#pragma once

#include <vector>

#include "engine/database.h"
#include "log/row_versions/row_ref.h"

namespace assay::test {

inline RowWrite WriteOf(RowWrite::Operation operation, const RowKey& key, const std::vector<ColumnText>& values,
                        uint32_t xmin) {
  RowWrite write{operation, xmin, PackedRow(EncodeKey(key))};
  for (const ColumnText& value : values) write.row.Add(value);
  return write;
}
inline RowWrite InsertOf(const RowKey& key, const std::vector<ColumnText>& values) {
  return WriteOf(RowWrite::Operation::kInsert, key, values, 0);
}
inline RowWrite UpdateOf(const RowKey& key, const std::vector<ColumnText>& values, uint32_t xmin) {
  return WriteOf(RowWrite::Operation::kUpdate, key, values, xmin);
}
inline RowWrite KeepOf(const RowKey& key, uint32_t xmin) { return WriteOf(RowWrite::Operation::kKeep, key, {}, xmin); }
inline RowWrite DeleteOf(const RowKey& key, uint32_t xmin) {
  return WriteOf(RowWrite::Operation::kDelete, key, {}, xmin);
}

}  // namespace assay::test
