#include "tests/engine/fold/reference_merge.h"

#include <set>

namespace assay {

ReferenceRow ReferenceFold(const std::vector<ReferenceWrite>& writes) {
  ReferenceRow row;
  std::set<std::string> columns;
  for (const ReferenceWrite& write : writes) {
    Version& newest = write.is_delete ? row.deleted : row.written;
    if (write.version > newest) newest = write.version;
    for (const auto& [column, value] : write.values) columns.insert(column);
  }
  for (const std::string& column : columns) {
    for (const ReferenceWrite& write : writes) {
      if (!write.values.contains(column) || write.version <= row.versions[column]) continue;
      row.versions[column] = write.version;
      row.values[column] = write.values.at(column);
    }
  }
  return row;
}

}  // namespace assay
