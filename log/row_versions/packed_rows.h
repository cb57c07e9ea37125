// Rows with their versions (RowVersions::Encode), one after the other: an entry of the list of row versions, and a
// block of a run of them. FORMAT.md has the bytes.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "log/bytes.h"
#include "log/row_versions/row_ref.h"

namespace assay {

class PackedRowsWriter {
 public:
  PackedRowsWriter() { Clear(); }

  void Add(const RowRef& row, absl::string_view versions);
  void Clear();
  bool empty() const { return bytes_.size() == 1; }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// Points into bytes that must stay.
class PackedRowsReader {
 public:
  // FAILED_PRECONDITION: of a newer format.
  static absl::StatusOr<PackedRowsReader> Open(absl::string_view bytes);

  // False: the end. DATA_LOSS.
  absl::StatusOr<bool> Next();
  // Goes on to `wanted`, where rows are in order. False: not here. DATA_LOSS.
  absl::StatusOr<bool> Find(const RowRef& wanted);
  const RowRef& row() const { return row_; }
  absl::string_view versions() const { return versions_; }

 private:
  explicit PackedRowsReader(absl::string_view bytes) : reader_(bytes) {}
  bool Read();  // False: malformed.

  ByteReader reader_;
  RowRef row_;
  absl::string_view versions_;
};

}  // namespace assay
