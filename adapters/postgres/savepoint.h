// A part of a transaction that can fail alone.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "adapters/libpq/connection.h"

namespace assay {

// The statement failed because of what it was to write, and another row may well pass.
bool IsAboutRows(const absl::Status& status);

// Runs `body` so that a failure about rows undoes it alone. Returns that failure in `*failure`, other errors as the
// result.
absl::Status UnderSavepoint(Connection& connection, const std::function<absl::Status()>& body, absl::Status* failure);

}  // namespace assay
