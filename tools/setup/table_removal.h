// `assay tables remove`: takes one table out of replication on purpose, here.
//
// The config says which tables are meant, and is a person's file: it has to leave the table out first. Then the table
// is unpublished and put back as it was, and the log no longer counts it as enrolled. What has been recorded of it
// stays, and what waits to be written to it is not waited for any more (UnsettledRows::Forget). Each step may be done
// again.
//
// Whoever calls holds the state directory's lock: no daemon is running. Not thread-safe; everything blocks.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/clock.h"
#include "log/table_names.h"
#include "tools/survey/table_selection.h"

namespace assay {

struct RemoveTableOptions {
  TableName table;
  TablePatterns patterns;  // Of the config.
  std::string admin_url, log_path;
  absl::Duration lock_wait = absl::Minutes(1);
};

struct RemoveTableReport {
  bool was_there = false;  // The table is in the database.
  int64_t forgotten = 0;   // Rows that waited to be written to it.
};

// INVALID_ARGUMENT: the config still means the table, with the line to write. NOT_FOUND: it takes part in nothing here.
// ABORTED: somebody's transaction is in the way.
absl::StatusOr<RemoveTableReport> RemoveTable(const RemoveTableOptions& options, Clock* clock);

}  // namespace assay
