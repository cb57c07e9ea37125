// How the tables of a log file name rows and versions, for the stores of local_state.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "log/event_log.h"
#include "log/log_file.h"
#include "log/row_versions/row_ref.h"
#include "log/types.h"

namespace assay {

// DATA_LOSS: the table holds what no Assay writes.
absl::Status MalformedTable(absl::string_view table);

// `row` has a table's number in `table_id` and a key's hash in `key_hash`.
absl::StatusOr<RowRef> ReadRowRef(const Statement& row, absl::string_view table);
// `row` has an origin's index in `column`.
absl::StatusOr<OriginId> ReadOrigin(const Statement& row, absl::string_view column, const EventLog& log,
                                    absl::string_view table);

}  // namespace assay
