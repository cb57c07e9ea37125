// A projection that PostgreSQL was asked for and that has not come by in capture: what it was to do, row by row.
//
// A tag in the WAL is believed only for the rows listed here, values compared. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/database.h"
#include "engine/merge.h"
#include "log/row_versions.h"
#include "log/table_names.h"
#include "log/types.h"
#include "proto/state.pb.h"

namespace assay {

class OpenIntent {
 public:
  // Serialize() of a build whose fields had another meaning is refused (FAILED_PRECONDITION), and so are damaged bytes (DATA_LOSS).
  static absl::StatusOr<OpenIntent> Parse(const std::string& bytes);
  // Of this build's meaning; sets `format`.
  static absl::StatusOr<OpenIntent> Make(v1::ProjectionIntent intent);

  std::string Serialize() const { return intent_->SerializeAsString(); }
  uint64_t batch() const { return intent_->batch(); }
  const std::string& tag() const { return intent_->tag(); }
  HlcStamp stamp() const { return HlcStamp{intent_->stamp()}; }
  // Where the cursors go.
  const std::map<OriginId, Sequence>& to() const { return to_; }

  // It is about this row, to be written or to stay as it is.
  bool Concerns(const RowRef& row) const { return rows_.contains(row); }
  // True, once per row: this is what was meant to be done with it. `tuple` holds the new values (key only, of a delete).
  bool Meant(const RowRef& row, ChangeKind kind, const TableShape& shape, absl::Span<const TupleValue> tuple, TableNames& names);

  v1::ProjectionIntent Take() && { return std::move(*intent_); }

 private:
  OpenIntent(v1::ProjectionIntent intent, std::map<OriginId, Sequence> to);

  std::unique_ptr<v1::ProjectionIntent> intent_;
  std::map<OriginId, Sequence> to_;
  enum class Seen : uint8_t {
    kNothing,
    kTakenOut,  // To be updated: it was deleted, and is to come back.
    kAll,
  };
  struct Meaning {
    const v1::ProjectionIntent::Row* row;
    Seen seen = Seen::kNothing;  // Of its echo.
  };
  absl::flat_hash_map<RowRef, Meaning> rows_;
};

}  // namespace assay
