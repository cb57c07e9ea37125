#include "tools/survey/table_selection.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "adapters/postgres/type_definition.h"
#include "log/annotate.h"
#include "tools/survey/sql_names.h"

namespace assay {
namespace {

// One row for each relation anyone could mean by a table. Partitions come with their root, not by themselves.
constexpr char kRelations[] = R"sql(
SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relispartition, c.relrowsecurity,
       pk.indexrelid IS NOT NULL AS has_key, coalesce(pk.indimmediate, true) AS key_immediate,
       pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owned, pg_catalog.pg_get_userbyid(c.relowner) AS owner,
       (SELECT p.inhparent::pg_catalog.regclass::text FROM pg_catalog.pg_inherits p WHERE p.inhrelid = c.oid
        ORDER BY p.inhseqno LIMIT 1) AS parent,
       (SELECT e.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'
          AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass LIMIT 1) AS extension,
       (SELECT t.relid::text FROM pg_catalog.pg_partition_tree(c.oid) t JOIN pg_catalog.pg_class l ON l.oid = t.relid
        WHERE l.relpersistence <> 'p' LIMIT 1) AS unlogged_partition,
       (SELECT a.attname::text || ' ' || pg_catalog.format_type(a.atttypid, NULL) FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum = ANY ((pk.indkey::pg_catalog.int2[])[0:pk.indnkeyatts - 1])
          AND a.atttypid = ANY ('{oid,xid,xid8,cid,tid,regclass,regcollation,regconfig,regdictionary,regnamespace,regoper,
            regoperator,regproc,regprocedure,regrole,regtype}'::pg_catalog.regtype[]) LIMIT 1) AS local_key,
       (SELECT pg_catalog.string_agg(g.tgname, ', ' ORDER BY g.tgname) FROM pg_catalog.pg_trigger g
        WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgenabled IN ('A', 'R')) AS replica_triggers,
       (SELECT u.conname || ': ' || pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', g.tgrelid::pg_catalog.regclass, g.tgname)
        FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_constraint u ON u.oid = g.tgconstraint
        WHERE (g.tgrelid = c.oid OR g.tgrelid IN (SELECT t.relid FROM pg_catalog.pg_partition_tree(c.oid) t))
          AND g.tgfoid = 'pg_catalog.unique_key_recheck'::pg_catalog.regproc AND g.tgenabled NOT IN ('A', 'R')
          AND NOT (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user)
        ORDER BY g.oid LIMIT 1) AS unchecked,
       (SELECT a.attname FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated = 'v' AND NOT a.attisdropped
        ORDER BY a.attnum LIMIT 1) AS virtual_column
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_index pk ON pk.indrelid = c.oid AND pk.indisprimary
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C")sql";

constexpr char kColumns[] = R"sql(
SELECT a.attrelid, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull,
       coalesce(a.attnum = ANY ((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts - 1]), false) AS in_key, a.attnum,
       $definition AS definition
FROM pg_catalog.pg_attribute a
LEFT JOIN pg_catalog.pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = ANY ($1::pg_catalog.oid[]) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attrelid, a.attnum)sql";

constexpr char kPartitions[] = R"sql(
SELECT r.root, n.nspname, c.relname
FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS r (root)
CROSS JOIN LATERAL pg_catalog.pg_partition_tree(r.root) t
JOIN pg_catalog.pg_class c ON c.oid = t.relid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE t.relid <> r.root ORDER BY r.root, n.nspname COLLATE "C", c.relname COLLATE "C")sql";

bool IsWildcard(absl::string_view pattern) {
  return absl::StrContains(pattern, '*') || absl::StrContains(pattern, '?');
}

bool IsSystemSchema(absl::string_view schema) {
  return absl::StartsWith(schema, "pg_") || schema == "information_schema" || schema == kAssaySchema;
}

// Why relation `row` of kRelations cannot take part; empty when it can.
std::string RefusalOf(const Result& relations, int row, SelectFor purpose) {
  const absl::string_view kind = relations.Text(row, "relkind");
  const absl::string_view persistence = relations.Text(row, "relpersistence");
  if (persistence == "t") return "it is a temporary table";
  if (IsSystemSchema(relations.Text(row, "nspname"))) return "it is in a system schema";
  if (kind == "v") return "it is a view: enrol the tables below it";
  if (kind == "m") return "it is a materialized view: enrol the tables below it and refresh it at each branch";
  if (kind == "f") return "it is a foreign table: its rows are in another server's WAL";
  const std::string alter = absl::StrCat(
      "ALTER TABLE ", TableName{relations.String(row, "nspname"), relations.String(row, "relname")}.ToString());
  if (persistence == "u")
    return absl::StrCat("it is unlogged, so its changes are not in the WAL: ", alter, " SET LOGGED");
  if (!relations.IsNull(row, "extension")) {
    return absl::StrCat("it belongs to the extension ", relations.Text(row, "extension"),
                        ", which each branch installs for itself");
  }
  if (relations.Bool(row, "relispartition"))
    return absl::StrCat("it is a partition: enrol ", relations.Text(row, "parent"), " instead");
  if (!relations.IsNull(row, "parent")) return absl::StrCat("it inherits from ", relations.Text(row, "parent"));
  if (!relations.IsNull(row, "unlogged_partition"))
    return absl::StrCat("its partition ", relations.Text(row, "unlogged_partition"), " is unlogged");
  if (!relations.Bool(row, "has_key"))
    return absl::StrCat("it has no primary key: ", alter,
                        " ADD PRIMARY KEY (…), with the columns that tell its rows apart");
  if (!relations.Bool(row, "key_immediate"))
    return "its primary key is deferrable: PostgreSQL refuses to publish its updates";
  if (!relations.IsNull(row, "local_key")) {
    return absl::StrCat("its key column ", relations.Text(row, "local_key"), " means something only inside one server");
  }
  if (purpose == SelectFor::kEnrolling && !relations.Bool(row, "owned")) {
    return absl::StrCat("it is owned by ", relations.Text(row, "owner"),
                        ": run as that role or as a superuser (postgres.admin_url)");
  }
  if (purpose == SelectFor::kEnrolling && !relations.IsNull(row, "unchecked")) {
    return absl::StrCat(
        "it has a deferrable constraint that PostgreSQL does not check for rows from other branches: run as a "
        "superuser (postgres.admin_url), or let one say, for ",
        relations.Text(row, "unchecked"));
  }
  if (!relations.IsNull(row, "virtual_column")) {
    return absl::StrCat("its column ", relations.Text(row, "virtual_column"),
                        " is generated and VIRTUAL: PostgreSQL 18 would refuse the application's "
                        "updates once all columns are its replica identity; make it STORED");
  }
  return {};
}

absl::Status FillColumns(Connection& admin, std::vector<SelectedTable>* tables) {
  std::map<uint32_t, SelectedTable*> by_oid;
  std::vector<uint32_t> oids;
  for (SelectedTable& table : *tables) {
    by_oid[table.oid] = &table;
    oids.push_back(table.oid);
  }
  ASSAY_ASSIGN_OR_RETURN(
      const Result columns,
      admin.Execute(absl::StrReplaceAll(kColumns, {{"$definition", TypeDefinitionSql("a.atttypid")}}),
                    {OidArray(oids)}));
  for (int row = 0; row < columns.rows(); ++row) {
    SelectedTable& table = *by_oid.at(columns.Int64(row, "attrelid"));
    if (columns.Bool(row, "in_key")) table.shape.key.push_back(static_cast<uint32_t>(table.shape.columns.size()));
    table.shape.columns.push_back(
        {columns.String(row, "attname"), columns.String(row, "type"), columns.Bool(row, "attnotnull"), false,
         static_cast<uint32_t>(columns.Int64(row, "attnum")), columns.String(row, "definition")});
  }
  for (SelectedTable& table : *tables) table.shape.OrderKey();
  ASSAY_ASSIGN_OR_RETURN(const Result partitions, admin.Execute(kPartitions, {OidArray(oids)}));
  for (int row = 0; row < partitions.rows(); ++row) {
    by_oid.at(partitions.Int64(row, "root"))
        ->partitions.push_back({partitions.String(row, "nspname"), partitions.String(row, "relname")});
  }
  return absl::OkStatus();
}

}  // namespace

