// What is done to a table that takes part in replication, and how it is undone.
//
// A table takes part when it is in the publication `assay`, has REPLICA IDENTITY FULL (so that every change comes with
// its before image) and the attribution trigger, and the role assay_projector may read and write it. A partitioned
// table takes part as a whole, under the name of its root.
//
// Deferrable unique and exclusion constraints are checked by a trigger of PostgreSQL's own, which does not fire under
// the replica role: duplicates would come in without a word. It is enabled ALWAYS, which only a superuser may do and
// which changes nothing for the application. Dumps forget it, so a restored database is enrolled again; until then the
// projection refuses such a table.
//
//   ASSAY_ASSIGN_OR_RETURN(TableSelection selection, SelectTables(admin, {{"public.*"}, {"public.session*"}}));
//   ASSAY_RETURN_IF_ERROR(PrepareTables(admin, selection.tables, ...));
//
// Each table is prepared in a transaction of its own that waits at most kLockWait for its lock, and is tried again
// later when it does not get it: an application is never held up for longer than that. Not thread-safe; every function
// blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "adapters/libpq/connection.h"
#include "log/table_names.h"
#include "tools/survey/sql_names.h"
#include "tools/survey/table_selection.h"

namespace assay {

// An application that holds a table's lock longer than this makes us try again; one that comes after us waits this long
// at most.
inline constexpr absl::Duration kLockWait = absl::Milliseconds(250);

// Gives each table and partition that lacks it: REPLICA IDENTITY FULL (its old one saved in assay.enrolled), the
// triggers, the role's rights; and with `publish` a place in the publication. Returns the names of tables that
// something was done to. ABORTED names those that could not be locked before `deadline`, and who holds them; what was
// done to others stays.
absl::StatusOr<std::vector<TableName>> PrepareTables(Connection& admin, const std::vector<SelectedTable>& tables,
                                                     bool publish, absl::Time deadline,
                                                     const std::function<void(size_t done, size_t total)>& progress);

// Tables in the publication, by name.
absl::StatusOr<std::vector<TableName>> PublishedTables(Connection& admin);

// Undoes PrepareTables on everything in assay.enrolled that still exists, or on `only` one table with its partitions.
// As above about locks.
absl::Status RestoreTables(Connection& admin, absl::Time deadline, const std::optional<TableName>& only = std::nullopt);

// Runs `script` (one implicit transaction) until it gets its locks. ABORTED once `deadline` has passed, with who is in
// the way of `what`.
absl::Status ExecuteWithShortLocks(Connection& admin, absl::string_view script, const std::vector<uint32_t>& relations,
                                   absl::string_view what, absl::Time deadline);

}  // namespace assay
