// Rows out of the database by COPY, one after the other: a table of any size in no memory.
//
//   CopyOut(connection, "SELECT id, v FROM ONLY public.t ORDER BY id", 2, [&](absl::Span<const TupleValue> tuple) {…});
#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "adapters/libpq/connection.h"
#include "engine/database.h"

namespace assay {

// Calls `visit` with each row of `query`, which has `columns` columns: text or NULL, good during the call. When `visit`
// returns an error, so does this, and the session is of no use any more.
absl::Status CopyOut(Connection& connection, const std::string& query, size_t columns,
                     absl::FunctionRef<absl::Status(absl::Span<const TupleValue>)> visit);

}  // namespace assay
