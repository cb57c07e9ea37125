#include "tests/fleet/fleet.h"

#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/substitute.h"
#include "absl/time/clock.h"
#include "google/protobuf/util/json_util.h"
#include "log/annotate.h"
#include "tests/fleet/hub_fold.h"

namespace assay::test {
namespace {

absl::Status StatusOf(const RunResult& result, absl::string_view what) {
  if (result.exit_code == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(what, " ended with ", result.exit_code, ":\n", result.output));
}

std::string DaemonProgram(DaemonBuild build) {
  switch (build) {
    case DaemonBuild::kNaive:
      return ASSAY_TEST_DAEMONS_DIRECTORY "/assayd_naive";
    case DaemonBuild::kForFakeTime:
      return ASSAY_TEST_DAEMONS_DIRECTORY "/assayd_for_fake_time";
    case DaemonBuild::kShipped:
      break;
  }
  return Branch::ProgramPath("assayd");
}

// Whatever the database's own settings are, rows are compared and told in one form.
absl::StatusOr<std::unique_ptr<SqlSession>> PinnedSession(const std::string& url) {
  ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<SqlSession> session, SqlSession::Connect(url));
  ASSAY_RETURN_IF_ERROR(
      session
          ->Run("SET datestyle = ISO; SET intervalstyle = postgres; SET timezone = 'UTC'; SET lc_monetary = 'C';"
                "SET bytea_output = hex; SET extra_float_digits = 3; SET standard_conforming_strings = on;"
                "SET search_path = ''; SET quote_all_identifiers = off; BEGIN ISOLATION LEVEL REPEATABLE READ")
          .status());
  return session;
}

// Over the rows of `table`, each in its types' binary send form: equal digests are equal rows, byte for byte.
std::string DigestOf(const std::string& table, const std::string& columns) {
  return absl::Substitute(
      "SELECT count(*) || ' rows, digest ' || coalesce(md5(string_agg(h, '' ORDER BY h)), '-') "
      "FROM (SELECT md5(record_send(ROW($1))) AS h FROM $0) r",
      table, columns);
}

// By table, every schema but the system's and Assay's: the names of its columns, in an order that all branches share.
absl::StatusOr<std::map<std::string, std::vector<std::string>>> Columns(SqlSession& session) {
  ASSAY_ASSIGN_OR_RETURN(
      Rows rows,
      session.Run(
          "SELECT c.oid::regclass, quote_ident(a.attname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
          "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
          "WHERE n.nspname !~ '^(pg_|information_schema$|assay$|oracle$|witness$)' AND c.relkind IN ('r', 'p') AND NOT c.relispartition "
          "ORDER BY a.attname COLLATE \"C\""));
  std::map<std::string, std::vector<std::string>> columns;
  for (const auto& row : rows) columns[row[0]].push_back(row[1]);
  return columns;
}

// Each table, with a digest of its rows.
absl::StatusOr<std::map<std::string, std::string>> Tables(const std::string& url) {
  ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<SqlSession> session, PinnedSession(url));
  ASSAY_ASSIGN_OR_RETURN(auto columns, Columns(*session));
  std::map<std::string, std::string> tables;
  for (const auto& [table, names] : columns) {
    ASSAY_ASSIGN_OR_RETURN(Rows digest, session->Run(DigestOf(table, absl::StrJoin(names, ", "))));
    tables[table] = absl::StrCat(absl::StrJoin(names, ", "), ": ", digest[0][0]);
  }
  return tables;
}

