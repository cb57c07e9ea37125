// Types of a SimDatabase, and what ALTER TABLE and DROP TABLE do to its tables and their rows.
#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "log/check.h"
#include "tests/simulation/sim_database.h"

namespace assay {
namespace {

bool IsInteger(absl::string_view type) { return type == "integer" || type == "bigint"; }

// N of "character varying(N)".
std::optional<size_t> LengthMax(absl::string_view type) {
  size_t length = 0;
  if (!absl::ConsumePrefix(&type, "character varying(") || !absl::ConsumeSuffix(&type, ")")) return std::nullopt;
  return absl::SimpleAtoi(type, &length) ? std::optional(length) : std::nullopt;
}

absl::Status InUse() { return absl::AbortedError("somebody works with the table"); }

// The row's value in another type, as an explicit cast makes it.
absl::StatusOr<ColumnText> Cast(const ColumnText& value, const std::string& type) {
  if (!value) return value;
  std::string text = *value;
  if (const std::optional<size_t> length = LengthMax(type)) text = text.substr(0, *length);
  if (const auto bad = BadText(type, text)) return absl::FailedPreconditionError(bad->second);
  return ColumnText(text);
}

}  // namespace

std::optional<std::pair<std::string, std::string>> BadText(absl::string_view type, const std::string& text) {
  int64_t number = 0;
  if (IsInteger(type) && !absl::SimpleAtoi(text, &number)) {
    return {{"22P02", absl::StrCat("invalid input syntax for type ", type, ": \"", text, "\"")}};
  }
  const bool out_of_range =
      number < std::numeric_limits<int32_t>::min() || number > std::numeric_limits<int32_t>::max();
  if (type == "integer" && out_of_range) return {{"22003", "integer out of range"}};
  if (const std::optional<size_t> length = LengthMax(type); length && text.size() > *length)
    return {{"22001", absl::StrCat("value too long for type ", type)}};
  return std::nullopt;
}

void Respell(const TableShape& shape, SimValues* values) {
  for (size_t i = 0; i < values->size(); ++i) {
    ColumnText& value = (*values)[i];
    int64_t number = 0;
    if (value && IsInteger(shape.columns[i].type) && absl::SimpleAtoi(*value, &number)) value = absl::StrCat(number);
  }
}

const SimTable* SimDatabase::FindOid(uint32_t oid) const {
  const auto found =
      std::find_if(tables_.begin(), tables_.end(), [oid](const auto& table) { return table.second.oid == oid; });
  return found == tables_.end() ? nullptr : &found->second;
}

absl::Status SimDatabase::AlterType(const TableName& name, const std::string& column, const std::string& type) {
  if (IsInUse(name)) return InUse();
  SimTable& table = tables_.at(name);
  TableShape shape = *table.shape;
  const auto at = std::find_if(shape.columns.begin(), shape.columns.end(),
                               [&](const TableColumn& each) { return each.name == column; });
  ASSAY_CHECK(at != shape.columns.end());
  const auto index = at - shape.columns.begin();
  at->type = type;
  std::map<RowKey, SimRow> rows;
  const uint32_t xid = next_xid_++;  // The table is written anew.
  for (const auto& [key, row] : table.rows) {
    SimValues values = row.values;
    absl::StatusOr<ColumnText> cast = Cast(values[index], type);
    if (!cast.ok()) return cast.status();
    values[index] = *std::move(cast);
    Respell(shape, &values);
    RowKey now = KeyOf(shape, values);
    if (!rows.try_emplace(std::move(now), SimRow{std::move(values), xid}).second)
      return absl::FailedPreconditionError("could not create unique index");
  }
  // With the column its indexes are made anew.
  const bool of_key = std::count(shape.key.begin(), shape.key.end(), index) > 0;
  if (of_key || std::count(table.unique.begin(), table.unique.end(), index) > 0) table.key_is_newest = of_key;
  table.rows = std::move(rows);
  table.shape = std::make_shared<const TableShape>(std::move(shape));
  Remember(&table);
  return absl::OkStatus();
}

absl::Status SimDatabase::SetKey(const TableName& name, const std::vector<std::string>& columns) {
  if (IsInUse(name)) return InUse();
  SimTable& table = tables_.at(name);
  TableShape shape = *table.shape;
  shape.key.clear();
  for (uint32_t i = 0; i < shape.columns.size(); ++i) {
    if (std::count(columns.begin(), columns.end(), shape.columns[i].name) == 0) continue;
    shape.columns[i].not_null = true;
    shape.key.push_back(i);
  }
  ASSAY_CHECK(shape.key.size() == columns.size());
  shape.OrderKey();
  std::map<RowKey, SimRow> rows;
  for (const auto& [key, row] : table.rows) {
    if (std::any_of(shape.key.begin(), shape.key.end(), [&](uint32_t column) { return !row.values[column]; }))
      return absl::FailedPreconditionError("a column of the key contains null values");
    if (!rows.try_emplace(KeyOf(shape, row.values), row).second)
      return absl::FailedPreconditionError("could not create unique index");
  }
  table.key_is_newest = true;
  table.rows = std::move(rows);
  table.shape = std::make_shared<const TableShape>(std::move(shape));
  return absl::OkStatus();
}

absl::Status SimDatabase::SetReplicaIdentity(const TableName& name, ReplicaIdentity identity) {
  if (IsInUse(name)) return InUse();
  tables_.at(name).identity = identity;
  return absl::OkStatus();
}

absl::Status SimDatabase::DropTable(const TableName& name) {
  if (IsInUse(name)) return InUse();
  tables_.erase(name);
  return absl::OkStatus();
}

void SimDatabase::PartitionBy(const TableName& name, uint32_t column, std::set<std::string> values) {
  tables_.at(name).partition_column = column;
  tables_.at(name).partitions = std::move(values);
}

}  // namespace assay
