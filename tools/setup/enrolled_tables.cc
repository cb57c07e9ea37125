#include "tools/setup/enrolled_tables.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "adapters/libpq/sqlstate.h"
#include "adapters/libpq/steady_time.h"
#include "log/annotate.h"

namespace assay {
namespace {

// What is still missing, by relation: an empty answer means nothing is left to do.
constexpr char kMissing[] = R"sql(
SELECT r.root, c.oid, n.nspname, c.relname, c.relreplident <> 'f' AS identity,
       NOT EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND g.tgname = 'assay_attribution') AS trigger,
       c.oid = r.root AND NOT (pg_catalog.has_table_privilege('assay_projector', c.oid, 'SELECT')
         AND pg_catalog.has_table_privilege('assay_projector', c.oid, 'INSERT')
         AND pg_catalog.has_table_privilege('assay_projector', c.oid, 'UPDATE')
         AND pg_catalog.has_table_privilege('assay_projector', c.oid, 'DELETE')) AS rights,
       c.oid = r.root AND $2 AND x.prrelid IS NULL AS unpublished,
       c.oid = r.root AND $2 AND (pg_catalog.to_jsonb(x) ->> 'prqual' IS NOT NULL
         OR pg_catalog.to_jsonb(x) ->> 'prattrs' IS NOT NULL) AS narrowed,
       NOT EXISTS (SELECT FROM assay.enrolled e WHERE e.relation = c.oid) AS unsaved,
       (SELECT pg_catalog.string_agg(pg_catalog.format('ALTER TABLE ONLY %I.%I ENABLE ALWAYS TRIGGER %I;', n.nspname, c.relname, g.tgname), '')
        FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND g.tgfoid = 'pg_catalog.unique_key_recheck'::pg_catalog.regproc
          AND g.tgenabled NOT IN ('A', 'R')) AS rechecks
FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS r (root)
CROSS JOIN LATERAL (SELECT r.root AS relid UNION SELECT t.relid FROM pg_catalog.pg_partition_tree(r.root) t) AS m
JOIN pg_catalog.pg_class c ON c.oid = m.relid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_publication p ON p.pubname = 'assay'
LEFT JOIN pg_catalog.pg_publication_rel x ON x.prpubid = p.oid AND x.prrelid = c.oid
ORDER BY r.root, c.oid)sql";

// The statements that give one table (rows `first` to `last` of kMissing) what it lacks; empty when it lacks nothing.
std::string PreparationOf(const Connection& admin, const Result& missing, int first, int last) {
  std::vector<std::string> relations;
  std::vector<uint32_t> oids;
  std::string statements;
  for (int row = first; row < last; ++row) {
    const TableName name{missing.String(row, "nspname"), missing.String(row, "relname")};
    const std::string quoted = Quoted(admin, name);
    relations.push_back(absl::StrCat("ONLY ", quoted));
    oids.push_back(missing.Int64(row, "oid"));
    if (missing.Bool(row, "identity"))
      absl::StrAppend(&statements, "ALTER TABLE ONLY ", quoted, " REPLICA IDENTITY FULL;");
    if (missing.Bool(row, "trigger")) {
      absl::StrAppend(
          &statements, "CREATE TRIGGER ", kAttributionTrigger, " BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ",
          quoted,
          " FOR EACH STATEMENT WHEN (pg_catalog.current_setting('assay.attributed', true) IS DISTINCT FROM 'yes')"
          " EXECUTE FUNCTION assay.attribute();");
    }
    if (missing.Bool(row, "rights")) {
      absl::StrAppend(&statements, "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE ", quoted, " TO ", kProjectorRole,
                      ";");
    }
    // A row filter or a column list goes only with the entry itself.
    if (missing.Bool(row, "narrowed"))
      absl::StrAppend(&statements, "ALTER PUBLICATION ", kPublication, " DROP TABLE ONLY ", quoted, ";");
    if (missing.Bool(row, "unpublished") || missing.Bool(row, "narrowed"))
      absl::StrAppend(&statements, "ALTER PUBLICATION ", kPublication, " ADD TABLE ONLY ", quoted, ";");
    if (missing.Bool(row, "unsaved")) absl::StrAppend(&statements, " ");  // Only the note of how it was, below.
    absl::StrAppend(&statements, missing.Text(row, "rechecks"));
  }
  if (statements.empty()) return {};
  const std::string root = missing.String(first, "root");
  return absl::StrCat(
      // The strongest lock first and all at once: taking it bit by bit could deadlock with the application.
      "LOCK TABLE ", absl::StrJoin(relations, ", "), " IN ACCESS EXCLUSIVE MODE;",
      "INSERT INTO assay.enrolled (relation, schema_name, table_name, root, replica_identity, identity_index) "
      "SELECT c.oid, n.nspname, c.relname, ",
      root,
      ", c.relreplident, (SELECT x.relname FROM pg_catalog.pg_index i "
      "JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indisreplident) "
      "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ('",
      OidArray(oids), "') ON CONFLICT DO NOTHING;", statements);
}

