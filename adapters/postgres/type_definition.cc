#include "adapters/postgres/type_definition.h"

#include "absl/strings/str_replace.h"

namespace assay {

std::string TypeDefinitionSql(absl::string_view oid) {
  // Below 16384 are PostgreSQL's own. A domain's base, an array's element, a composite's attributes, a range's subtype.
  static constexpr char kSql[] = R"sql(
CASE WHEN $type::pg_catalog.int8 < 16384 THEN '' ELSE (
  WITH RECURSIVE used (oid) AS (
    SELECT $type
    UNION
    SELECT part.oid FROM used JOIN pg_catalog.pg_type y ON y.oid = used.oid CROSS JOIN LATERAL (
      SELECT y.typbasetype WHERE y.typtype = 'd'
      UNION ALL SELECT y.typelem WHERE y.typcategory = 'A'
      UNION ALL SELECT f.atttypid FROM pg_catalog.pg_attribute f
                WHERE y.typtype = 'c' AND f.attrelid = y.typrelid AND f.attnum > 0 AND NOT f.attisdropped
      UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE y.oid IN (r.rngtypid, r.rngmultitypid)) part (oid))
  SELECT coalesce(pg_catalog.string_agg(pg_catalog.format_type(y.oid, NULL) || ' ' || CASE y.typtype
           WHEN 'd' THEN pg_catalog.format_type(y.typbasetype, y.typtypmod)
           ELSE '(' || coalesce((SELECT pg_catalog.string_agg(
                  pg_catalog.quote_ident(f.attname) || ' ' || pg_catalog.format_type(f.atttypid, f.atttypmod), ', ' ORDER BY f.attnum)
                FROM pg_catalog.pg_attribute f WHERE f.attrelid = y.typrelid AND f.attnum > 0 AND NOT f.attisdropped), '') || ')'
           END, '; ' ORDER BY pg_catalog.format_type(y.oid, NULL) COLLATE "C"), '')
  FROM used JOIN pg_catalog.pg_type y ON y.oid = used.oid WHERE y.typtype IN ('d', 'c')) END)sql";
  return absl::StrReplaceAll(kSql, {{"$type", oid}});
}

}  // namespace assay
