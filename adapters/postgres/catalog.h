// What this database's catalog says about a table that is to be projected: the only source of identifiers in SQL.
//
//   LocalCatalog catalog;
//   ASSAY_RETURN_IF_ERROR(catalog.Load(connection, {name}, absl::Milliseconds(200)));
//   const LocalTable& table = catalog.Find(name);
//   if (!table.refusal.empty()) …   // no such table here, not enrolled, a view, …
//
// Names that come from events are only ever compared with the catalog, as parameters. Not thread-safe.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "adapters/libpq/connection.h"
#include "engine/database.h"
#include "log/table_names.h"

namespace assay {

struct LocalTable {
  struct Column {
    std::string quoted;  // The name as an identifier in SQL.
    std::string
        cast;  // The type without its length: a cast to varchar(3) would cut in silence, an assignment complains.
    std::string equals;  // A key column's OPERATOR(schema.=), from the primary key's index.
  };
  std::string refusal;  // Why it takes no part, for people; empty when it does, and then all below is set.
  std::string quoted;   // Schema-qualified.
  std::string
      only;  // The same for FROM, UPDATE and DELETE: without the tables that inherit from it, but with partitions.
  TableShape shape;  // Generated columns included.
  // Its triggers and rules that answer a projection, too, by name: they may change what is written, and other rows with
  // it. Empty: there are none.
  std::string answers;
  std::vector<Column> columns;  // Parallel to shape.columns.

  // Index of the column that is named so, is not generated and no part of the key; -1 when there is none.
  int FindWritable(absl::string_view name) const;
};

class LocalCatalog {
 public:
  // Reads what is not known yet or is older than `age_max`. Errors are the connection's.
  absl::Status Load(Connection& connection, const std::vector<TableName>& names, absl::Duration age_max);
  // Must have been loaded.
  const LocalTable& Find(const TableName& name) const { return tables_.at(name).table; }
  // Something did not fit what is known: read all anew next time.
  void Forget() { tables_.clear(); }

 private:
  struct Entry {
    LocalTable table;
    absl::Time loaded;
  };
  absl::Status LoadNow(Connection& connection, const std::vector<TableName>& names);

  std::map<TableName, Entry> tables_;
};

}  // namespace assay
