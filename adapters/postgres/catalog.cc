#include "adapters/postgres/catalog.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "adapters/libpq/array_text.h"
#include "adapters/libpq/sqlstate.h"
#include "adapters/libpq/steady_time.h"
#include "adapters/postgres/type_definition.h"
#include "log/annotate.h"

namespace assay {
namespace {

// One row per column, at least one per name asked for. A name is compared as text, too: cast to `name`, one that is too
// long would be cut and could then mean another table.
constexpr char kQuery[] = R"sql(
SELECT r.n, c.oid IS NOT NULL AS there, coalesce(c.relkind, ' ') AS kind,
       EXISTS (SELECT FROM pg_catalog.pg_publication_rel x JOIN pg_catalog.pg_publication p ON p.oid = x.prpubid
               WHERE p.pubname = 'assay' AND x.prrelid = c.oid) AS published,
       pk.indexrelid IS NOT NULL AS has_key, coalesce(pk.indimmediate, true) AS key_immediate,
       a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, pg_catalog.format_type(a.atttypid, -1) AS cast,
       a.attnotnull, a.attgenerated <> '' AS generated, k.position AS key_position,
       k.nspname AS equals_schema, k.oprname AS equals, unchecked.name AS unchecked, a.attnum, answers.names AS answers,
       $definition AS definition
FROM unnest($1::pg_catalog.text[], $2::pg_catalog.text[]) WITH ORDINALITY r (s, t, n)
LEFT JOIN (pg_catalog.pg_class c JOIN pg_catalog.pg_namespace ns ON ns.oid = c.relnamespace)
  ON c.relname = r.t::pg_catalog.name AND c.relname::pg_catalog.text = r.t
     AND ns.nspname = r.s::pg_catalog.name AND ns.nspname::pg_catalog.text = r.s AND c.relkind NOT IN ('i', 'I', 'c', 't')
LEFT JOIN LATERAL (
  SELECT min(x.conname::pg_catalog.text) AS name
  FROM (SELECT c.oid AS relid UNION SELECT p.relid FROM pg_catalog.pg_partition_tree(c.oid) p) m
  JOIN pg_catalog.pg_trigger g ON g.tgrelid = m.relid AND g.tgfoid = 'pg_catalog.unique_key_recheck'::pg_catalog.regproc
       AND g.tgenabled NOT IN ('A', 'R')
  JOIN pg_catalog.pg_constraint x ON x.oid = g.tgconstraint) unchecked ON true
LEFT JOIN LATERAL (
  SELECT pg_catalog.string_agg(DISTINCT o.name, ', ') AS names
  FROM (SELECT c.oid AS relid UNION SELECT p.relid FROM pg_catalog.pg_partition_tree(c.oid) p) m
  CROSS JOIN LATERAL (
    SELECT 'trigger ' || pg_catalog.quote_ident(g.tgname) AS name
    FROM pg_catalog.pg_trigger g WHERE g.tgrelid = m.relid AND g.tgenabled IN ('A', 'R')
         AND g.tgfoid <> 'pg_catalog.unique_key_recheck'::pg_catalog.regproc
    UNION ALL
    SELECT 'rule ' || pg_catalog.quote_ident(w.rulename)
    FROM pg_catalog.pg_rewrite w WHERE w.ev_class = m.relid AND w.ev_enabled IN ('A', 'R')) o) answers ON true
LEFT JOIN pg_catalog.pg_index pk ON pk.indrelid = c.oid AND pk.indisprimary
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN LATERAL (
  SELECT u.position, n.nspname, o.oprname
  FROM ROWS FROM (pg_catalog.unnest(pk.indkey::pg_catalog.int2[]), pg_catalog.unnest(pk.indclass::pg_catalog.oid[]))
       WITH ORDINALITY u (attnum, opclass, position)
  JOIN pg_catalog.pg_opclass oc ON oc.oid = u.opclass
  JOIN pg_catalog.pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amopstrategy = 3
       AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype
  JOIN pg_catalog.pg_operator o ON o.oid = ao.amopopr
  JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
  WHERE u.attnum = a.attnum AND u.position <= pk.indnkeyatts) k ON true
ORDER BY r.n, a.attnum)sql";

const std::string& Query() {
  static const std::string* const query =
      new std::string(absl::StrReplaceAll(kQuery, {{"$definition", TypeDefinitionSql("a.atttypid")}}));
  return *query;
}

bool IsOurs(absl::string_view schema) {
  return absl::StartsWith(schema, "pg_") || schema == "information_schema" || schema == "assay";
}

std::string RefusalOf(const Result& rows, int row, const TableName& name) {
  const absl::string_view kind = rows.Text(row, "kind");
  if (!rows.Bool(row, "there")) {
    return absl::StrCat("there is no table ", name.ToString(),
                        " here; its rows are written by themselves once it is created and enrolled (`assay init`)");
  }
  if (IsOurs(name.schema) || (kind != "r" && kind != "p")) {
    return absl::StrCat(name.ToString(), " is no table that takes part in replication");
  }
  if (!rows.Bool(row, "published"))
    return absl::StrCat("table ", name.ToString(), " is not enrolled here: run `assay init`");
  if (!rows.Bool(row, "has_key")) return absl::StrCat("table ", name.ToString(), " has no primary key here");
  if (!rows.Bool(row, "key_immediate"))
    return absl::StrCat("the primary key of table ", name.ToString(), " is deferrable here");
  if (!rows.IsNull(row, "unchecked")) {
    return absl::StrCat("PostgreSQL would not check the deferrable constraint \"", rows.Text(row, "unchecked"),
                        "\" of table ", name.ToString(),
                        " for rows from other branches: run `assay init` as a superuser");
  }
  return {};
}

// Reads the rows `first` … of one table, and returns the row after them.
int ReadTable(Connection& connection, const Result& rows, int first, const TableName& name, LocalTable* table) {
  table->refusal = RefusalOf(rows, first, name);
  table->shape.name = name;
  table->answers = rows.String(first, "answers");
  table->quoted = absl::StrCat(connection.QuoteIdentifier(name.schema), ".", connection.QuoteIdentifier(name.table));
  table->only = absl::StrCat(rows.Text(first, "kind") == "p" ? "" : "ONLY ", table->quoted);
  std::map<int64_t, uint32_t> key;
  int row = first;
  for (; row < rows.rows() && rows.Text(row, "n") == rows.Text(first, "n"); ++row) {
    if (rows.IsNull(row, "attname")) continue;
    LocalTable::Column column{.quoted = connection.QuoteIdentifier(rows.Text(row, "attname")),
                              .cast = rows.String(row, "cast")};
    if (!rows.IsNull(row, "key_position")) {
      key[rows.Int64(row, "key_position")] = static_cast<uint32_t>(table->columns.size());
      column.equals = absl::StrCat("OPERATOR(", connection.QuoteIdentifier(rows.Text(row, "equals_schema")), ".",
                                   rows.Text(row, "equals"), ")");
    }
    table->columns.push_back(std::move(column));
    table->shape.columns.push_back({rows.String(row, "attname"), rows.String(row, "type"), rows.Bool(row, "attnotnull"),
                                    rows.Bool(row, "generated"), static_cast<uint32_t>(rows.Int64(row, "attnum")),
                                    rows.String(row, "definition")});
  }
  for (const auto& [_, column] : key) {
    table->shape.key.push_back(column);
    if (table->refusal.empty() && table->shape.columns[column].generated) {
      table->refusal = absl::StrCat("the primary key of table ", name.ToString(), " is generated here");
    }
  }
  table->shape.OrderKey();
  return row;
}

}  // namespace

