#include "tools/survey/tried_functions.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/libpq/sqlstate.h"
#include "log/annotate.h"
#include "tools/survey/sql_names.h"

namespace assay {
namespace {

constexpr absl::Duration kTryMax = absl::Seconds(2);

// What each table computes at a write, with the functions in it that somebody wrote and that set no path of their own.
constexpr char kExpressions[] = R"sql(
WITH computed AS (
  SELECT i.indrelid AS relid, 'pg_catalog.pg_class'::pg_catalog.regclass AS classid, i.indexrelid AS objid, 0 AS subid,
         e.expression
  FROM pg_catalog.pg_index i CROSS JOIN LATERAL (VALUES (pg_catalog.pg_get_expr(i.indexprs, i.indrelid)),
    (pg_catalog.pg_get_expr(i.indpred, i.indrelid))) AS e (expression)
  UNION ALL
  SELECT c.conrelid, 'pg_catalog.pg_constraint'::pg_catalog.regclass, c.oid, 0, pg_catalog.pg_get_expr(c.conbin, c.conrelid)
  FROM pg_catalog.pg_constraint c WHERE c.contype = 'c' AND c.conrelid <> 0
  UNION ALL
  -- Some versions note it of the expression, and others of the column.
  SELECT a.attrelid, o.classid, o.objid, o.subid, pg_catalog.pg_get_expr(d.adbin, d.adrelid)
  FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
  CROSS JOIN LATERAL (VALUES ('pg_catalog.pg_attrdef'::pg_catalog.regclass, d.oid, 0),
    ('pg_catalog.pg_class'::pg_catalog.regclass, a.attrelid, a.attnum::int)) AS o (classid, objid, subid)
  WHERE a.attgenerated = 's')
SELECT DISTINCT c.relid::pg_catalog.regclass::text AS relation, c.expression,
       p.oid::pg_catalog.regprocedure::text AS function, pg_catalog.quote_ident(f.nspname) AS function_schema,
       pg_catalog.quote_ident(n.nspname) AS table_schema
FROM computed c
JOIN pg_catalog.pg_depend d ON d.classid = c.classid AND d.objid = c.objid AND d.objsubid = c.subid
  AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid
JOIN pg_catalog.pg_language l ON l.oid = p.prolang AND l.lanname NOT IN ('internal', 'c')
JOIN pg_catalog.pg_namespace f ON f.oid = p.pronamespace
JOIN pg_catalog.pg_class t ON t.oid = c.relid
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
WHERE c.relid = ANY ($1::pg_catalog.oid[])
  -- An index has two expressions.
  AND pg_catalog.strpos(c.expression, pg_catalog.format('%I.%I(', f.nspname, p.proname)) > 0
  AND NOT EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) AS s (setting) WHERE s.setting LIKE 'search_path=%')
ORDER BY 3, 1, 2)sql";

// It names something that it does not find.
bool FindsNothing(const absl::Status& status) {
  const std::string state = SqlstateOf(status);
  return state == "42883" || state == "42P01" || state == "42704" || state == "3F000";
}

// What comes of `expression` on the table's first row.
absl::Status Try(Connection& connection, const std::string& relation, const std::string& expression,
                 const std::string& path) {
  absl::Status status = connection
                            .ExecuteScript(absl::StrCat(
                                "BEGIN READ ONLY; SET LOCAL statement_timeout = ", absl::ToInt64Milliseconds(kTryMax),
                                "; SET LOCAL search_path = ", path.empty() ? "''" : path))
                            .status();
  if (status.ok())
    status = connection.Execute(absl::StrCat("SELECT ", expression, " FROM ", relation, " LIMIT 1")).status();
  const absl::Status ended = connection.ExecuteScript("ROLLBACK").status();
  return ended.ok() ? status : ended;
}

}  // namespace

absl::StatusOr<std::vector<FailingFunction>> TryFunctions(Connection& connection, absl::Span<const uint32_t> tables) {
  ASSAY_ASSIGN_OR_RETURN(const Result rows,
                         connection.Execute(kExpressions, {OidArray({tables.begin(), tables.end()})}));
  std::vector<FailingFunction> failing;
  std::set<std::string> named;
  for (int row = 0; row < rows.rows(); ++row) {
    const std::string function = rows.String(row, "function"), relation = rows.String(row, "relation");
    const std::string expression = rows.String(row, "expression");
    if (named.contains(function)) continue;
    const absl::Status status = Try(connection, relation, expression, "");
    if (!connection.usable()) return status;
    if (!FindsNothing(status)) continue;
    const std::string own = rows.String(row, "function_schema"), of_table = rows.String(row, "table_schema");
    for (const std::string& path : {own, absl::StrCat(own, ", ", of_table)}) {
      if (!Try(connection, relation, expression, path).ok()) continue;
      named.insert(function);
      failing.push_back({function, relation, std::string(status.message()),
                         absl::StrCat("ALTER FUNCTION ", function, " SET search_path = ", path)});
      break;
    }
  }
  return failing;
}

}  // namespace assay
