// The tables of this branch as its own chain declares them: which shape of a captured row stands for which numbers, and
// which TableSchema event of the chain says so.
//
// Nothing is written to the chain here: who appends a row asks whether its table's newest declaration still holds, and
// declares it if not. Not thread-safe. Every call inside a LogFile transaction.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/config.h"
#include "engine/database.h"
#include "engine/fold/column_history.h"
#include "log/local_state/local_state.h"
#include "log/table_names.h"
#include "log/types.h"

namespace assay {

// A shape resolved to this log's numbers.
struct DeclaredTable {
  TableId table;
  std::string name;               // As SegmentPart::table.
  uint64_t fingerprint = 0;       // Of the shape.
  std::vector<ColumnId> columns;  // Parallel to the shape.
  std::vector<bool> is_key;
  std::vector<std::vector<uint32_t>> moves_with;  // Per column, the ordinals its policy writes along with it.
};

class DeclaredTables {
 public:
  DeclaredTables(const EngineConfig& config, const OriginId& own, TableNames* names, LocalState* state)
      : config_(config), own_(own), names_(names), state_(state), history_(own, names, state) {}

  // After LogFile::Rollback.
  void Clear();
  // Good until Clear.
  absl::StatusOr<const DeclaredTable*> Describe(const std::shared_ptr<const TableShape>& shape);
  // `shape`, which came without a key, or the same with the key that the chain's newest declaration of its table has.
  absl::StatusOr<std::shared_ptr<const TableShape>> WithKnownKey(const std::shared_ptr<const TableShape>& shape);

  // The TableSchema event that holds for `table`'s rows; 0: its shape is to be declared first.
  absl::StatusOr<Sequence> InChain(const DeclaredTable& table);
  // The chain's event `sequence` declares it.
  absl::Status Declare(const DeclaredTable& table, Sequence sequence);

 private:
  absl::StatusOr<DeclaredShape*> NewestOf(const std::string& table);

  const EngineConfig& config_;
  const OriginId own_;
  TableNames* names_;
  LocalState* state_;
  ColumnHistory history_;
  // With the shapes, so that the addresses stay theirs.
  absl::flat_hash_map<const TableShape*, std::pair<std::shared_ptr<const TableShape>, std::unique_ptr<DeclaredTable>>>
      declared_;
  std::map<const TableShape*, std::pair<std::shared_ptr<const TableShape>, std::shared_ptr<const TableShape>>> keyed_;
  std::map<std::string, DeclaredShape> in_chain_;
};

// What the chain says of a table of that shape.
void SetSchema(const TableShape& shape, uint64_t fingerprint, v1::TableSchema* schema);

}  // namespace assay