// For people: the columns that differ, and some rows.
std::string Difference(const std::string& one, const std::string& other, const std::string& table) {
  std::vector<std::string> lines;
  std::set<std::string> rows[2];
  std::map<std::string, std::string> digests[2];
  for (int side = 0; side < 2; ++side) {
    absl::StatusOr<std::unique_ptr<SqlSession>> session = PinnedSession(side == 0 ? one : other);
    if (!session.ok()) return std::string(session.status().message());
    if (auto columns = Columns(**session); columns.ok()) {
      for (const std::string& column : (*columns)[table]) {
        absl::StatusOr<Rows> digest = (*session)->Run(DigestOf(table, column));
        digests[side][column] = digest.ok() ? digest->front()[0] : std::string(digest.status().message());
      }
    }
    absl::StatusOr<Rows> texts = (*session)->Run(absl::Substitute("SELECT left(r::text, 300) FROM $0 r", table));
    if (texts.ok())
      for (const auto& row : *texts) rows[side].insert(row[0]);
  }
  for (const auto& [column, digest] : digests[0])
    if (digests[1][column] != digest) lines.push_back(absl::StrCat("  column ", column, " differs"));
  for (const auto& [column, _] : digests[1])
    if (digests[0].count(column) == 0) lines.push_back(absl::StrCat("  column ", column, " is on one side only"));
  for (const std::string& row : rows[0])
    if (rows[1].count(row) == 0) lines.push_back("  - " + row);
  for (const std::string& row : rows[1])
    if (rows[0].count(row) == 0) lines.push_back("  + " + row);
  if (lines.size() > 12) lines.resize(12);
  return absl::StrCat(table, ":\n", absl::StrJoin(lines, "\n"));
}

}  // namespace

// ---- Branch ----

std::string Branch::ProgramPath(const char* name) {
  const char* elsewhere = std::getenv("ASSAY_TOOLS");  // To try programs that were built or installed elsewhere.
  return absl::StrCat(elsewhere != nullptr ? elsewhere : ASSAY_TOOLS_DIRECTORY, "/", name);
}

RunResult Branch::Assay(std::vector<std::string> arguments, absl::Duration timeout) const {
  arguments.insert(arguments.begin(), {ProgramPath("assay"), "--config", config_path_});
  return RunProgram(arguments, timeout);
}

absl::StatusOr<google::protobuf::Struct> Branch::AssayJson(std::vector<std::string> arguments) const {
  arguments.push_back("--json");
  RunResult result = Assay(arguments);
  google::protobuf::Struct object;
  // 1: it was printed, and something in it is wrong.
  if (result.exit_code != 1 || !absl::StartsWith(result.standard_output, "{"))
    ASSAY_RETURN_IF_ERROR(StatusOf(result, absl::StrCat("assay ", absl::StrJoin(arguments, " "))));
  if (!google::protobuf::util::JsonStringToMessage(result.standard_output, &object).ok()) {
    return absl::InternalError(absl::StrCat("no JSON object: ", result.standard_output));
  }
  return object;
}

std::string Branch::Problems() const {
  absl::StatusOr<google::protobuf::Struct> status = Status();
  if (!status.ok()) return std::string(status.status().message());
  std::string problems;
  const google::protobuf::Value* list = JsonFind(*status, "problems");
  if (list == nullptr) return problems;
  for (const google::protobuf::Value& problem : list->list_value().values()) {
    const auto text = [&](const char* field) { return JsonText(problem.struct_value(), field); };
    absl::StrAppend(&problems, text("kind"), ": ", text("sentence"), " (", text("detail"), ") ", text("remedy"), "\n");
  }
  return problems;
}

absl::Status Branch::Init(const std::vector<std::string>& arguments) {
  const bool running = DaemonRunning();
  if (running && StopDaemon() != 0)
    return absl::InternalError(absl::StrCat(name_, ": assayd did not stop:\n", DaemonLog()));
  std::vector<std::string> all = {"init"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  ASSAY_RETURN_IF_ERROR(
      StatusOf(Assay(all, absl::Minutes(2)), absl::StrCat(name_, ": assay ", absl::StrJoin(all, " "))));
  return running ? StartDaemon() : absl::OkStatus();
}

absl::Status Branch::StartDaemon() {
  ASSAY_ASSIGN_OR_RETURN(
      daemon_, ChildProcess::Start({daemon_program_, "--config", config_path_},
                                   {.output = directory_->path() + "/assayd.log", .environment = daemon_environment_}));
  bool up = Eventually(absl::Seconds(60), [&] { return !daemon_->Running() || Assay({"status"}).exit_code <= 1; });
  if (up && daemon_->Running()) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat(name_, ": assayd did not come up:\n", DaemonLog(), "\n", Assay({"status"}).output));
}

int Branch::StopDaemon(int signal) {
  if (daemon_ == nullptr) return 0;
  daemon_->Signal(signal);
  std::optional<int> code = daemon_->Wait(absl::Seconds(20));
  if (!code.has_value()) return -1;
  daemon_.reset();
  return *code;
}

