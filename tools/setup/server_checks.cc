#include "tools/setup/server_checks.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace assay {
namespace {

constexpr absl::Duration kDeadlockTimeoutMin = absl::Seconds(1);

// One line of settings and counts that the checks below pick from. What pg_settings lacks, this version lacks or this
// role may not see.
constexpr char kServer[] = R"sql(
SELECT pg_catalog.current_setting('server_version') AS server_version, pg_catalog.getdatabaseencoding() AS encoding,
  pg_catalog.current_setting('wal_level') AS wal_level,
  pg_catalog.current_setting('max_replication_slots') AS max_replication_slots,
  (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots) AS slots,
  EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = 'assay') AS slot_there,
  pg_catalog.current_setting('max_wal_senders') AS max_wal_senders,
  (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'walsender') AS wal_senders,
  pg_catalog.current_setting('max_slot_wal_keep_size') AS max_slot_wal_keep_size,
  pg_catalog.current_setting('synchronous_standby_names') AS synchronous_standby_names,
  (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'output_plugin_libraries') AS output_plugin_libraries,
  pg_catalog.pg_is_in_recovery() AS is_standby, pg_catalog.current_database() AS database,
  pg_catalog.current_setting('fsync') AS fsync, pg_catalog.current_setting('deadlock_timeout') AS deadlock_timeout,
  (SELECT setting::integer FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout') AS deadlock_timeout_ms)sql";

// That it is a PostgreSQL that can be captured at all.
void CheckKind(const Connection& admin, const Result& server, Findings& found) {
  const std::string version = server.String(0, "server_version");
  if (admin.server_version() < 140000) {
    found.Fail("server version", absl::StrCat("PostgreSQL ", version, "; capture needs 14 or newer"),
               "upgrade PostgreSQL to 14 or newer");
  } else {
    found.Ok("server version", absl::StrCat("PostgreSQL ", version));
  }
  if (server.Bool(0, "is_standby")) {
    found.Fail("primary", "the server is a standby, which cannot be written to", "point postgres.url at the primary");
  }
  if (server.Text(0, "encoding") == "UTF8") {
    found.Ok("encoding", "UTF8");
  } else {
    found.Fail("encoding",
               absl::StrCat("the database ", server.Text(0, "database"), " is encoded in ", server.Text(0, "encoding"),
                            "; events are UTF-8"),
               absl::StrCat("createdb --encoding=UTF8 --template=template0 NEW && pg_dump ", server.Text(0, "database"),
                            " | psql NEW"));
  }
}

// That it writes what capture needs, keeps it, and has room for one more reader.
void CheckWal(const Result& server, Findings& found) {
  if (server.Text(0, "wal_level") == "logical") {
    found.Ok("wal_level", "logical");
  } else {
    found.Fail("wal_level", absl::StrCat("it is ", server.Text(0, "wal_level"), "; capture needs logical"),
               "ALTER SYSTEM SET wal_level = 'logical'; then restart PostgreSQL");
  }
  const auto room = [&](absl::string_view setting, int64_t limit, int64_t used, bool counted) {
    if (used + (counted ? 0 : 1) > limit) {
      found.Fail(setting, absl::StrCat(used, " of ", limit, " are in use"),
                 absl::StrCat("ALTER SYSTEM SET ", setting, " = ", used + 4, "; then restart PostgreSQL"));
    } else {
      found.Ok(setting, absl::StrCat(used, " of ", limit, " in use"));
    }
  };
  room("max_replication_slots", server.Int64(0, "max_replication_slots"), server.Int64(0, "slots"),
       server.Bool(0, "slot_there"));
  room("max_wal_senders", server.Int64(0, "max_wal_senders"), server.Int64(0, "wal_senders"),
       server.Bool(0, "slot_there"));
  if (server.Text(0, "max_slot_wal_keep_size") == "-1") {
    found.Ok("max_slot_wal_keep_size", "unlimited: WAL is kept for as long as assayd is stopped");
  } else {
    found.Warn("max_slot_wal_keep_size",
               absl::StrCat("it is ", server.Text(0, "max_slot_wal_keep_size"),
                            ": if assayd is stopped for longer than that much WAL lasts, changes are lost to the log"),
               "ALTER SYSTEM SET max_slot_wal_keep_size = -1; SELECT pg_reload_conf()");
  }
}

// Settings by which the application, capture and the log could get into each other's way.
void CheckOtherSettings(const Result& server, Findings& found) {
  const std::string standbys = server.String(0, "synchronous_standby_names");
  if (absl::StrContains(standbys, '*') || absl::StrContains(standbys, "assay")) {
    found.Fail("synchronous_standby_names",
               absl::StrCat("\"", standbys, "\" matches Assay's session: every commit would wait for assayd"),
               "ALTER SYSTEM SET synchronous_standby_names = '…' naming only real standbys; SELECT pg_reload_conf()");
  } else {
    found.Ok("synchronous_standby_names", standbys.empty() ? "empty" : standbys);
  }
  if (!server.IsNull(0, "output_plugin_libraries")) {
    if (absl::StrContains(server.Text(0, "output_plugin_libraries"), "pgoutput")) {
      found.Ok("output_plugin_libraries", server.String(0, "output_plugin_libraries"));
    } else {
      found.Fail("output_plugin_libraries",
                 absl::StrCat("\"", server.Text(0, "output_plugin_libraries"), "\" does not name pgoutput"),
                 absl::StrCat("ALTER SYSTEM SET output_plugin_libraries = '", server.Text(0, "output_plugin_libraries"),
                              server.Text(0, "output_plugin_libraries").empty() ? "" : ", ",
                              "pgoutput'; SELECT pg_reload_conf()"));
    }
  }
  if (server.Text(0, "fsync") != "on") {
    found.Warn("fsync", "it is off: after a crash PostgreSQL may have lost what the log has",
               "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()");
  }
  // A projection holds locks for less than PostgreSQL's default: ProjectionOptions::locked_max.
  if (server.Int64(0, "deadlock_timeout_ms") < absl::ToInt64Milliseconds(kDeadlockTimeoutMin)) {
    found.Warn("deadlock_timeout",
               absl::StrCat("it is ", server.Text(0, "deadlock_timeout"),
                            ": rows that are being brought up to date may be held for longer, and "
                            "then it is the application's transaction that PostgreSQL ends"),
               "ALTER SYSTEM SET deadlock_timeout = '1s'; SELECT pg_reload_conf()");
  }
}

}  // namespace