// Who holds locks on `relations`, for people.
std::string HoldersOf(Connection& admin, const std::vector<uint32_t>& relations) {
  absl::StatusOr<Result> holders = admin.Execute(
      "SELECT pg_catalog.string_agg(DISTINCT 'process ' || l.pid || coalesce(' (' || nullif(a.application_name, '') || "
      "')', '') "
      "|| ' in a transaction since ' || coalesce(pg_catalog.date_trunc('second', a.xact_start)::text, '?'), '; ') AS holders "
      "FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid "
      "WHERE l.granted AND l.locktype = 'relation' AND l.relation = ANY ($1::pg_catalog.oid[]) "
      "AND l.pid <> pg_catalog.pg_backend_pid()",
      {OidArray(relations)});
  if (!holders.ok() || holders->IsNull(0, "holders")) return "other transactions";
  return holders->String(0, "holders");
}

}  // namespace

absl::Status ExecuteWithShortLocks(Connection& admin, absl::string_view script, const std::vector<uint32_t>& relations,
                                   absl::string_view what, absl::Time deadline) {
  const std::string whole =
      absl::StrCat("SET LOCAL lock_timeout = ", absl::ToInt64Milliseconds(kLockWait), ";", script);
  for (absl::Duration pause = absl::Milliseconds(100);; pause = std::min(pause * 2, absl::Seconds(1))) {
    const absl::Status status = admin.ExecuteScript(whole).status();
    if (!absl::IsAborted(status)) return AnnotateSql(status, what);
    if (SteadyNow() >= deadline) {
      return absl::AbortedError(absl::StrCat(what, ": it stays locked by ", HoldersOf(admin, relations),
                                             "; end that transaction and run the command again"));
    }
    absl::SleepFor(pause);
  }
}

absl::StatusOr<std::vector<TableName>> PrepareTables(Connection& admin, const std::vector<SelectedTable>& tables,
                                                     bool publish, absl::Time deadline,
                                                     const std::function<void(size_t, size_t)>& progress) {
  std::vector<uint32_t> oids;
  for (const SelectedTable& table : tables) oids.push_back(table.oid);
  ASSAY_ASSIGN_OR_RETURN(const Result missing, admin.Execute(kMissing, {OidArray(oids), publish ? "true" : "false"}));
  struct Work {
    TableName name;
    std::string script;
    std::vector<uint32_t> oids;
  };
  std::vector<Work> work;
  for (int first = 0, last = 0; first < missing.rows(); first = last) {
    Work item;
    for (; last < missing.rows() && missing.Text(last, "root") == missing.Text(first, "root"); ++last) {
      item.oids.push_back(missing.Int64(last, "oid"));
      if (item.oids.back() == missing.Int64(first, "root"))
        item.name = {missing.String(last, "nspname"), missing.String(last, "relname")};
    }
    item.script = PreparationOf(admin, missing, first, last);
    if (!item.script.empty()) work.push_back(std::move(item));
  }
  std::vector<TableName> done;
  // In rounds, so that one busy table does not keep the others waiting; the last round says who is in the way.
  for (std::vector<Work> left; !work.empty(); work = std::exchange(left, {})) {
    const bool last_round = SteadyNow() >= deadline;
    for (Work& item : work) {
      const absl::Status status = ExecuteWithShortLocks(admin, item.script, item.oids,
                                                        absl::StrCat("enrol ", item.name.ToString()), SteadyNow());
      if (absl::IsAborted(status) && !last_round) {
        left.push_back(std::move(item));
        continue;
      }
      ASSAY_RETURN_IF_ERROR(status);
      done.push_back(item.name);
      if (progress) progress(done.size(), done.size() + work.size() - (&item - work.data()) - 1 + left.size());
    }
    if (!left.empty()) absl::SleepFor(absl::Milliseconds(300));
  }
  std::sort(done.begin(), done.end());
  return done;
}