void Branch::WriteConfig(const FleetOptions& options, const std::string& hub_url) {
  std::string tables = absl::StrJoin(
      options.tables, ", ", [](std::string* out, const std::string& t) { absl::StrAppend(out, "\"", t, "\""); });
  std::string config = absl::Substitute(
      "[branch]\nname = \"$0\"\nnumber = $1\nstate_dir = \"$2\"\n[postgres]\nurl = \"$3\"\ntables = [$4]\n"
      "[admin]\nlisten = \"unix:$5/admin.sock\"\n",
      name_, number_, state_directory_,
      database_line_ == nullptr
          ? AdminUrl()
          : absl::StrCat("postgresql://postgres@127.0.0.1:", database_line_->port(), "/erp?sslmode=disable"),
      tables, directory_->path());
  if (!hub_url.empty()) {
    absl::StrAppend(&config, "[hub]\nurl = \"", hub_url, "\"\ninterval = \"", options.interval,
                    "\"\nrealtime = ", options.realtime ? "true" : "false", "\n");
  }
  WriteFile(config_path_, absl::StrCat(config, options.more_config), 0600);
}

// ---- Fleet ----

absl::StatusOr<std::unique_ptr<Fleet>> Fleet::Create(int branch_count, FleetOptions options, bool start) {
  std::unique_ptr<Fleet> fleet(new Fleet(std::move(options)));
  ASSAY_RETURN_IF_ERROR(fleet->StartHub());
  for (int i = 0; i < branch_count; ++i) ASSAY_RETURN_IF_ERROR(fleet->AddBranch().status());
  for (int i = 0; start && i < branch_count; ++i) {
    ASSAY_RETURN_IF_ERROR(fleet->branch(i).Init());
    ASSAY_RETURN_IF_ERROR(fleet->branch(i).StartDaemon());
  }
  return fleet;
}

absl::Status Fleet::StartHub() {
  ASSAY_ASSIGN_OR_RETURN(hub_, PostgresServer::Create({.superuser = "supabase_admin",
                                                       .fsync = options_.fsync,
                                                       .tcp_authentication = "scram-sha-256",
                                                       .settings = options_.settings}));
  // The head office's role, with what Supabase gives it and no more.
  ASSAY_RETURN_IF_ERROR(
      Sql(hub_->Url("template1"),
          "CREATE ROLE postgres NOSUPERUSER CREATEDB CREATEROLE LOGIN REPLICATION BYPASSRLS PASSWORD 'head-office';"
          "ALTER DATABASE postgres OWNER TO postgres")
          .status());
  if (!options_.pooler.empty()) {
    ASSAY_ASSIGN_OR_RETURN(pooler_,
                           PgBouncer::Create(*hub_, {.mode = options_.pooler, .users = {{"postgres", "head-office"}}}));
  }
  return StatusOf(HubCommand({"install"}), "assay hub install");
}

std::string Fleet::HubUrl(const std::string& user, const std::string& password, int port) {
  return absl::Substitute("postgresql://$0:$1@127.0.0.1:$2/postgres?sslmode=disable", user, password, port);
}

RunResult Fleet::HubCommand(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {Branch::ProgramPath("assay"), "hub"});
  return RunProgram(arguments, absl::Seconds(60),
                    {.environment = {{"SUPABASE_DB_URL", hub_->TcpUrl("postgres", "postgres", "head-office")}}});
}

absl::Status Fleet::EnrolAtHub(Branch& branch) {
  RunResult enrolled = HubCommand({"enrol", branch.name_, "--number", absl::StrCat(branch.number_), "--json"});
  ASSAY_RETURN_IF_ERROR(StatusOf(enrolled, "assay hub enrol"));
  google::protobuf::Struct login;
  if (!google::protobuf::util::JsonStringToMessage(enrolled.standard_output, &login).ok() ||
      JsonText(login, "password").empty()) {
    return absl::InternalError("assay hub enrol --json gave no login");
  }
  branch.hub_password_ = JsonText(login, "password");
  if (pooler_ != nullptr) pooler_->AddUser(JsonText(login, "role"), branch.hub_password_);
  int port = pooler_ != nullptr ? pooler_->port() : hub_->port();
  if (options_.bad_lines) {
    branch.hub_line_ = std::make_unique<Link>(port);
    port = branch.hub_line_->port();
  }
  branch.hub_url_ = HubUrl(JsonText(login, "role"), branch.hub_password_, port);
  return absl::OkStatus();
}

