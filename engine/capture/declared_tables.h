// The tables of this branch as its own chain declares them: which shape of a captured row stands for which numbers, and
// which TableSchema event of the chain says so.
//
// The catalog is ahead of the stream: it tells the key that a table has now, which may be made and filled after a row
// was written, or gone. So the key in force is that of the chain's newest declaration, until the stream itself has
// shown the new one filled.
//
// Nothing is written to the chain here: who appends a row asks whether its table's newest declaration still holds, and
// declares it if not. Not thread-safe. Every call inside a LogFile transaction.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/config.h"
#include "engine/database.h"
#include "engine/fold/column_history.h"
#include "log/local_state/local_state.h"
#include "log/table_names.h"
#include "log/types.h"

namespace assay {

// A shape resolved to this log's numbers.
struct DeclaredTable {
  std::shared_ptr<const TableShape> shape;
  TableId table;
  std::string name;               // "schema.table", each quoted as SQL needs.
  uint64_t fingerprint = 0;       // Of the shape.
  std::vector<ColumnId> columns;  // Parallel to the shape.
  std::vector<bool> is_key;
  ColumnHistory::Key key;
  ColumnHistory::FormerNames former;
  std::vector<std::vector<uint32_t>> moves_with;  // Per column, the ordinals its policy writes along with it.
  absl::Status refusal;                           // INVALID_ARGUMENT: no reader would take it as it is declared.
  const DeclaredShape* newest = nullptr;          // In the chain.
};

class DeclaredTables {
 public:
  DeclaredTables(const EngineConfig& config, const OriginId& own, TableNames* names, LocalState* state)
      : config_(config), own_(own), names_(names), state_(state), history_(own, names, state) {}

  // Forgets all tables: to be called after LogFile::Rollback.
  void Clear();
  // `shape` as it is. What it returns stays valid until Clear.
  absl::StatusOr<const DeclaredTable*> Describe(const std::shared_ptr<const TableShape>& shape);
  // `shape`, or the same with the key in force. `before` and `after`: a row as it came, empty where it did not.
  struct InForce {
    const DeclaredTable* table = nullptr;
    bool key_moves = false;  // To another key than the chain's rows have.
  };
  absl::StatusOr<InForce> OfRow(const std::shared_ptr<const TableShape>& shape, absl::Span<const TupleValue> before,
                                absl::Span<const TupleValue> after);
  // The same of all rows that the chain has: their key is the declared one.
  absl::StatusOr<const DeclaredTable*> OfRowsInChain(const std::shared_ptr<const TableShape>& shape);
  // The stream describes the table anew: a key that its rows have not shown may be there now.
  void OnRelation(const TableName& table) { unfilled_.erase(table.ToString()); }

  // The TableSchema event that holds for `table`'s rows; 0: its shape is to be declared first.
  absl::StatusOr<Sequence> InChain(const DeclaredTable& table);
  // The chain's event `sequence` declares it.
  absl::Status Declare(const DeclaredTable& table, Sequence sequence);

 private:
  absl::StatusOr<DeclaredShape*> NewestOf(const std::string& table);
  // `shape` with the key that the chain's newest declaration of its table has. `shape` itself: it has that key. Null:
  // the chain declares none, or not of these columns.
  absl::StatusOr<std::shared_ptr<const TableShape>> WithDeclaredKey(const std::shared_ptr<const TableShape>& shape);

  const EngineConfig& config_;
  const OriginId own_;
  TableNames* names_;
  LocalState* state_;
  ColumnHistory history_;
  // With the shapes, so that the addresses stay theirs.
  absl::flat_hash_map<const TableShape*, std::pair<std::shared_ptr<const TableShape>, std::unique_ptr<DeclaredTable>>>
      declared_;
  // By shape, what WithDeclaredKey says of it.
  std::map<const TableShape*, std::pair<std::shared_ptr<const TableShape>, std::shared_ptr<const TableShape>>> keyed_;
  std::set<std::string> unfilled_;  // Tables whose new key was NULL in a row since they were described last.
  std::map<std::string, DeclaredShape> in_chain_;
};

// What the chain says of a table of that shape.
void SetSchema(const TableShape& shape, const DeclaredTable& table, v1::TableSchema* schema);

}  // namespace assay
