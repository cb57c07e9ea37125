#include "adapters/postgres/stream_relation.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "adapters/libpq/array_text.h"
#include "adapters/libpq/sqlstate.h"
#include "adapters/libpq/steady_time.h"
#include "adapters/postgres/type_definition.h"
#include "log/annotate.h"

namespace assay {
namespace {

constexpr absl::Duration kVisibleMax = absl::Seconds(1);

// The numbers (pg_attribute.attnum) of the stream's columns, which come in their order. `known` has those of columns
// that the catalog has under the same name, 0 for the others; `last` is the highest number that the table has ever
// given. The catalog may be ahead: a column renamed since has the one number that is left for it between its
// neighbours, and where more than one is left it may as well have been dropped. A name that was dropped and made anew
// stands out by the order. 0 where it cannot be told.
std::vector<uint32_t> NumbersInOrder(std::vector<uint32_t> known, uint32_t last) {
  uint32_t lowest = last + 1;
  for (auto number = known.rbegin(); number != known.rend(); ++number) {
    if (*number == 0) continue;
    *number < lowest ? lowest = *number : *number = 0;
  }
  uint32_t before = 0;
  for (size_t i = 0; i < known.size(); ++i) {
    if (known[i] == 0) {
      size_t end = i;
      while (end < known.size() && known[end] == 0) ++end;
      const uint32_t after = end < known.size() ? known[end] : last + 1;
      const bool certain = after - before - 1 == end - i;
      for (; i < end; ++i) known[i] = certain ? ++before : 0;
      if (i == known.size()) break;
    }
    before = known[i];
  }
  return known;
}

// Takes the generated columns out of the description. Empty: there are none, as always before PostgreSQL 18.
absl::StatusOr<std::vector<bool>> LeaveOutGenerated(Connection& catalog, pgoutput::Relation* relation) {
  if (catalog.server_version() < 180000) return std::vector<bool>();
  const auto generated = catalog.Execute(
      "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped AND attgenerated <> ''",
      {absl::StrCat(relation->oid)});
  if (!generated.ok()) return AnnotateSql(generated.status(), "read which columns are generated");
  if (generated->rows() == 0) return std::vector<bool>();
  std::vector<bool> left_out;
  for (const pgoutput::Relation::Column& column : relation->columns) {
    bool is_generated = false;
    for (int row = 0; row < generated->rows(); ++row) is_generated |= generated->Text(row, "attname") == column.name;
    left_out.push_back(is_generated);
  }
  size_t index = 0;
  std::erase_if(relation->columns, [&](const auto&) { return left_out[index++]; });
  return left_out;
}

// A commit is decoded a moment before it can be seen. Until then the catalog is behind the stream, and a column that
// the transaction has made would have no number: wait for the transaction's lock on itself to go, which is the last
// that goes.
absl::Status AwaitVisible(Connection& catalog, uint32_t xid) {
  for (const absl::Time limit = SteadyNow() + kVisibleMax; SteadyNow() < limit; absl::SleepFor(absl::Milliseconds(2))) {
    const auto held =
        catalog.Execute("SELECT FROM pg_catalog.pg_locks WHERE locktype = 'transactionid' AND transactionid = $1::xid",
                        {absl::StrCat(xid)});
    if (!held.ok()) return AnnotateSql(held.status(), "see whether a transaction has ended");
    if (held->rows() == 0) break;
  }
  return absl::OkStatus();
}

// Row i has the type of the stream's column i, as text.
absl::StatusOr<Result> ReadTypes(Connection& catalog, const pgoutput::Relation& relation) {
  ArrayText types, modifiers;
  for (const pgoutput::Relation::Column& column : relation.columns) {
    types.Add(absl::StrCat(column.type_oid));
    modifiers.Add(absl::StrCat(column.type_modifier));
  }
  return catalog.Execute(
      absl::StrCat("SELECT pg_catalog.format_type(t, m) AS type, ", TypeDefinitionSql("t"),
                   " AS definition FROM unnest($1::oid[], $2::int4[]) WITH ORDINALITY u(t, m, n) ORDER BY n"),
      {types.text(), modifiers.text()});
}

// The table's columns as they are now, in the order of their numbers.
absl::StatusOr<Result> ReadColumns(Connection& catalog, uint32_t oid) {
  return catalog.Execute(
      "SELECT a.attname, a.attnotnull, k.position, a.attnum, (SELECT relnatts FROM pg_catalog.pg_class WHERE oid = a.attrelid) AS relnatts"
      " FROM pg_catalog.pg_attribute a LEFT JOIN ("
      "  SELECT u.attnum, u.position FROM pg_catalog.pg_index i,"
      "    unnest(i.indkey::int2[]) WITH ORDINALITY u(attnum, position)"
      "  WHERE i.indrelid = $1::oid AND i.indisprimary AND u.position <= i.indnkeyatts) k ON k.attnum = a.attnum"
      " WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum",
      {absl::StrCat(oid)});
}

// The tables above a partition that does not send its whole rows.
absl::StatusOr<std::vector<uint32_t>> ReadRoots(Connection& catalog, const pgoutput::Relation& relation) {
  std::vector<uint32_t> roots;
  if (relation.identity == ReplicaIdentity::kFull) return roots;
  const auto above = catalog.Execute(
      "SELECT relid::pg_catalog.oid::int8 AS oid FROM pg_catalog.pg_partition_ancestors($1::oid::regclass) a "
      "WHERE relid <> $1::oid",
      {absl::StrCat(relation.oid)});
  if (!above.ok()) return AnnotateSql(above.status(), "read of which table a partition is");
  for (int row = 0; row < above->rows(); ++row) roots.push_back(static_cast<uint32_t>(above->Int64(row, "oid")));
  return roots;
}

// Gives the columns of `shape` their numbers: `named` has those that the catalog has under the same name, 0 for the
// others, and `last` the highest that the table has ever given.
void NumberColumns(std::vector<uint32_t> named, std::optional<uint32_t> last, const TableShape* known,
                   TableShape* shape) {
  if (last.has_value()) named = NumbersInOrder(std::move(named), *last);
  for (size_t i = 0; i < named.size(); ++i) {
    // Dropped since, but not when the stream named it last.
    for (size_t k = 0; named[i] == 0 && known != nullptr && k < known->columns.size(); ++k) {
      const TableColumn& before = known->columns[k];
      if (before.name == shape->columns[i].name && std::count(named.begin(), named.end(), before.number) == 0) {
        named[i] = before.number;
      }
    }
    shape->columns[i].number = named[i];
  }
}

}  // namespace

absl::StatusOr<StreamRelation> DescribeRelation(Connection& catalog, uint32_t xid, pgoutput::Relation message,
                                                const std::shared_ptr<const TableShape>& known) {
  ASSAY_RETURN_IF_ERROR(AwaitVisible(catalog, xid));
  StreamRelation described{.identity = message.identity};
  ASSAY_ASSIGN_OR_RETURN(described.roots, ReadRoots(catalog, message));
  ASSAY_ASSIGN_OR_RETURN(described.left_out, LeaveOutGenerated(catalog, &message));
  TableShape shape{.name = {std::string(message.schema), std::string(message.table)}};
  const absl::StatusOr<Result> types = ReadTypes(catalog, message);
  if (!types.ok()) return AnnotateSql(types.status(), absl::StrCat("read the types of ", shape.name.ToString()));
  const absl::StatusOr<Result> columns = ReadColumns(catalog, message.oid);
  if (!columns.ok()) return AnnotateSql(columns.status(), absl::StrCat("read the catalog of ", shape.name.ToString()));

  const Result::Column attname = columns->Find("attname");
  const auto in_stream = [&](absl::string_view name) {
    return std::any_of(message.columns.begin(), message.columns.end(), [&](const auto& c) { return c.name == name; });
  };
  std::map<int64_t, uint32_t> key;  // By position in it.
  std::vector<uint32_t> numbers;
  const bool same_count = columns->rows() == static_cast<int>(message.columns.size());
  for (int i = 0; i < static_cast<int>(message.columns.size()); ++i) {
    const pgoutput::Relation::Column& column = message.columns[i];
    shape.columns.push_back({.name = std::string(column.name), .type = types->String(i, "type")});
    shape.columns.back().definition = types->String(i, "definition");
    described.replica_key.push_back(column.replica_key);
    int row = 0;
    while (row < columns->rows() && columns->Text(row, attname) != column.name) ++row;
    numbers.push_back(row == columns->rows() ? 0 : static_cast<uint32_t>(columns->Int64(row, "attnum")));
    // Renamed since? Then it stands in the same place under a name that the stream does not know.
    if (row == columns->rows() && same_count && !in_stream(columns->Text(i, attname))) row = i;
    if (row == columns->rows()) continue;
    shape.columns.back().not_null = columns->Bool(row, "attnotnull");
    if (!columns->IsNull(row, "position")) key[columns->Int64(row, "position")] = static_cast<uint32_t>(i);
  }
  const bool dropped = columns->rows() == 0;
  NumberColumns(std::move(numbers),
                dropped ? std::nullopt : std::optional(static_cast<uint32_t>(columns->Int64(0, "relnatts"))),
                known.get(), &shape);
  for (const auto& [_, column] : key) shape.key.push_back(column);
  shape.OrderKey();
  // It has no key in the catalog any more: the one known before still tells its rows apart.
  if (dropped && known != nullptr && known->columns.size() == shape.columns.size()) shape.key = known->key;
  described.shape = known != nullptr && *known == shape ? known : std::make_shared<const TableShape>(std::move(shape));
  return described;
}

}  // namespace assay
