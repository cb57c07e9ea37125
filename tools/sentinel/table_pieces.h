// A table of this branch's PostgreSQL, read in pieces: each is a statement and a snapshot of its own.
//
//   ASSAY_ASSIGN_OR_RETURN(TablePieces pieces, TablePieces::Open(connection, name));
//   do {
//     ASSAY_RETURN_IF_ERROR(pieces.Next([&](absl::Span<const TupleValue> tuple) {…}));
//   } while (!pieces.at_end());
//
// A piece is about as many rows as were read in a tenth of a second, by the key's index, so that no snapshot is held
// for long and no wide row makes a piece large. Rows come as capture has them. Not thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "adapters/libpq/connection.h"
#include "adapters/postgres/catalog.h"
#include "engine/database.h"

namespace assay {

class TablePieces {
 public:
  static constexpr size_t kRowsMax = 5000;

  // FAILED_PRECONDITION: the table takes no part here, and why. PERMISSION_DENIED: it may not be read.
  static absl::StatusOr<TablePieces> Open(Connection& connection, const TableName& name);

  // As capture delivers it: without generated columns.
  const TableShape& shape() const { return shape_; }
  // The next piece.
  absl::Status Next(absl::FunctionRef<absl::Status(absl::Span<const TupleValue>)> visit);
  bool at_end() const { return at_end_; }

  // One row, with the version of it that was read; nullopt: it is not there. `key` in the order of `ordinals`, which
  // are of the shape.
  struct Row {
    std::string xmin;
    std::vector<ColumnText> values;
  };
  absl::StatusOr<std::optional<Row>> Find(const RowKey& key, const std::vector<uint32_t>& ordinals);

 private:
  struct Column {
    std::string quoted, cast, equals;
  };
  explicit TablePieces(Connection& connection) : connection_(&connection) {}
  absl::Status ReadKeyOrder(const std::string& quoted);
  std::string Columns() const;
  // " WHERE (k, l) > ('7'::integer, 'x'::text)", or nothing.
  std::string Behind() const;

  Connection* connection_;
  TableShape shape_;
  std::string from_;
  std::vector<Column> columns_;     // Parallel to the shape's.
  std::vector<uint32_t> order_;     // The key's columns, in the order of its index.
  std::vector<std::string> after_;  // Parallel to `order_`: of the last row that was read; empty: none was.
  size_t rows_ = 500;               // Of the next piece.
  bool at_end_ = false;
};

}  // namespace assay