int LocalTable::FindWritable(absl::string_view name) const {
  for (size_t i = 0; i < columns.size(); ++i) {
    if (shape.columns[i].name == name) {
      return shape.columns[i].generated || !columns[i].equals.empty() ? -1 : static_cast<int>(i);
    }
  }
  return -1;
}

absl::Status LocalCatalog::Load(Connection& connection, const std::vector<TableName>& names, absl::Duration age_max) {
  std::vector<TableName> wanted;
  const absl::Time oldest = SteadyNow() - age_max;
  for (const TableName& name : names) {
    const auto known = tables_.find(name);
    if (known == tables_.end() || known->second.loaded < oldest) wanted.push_back(name);
  }
  if (wanted.empty()) return absl::OkStatus();
  const absl::Status status = LoadNow(connection, wanted);
  if (status.ok() || SqlstateOf(status).substr(0, 2) != "22") return status;
  // One of the names is no text that PostgreSQL could hold: then there is no such table.
  for (const TableName& name : wanted) {
    const absl::Status one = LoadNow(connection, {name});
    if (SqlstateOf(one).substr(0, 2) == "22") {
      tables_[name] = {{.refusal = "a table's name here cannot hold such bytes"}, SteadyNow()};
    } else if (!one.ok()) {
      return one;
    }
  }
  return absl::OkStatus();
}

absl::Status LocalCatalog::LoadNow(Connection& connection, const std::vector<TableName>& names) {
  ArrayText schemas, tables;
  for (const TableName& name : names) {
    schemas.Add(name.schema);
    tables.Add(name.table);
  }
  const absl::Time now = SteadyNow();
  const auto rows = connection.ExecutePrepared(Query(), {schemas.text(), tables.text()});
  if (!rows.ok()) return AnnotateSql(rows.status(), "read the catalog");
  int row = 0;
  for (const TableName& name : names) {
    LocalTable table;
    row = ReadTable(connection, *rows, row, name, &table);
    tables_[name] = {std::move(table), now};
  }
  return absl::OkStatus();
}

}  // namespace assay
