// The rows of a batch: each event of a row is folded into what came before of the same row.
//
//   ASSAY_RETURN_IF_ERROR(rows.Fold(stored, event, epoch));
//   for (const PendingRow& row : rows.rows()) …
//
// Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/fold/pending_row.h"
#include "engine/fold/pieces.h"
#include "engine/fold/row_event.h"
#include "log/event_log.h"
#include "log/table_names.h"

namespace assay {

class PendingRows {
 public:
  explicit PendingRows(TableNames* names) : names_(names) {}

  // `event` is what `stored` holds, and its writer had seen the same of others as in its other events of that `epoch`.
  // One whose declaration is masked here changes nothing. INVALID_ARGUMENT: nobody can read it, and nothing was folded.
  absl::Status Fold(const StoredEvent& stored, const RowEvent& event, uint32_t epoch);
  // In the order in which they came.
  const Pieces<PendingRow>& rows() const { return rows_; }
  // Of them those that begin with an insert.
  size_t new_rows() const { return new_rows_; }
  size_t bytes() const { return bytes_; }

  void Clear();
  // Nothing more is folded in before Clear: gives back what only that has use for.
  void Seal();

 private:
  absl::Status TakeSchema(const StoredEvent& stored, Sequence schema);

  // A row is found by its table, KeyColumns and EncodeKey, without the cost of hashing the key for its RowRef.
  struct Place {
    Place(const ResolvedSchema& schema, absl::string_view key)
        : table(schema.table), key_columns(schema.key_columns), key(key) {}
    Place(const PendingRow* row) : Place(row->declared(), row->key()) {}  // NOLINT: it is where the row is.
    bool operator==(const Place&) const = default;
    TableId table;
    uint64_t key_columns;
    absl::string_view key;
  };
  struct PlaceHash {
    using is_transparent = void;
    size_t operator()(const Place& place) const { return absl::HashOf(place.table.value, place.key); }
  };
  struct PlaceEqual {
    using is_transparent = void;
    bool operator()(const Place& a, const Place& b) const { return a == b; }
  };

  TableNames* names_;
  Pieces<PendingRow> rows_;
  absl::flat_hash_set<PendingRow*, PlaceHash, PlaceEqual> index_;
  std::set<std::shared_ptr<const ResolvedSchema>> schemas_;  // rows_ point at them.
  size_t new_rows_ = 0;
  size_t bytes_ = 0;

  // The schema of the event that was folded last.
  OriginId schema_origin_;
  Sequence schema_sequence_;
  std::shared_ptr<const ResolvedSchema> schema_;

  // Of the event being folded; members, so that their memory is used again.
  std::string key_;
  std::vector<PendingRow::Write> writes_;
};

}  // namespace assay
