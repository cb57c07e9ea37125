// Which tables of a database the configuration means, and why some of them cannot take part.
//
//   ASSAY_ASSIGN_OR_RETURN(TableSelection selection, SelectTables(admin, {{"public.*"}, {"public.session*"}}));
//
// Nothing is changed here. Partitions come with their root.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "adapters/libpq/connection.h"
#include "engine/database.h"
#include "log/table_names.h"

namespace assay {

// True when `text` matches `pattern`, in which * stands for any run of characters and ? for one.
bool MatchesGlob(absl::string_view pattern, absl::string_view text);

struct SelectedTable {
  uint32_t oid = 0;
  TableShape shape;                   // As capture delivers it: no generated columns.
  std::vector<TableName> partitions;  // Below it, at any depth.
  bool row_security = false;
  std::string warning;  // Something to know about it; empty mostly.

  const TableName& name() const { return shape.name; }
};

struct RefusedTable {
  TableName name;
  std::string reason;
  bool by_name = false;  // The configuration names it, without a wildcard.
};

// The patterns of a configuration, over "schema.table".
struct TablePatterns {
  std::vector<std::string> tables, exclude;
  bool Mean(const TableName& name) const;
};

struct TableSelection {
  std::vector<SelectedTable> tables;   // Sorted by name.
  std::vector<RefusedTable> refused;   // Sorted by name.
  std::vector<std::string> unmatched;  // Patterns of `tables`, with a wildcard, that no table of this database has.
};

// Who asks: whoever changes tables must own them, and whoever only looks need not.
enum class SelectFor : uint8_t { kEnrolling, kLooking };

// Looks through the catalog with the rights of `admin`.
absl::StatusOr<TableSelection> SelectTables(Connection& admin, const TablePatterns& patterns,
                                            SelectFor purpose = SelectFor::kEnrolling);

}  // namespace assay
