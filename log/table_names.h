// Small numbers for tables and columns inside one log file, and the table schemas its chains have declared.
//
// Names identify: two branches' "public.products"."price" are the same column whatever their OIDs. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "log/event_log.h"
#include "log/log_file.h"
#include "log/types.h"
#include "proto/event.pb.h"

namespace assay {

struct TableId {
  uint32_t value = 0;
  auto operator<=>(const TableId&) const = default;
};
struct ColumnId {
  uint32_t value = 0;  // Per table, dense from 0.
  auto operator<=>(const ColumnId&) const = default;
};

struct TableName {
  std::string schema;
  std::string table;
  auto operator<=>(const TableName&) const = default;
  // "public.products"; parts that need it are quoted: "public"."My ""odd"" name" comes out as public."My ""odd"" name".
  std::string ToString() const;
  // The other way round; upper case stays as it is written. INVALID_ARGUMENT unless `text` is schema.table.
  static absl::StatusOr<TableName> Parse(absl::string_view text);
};

// A TableSchema event, resolved to this file's numbers.
struct ResolvedSchema {
  TableId table;
  TableName name;
  v1::TableSchema schema;
  std::vector<ColumnId> columns;  // Parallel to schema.columns().
  std::vector<uint32_t> key;      // Ordinals.
  // The key's columns by their first names, parallel to `key`, which is in their order; and KeyColumns of those.
  std::vector<std::string> key_names;
  uint64_t key_columns = 0;
};

// What `bytes`, an event, declare. INVALID_ARGUMENT unless rows can be read by it: every reader asks this before it
// takes a row of the declaration, and the writer before it signs one.
absl::StatusOr<v1::TableSchema> ReadSchema(absl::string_view bytes);
// Which columns a key is of, as a number: by their first names, in its order.
uint64_t KeyColumns(absl::Span<const std::string> names);

class TableNames {
 public:
  static absl::StatusOr<std::unique_ptr<TableNames>> Open(LogFile* file, EventLog* log);

  // For a log file opened read-only: sees what the writer has committed since. Every TableId and schema taken before is
  // void.
  absl::Status Refresh();

  // Registers names that are new; the next commit makes them durable. In a file opened read-only a new number is good
  // until Refresh.
  absl::StatusOr<TableId> IdOf(const TableName& name);
  absl::StatusOr<ColumnId> ColumnIdOf(TableId table, absl::string_view column);
  const TableName& NameOf(TableId table) const;
  const std::string& ColumnNameOf(TableId table, ColumnId column) const;

  // The schema declared by event `sequence` of `origin`. Cached. As ReadSchema; NOT_FOUND and PERMISSION_DENIED when
  // that event is not here, or masked.
  absl::StatusOr<std::shared_ptr<const ResolvedSchema>> Schema(const OriginId& origin, Sequence sequence);

 private:
  TableNames(LogFile* file, EventLog* log) : file_(file), log_(log) {}
  struct Table {
    TableName name;
    std::vector<std::string> columns;
    absl::flat_hash_map<std::string, ColumnId> column_ids;
  };
  struct Unwritten {
    TableId table;
    std::optional<ColumnId> column;  // nullopt: the table itself.
  };
  absl::Status Load();
  absl::Status BeforeCommit();
  TableId AddTable(const TableName& name);
  ColumnId AddColumn(Table& table, absl::string_view column);

  LogFile* file_;
  LogFile::Participation participation_;
  EventLog* log_;
  std::vector<Table> tables_;
  std::map<TableName, TableId> ids_;
  std::map<std::pair<OriginId, Sequence>, std::shared_ptr<const ResolvedSchema>> schemas_;
  std::vector<Unwritten> unwritten_;
};

}  // namespace assay
