// What SQLite answers, as a Status that says what to do.
#pragma once

#include <sqlite3.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace assay {

// `rc` of the call that failed on `db`, which was about to do `what` with the file `path`. The codes are LogFile's.
absl::Status SqliteError(sqlite3* db, int rc, absl::string_view what, absl::string_view path);

}  // namespace assay
