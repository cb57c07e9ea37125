// What has become of a column: renamed or dropped, here or where a value came from.
//
// Columns are the same everywhere by their names, and ALTER TABLE is not replicated, so for a while they have different
// names at different branches. What tells a rename from a drop and an add is the column's number in its own database
// (pg_attribute.attnum), which a rename keeps and nothing else ever takes again. Two memories rest on it, both of them
// notes in the log file: the numbers that names have had in this database, by which a key's columns are known under
// their first names, and each chain's newest declaration of each table.
//
// A third one is about NULLs that were written elsewhere to a column that is not here, and about values that nobody
// edited, as a default there. They are no loss and are not waited for; but should the column appear here with a
// default, those rows must be looked at again. Not thread-safe. Every call inside a LogFile transaction.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/database.h"
#include "log/local_state/local_state.h"
#include "log/table_names.h"
#include "log/types.h"

namespace assay {

class ColumnHistory {
 public:
  ColumnHistory(const OriginId& own, TableNames* names, LocalState* state) : own_(own), names_(names), state_(state) {}

  // Forgets what is only in memory. After LogFile::Rollback.
  void Clear();

  // `shape` is a table of this database, as it is now or as it was when a captured change was made.
  absl::Status Note(TableId table, const TableShape& shape);
  // Old names of columns that `shape`, which is how the table is now, has under another one: old name to new. The old
  // name may be another column's by now.
  absl::StatusOr<std::map<std::string, std::string>> RenamedHere(TableId table, const TableShape& shape);
  // The names that `shape`'s columns had before the present ones, oldest first.
  using FormerNames = std::vector<std::vector<std::string>>;
  absl::StatusOr<FormerNames> Former(TableId table, const TableShape& shape);
  // The key of a table of this database, as the log knows it.
  struct Key {
    std::vector<uint32_t> ordinals;  // In the order of `names`.
    std::vector<std::string> names;  // The columns' first ones.
    uint64_t columns = 0;            // KeyColumns of `names`.
  };
  static Key KeyOf(const TableShape& shape, const FormerNames& former);
  // Columns that are another one under their old name here than they were, or that were renamed elsewhere after a NULL
  // of theirs had been passed over; they are noted no longer.
  absl::StatusOr<std::set<ColumnId>> TakeRemade(TableId table);

  // Event `sequence` of `origin`, newer than any before, declares `table`.
  absl::Status NoteDeclared(const OriginId& origin, TableId table, Sequence sequence);
  // Some branch has renamed a column of it.
  absl::StatusOr<bool> RenamedElsewhere(TableId table);
  struct Fate {
    bool known = false;
    std::optional<std::string> name;  // nullopt: dropped.
    std::string type, definition;
  };
  // What the column that `version` was written to has become since in its writer's table. `name` and `number` (0: not
  // recorded) are those it was written under, `shape` is the table as it is here now.
  absl::StatusOr<Fate> FateOf(const Version& version, TableId table, absl::string_view name, uint32_t number,
                              const TableShape& shape);

  // A NULL of a version at `stamp`, or what nobody edited, was passed over, since `column` is not here.
  absl::Status NoteNull(TableId table, ColumnId column, HlcStamp stamp);
  // Tables with such a note.
  absl::StatusOr<std::set<TableId>> TablesWithNulls();
  // Those columns that are here now, with the oldest such stamp of each; they are noted no longer.
  absl::StatusOr<std::map<ColumnId, HlcStamp>> TakeAppeared(TableId table, const TableShape& shape);

 private:
  absl::StatusOr<std::optional<Sequence>> NewestDeclared(const OriginId& origin, TableId table);
  absl::Status AddRemade(ColumnNulls remade);
  absl::StatusOr<ColumnNulls*> LoadNulls();
  absl::Status StoreNulls();

  const OriginId own_;
  TableNames* names_;
  LocalState* state_;
  std::map<TableId, std::vector<TableColumn>> noted_;
  std::optional<ColumnNulls> nulls_;
};

}  // namespace assay
