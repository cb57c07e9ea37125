// SQLSTATE becomes absl::Status here and nowhere else: the code says what a caller should do, the payload keeps the
// original.
//
//   absl::Status status = StatusFromSqlstate("40P01", "deadlock detected");   // ABORTED
//   SqlstateOf(AnnotateSql(status, "project batch 7"))                       // "40P01"
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace assay {

// UNAVAILABLE: the server or the connection is not there now. RESOURCE_EXHAUSTED: disk or memory full. ABORTED: retry
// the transaction (serialization, deadlock, lock or statement timeout). UNAUTHENTICATED, PERMISSION_DENIED: as they
// say. INVALID_ARGUMENT: the data (constraint, type, size). FAILED_PRECONDITION: something is missing or in the wrong
// state. DATA_LOSS: the server found its own files damaged. INTERNAL: anything else.
absl::Status StatusFromSqlstate(absl::string_view sqlstate, absl::string_view message);

// Five characters, or empty when `status` did not come from PostgreSQL.
std::string SqlstateOf(const absl::Status& status);

// Like Annotate, and keeps the SQLSTATE.
absl::Status AnnotateSql(const absl::Status& status, absl::string_view context);

}  // namespace assay
