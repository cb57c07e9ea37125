#include "log/local_state/stored_rows.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace assay {

absl::Status MalformedTable(absl::string_view table) {
  return absl::DataLossError(
      absl::StrCat("the log's table ", table, " is malformed: keep the log file, and see `assay repair`"));
}

absl::StatusOr<RowRef> ReadRowRef(const Statement& row, absl::string_view table) {
  RowRef ref;
  ref.table = {static_cast<uint32_t>(row.Int("table_id"))};
  const absl::string_view key = row.Blob("key_hash");
  if (key.size() != ref.key.size()) return MalformedTable(table);
  std::memcpy(ref.key.data(), key.data(), key.size());
  return ref;
}

absl::StatusOr<OriginId> ReadOrigin(const Statement& row, absl::string_view column, const EventLog& log,
                                    absl::string_view table) {
  const uint64_t index = static_cast<uint64_t>(row.Int(column));
  if (!log.HasIndex(index)) return MalformedTable(table);
  return log.OriginOf({static_cast<uint32_t>(index)});
}

}  // namespace assay
