// A branch's log file as plain rows, read from a copy on disk by the log library alone: what an oracle may believe.
//
//   ASSERT_OK_AND_ASSIGN(std::vector<LoggedRow> rows, ReadLog(branch.state_directory()));
//
// Knows nothing of merge or projection. Works while the daemon runs and after it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "log/types.h"
#include "proto/event.pb.h"

namespace assay::test {

struct LoggedRow {
  Version version;  // Stamp, origin, sequence: its place in the order of all writes.
  uint64_t transaction_first = 0;
  std::string branch;  // That wrote it, by its chain's first event.
  std::string table;   // "schema.table"
  v1::RowChange::Operation operation = v1::RowChange::OPERATION_UNSPECIFIED;
  std::vector<std::string> key;
  std::map<std::string, std::optional<std::string>> written;  // Column → new value; nullopt: NULL.
  std::map<std::string, std::optional<std::string>> before;
  v1::TransactionHeader header;  // Of its transaction.
};

// All chains, each in order, one chain after the other.
absl::StatusOr<std::vector<LoggedRow>> ReadLog(const std::string& state_directory);

// Events of all chains, row changes or not.
absl::StatusOr<int64_t> CountEvents(const std::string& state_directory);

}  // namespace assay::test