void CheckServer(Connection& admin, Findings& found) {
  absl::StatusOr<Result> server = admin.Execute(kServer);
  if (!server.ok()) return found.Failed("server", server.status(), kLookCloser);
  CheckKind(admin, *server, found);
  CheckWal(*server, found);
  CheckOtherSettings(*server, found);
}

void CheckLogin(const std::string& url, Findings& found) {
  auto session = Connection::Open(url, {.application_name = "assay doctor"});
  if (!session.ok()) return found.Failed("login", session.status(), "set postgres.url to a role that may connect");
  Connection& connection = **session;
  absl::StatusOr<Result> role = connection.Execute(
      "SELECT session_user, rolsuper, rolreplication, EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = "
      "'assay_projector') AS projector_there "
      "FROM pg_catalog.pg_roles WHERE rolname = session_user");
  if (!role.ok()) return found.Failed("login", role.status(), kLookCloser);
  const std::string name = connection.QuoteIdentifier(role->Text(0, "session_user"));
  const bool superuser = role->Bool(0, "rolsuper");
  found.Ok("login", absl::StrCat(role->Text(0, "session_user"), superuser ? ", a superuser" : ""));
  if (!superuser && !role->Bool(0, "rolreplication")) {
    found.Fail("replication", absl::StrCat("the role ", role->Text(0, "session_user"), " may not replicate"),
               absl::StrCat("ALTER ROLE ", name, " REPLICATION"));
  } else {
    auto walsender = Connection::Open(url, {.application_name = "assay doctor", .replication = true});
    if (!walsender.ok()) {
      found.Failed("replication", walsender.status(),
                   "allow the role in pg_hba.conf for this database, then SELECT pg_reload_conf()");
    } else if (absl::Status identified = (*walsender)->ExecuteScript("IDENTIFY_SYSTEM").status(); !identified.ok()) {
      // A pooler swallows `replication=database` and hands out an ordinary session.
      found.Failed("replication", identified, "point postgres.url at PostgreSQL itself, not at a pooler");
    } else {
      found.Ok("replication", "a replication session opens");
    }
  }
  if (connection.server_version() < 150000 && !superuser) {
    return found.Fail("session_replication_role", "before PostgreSQL 15 only a superuser may set it",
                      absl::StrCat("ALTER ROLE ", name, " SUPERUSER"));
  }
  if (!role->Bool(0, "projector_there")) return;  // Not enrolled yet: init grants it.
  const absl::Status may =
      connection
          .ExecuteScript(
              "BEGIN; SET LOCAL session_replication_role = replica; SET LOCAL ROLE assay_projector; ROLLBACK")
          .status();
  if (may.ok()) return found.Ok("session_replication_role", "may be set");
  (void)connection.ExecuteScript("ROLLBACK");
  // Init grants both; a role that does not inherit cannot use the first before it is the second.
  found.Failed(
      "session_replication_role", may,
      absl::StrCat("GRANT SET ON PARAMETER session_replication_role TO assay_projector; GRANT assay_projector TO ",
                   name, "; ALTER ROLE ", name, " INHERIT"));
}

}  // namespace assay
