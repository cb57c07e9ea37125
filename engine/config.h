// What a branch's engine is told once, when it is opened: who it is, its tables' policies, and its limits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "log/checkpoint.h"
#include "log/row_versions/row_versions.h"
#include "log/table_names.h"

namespace assay {

// How concurrent writes of one row are told apart at the branch that writes. The choice is written into each event (as
// the set of columns it claims to write), so branches with different configurations still converge.
struct TablePolicy {
  bool whole_row = false;                               // Every update writes every column.
  std::vector<std::vector<std::string>> column_groups;  // Columns that move together.
};

struct EngineConfig {
  std::string branch_name;
  uint32_t branch_number = 0;
  bool has_hub = false;
  absl::Duration hub_interval = absl::Minutes(5);  // Between pulls when no hint comes.
  std::map<TableName, TablePolicy> policies;
  std::optional<SigningKey> signing_key;  // Signs checkpoints; absent only in tests.
  // Texts that one row event may hold, new values before old ones. Every event has to pass in one piece through a hub
  // and into other databases, whose own limit is 1 GB and whose memory is less. Lowered by tests.
  size_t row_bytes_max = size_t{256} << 20;
  // Rows at which a projection is as large as it gets (Batch::rows_max), or at half as many new ones. Lowered by tests.
  size_t batch_rows_max = 20'000;
  RowVersionStore::Limits row_versions;  // Lowered by tests.
  size_t repack_events = 1024;           // EventLog::Repack, so many at a time. Lowered by tests.
  // Test only: write without fence and without comparing, to prove that the tests see what the protocol prevents.
  bool naive_projection = false;
};

}  // namespace assay
