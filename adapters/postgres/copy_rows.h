// New rows by COPY, for less than an INSERT costs: where a table is filled, after an absence or at its first pull.
//
//   if (CanCopy(table, writes, rows)) return CopyRows(connection, table, writes, rows);
//
// COPY cannot say which row was there already, nor what PostgreSQL made of a value. So it takes only what needs
// neither.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "adapters/libpq/connection.h"
#include "adapters/postgres/catalog.h"
#include "engine/database.h"

namespace assay {

// Inserts enough to be worth it, into a table where nothing answers, and every text is PostgreSQL's own.
bool CanCopy(const LocalTable& table, const TableWrites& writes, absl::Span<const uint32_t> rows);

// Inserts `rows`, for which CanCopy holds. A row that is there already is an error of the whole statement: 23505.
absl::Status CopyRows(Connection& connection, const LocalTable& table, const TableWrites& writes,
                      absl::Span<const uint32_t> rows);

}  // namespace assay