absl::StatusOr<Branch*> Fleet::AddBranch() {
  auto branch = std::make_unique<Branch>();
  int index = size();
  branch->number_ = index + 1;
  branch->name_ = absl::StrCat("shop-", branch->number_);
  branch->directory_ = std::make_unique<TempDirectory>("branch");
  branch->state_directory_ = branch->directory_->path() + "/state";
  branch->config_path_ = branch->directory_->path() + "/assay.toml";
  branch->daemon_program_ = DaemonProgram(options_.daemon);
  mkdir(branch->state_directory_.c_str(), 0700);

  PostgresOptions server{.fsync = options_.fsync, .settings = options_.settings};
  if (auto fake = options_.fake_time.find(index); fake != options_.fake_time.end()) server.fake_time = fake->second;
  ASSAY_ASSIGN_OR_RETURN(branch->server_, PostgresServer::Create(std::move(server)));
  ASSAY_RETURN_IF_ERROR(Sql(branch->server_->Url(), "CREATE ROLE erp LOGIN").status());
  ASSAY_RETURN_IF_ERROR(Sql(branch->server_->Url(), "CREATE DATABASE erp OWNER erp").status());
  if (!options_.schema.empty()) ASSAY_RETURN_IF_ERROR(Sql(branch->Url(), options_.schema).status());

  if (options_.bad_lines) branch->database_line_ = std::make_unique<Link>(branch->server_->port());
  ASSAY_RETURN_IF_ERROR(EnrolAtHub(*branch));
  branch->WriteConfig(options_, branch->hub_url_);
  branches_.push_back(std::move(branch));
  return branches_.back().get();
}

absl::Status Fleet::Compare() {
  ASSAY_ASSIGN_OR_RETURN(auto first, Tables(branches_[0]->AdminUrl()));
  std::vector<std::string> differences;
  for (int i = 1; i < size(); ++i) {
    ASSAY_ASSIGN_OR_RETURN(auto other, Tables(branches_[i]->AdminUrl()));
    for (const auto& [table, rows] : first) {
      if (auto there = other.find(table); there != other.end() && there->second == rows) continue;
      if (differences.size() == 8) return absl::DeadlineExceededError(absl::StrJoin(differences, "\n") + "\nand more");
      differences.push_back(absl::StrCat(branches_[0]->name(), " (-) and ", branches_[i]->name(), " (+): ",
                                         Difference(branches_[0]->AdminUrl(), branches_[i]->AdminUrl(), table)));
    }
  }
  if (differences.empty()) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrJoin(differences, "\n"));
}

namespace {

// Nothing under way: every chain is merged, every own event is at the hub and captured up to the database's last
// commit.
std::string StillBusy(Fleet& fleet) {
  std::map<std::string, int64_t> heads;
  std::vector<google::protobuf::Struct> all;
  for (int i = 0; i < fleet.size(); ++i) {
    Branch& branch = fleet.branch(i);
    if (!branch.DaemonRunning()) continue;
    absl::StatusOr<google::protobuf::Struct> status = branch.Status();
    if (!status.ok()) return std::string(status.status().message());
    if (JsonNumber(*status, "unsettled_rows") != 0) return absl::StrCat(branch.name(), " has unsettled rows");
    for (const google::protobuf::Struct* origin : JsonObjects(*status, "origins")) {
      int64_t head = JsonNumber(*origin, "head");
      if (JsonNumber(*origin, "projected") < head && JsonText(*origin, "own") != "true")
        return branch.name() + " has events to project";
      int64_t& known = heads[JsonText(*origin, "origin")];
      known = std::max(known, head);
    }
    all.push_back(*std::move(status));
  }
  for (const google::protobuf::Struct& status : all) {
    size_t held = 0;
    for (const google::protobuf::Struct* origin : JsonObjects(status, "origins")) {
      held += JsonNumber(*origin, "head") == heads[JsonText(*origin, "origin")];
    }
    if (held != heads.size()) return JsonText(status, "branch") + " does not hold every event yet";
  }
  return "";
}

}  // namespace

