// Rows of other branches that nobody can read: their table is declared without a key, say, or they do not fit it.
//
// Whoever folds a chain leaves such a row out by name, and what follows it in its chain is as good as before.
#pragma once

#include "absl/status/status.h"
#include "log/event_log.h"
#include "log/local_state/local_state.h"

namespace assay {

// Notes, of each table of a chain, the first such row and `why` (kUnreadableNote): the status names it. Not more than a
// hundred tables. Inside a LogFile transaction.
absl::Status NoteUnreadable(const StoredEvent& event, const absl::Status& why, LocalState* state);

}  // namespace assay
