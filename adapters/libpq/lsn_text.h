// A WAL position as PostgreSQL writes it.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "log/types.h"

namespace assay {

// "16/B374D848". INVALID_ARGUMENT when `text` is none.
absl::StatusOr<Lsn> ParseLsn(absl::string_view text);

}  // namespace assay
