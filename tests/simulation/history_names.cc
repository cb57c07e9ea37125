#include "tests/simulation/history_names.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/simulation/migrations.h"

namespace assay {
namespace {

// What stands between the name of a table and that of its key.
constexpr char kKeyedBy[] = " by ";

}  // namespace

bool IsAltered(const TableName& rows) { return absl::StartsWith(rows.table, kShopPrices.table); }

TableName PlainName(const TableName& rows) { return {rows.schema, rows.table.substr(0, rows.table.find(kKeyedBy))}; }

bool IsRekeyed(const TableName& rows) { return rows.table.find(kKeyedBy) != std::string::npos; }

TableName Keyed(const SimDatabase& database, TableName table, const std::vector<std::string>& key) {
  const SimTable* found = database.Find(table);
  if (found != nullptr && found->first_key != key) absl::StrAppend(&table.table, kKeyedBy, absl::StrJoin(key, ","));
  return table;
}

std::string ColumnIn(const SimDatabase& database, const TableName& table, const std::string& name, uint32_t number) {
  if (!IsAltered(table)) return name;
  const SimTable* found = database.Find(table);
  if (found == nullptr) return name;
  const auto known = found->first_names.find(number);
  return known == found->first_names.end() ? name : known->second;
}

TableName RowsOf(const SimDatabase& database, const TableShape& shape) {
  if (!IsAltered(shape.name)) return shape.name;
  std::vector<std::string> key;
  for (const uint32_t column : shape.key)
    key.push_back(ColumnIn(database, shape.name, shape.columns[column].name, shape.columns[column].number));
  return Keyed(database, shape.name, key);
}

SimRowName RowIn(const SimDatabase& database, const TableShape& shape, const SimValues& values) {
  return {RowsOf(database, shape), KeyOf(shape, values)};
}

const SimTable* TableOf(const SimDatabase& database, const TableName& of_row) {
  if (!IsAltered(of_row)) return database.Find(of_row);
  const SimTable* table = database.Find(PlainName(of_row));
  if (table == nullptr) return nullptr;
  return RowsOf(database, *table->shape) == of_row ? table : nullptr;
}

bool HasTwoNames(const SimDatabase& database, const TableName& rows, const std::string& column) {
  const SimTable* table = database.Find(PlainName(rows));
  return table != nullptr && std::any_of(table->types.begin(), table->types.end(), [&](const auto& known) {
           std::set<std::string> names;
           for (const std::string& type : known.second) names.insert(type.substr(0, type.find(' ')));
           return names.size() > 1 && names.contains(column);
         });
}

}  // namespace assay