absl::StatusOr<std::vector<TableName>> PublishedTables(Connection& admin) {
  ASSAY_ASSIGN_OR_RETURN(
      const Result rows,
      admin.Execute(
          "SELECT n.nspname, c.relname FROM pg_catalog.pg_publication p "
          "JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid JOIN pg_catalog.pg_class c ON c.oid = r.prrelid "
          "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE p.pubname = 'assay'"));
  std::vector<TableName> names;
  for (int row = 0; row < rows.rows(); ++row)
    names.push_back({rows.String(row, "nspname"), rows.String(row, "relname")});
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status RestoreTables(Connection& admin, absl::Time deadline, const std::optional<TableName>& only) {
  ASSAY_ASSIGN_OR_RETURN(
      const Result rows,
      admin.Execute(
          "SELECT c.oid, n.nspname, c.relname, e.replica_identity, e.identity_index, "
          "e.identity_index IS NOT NULL AND EXISTS (SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x "
          "ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND x.relname = e.identity_index) AS has_index, "
          // Enabled ALWAYS stays, for the application the same, where nobody may undo it.
          "(SELECT pg_catalog.string_agg(pg_catalog.format('ALTER TABLE ONLY %I.%I ENABLE TRIGGER %I;', n.nspname, "
          "c.relname, g.tgname), '') FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND g.tgenabled = 'A' AND "
          "g.tgfoid = 'pg_catalog.unique_key_recheck'::pg_catalog.regproc AND (SELECT r.rolsuper FROM "
          "pg_catalog.pg_roles r WHERE r.rolname = current_user)) AS rechecks "
          "FROM assay.enrolled e JOIN pg_catalog.pg_class c ON c.oid = e.relation "
          "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE $1 = '' OR e.root IN (SELECT r.root FROM "
          "assay.enrolled r WHERE r.relation = r.root AND r.schema_name = $1 AND r.table_name = $2) "
          "ORDER BY n.nspname, c.relname",
          {only.has_value() ? only->schema : "", only.has_value() ? only->table : ""}));
  for (int row = 0; row < rows.rows(); ++row) {
    const TableName name{rows.String(row, "nspname"), rows.String(row, "relname")};
    const std::string quoted = Quoted(admin, name);
    const absl::string_view identity = rows.Text(row, "replica_identity");
    std::string to = "DEFAULT";  // Also when the index it used has gone meanwhile.
    if (identity == "n") to = "NOTHING";
    if (identity == "f") to = "FULL";
    if (identity == "i" && rows.Bool(row, "has_index"))
      to = absl::StrCat("USING INDEX ", admin.QuoteIdentifier(rows.Text(row, "identity_index")));
    ASSAY_RETURN_IF_ERROR(ExecuteWithShortLocks(
        admin,
        absl::StrCat("LOCK TABLE ONLY ", quoted, " IN ACCESS EXCLUSIVE MODE; DROP TRIGGER IF EXISTS ",
                     kAttributionTrigger, " ON ", quoted, ";", rows.Text(row, "rechecks"), "ALTER TABLE ONLY ", quoted,
                     " REPLICA IDENTITY ", to, "; DELETE FROM assay.enrolled WHERE relation = ", rows.Text(row, "oid")),
        {static_cast<uint32_t>(rows.Int64(row, "oid"))}, absl::StrCat("release ", name.ToString()), deadline));
  }
  return absl::OkStatus();
}

}  // namespace assay