bool MatchesGlob(absl::string_view pattern, absl::string_view text) {
  size_t p = 0, t = 0, star = absl::string_view::npos, mark = 0;
  while (t < text.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || (pattern[p] != '*' && pattern[p] == text[t]))) {
      ++p, ++t;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++, mark = t;
    } else if (star != absl::string_view::npos) {
      p = star + 1, t = ++mark;  // Let the last star take one character more.
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool TablePatterns::Mean(const TableName& name) const {
  const std::string text = absl::StrCat(name.schema, ".", name.table);
  const auto matches = [&](const std::string& pattern) { return MatchesGlob(pattern, text); };
  return std::any_of(tables.begin(), tables.end(), matches) && std::none_of(exclude.begin(), exclude.end(), matches);
}

absl::StatusOr<TableSelection> SelectTables(Connection& admin, const TablePatterns& patterns, SelectFor purpose) {
  ASSAY_ASSIGN_OR_RETURN(const Result relations, admin.Execute(kRelations));
  TableSelection selection;
  std::set<std::string> unmatched(patterns.tables.begin(), patterns.tables.end());
  for (int row = 0; row < relations.rows(); ++row) {
    const TableName name{relations.String(row, "nspname"), relations.String(row, "relname")};
    const std::string text = absl::StrCat(name.schema, ".", name.table);
    const bool by_name = unmatched.erase(text) > 0;
    if (!IsSystemSchema(name.schema))
      std::erase_if(unmatched, [&](const std::string& pattern) { return MatchesGlob(pattern, text); });
    if (!patterns.Mean(name)) continue;
    const std::string refusal = RefusalOf(relations, row, purpose);
    if (!refusal.empty()) {
      // A wildcard does not mean the system's own tables, and a partition comes in with its root.
      if (by_name || (!IsSystemSchema(name.schema) && !relations.Bool(row, "relispartition"))) {
        selection.refused.push_back({name, refusal, by_name});
      }
      continue;
    }
    SelectedTable table;
    table.oid = relations.Int64(row, "oid");
    table.shape.name = name;
    table.row_security = relations.Bool(row, "relrowsecurity");
    if (!relations.IsNull(row, "replica_triggers")) {
      table.warning =
          absl::StrCat("its triggers that also fire for replication (", relations.Text(row, "replica_triggers"),
                       ") will run for every row that comes from another branch");
    }
    selection.tables.push_back(std::move(table));
  }
  for (const std::string& pattern : unmatched) {
    if (IsWildcard(pattern)) {
      selection.unmatched.push_back(pattern);
      continue;
    }
    const std::pair<std::string, std::string> parts = absl::StrSplit(pattern, absl::MaxSplits('.', 1));
    selection.refused.push_back({{parts.first, parts.second}, "there is no such table", true});
  }
  ASSAY_RETURN_IF_ERROR(FillColumns(admin, &selection.tables));
  return selection;
}

}  // namespace assay