absl::Status Fleet::WaitConverged(absl::Duration timeout) {
  absl::Time deadline = absl::Now() + timeout;
  std::string busy;
  absl::Status difference;
  int calm = 0;
  while (absl::Now() < deadline) {
    busy = StillBusy(*this);
    difference = busy.empty() ? Compare() : absl::OkStatus();
    calm = busy.empty() && difference.ok() ? calm + 1 : 0;
    if (calm == 2) return absl::OkStatus();
    absl::SleepFor(absl::Milliseconds(150));
  }
  if (difference.ok()) difference = Compare();
  std::string told =
      absl::StrCat("not converged after ", absl::FormatDuration(timeout), ": ", busy, "\n", difference.message());
  for (const auto& branch : branches_) absl::StrAppend(&told, "\n", branch->name(), ": ", branch->Problems());
  return absl::DeadlineExceededError(told);
}

namespace {

// By table, column and the two events.
absl::StatusOr<std::set<std::string>> ConflictsOf(const Branch& branch) {
  ASSAY_ASSIGN_OR_RETURN(const google::protobuf::Struct listed, branch.AssayJson({"conflicts", "--limit", "0"}));
  std::set<std::string> conflicts;
  for (const google::protobuf::Struct* one : JsonObjects(listed, "conflicts")) {
    const auto side = [&](absl::string_view which) {
      return absl::StrCat(JsonText(*one, absl::StrCat(which, ".origin")), "/",
                          JsonNumber(*one, absl::StrCat(which, ".sequence")));
    };
    conflicts.insert(absl::StrCat(JsonText(*one, "table"), ".", JsonText(*one, "column"), ": ", side("winner"),
                                  " over ", side("loser")));
  }
  return conflicts;
}

}  // namespace

bool Fleet::SaysAllIsWell() {
  for (const auto& branch : branches_) {
    if (!branch->DaemonRunning()) return false;
    const absl::StatusOr<google::protobuf::Struct> status = branch->Status();
    if (!status.ok() || JsonText(*status, "state") != "running" || !branch->Problems().empty()) return false;
  }
  return StillBusy(*this).empty();
}

Fleet::~Fleet() {
  if (options_.may_differ || options_.daemon == DaemonBuild::kNaive) return;
  if (!SaysAllIsWell() || Judge().ok()) return;
  // What was on its way between the two looks has arrived by now, or is told.
  absl::SleepFor(absl::Seconds(2));
  if (!SaysAllIsWell()) return;
  const absl::Status difference = Judge();
  const bool differs =
      absl::IsDeadlineExceeded(difference) || absl::IsFailedPrecondition(difference) || absl::IsDataLoss(difference);
  if (differs && SaysAllIsWell())
    ADD_FAILURE() << "every branch says that all is well, and they differ in silence:\n" << difference.message();
}

absl::Status Fleet::CompareConflicts() {
  ASSAY_ASSIGN_OR_RETURN(const std::set<std::string> first, ConflictsOf(*branches_[0]));
  for (int i = 1; i < size(); ++i) {
    ASSAY_ASSIGN_OR_RETURN(const std::set<std::string> other, ConflictsOf(*branches_[i]));
    std::vector<std::string> only_one;
    std::set_symmetric_difference(first.begin(), first.end(), other.begin(), other.end(), std::back_inserter(only_one));
    if (only_one.empty()) continue;
    return absl::FailedPreconditionError(absl::StrCat(branches_[0]->name(), " lists ", first.size(), " conflicts, and ",
                                                      branches_[i]->name(), " ", other.size(), "; ", only_one.size(),
                                                      " are at one of them alone, as ", only_one.front()));
  }
  return absl::OkStatus();
}

absl::Status Fleet::Judge() {
  ASSAY_RETURN_IF_ERROR(Compare());
  ASSAY_RETURN_IF_ERROR(CompareConflicts());
  ASSAY_ASSIGN_OR_RETURN(const auto hub, SqlSession::Connect(hub_->Url()));
  ASSAY_ASSIGN_OR_RETURN(const auto branch, PinnedSession(branches_[0]->AdminUrl()));
  return CompareWithHub(*hub, *branch);
}

bool Eventually(absl::Duration timeout, const std::function<bool()>& met, absl::Duration every) {
  absl::Time deadline = absl::Now() + timeout;
  while (!met()) {
    if (absl::Now() >= deadline) return false;
    absl::SleepFor(every);
  }
  return true;
}

}  // namespace assay::test
