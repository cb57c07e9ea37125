#include "tools/setup/doctor.h"

#include <libpq-fe.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "adapters/libpq/sqlstate.h"
#include "engine/problem_findings.h"
#include "tools/setup/branch_key.h"
#include "tools/setup/branch_log.h"
#include "tools/setup/repair.h"
#include "tools/setup/server_checks.h"
#include "tools/survey/survey.h"
#include "tools/survey/tried_functions.h"

namespace assay {
namespace {

constexpr uint64_t kFreeBytesLow = 1ull << 30;
// Beyond this, times shown to people mislead; nothing in the merge depends on it.
constexpr absl::Duration kOffsetLarge = absl::Seconds(30);

constexpr char kTrySlot[] =
    "mend the checks above first; then try: SELECT pg_create_logical_replication_slot('x', 'pgoutput', true)";

std::string Bytes(double bytes) {
  if (bytes < 1e6) return absl::StrFormat("%.0f kB", bytes / 1e3);
  if (bytes < 1e9) return absl::StrFormat("%.1f MB", bytes / 1e6);
  return absl::StrFormat("%.1f GB", bytes / 1e9);
}

void CheckWarnings(const TableSelection& selection, Findings& found) {
  for (const SelectedTable& table : selection.tables) {
    if (!table.warning.empty())
      found.Warn("table " + table.name().ToString(), table.warning, "ALTER TABLE … ENABLE TRIGGER … for each");
  }
}

// The tables that the configuration means, before anything is enrolled.
void CheckSelection(const TableSelection& selection, const TablePatterns& patterns, Findings& found) {
  for (const RefusedTable& refused : selection.refused) {
    const std::string remedy =
        absl::StrCat("that, or add \"", refused.name.schema, ".", refused.name.table, "\" to postgres.exclude");
    const CheckResult result = refused.by_name ? CheckResult::kFail : CheckResult::kWarn;
    found.Add("table " + refused.name.ToString(), result, absl::StrCat("cannot be enrolled: ", refused.reason), remedy);
  }
  if (selection.tables.empty()) {
    return found.Fail("tables",
                      absl::StrCat("postgres.tables (", absl::StrJoin(patterns.tables, ", "),
                                   ") matches no table that can be enrolled"),
                      "name the application's schema in postgres.tables, such as [\"public.*\"]");
  }
  found.Ok("tables", absl::StrCat(selection.tables.size(), " can be enrolled"));
}

// What fails for every row that Assay writes fails for nobody else, so that the ERP shows nothing of it.
void CheckFunctions(Connection& admin, const TableSelection& selection, Findings& found) {
  std::vector<uint32_t> tables;
  for (const SelectedTable& table : selection.tables) tables.push_back(table.oid);
  const absl::StatusOr<std::vector<FailingFunction>> failing = TryFunctions(admin, tables);
  if (!failing.ok()) return found.Failed("functions", failing.status(), kLookCloser);
  for (const FailingFunction& each : *failing) {
    found.Fail(absl::StrCat("function ", each.function),
               absl::StrCat("table ", each.table,
                            " runs it at every write, and rows of other branches are written with "
                            "an empty search_path, where it fails: ",
                            each.cause),
               each.remedy);
  }
}

CheckResult ResultOf(ProblemKind kind) {
  return SeverityOf(kind) == Severity::kBad ? CheckResult::kFail : CheckResult::kWarn;
}

// Before anything of Assay is there, since a superuser puts it there.
void CheckMayInstall(Connection& admin, Findings& found) {
  const absl::StatusOr<Result> role =
      admin.Execute("SELECT rolname, rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user");
  if (!role.ok()) return found.Failed("installation", role.status(), kLookCloser);
  if (role->rows() == 1 && role->Bool(0, "rolsuper"))
    return found.Ok("installation", absl::StrCat(role->Text(0, "rolname"), " may install what a branch needs"));
  found.Fail("installation",
             absl::StrCat(role->rows() == 1 ? role->Text(0, "rolname") : "this role",
                          " may not install what a branch needs: a role, and what that may set"),
             "set postgres.admin_url to a superuser's connection, or give it as --admin-url");
}

// What the survey says, each finding by the name of its kind.
void CheckTables(Connection& admin, const DoctorOptions& options, Findings& found) {
  const TablePatterns patterns{options.tables, options.exclude};
  const absl::StatusOr<Result> installed =
      admin.Execute("SELECT pg_catalog.to_regclass('assay.enrolled') IS NOT NULL AS installed");
  if (!installed.ok()) return found.Failed("tables", installed.status(), kLookCloser);
  const absl::StatusOr<TableSelection> selection = SelectTables(admin, patterns);
  if (!selection.ok()) return found.Failed("tables", selection.status(), kLookCloser);
  CheckWarnings(*selection, found);
  CheckFunctions(admin, *selection, found);
  if (!installed->Bool(0, "installed")) {
    CheckMayInstall(admin, found);
    CheckSelection(*selection, patterns, found);
    return found.Warn("enrolment", "this database is not enrolled yet", "assay init");
  }
  const absl::StatusOr<std::set<std::string>> enrolled = EnrolledTables(options.state_dir + "/log.db");
  if (!enrolled.ok()) return found.Failed("tables", enrolled.status(), "mend the log first: `assay repair`");
  const absl::StatusOr<SurveyReport> survey =
      TakeSurvey(admin, {patterns, options.stride, options.number, options.sequences, *enrolled, options.policies});
  if (!survey.ok()) return found.Failed("tables", survey.status(), "assay init");
  std::vector<Problem> problems = UnrecordedProblems(survey->missed);
  for (std::vector<Problem> more : {IdentityProblems(survey->identities), survey->problems})
    std::move(more.begin(), more.end(), std::back_inserter(problems));
  for (const Problem& problem : problems) {
    found.Add(ProblemName(problem.kind), ResultOf(problem.kind), SentenceOf(problem), RemedyOf(problem));
  }
  if (problems.empty()) found.Ok("tables", absl::StrCat(enrolled->size(), " are recorded, each as it should be"));
}

void CheckSlot(Connection& admin, Findings& found) {
  absl::StatusOr<Result> slot = admin.Execute(
      "SELECT active, wal_status, plugin, database, database = pg_catalog.current_database() AS is_here, "
      "pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), confirmed_flush_lsn) AS bytes_behind "
      "FROM pg_catalog.pg_replication_slots WHERE slot_name = 'assay'");
  if (!slot.ok()) return found.Failed("slot", slot.status(), kLookCloser);
  if (slot->rows() == 0) {
    absl::StatusOr<Result> published = admin.Execute("SELECT FROM pg_catalog.pg_publication WHERE pubname = 'assay'");
    if (published.ok() && published->rows() > 0)
      found.Fail("slot", "the replication slot \"assay\" is gone: changes since then are not in the log",
                 RemedyOf({.kind = ProblemKind::kGap}));
    return;
  }
  const std::string drop = "SELECT pg_drop_replication_slot('assay')";
  if (!slot->Bool(0, "is_here"))
    return found.Fail("slot", absl::StrCat("the slot \"assay\" belongs to the database ", slot->Text(0, "database")),
                      drop);
  if (slot->Text(0, "plugin") != "pgoutput")
    return found.Fail("slot", absl::StrCat("the slot \"assay\" uses the plugin ", slot->Text(0, "plugin")), drop);
  if (slot->Text(0, "wal_status") == "lost")
    return found.Fail("slot", "the server has removed WAL that the slot needed: changes are not in the log",
                      RemedyOf({.kind = ProblemKind::kGap}));
  const std::string behind = absl::StrCat(slot->Bool(0, "active") ? "streaming" : "nobody is streaming", ", ",
                                          Bytes(slot->Int64(0, "bytes_behind")), " of WAL behind");
  if (slot->Text(0, "wal_status") == "unreserved")
    return found.Fail("slot", absl::StrCat(behind, "; the server is about to remove WAL it needs"),
                      "systemctl start assayd");
  if (!slot->Bool(0, "active")) return found.Warn("slot", behind, "systemctl start assayd");
  found.Ok("slot", behind);
}

// Emits a message and looks for it through pgoutput on a temporary slot: `messages 'true'` must work, or projections
// would echo.
void CheckMessages(const std::string& url, Findings& found) {
  auto session = Connection::Open(url, {.application_name = "assay doctor", .call_timeout = absl::Seconds(20)});
  if (!session.ok()) return;  // CheckLogin has said so.
  Connection& connection = **session;
  const std::string slot = absl::StrCat("assay_doctor_", connection.backend_pid());
  const std::string nonce = absl::StrCat("probe ", absl::ToUnixNanos(absl::Now()));
  absl::Status status = connection.ExecuteScript("SET statement_timeout = '10s'").status();
  if (status.ok())
    status = connection.Execute("SELECT pg_catalog.pg_create_logical_replication_slot($1, 'pgoutput', true)", {slot})
                 .status();
  if (SqlstateOf(status) == "57014") {
    return found.Warn(
        "messages", "not tried: a transaction that was open before does not end, and a slot waits for it",
        "SELECT pid, xact_start, query FROM pg_stat_activity WHERE backend_xid IS NOT NULL ORDER BY xact_start");
  }
  if (status.ok())
    status =
        connection.Execute("SELECT pg_catalog.pg_logical_emit_message(true, 'assay.doctor', $1)", {nonce}).status();
  if (!status.ok()) return found.Failed("messages", status, kTrySlot);
  const absl::StatusOr<Result> back = connection.Execute(
      "SELECT 1 FROM pg_catalog.pg_logical_slot_get_binary_changes($1, NULL, NULL, 'proto_version', '1', "
      "'publication_names', 'assay', 'messages', 'true') "
      " WHERE position(pg_catalog.convert_to($2, 'UTF8') IN data) > 0",
      {slot, nonce});
  if (!back.ok()) return found.Failed("messages", back.status(), kTrySlot);
  if (back->rows() == 0)
    return found.Fail("messages", "a message put into the WAL does not come back through pgoutput",
                      "upgrade PostgreSQL to 14 or newer");
  found.Ok("messages", "a probe came back through pgoutput");
}

void CheckSpace(const std::string& directory, Findings& found) {
  struct statvfs space;
  if (statvfs(directory.c_str(), &space) == 0) {
    const uint64_t free = static_cast<uint64_t>(space.f_bavail) * space.f_frsize;
    if (free < kFreeBytesLow)
      found.Warn("free space", absl::StrCat(Bytes(free), " in ", directory), "make room: the log only ever grows");
    else
      found.Ok("free space", absl::StrCat(Bytes(free), " in ", directory));
  }
}

void CheckKey(const std::string& directory, Findings& found) {
  const std::string key = directory + "/signing.key";
  struct stat info;
  const bool there = stat(key.c_str(), &info) == 0;
  if (there && (info.st_mode & 077) != 0)
    return found.Fail("signing key", absl::StrCat(key, " can be read by others"), absl::StrCat("chmod 0600 ", key));
  const absl::Status loaded = LoadBranchKey(directory).status();
  if (const std::optional<NamedProblem> named = ProblemNamedBy(loaded); named.has_value()) {
    const Problem problem{.kind = named->kind, .subject = "this branch"};
    return found.Fail(ProblemName(problem.kind), SentenceOf(problem), RemedyOf(problem));
  }
  if (!loaded.ok() && !absl::IsNotFound(loaded))
    return found.Failed("signing key", loaded, "put it back from its backup");
  if (there) found.Ok("signing key", "readable only by its owner, and the log's");
}

void CheckStateDirectory(const std::string& directory, Findings& found) {
  const std::string make = absl::StrCat("sudo install -d -m 0700 -o $(id -un) ", directory);
  struct stat info;
  if (stat(directory.c_str(), &info) != 0) {
    const std::string parent = directory.substr(0, std::max<size_t>(directory.rfind('/'), 1));
    if (errno == ENOENT && access(parent.c_str(), W_OK | X_OK) == 0) {
      return found.Ok("state_dir", absl::StrCat(directory, " does not exist yet: assay init makes it"));
    }
    if (errno == ENOENT) {
      return found.Fail("state_dir", absl::StrCat(directory, " does not exist, and this user cannot make it"), make);
    }
    return found.Fail("state_dir", absl::StrCat(directory, ": ", std::strerror(errno)), make);
  }
  if (!S_ISDIR(info.st_mode)) return found.Fail("state_dir", absl::StrCat(directory, " is not a directory"), make);
  if (access(directory.c_str(), R_OK | W_OK | X_OK) != 0) {
    return found.Fail("state_dir", absl::StrCat(directory, " cannot be written by this user"),
                      absl::StrCat("sudo chown $(id -un) ", directory, ", or run as its owner"));
  }
  if ((info.st_mode & 022) != 0) {
    found.Fail("state_dir", absl::StrCat(directory, " can be written by others"),
               absl::StrCat("chmod 0700 ", directory));
  } else if ((info.st_mode & 044) != 0) {
    found.Warn("state_dir", absl::StrCat(directory, " can be read by others, and holds every change ever made"),
               absl::StrCat("chmod 0700 ", directory));
  } else {
    found.Ok("state_dir", directory);
  }
  CheckSpace(directory, found);
  CheckKey(directory, found);
}

// The hub's TLS mode from its URL: nothing of the URL itself is shown.
void CheckHubTls(const std::string& url, Findings& found) {
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> parsed(PQconninfoParse(url.c_str(), nullptr),
                                                                            &PQconninfoFree);
  if (parsed == nullptr) return;  // Not libpq's kind of hub.
  std::string host, mode;
  for (const PQconninfoOption* option = parsed.get(); option->keyword != nullptr; ++option) {
    if (option->val == nullptr) continue;
    if (absl::string_view(option->keyword) == "host" ||
        (absl::string_view(option->keyword) == "hostaddr" && host.empty()))
      host = option->val;
    if (absl::string_view(option->keyword) == "sslmode") mode = option->val;
  }
  const bool local =
      host.empty() || host[0] == '/' || host == "localhost" || host == "::1" || absl::StartsWith(host, "127.");
  if (local) return found.Ok("hub TLS", "the hub is on this machine");
  if (mode == "verify-full") return found.Ok("hub TLS", "verify-full");
  found.Fail("hub TLS",
             absl::StrCat("sslmode is ", mode.empty() ? "not set" : mode, ": anyone on the way could pose as the hub"),
             "append sslmode=verify-full&sslrootcert=/path/to/ca.crt to hub.url");
}

// One branch number has one living machine.
void CheckPlace(const DoctorOptions& options, const std::optional<LivingChain>& living, Findings& found) {
  if (!living.has_value()) return;
  const absl::StatusOr<OriginId> own = LoggedOrigin(options.state_dir + "/log.db");
  if (own.ok() ? *own == living->origin : EnrolledOrigin(options.url) == living->origin) return;
  const Problem problem{.kind = ProblemKind::kReplaced, .subject = absl::StrCat("branch ", options.number)};
  found.Fail(ProblemName(problem.kind),
             absl::StrCat("the hub takes chain ", living->origin.Hex().substr(0, 8),
                          " for this branch's, and heard of it last at ",
                          absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", living->heard, absl::UTCTimeZone())),
             own.ok() ? RemedyOf(problem)
                      : "a number of its own for this machine; or, if the other one is stopped for good: assay init "
                        "--replaces-other");
}

void CheckHub(const DoctorOptions& options, Hub* hub, const absl::Status& hub_error, Clock* clock, Findings& found) {
  if (!options.has_hub) return found.Ok("hub", "none configured: this branch keeps its changes to itself");
  CheckHubTls(options.hub_url, found);
  if (hub == nullptr) return found.Failed("hub", hub_error, "mend [hub] in the configuration");
  const absl::Time before = clock->Now();
  absl::StatusOr<HubHeads> heads = hub->Heads();
  const absl::Time after = clock->Now();
  if (!heads.ok()) {
    std::string remedy = "check the network and hub.url";
    if (absl::IsUnauthenticated(heads.status()))
      remedy =
          "correct the password in hub.url or hub.password_file; if it is lost: assay hub password NAME, run by the "
          "head office";
    // These say themselves what to do.
    if (absl::IsFailedPrecondition(heads.status()) || absl::IsPermissionDenied(heads.status())) remedy = "";
    return found.Failed("hub", heads.status(), remedy);
  }
  uint64_t events = 0;
  for (const auto& [_, head] : heads->heads) events += head.complete.value;
  found.Ok("hub", absl::StrCat("answers in ", absl::FormatDuration(absl::Trunc(after - before, absl::Milliseconds(1))),
                               "; it has ", heads->heads.size(), " chains, ", events, " events"));
  CheckPlace(options, heads->living, found);
  const absl::Duration offset = heads->hub_time - (before + (after - before) / 2);
  const std::string shown =
      absl::StrCat(absl::FormatDuration(absl::Trunc(absl::AbsDuration(offset), absl::Milliseconds(1))),
                   offset < absl::ZeroDuration() ? " ahead of the hub" : " behind the hub");
  if (absl::AbsDuration(offset) > kOffsetLarge) {
    found.Warn(
        "clock offset",
        absl::StrCat("this machine's clock is ", shown, ": edits of one value at two branches are settled by time"),
        "timedatectl set-ntp true");
  } else {
    found.Ok("clock offset", shown);
  }
}

}  // namespace

std::vector<Check> Doctor(const DoctorOptions& options, Hub* hub, const absl::Status& hub_error, Clock* clock) {
  std::vector<Check> checks;
  Findings found(&checks);
  if (options.number < 1 || options.number > options.stride) {
    found.Fail("branch number", absl::StrCat(options.number, " is not in 1..", options.stride),
               "set branch.number, or a larger branch.stride in the whole fleet");
  } else {
    found.Ok("branch number", absl::StrCat(options.number, " of at most ", options.stride));
  }
  auto admin = Connection::Open(options.admin_url, {.application_name = "assay doctor"});
  if (!admin.ok()) {
    found.Failed("PostgreSQL", admin.status(), "start PostgreSQL, or mend postgres.url and postgres.admin_url");
  } else {
    CheckServer(**admin, found);
    CheckLogin(options.url, found);
    CheckTables(**admin, options, found);
    CheckSlot(**admin, found);
    CheckMessages(options.url, found);
  }
  CheckStateDirectory(options.state_dir, found);
  CheckHub(options, hub, hub_error, clock, found);
  return checks;
}

}  // namespace assay
