#include "log/row_versions/packed_rows.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace assay {
namespace {

constexpr uint8_t kPackedRowsFormat = 1;

absl::Status Malformed() { return absl::DataLossError("stored row versions are malformed"); }

}  // namespace

void PackedRowsWriter::Clear() { bytes_.assign(1, static_cast<char>(kPackedRowsFormat)); }

void PackedRowsWriter::Add(const RowRef& row, absl::string_view versions) {
  PutVarint(&bytes_, row.table.value);
  bytes_.append(View(row.key).data(), row.key.size());
  PutSized(&bytes_, versions);
}

absl::StatusOr<PackedRowsReader> PackedRowsReader::Open(absl::string_view bytes) {
  PackedRowsReader rows(bytes);
  uint8_t format;
  if (!rows.reader_.Byte(&format)) return Malformed();
  if (format != kPackedRowsFormat) {
    return absl::FailedPreconditionError(
        absl::StrCat("row versions are packed in format ", format, ", unknown here: install a newer Assay"));
  }
  return rows;
}

absl::StatusOr<bool> PackedRowsReader::Next() {
  if (reader_.empty()) return false;
  if (!Read()) return Malformed();
  return true;
}

absl::StatusOr<bool> PackedRowsReader::Find(const RowRef& wanted) {
  while (!reader_.empty()) {
    if (!Read()) return Malformed();
    if (row_ >= wanted) return row_ == wanted;
  }
  return false;
}

bool PackedRowsReader::Read() {
  uint64_t table;
  absl::string_view key;
  if (!reader_.Varint(&table) || table > UINT32_MAX || !reader_.Take(row_.key.size(), &key) ||
      !reader_.Sized(&versions_) || versions_.empty()) {
    return false;
  }
  row_.table = {static_cast<uint32_t>(table)};
  std::memcpy(row_.key.data(), key.data(), key.size());
  return true;
}

}  // namespace assay
