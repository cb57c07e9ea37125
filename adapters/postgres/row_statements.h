// The statements of the projection, set-wise: many rows of one table travel as one array per column.
//
// Identifiers come from LocalTable, values are parameters. Each error is the connection's, with its SQLSTATE, and leaves the
// transaction aborted. Keys must have as many parts as the table's has.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "adapters/postgres/connection.h"
#include "adapters/postgres/local_catalog.h"
#include "engine/database.h"

namespace assay {

// The rows that exist, each with the index of its key. Locked, in key order, when `lock`.
struct FoundRow {
  size_t key;
  ReadReply::Row row;
};
absl::StatusOr<std::vector<FoundRow>> SelectRows(Connection& connection, const LocalTable& table,
                                                 absl::Span<const RowKey> keys, bool lock);

// Applies `rows` (indexes into writes.rows, all of them one operation) and returns those that were not what they had to be: not
// there, another version (unless !compare_xmin), or there already. Every column of `writes` must be writable.
absl::StatusOr<std::vector<uint32_t>> ApplyRows(Connection& connection, const LocalTable& table, const TableWrites& writes,
                                                absl::Span<const uint32_t> rows, bool compare_xmin);

// Deletes one row as ApplyRows would and returns what it held, parallel to the table's columns (generated ones nullopt).
// NOT_FOUND: it was not what it had to be.
absl::StatusOr<std::vector<ColumnText>> TakeRow(Connection& connection, const LocalTable& table, const RowWrite& write,
                                                bool compare_xmin);

}  // namespace assay
