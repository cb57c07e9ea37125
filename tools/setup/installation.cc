#include "tools/setup/installation.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "adapters/libpq/sqlstate.h"
#include "adapters/libpq/steady_time.h"
#include "log/annotate.h"
#include "sql/branch.sql.h"

namespace assay {
namespace {

// Any number will do, as long as every Assay takes the same one.
constexpr char kInstallationLock[] = "7022344802686378873";
constexpr absl::Duration kLockPatience = absl::Seconds(2);

}  // namespace

absl::Status TakeInstallationLock(Connection& admin) {
  for (const absl::Time until = SteadyNow() + kLockPatience;; absl::SleepFor(absl::Milliseconds(20))) {
    ASSAY_ASSIGN_OR_RETURN(
        const Result alone,
        admin.Execute("SELECT pg_catalog.pg_try_advisory_lock($1::bigint) AS alone", {kInstallationLock}));
    if (alone.Bool(0, "alone")) return absl::OkStatus();
    if (SteadyNow() < until) continue;
    return absl::FailedPreconditionError(
        "another assay init, leave or repair is at work on this database: wait for it to end");
  }
}

absl::Status InstallSchema(Connection& admin) {
  return AnnotateSql(admin.ExecuteScript(kBranchSql).status(), "install schema assay");
}

absl::Status InstallRole(Connection& admin, const std::string& url) {
  ASSAY_ASSIGN_OR_RETURN(const auto session, Connection::Open(url, {.application_name = "assay init"}));
  ASSAY_ASSIGN_OR_RETURN(const Result who, session->Execute("SELECT session_user"));
  const std::string login = who.String(0, "session_user");
  ASSAY_ASSIGN_OR_RETURN(const Result exists,
                         admin.Execute("SELECT FROM pg_catalog.pg_roles WHERE rolname = $1", {kProjectorRole}));
  if (exists.rows() == 0) {
    ASSAY_RETURN_IF_ERROR(
        AnnotateSql(admin
                        .ExecuteScript(absl::StrCat("CREATE ROLE ", kProjectorRole,
                                                    " NOLOGIN; UPDATE assay.installation SET role_created = true"))
                        .status(),
                    absl::StrCat("create the role ", kProjectorRole, " (a superuser can: CREATE ROLE ", kProjectorRole,
                                 " NOLOGIN)")));
  }
  ASSAY_RETURN_IF_ERROR(
      admin
          .ExecuteScript(absl::StrCat("GRANT USAGE ON SCHEMA assay TO ", kProjectorRole,
                                      "; GRANT SELECT, UPDATE ON assay.progress TO ", kProjectorRole,
                                      "; GRANT SELECT ON assay.enrolled, assay.sequences TO ", kProjectorRole))
          .status());
  if (admin.server_version() >= 150000) {
    ASSAY_ASSIGN_OR_RETURN(
        const Result may,
        admin.Execute("SELECT pg_catalog.has_parameter_privilege($1, 'session_replication_role', 'SET') AS may",
                      {kProjectorRole}));
    if (!may.Bool(0, "may")) {
      const std::string grant = absl::StrCat("GRANT SET ON PARAMETER session_replication_role TO ", kProjectorRole);
      ASSAY_RETURN_IF_ERROR(
          AnnotateSql(admin.ExecuteScript(grant).status(), absl::StrCat("(a superuser can: ", grant, ")")));
    }
  }
  ASSAY_ASSIGN_OR_RETURN(const Result member, admin.Execute("SELECT pg_catalog.pg_has_role($1, $2, 'MEMBER') AS member",
                                                            {login, kProjectorRole}));
  if (!member.Bool(0, "member")) {
    const std::string grant = absl::StrCat("GRANT ", kProjectorRole, " TO ", admin.QuoteIdentifier(login));
    ASSAY_RETURN_IF_ERROR(
        AnnotateSql(admin.ExecuteScript(grant).status(), absl::StrCat("(a superuser can: ", grant, ")")));
  }
  return absl::OkStatus();
}

absl::Status GrantAround(Connection& admin, const std::vector<SelectedTable>& tables) {
  std::vector<uint32_t> oids;
  bool row_security = false;
  for (const SelectedTable& table : tables) {
    oids.push_back(table.oid);
    row_security |= table.row_security;
  }
  ASSAY_ASSIGN_OR_RETURN(
      const Result schemas,
      admin.Execute(
          "SELECT n.nspname FROM pg_catalog.pg_namespace n WHERE NOT "
          "pg_catalog.has_schema_privilege('assay_projector', n.oid, 'USAGE') "
          "AND n.oid IN (SELECT c.relnamespace FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1::pg_catalog.oid[]) "
          "UNION SELECT t.typnamespace FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid "
          "WHERE a.attrelid = ANY ($1::pg_catalog.oid[]) AND a.attnum > 0 AND NOT a.attisdropped)",
          {absl::StrCat("{", absl::StrJoin(oids, ","), "}")}));
  for (int row = 0; row < schemas.rows(); ++row) {
    ASSAY_RETURN_IF_ERROR(
        admin
            .ExecuteScript(absl::StrCat("GRANT USAGE ON SCHEMA ", admin.QuoteIdentifier(schemas.Text(row, "nspname")),
                                        " TO ", kProjectorRole))
            .status());
  }
  if (!row_security) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(
      const Result bypass,
      admin.Execute("SELECT rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = $1", {kProjectorRole}));
  if (bypass.rows() == 1 && bypass.Bool(0, "rolbypassrls")) return absl::OkStatus();
  const std::string alter = absl::StrCat("ALTER ROLE ", kProjectorRole, " BYPASSRLS");
  return AnnotateSql(
      admin.ExecuteScript(alter).status(),
      absl::StrCat("some tables have row-level security, which would hide rows from the projection (a superuser can: ",
                   alter, ")"));
}

absl::Status InstallPublication(Connection& admin) {
  // From 18 on PostgreSQL refuses the application's updates of a table with REPLICA IDENTITY FULL whose stored
  // generated columns are not published: so they are, and capture leaves them out.
  const bool names_generated = admin.server_version() >= 180000;
  ASSAY_ASSIGN_OR_RETURN(
      const Result there,
      admin.Execute(
          absl::StrCat("SELECT puballtables, pubviaroot, (pubinsert AND pubupdate AND pubdelete AND pubtruncate",
                       names_generated ? " AND pubgencols = 's'" : "",
                       ") AS all_of_it FROM pg_catalog.pg_publication WHERE pubname = $1"),
          {kPublication}));
  const std::string parameters =
      absl::StrCat("publish_via_partition_root = true, publish = 'insert, update, delete, truncate'",
                   names_generated ? ", publish_generated_columns = stored" : "");
  if (there.rows() == 0) {
    return AnnotateSql(
        admin.ExecuteScript(absl::StrCat("CREATE PUBLICATION ", kPublication, " WITH (", parameters, ")")).status(),
        "create the publication");
  }
  if (there.Bool(0, "puballtables")) {
    return absl::FailedPreconditionError(
        "there is a publication named assay FOR ALL TABLES, which makes an application's statements fail on "
        "tables without a key; run: DROP PUBLICATION assay");
  }
  if (there.Bool(0, "pubviaroot") && there.Bool(0, "all_of_it")) return absl::OkStatus();
  return admin.ExecuteScript(absl::StrCat("ALTER PUBLICATION ", kPublication, " SET (", parameters, ")")).status();
}

absl::StatusOr<SlotState> FindSlot(Connection& admin) {
  ASSAY_ASSIGN_OR_RETURN(
      const Result slot,
      admin.Execute("SELECT active FROM pg_catalog.pg_replication_slots WHERE slot_name = $1", {kSlot}));
  return SlotState{slot.rows() > 0, slot.rows() > 0 && slot.Bool(0, "active")};
}

absl::Status DropSlot(Connection& admin) {
  ASSAY_ASSIGN_OR_RETURN(const SlotState slot, FindSlot(admin));
  if (!slot.exists) return absl::OkStatus();
  if (slot.active) {
    return absl::FailedPreconditionError(
        "something is streaming from the replication slot \"assay\": stop assayd first (systemctl stop assayd)");
  }
  return AnnotateSql(admin.Execute("SELECT pg_catalog.pg_drop_replication_slot($1)", {kSlot}).status(),
                     "drop the replication slot");
}

}  // namespace assay
