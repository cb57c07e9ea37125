// The statements of the projection, set-wise: many rows of one table travel as one array per column.
//
// Identifiers come from LocalTable, values are parameters. Each error is the connection's, with its SQLSTATE, and
// leaves the transaction aborted. Keys must have as many parts as the table's has.
//
// A row is the one asked for only if its key has the same text. PostgreSQL may hold 'ABC' and 'abc' (citext, a
// collation that is not deterministic) or 1.0 and 1.00 to be equal, and the log has two rows there: to write one onto
// the other would lose both.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "adapters/libpq/connection.h"
#include "adapters/postgres/catalog.h"
#include "engine/database.h"

namespace assay {

// The rows that exist, each with the index of its key. Locked, in key order, when `lock`.
struct FoundRow {
  size_t key;
  ReadReply::Row row;
};
absl::StatusOr<std::vector<FoundRow>> SelectRows(Connection& connection, const LocalTable& table,
                                                 absl::Span<const RowKey> keys, bool lock);

// Whether a row has the key of an insert: the same text; or one that PostgreSQL takes for equal.
enum class KeyFound : uint8_t { kNot, kThere, kOtherSpelling };
absl::StatusOr<std::vector<KeyFound>> FindKeys(Connection& connection, const LocalTable& table,
                                               const TableWrites& writes, absl::Span<const uint32_t> rows);

// Applies `rows` (indexes into writes.rows, all of them one operation) and returns those that were not what they had to
// be: not there, another version (unless !compare_xmin), or there already (as FindKeys tells). Every column of `writes`
// must be writable. A row that came back differently is an error of the whole statement (CameBack::Check).
absl::StatusOr<std::vector<uint32_t>> ApplyRows(Connection& connection, const LocalTable& table,
                                                const TableWrites& writes, absl::Span<const uint32_t> rows,
                                                bool compare_xmin);

// Deletes one row as ApplyRows would and returns what it held, parallel to the table's columns (generated ones
// nullopt). NOT_FOUND: it was not what it had to be.
absl::StatusOr<std::vector<ColumnText>> TakeRow(Connection& connection, const LocalTable& table, const RowWrite& write,
                                                bool compare_xmin);

}  // namespace assay
