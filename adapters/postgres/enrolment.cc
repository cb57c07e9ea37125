#include "adapters/postgres/enrolment.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "adapters/postgres/doctor.h"
#include "adapters/postgres/installation.h"
#include "adapters/postgres/sqlstate.h"
#include "engine/recorder.h"
#include "log/annotate.h"
#include "log/log_file.h"

namespace assay {
namespace {

// In the log's named values. "begun": a slot of ours may be there without a baseline. "finished": both are. "left":
// neither.
constexpr char kState[] = "enrolment";
constexpr char kBegun[] = "begun";
constexpr char kFinished[] = "finished";
constexpr char kLeft[] = "left";
// The tables whose baseline is in the log, one a line.
constexpr char kTables[] = "enrolled_tables";
// Any number will do, as long as every Assay takes the same one.
constexpr char kAdvisoryLock[] = "7022344802686378873";

// The log and everything over it, opened together because one knows nothing of what another instance appends.
struct OpenLog {
  std::unique_ptr<LogFile> file;
  std::unique_ptr<EventLog> log;
  std::unique_ptr<TableNames> names;
  std::unique_ptr<RowVersionStore> rows;
  std::unique_ptr<StageStore> stages;

  static absl::StatusOr<OpenLog> Open(const std::string& path) {
    OpenLog open;
    ASSAY_ASSIGN_OR_RETURN(open.file, LogFile::Open(path, {}));
    ASSAY_ASSIGN_OR_RETURN(open.log, EventLog::Open(open.file.get()));
    ASSAY_ASSIGN_OR_RETURN(open.names, TableNames::Open(open.file.get(), open.log.get()));
    ASSAY_ASSIGN_OR_RETURN(open.rows, RowVersionStore::Open(open.file.get(), open.log.get()));
    ASSAY_ASSIGN_OR_RETURN(open.stages, StageStore::Open(open.file.get(), open.log.get()));
    return open;
  }

  absl::StatusOr<std::string> State() {
    ASSAY_ASSIGN_OR_RETURN(const std::optional<std::string> state, stages->Get(kState));
    return state.value_or("");
  }
};

// Rows of the baseline are nobody's projection.
class NoEcho : public ProjectionEcho {
 public:
  bool Claims(absl::string_view, HlcStamp*) override { return false; }
  bool Meant(const RowRef&, ChangeKind, const TableShape&, absl::Span<const TupleValue>) override { return false; }
  absl::Status Landed() override { return absl::OkStatus(); }
};

absl::Status CheckConfiguration(const InitOptions& options) {
  const int64_t number = options.engine.branch_number;
  if (options.engine.branch_name.empty())
    return absl::InvalidArgumentError("branch.name is empty: give the branch a name");
  if (options.stride < 1 || number < 1 || number > options.stride) {
    return absl::InvalidArgumentError(absl::StrCat("branch.number is ", number, ", which is not in 1..", options.stride,
                                                   " (branch.stride): give each branch of the fleet its own number"));
  }
  if (options.tables.empty()) {
    return absl::InvalidArgumentError("postgres.tables is empty: name the tables to replicate, such as [\"public.*\"]");
  }
  return absl::OkStatus();
}

// Only what would make the enrolment fail, or fail later: all of it at once.
absl::Status CheckServerIsFit(Connection& admin, const std::string& url, bool installed) {
  std::vector<Check> checks;
  CheckServer(admin, &checks);
  CheckLogin(url, &checks);
  std::vector<std::string> failures;
  for (const Check& check : checks) {
    // What the role may do is granted on the way, where that can be granted at all.
    const bool granted_later =
        !installed && check.name == "session_replication_role" && admin.server_version() >= 150000;
    if (check.result == CheckResult::kFail && !granted_later) {
      failures.push_back(
          absl::StrCat(check.name, ": ", check.detail, check.remedy.empty() ? "" : "; run: ", check.remedy));
    }
  }
  if (failures.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("this PostgreSQL is not ready:\n  ", absl::StrJoin(failures, "\n  ")));
}

absl::StatusOr<uint64_t> PullAll(OpenLog& open, Hub& hub, const InitOptions& options) {
  const int64_t before = open.log->EventCount();
  for (bool more = true; more;) {
    PullRequest request;
    for (const OriginId& origin : open.log->Origins()) request.have[origin] = open.log->Head(origin).last;
    ASSAY_ASSIGN_OR_RETURN(const PullReply reply, hub.Pull(request));
    ASSAY_RETURN_IF_ERROR(open.file->Begin());
    for (const Segment& segment : reply.segments) {
      if (absl::Status status = open.log->AppendPulled(segment); !status.ok()) {
        open.file->Rollback();
        return Annotate(status, "append what the hub gave");
      }
    }
    ASSAY_RETURN_IF_ERROR(open.file->Commit());
    more = reply.more && !reply.segments.empty();
    uint64_t total = 0;
    for (const auto& [_, head] : reply.heads.heads) total += head.complete.value;
    if (options.progress) options.progress("pull", open.log->EventCount(), total);
  }
  return open.log->EventCount() - before;
}

// Two branches of one number would hand out the same keys.
absl::Status CheckNumberIsFree(OpenLog& open, const InitOptions& options) {
  for (const OriginId& origin : open.log->Origins()) {
    absl::StatusOr<v1::OriginOpened> opening = open.log->Opening(origin);
    if (absl::IsNotFound(opening.status())) continue;
    ASSAY_RETURN_IF_ERROR(opening.status());
    const bool same_name = opening->branch_name() == options.engine.branch_name;
    if (opening->branch_number() == options.engine.branch_number && !same_name) {
      return absl::InvalidArgumentError(absl::StrCat("branch.number ", opening->branch_number(),
                                                     " is taken by the branch \"", opening->branch_name(),
                                                     "\": choose another"));
    }
    if (opening->branch_number() != options.engine.branch_number && same_name) {
      return absl::InvalidArgumentError(absl::StrCat("the branch \"", opening->branch_name(), "\" has the number ",
                                                     opening->branch_number(),
                                                     " in this fleet: choose another name, or set that number"));
    }
  }
  return absl::OkStatus();
}

std::set<std::string> Lines(const std::optional<std::string>& text) {
  if (!text.has_value()) return {};
  return absl::StrSplit(*text, '\n', absl::SkipEmpty());
}

// One run of Init, its parts in the order of the enrolment's life.
class Initialisation {
 public:
  Initialisation(const InitOptions& options, Hub* hub, Clock* clock, Random* random)
      : options_(options), hub_(options.without_hub ? nullptr : hub), clock_(clock), random_(random) {}

  absl::StatusOr<InitReport> Run() {
    ASSAY_RETURN_IF_ERROR(Check());
    ASSAY_RETURN_IF_ERROR(Pull());
    ASSAY_RETURN_IF_ERROR(Install());
    ASSAY_RETURN_IF_ERROR(fresh_ ? Begin() : JoinLater());
    if (!report_.waits_for_choice) {
      for (const SelectedTable& table : selection_.tables) report_.enrolled.push_back(table.name());
    }
    report_.refused = std::move(selection_.refused);
    return std::move(report_);
  }

 private:
  absl::Time Deadline() const { return absl::Now() + options_.lock_wait; }

  absl::Status Check() {
    ASSAY_RETURN_IF_ERROR(CheckConfiguration(options_));
    ASSAY_ASSIGN_OR_RETURN(admin_, Connection::Open(options_.admin_url, {.application_name = "assay init"}));
    ASSAY_ASSIGN_OR_RETURN(const Result alone,
                           admin_->Execute("SELECT pg_catalog.pg_try_advisory_lock($1::bigint)", {kAdvisoryLock}));
    if (!alone.Bool(0, 0))
      return absl::FailedPreconditionError(
          "another assay init or leave is at work on this database: wait for it to end");
    ASSAY_RETURN_IF_ERROR(CheckServerIsFit(*admin_, options_.url, /*installed=*/false));
    ASSAY_ASSIGN_OR_RETURN(selection_, SelectTables(*admin_, options_.tables, options_.exclude));
    std::vector<std::string> wrong;
    for (const RefusedTable& refused : selection_.refused) {
      if (refused.by_name)
        wrong.push_back(absl::StrCat(refused.name.ToString(), " cannot be enrolled: ", refused.reason));
    }
    if (!wrong.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("postgres.tables names tables that cannot be enrolled:\n  ", absl::StrJoin(wrong, "\n  ")));
    }
    if (selection_.tables.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "postgres.tables (", absl::StrJoin(options_.tables, ", "), ") matches no table that can be enrolled",
          selection_.refused.empty() ? ""
                                     : absl::StrCat("; ", selection_.refused.front().name.ToString(), ": ",
                                                    selection_.refused.front().reason)));
    }
    for (const SelectedTable& table : selection_.tables) {
      if (!table.warning.empty())
        report_.warnings.push_back(absl::StrCat(table.name().ToString(), ": ", table.warning));
    }
    ASSAY_ASSIGN_OR_RETURN(open_, OpenLog::Open(options_.log_path));
    ASSAY_ASSIGN_OR_RETURN(const std::string state, open_.State());
    if (state == kLeft) {
      return absl::FailedPreconditionError(
          absl::StrCat("the log ", options_.log_path,
                       " belongs to an enrolment that `assay leave` ended: move it away "
                       "(keep it, it is the history), with the files beside it of the same name, and run init again"));
    }
    fresh_ = state != kFinished;
    ASSAY_ASSIGN_OR_RETURN(const SlotState slot, FindSlot(*admin_));
    if (!fresh_ && !slot.exists) {
      return absl::FailedPreconditionError(
          "the replication slot \"assay\" is gone, and the changes since then are not in the log: run `assay leave`, "
          "move "
          "the log away, and run init again, which compares every row with the fleet");
    }
    if (fresh_ && slot.exists && state != kBegun) {
      return absl::FailedPreconditionError(absl::StrCat(
          "there is a replication slot \"assay\" that the log ", options_.log_path,
          " knows nothing of: another log "
          "is enrolled here, or this server is a copy of one that was. Use that log; or, if it is lost, run: "
          "SELECT pg_drop_replication_slot('assay')"));
    }
    if (!fresh_) already_ = Lines(*open_.stages->Get(kTables));
    return absl::OkStatus();
  }

  absl::Status Pull() {
    const bool joins =
        fresh_ || std::any_of(selection_.tables.begin(), selection_.tables.end(),
                              [&](const SelectedTable& table) { return !already_.contains(table.name().ToString()); });
    if (hub_ == nullptr || !joins) return absl::OkStatus();
    absl::StatusOr<uint64_t> pulled = PullAll(open_, *hub_, options_);
    if (!pulled.ok()) {
      return Annotate(pulled.status(),
                      "ask the hub what the fleet has (init --without-hub goes on without; rows that the fleet "
                      "has too are then written a second time)");
    }
    report_.pulled = *pulled;
    return CheckNumberIsFree(open_, options_);
  }

  absl::Status Install() {
    ASSAY_RETURN_IF_ERROR(InstallSchema(*admin_));
    ASSAY_RETURN_IF_ERROR(InstallRole(*admin_, options_.url));
    ASSAY_RETURN_IF_ERROR(CheckServerIsFit(*admin_, options_.url, /*installed=*/true));
    ASSAY_RETURN_IF_ERROR(GrantAround(*admin_, selection_.tables));
    ASSAY_RETURN_IF_ERROR(InstallPublication(*admin_));
    const auto progress = [&](size_t done, size_t total) {
      if (options_.progress) options_.progress("enrol tables", done, total);
    };
    // A table that joins a running branch is published when its snapshot is taken, not before.
    ASSAY_RETURN_IF_ERROR(PrepareTables(*admin_, selection_.tables, /*publish=*/fresh_, Deadline(), progress).status());
    ASSAY_RETURN_IF_ERROR(StrideAll({}));
    ASSAY_ASSIGN_OR_RETURN(const std::vector<TableName> published, PublishedTables(*admin_));
    for (const TableName& name : published) {
      const bool named = std::any_of(selection_.tables.begin(), selection_.tables.end(),
                                     [&](const SelectedTable& table) { return table.name() == name; });
      if (!named) {
        report_.warnings.push_back(
            absl::StrCat(name.ToString(),
                         " stays enrolled, although postgres.tables no longer names it; to take it out: "
                         "ALTER PUBLICATION assay DROP TABLE ",
                         name.ToString()));
      }
    }
    return absl::OkStatus();
  }

  absl::Status StrideAll(const std::map<SequenceColumn, int64_t>& largest) {
    ASSAY_ASSIGN_OR_RETURN(SequenceReport report, StrideSequences(*admin_, options_.stride,
                                                                  options_.engine.branch_number, largest, Deadline()));
    std::move(report.strided.begin(), report.strided.end(), std::back_inserter(report_.sequences.strided));
    for (std::string& problem : report.problems) {
      auto& problems = report_.sequences.problems;
      if (std::find(problems.begin(), problems.end(), problem) == problems.end())
        problems.push_back(std::move(problem));
    }
    return absl::OkStatus();
  }

  absl::Status OpenOrigin() {
    absl::StatusOr<OriginId> origin = OwnOrigin(*open_.stages);
    if (absl::IsNotFound(origin.status())) {
      open_ = OpenLog();
      {
        ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LogFile> file, LogFile::Open(options_.log_path, {}));
        origin = OpenBranchLog(options_.engine, file.get(), clock_, random_);
      }
      ASSAY_RETURN_IF_ERROR(origin.status());
      ASSAY_ASSIGN_OR_RETURN(open_, OpenLog::Open(options_.log_path));
    }
    ASSAY_RETURN_IF_ERROR(origin.status());
    report_.origin = *origin;
    return absl::OkStatus();
  }

  absl::Status Begin() {
    ASSAY_RETURN_IF_ERROR(OpenOrigin());
    ASSAY_RETURN_IF_ERROR(open_.file->Begin());
    ASSAY_RETURN_IF_ERROR(open_.stages->Set(kState, kBegun));
    ASSAY_RETURN_IF_ERROR(open_.file->Commit());
    ASSAY_RETURN_IF_ERROR(DropSlot(*admin_));  // Of an init that did not finish.
    // A database copied from another branch brings that branch's progress along.
    ASSAY_RETURN_IF_ERROR(admin_->ExecuteScript("UPDATE assay.progress SET batch = 0 WHERE batch <> 0").status());
    if (options_.progress) options_.progress("create the slot", 0, 0);
    ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<SlotSnapshot> slot,
                           SlotSnapshot::Create(options_.url, *admin_, options_.slot_wait));
    ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<Connection> reader, OpenReader(options_.admin_url));
    ASSAY_RETURN_IF_ERROR(BeginAt(*reader, slot->snapshot()));
    ASSAY_RETURN_IF_ERROR(Baseline(*reader, slot->consistent_point(), selection_.tables, /*fresh_chain=*/true));
    report_.captured = slot->consistent_point();
    return report_.waits_for_choice ? DropSlot(*admin_) : absl::OkStatus();
  }

  // Tables that were not there at the first init.
  absl::Status JoinLater() {
    ASSAY_RETURN_IF_ERROR(OpenOrigin());
    ASSAY_ASSIGN_OR_RETURN(report_.captured.value, open_.stages->GetNumber("captured_lsn", 0));
    ASSAY_ASSIGN_OR_RETURN(const std::vector<TableName> published, PublishedTables(*admin_));
    for (const SelectedTable& table : selection_.tables) {
      if (already_.contains(table.name().ToString())) continue;
      // Published by an init that ended before its rows were in the log: begin again.
      if (std::binary_search(published.begin(), published.end(), table.name())) {
        ASSAY_RETURN_IF_ERROR(Unpublish(table));
      }
      ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<Connection> reader, OpenReader(options_.admin_url));
      ASSAY_RETURN_IF_ERROR(PublishAt(*admin_, *reader, table, Deadline()));
      ASSAY_RETURN_IF_ERROR(Baseline(*reader, report_.captured, {table}, /*fresh_chain=*/false));
      if (report_.waits_for_choice) return Unpublish(table);
    }
    return absl::OkStatus();
  }

  absl::Status Unpublish(const SelectedTable& table) {
    return admin_
        ->ExecuteScript(
            absl::StrCat("ALTER PUBLICATION ", kPublication, " DROP TABLE ONLY ", Quoted(*admin_, table.name())))
        .status();
  }

  absl::Status Baseline(Connection& reader, Lsn at, const std::vector<SelectedTable>& tables, bool fresh_chain) {
    ASSAY_RETURN_IF_ERROR(open_.file->Begin());
    std::map<SequenceColumn, int64_t> largest;
    const absl::Status status = BaselineInTransaction(reader, at, tables, fresh_chain, &largest);
    if (!status.ok() || report_.waits_for_choice) {
      open_.file->Rollback();
      return status;
    }
    ASSAY_RETURN_IF_ERROR(open_.file->Commit());
    for (const SelectedTable& table : tables) report_.added.push_back(table.name());
    // The fleet may know of keys this database handed out once and has lost since.
    return largest.empty() ? absl::OkStatus() : StrideAll(largest);
  }

  absl::Status BaselineInTransaction(Connection& reader, Lsn at, const std::vector<SelectedTable>& tables,
                                     bool fresh_chain, std::map<SequenceColumn, int64_t>* largest) {
    using ClassMap = std::map<SequenceColumn, SequenceClass>;
    ASSAY_ASSIGN_OR_RETURN(const ClassMap classes, StridedColumns(*admin_));
    const auto visit = [&](const ResolvedChange& change) { NoteOwnKeys(change, classes, largest); };
    ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<FoldIndex> fold,
                           FoldIndex::Build(open_.file.get(), open_.log.get(), open_.names.get(), visit));
    ASSAY_ASSIGN_OR_RETURN(const uint64_t clock, open_.stages->GetNumber("clock", 0));
    ASSAY_RETURN_IF_ERROR(open_.stages->SetNumber("clock", std::max(clock, fold->newest().value)));
    NoEcho echo;
    Recorder recorder(options_.engine, report_.origin, open_.log.get(), open_.names.get(), open_.rows.get(),
                      open_.stages.get(), clock_, &echo);
    ASSAY_RETURN_IF_ERROR(recorder.Load());
    Reconciler reconciler({open_.log.get(), open_.names.get(), open_.rows.get(), open_.stages.get(), &recorder},
                          fold.get(), options_.differences, fresh_chain);
    BaselineOptions baseline;
    baseline.time_us = absl::ToUnixMicros(clock_->Now());
    if (options_.progress)
      baseline.progress = [&](absl::string_view stage, uint64_t done) { options_.progress(stage, done, 0); };
    ASSAY_RETURN_IF_ERROR(WriteBaseline(reader, at, tables, reconciler, *fold, baseline));
    AddRows(reconciler.report());
    report_.waits_for_choice = reconciler.MustAsk();
    if (report_.waits_for_choice) return absl::OkStatus();
    for (const SelectedTable& table : tables) {
      already_.insert(table.name().ToString());
      if (fresh_chain) continue;
      // Rows that came while this table was not here were parked.
      ASSAY_ASSIGN_OR_RETURN(const TableId id, open_.names->IdOf(table.name()));
      ASSAY_RETURN_IF_ERROR(open_.stages->RetryUnsettled(id).status());
    }
    if (fresh_chain) ASSAY_RETURN_IF_ERROR(open_.stages->SetNumber("captured_lsn", at.value));
    ASSAY_RETURN_IF_ERROR(open_.stages->Set(kTables, absl::StrJoin(already_, "\n")));
    return open_.stages->Set(kState, kFinished);
  }

  static void NoteOwnKeys(const ResolvedChange& change, const std::map<SequenceColumn, SequenceClass>& classes,
                          std::map<SequenceColumn, int64_t>* largest) {
    if (classes.empty()) return;
    const auto note = [&](uint32_t ordinal, absl::string_view text) {
      const auto at = classes.find({change.schema->name, change.schema->schema.columns(ordinal).name()});
      int64_t value = 0;
      if (at == classes.end() || !absl::SimpleAtoi(text, &value)) return;
      if (((value - at->second.residue) % at->second.modulus) != 0) return;
      int64_t& known = largest->try_emplace(at->first, value).first->second;
      known = std::max(known, value);
    };
    for (int i = 0; i < change.row().key_size(); ++i) note(change.schema->key[i], change.row().key(i));
    for (const v1::ColumnChange& column : change.row().columns()) {
      if (column.has_value()) note(column.ordinal(), column.value());
    }
  }

  void AddRows(const ReconcileReport& more) {
    report_.rows.rows += more.rows;
    report_.rows.written += more.written;
    report_.rows.equal += more.equal;
    report_.rows.differing_rows += more.differing_rows;
    report_.rows.differing_columns += more.differing_columns;
    for (const RowDifference& difference : more.differences) {
      if (report_.rows.differences.size() < kDifferencesListed) report_.rows.differences.push_back(difference);
    }
  }

  const InitOptions& options_;
  Hub* hub_;
  Clock* clock_;
  Random* random_;
  std::unique_ptr<Connection> admin_;
  TableSelection selection_;
  OpenLog open_;
  bool fresh_ = true;              // No baseline was ever finished.
  std::set<std::string> already_;  // Tables with a finished baseline.
  InitReport report_;
};

}  // namespace

absl::StatusOr<InitReport> Init(const InitOptions& options, Hub* hub, Clock* clock, Random* random) {
  return Initialisation(options, hub, clock, random).Run();
}

absl::StatusOr<bool> IsEnrolmentFinished(StageStore& stages) {
  ASSAY_ASSIGN_OR_RETURN(const std::optional<std::string> state, stages.Get(kState));
  return state == kFinished;
}

absl::StatusOr<LeaveReport> Leave(const LeaveOptions& options) {
  LeaveReport report;
  const absl::Time deadline = absl::Now() + options.lock_wait;
  ASSAY_ASSIGN_OR_RETURN(const auto admin, Connection::Open(options.admin_url, {.application_name = "assay leave"}));
  ASSAY_ASSIGN_OR_RETURN(const Result alone,
                         admin->Execute("SELECT pg_catalog.pg_try_advisory_lock($1::bigint)", {kAdvisoryLock}));
  if (!alone.Bool(0, 0))
    return absl::FailedPreconditionError("another assay init or leave is at work on this database: wait for it to end");
  // Another database's slot is another enrolment's.
  ASSAY_ASSIGN_OR_RETURN(const Result elsewhere,
                         admin->Execute("SELECT database FROM pg_catalog.pg_replication_slots WHERE slot_name = $1 AND "
                                        "database <> pg_catalog.current_database()",
                                        {kSlot}));
  if (elsewhere.rows() > 0) {
    report.notes.push_back(absl::StrCat("the replication slot \"assay\" belongs to the database ", elsewhere.Text(0, 0),
                                        " and was left alone"));
  } else {
    ASSAY_RETURN_IF_ERROR(DropSlot(*admin));
  }
  // Before the replica identities: a published table without a usable one makes an application's UPDATE fail.
  ASSAY_RETURN_IF_ERROR(ExecuteWithShortLocks(*admin, absl::StrCat("DROP PUBLICATION IF EXISTS ", kPublication), {},
                                              "drop the publication", deadline));
  ASSAY_ASSIGN_OR_RETURN(const Result installed,
                         admin->Execute("SELECT pg_catalog.to_regclass('assay.installation') IS NOT NULL, EXISTS "
                                        "(SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)",
                                        {kProjectorRole}));
  bool role_created = false;
  if (installed.Bool(0, 0)) {
    report.was_enrolled = true;
    ASSAY_RETURN_IF_ERROR(RestoreTables(*admin, deadline));
    ASSAY_RETURN_IF_ERROR(RestoreSequences(*admin, deadline));
    ASSAY_ASSIGN_OR_RETURN(const Result made, admin->Execute("SELECT role_created FROM assay.installation"));
    role_created = made.rows() > 0 && made.Bool(0, 0);
  }
  if (installed.Bool(0, 1)) {
    absl::Status released = admin->ExecuteScript(absl::StrCat("DROP OWNED BY ", kProjectorRole)).status();
    if (released.ok() && role_created)
      released = admin->ExecuteScript(absl::StrCat("DROP ROLE ", kProjectorRole)).status();
    if (!released.ok()) {
      report.notes.push_back(absl::StrCat("the role ", kProjectorRole, " stays: ", std::string(released.message()),
                                          " (a superuser can: DROP OWNED BY ", kProjectorRole, "; DROP ROLE ",
                                          kProjectorRole, ")"));
    }
  }
  ASSAY_RETURN_IF_ERROR(ExecuteWithShortLocks(*admin, absl::StrCat("DROP SCHEMA IF EXISTS ", kAssaySchema, " CASCADE"),
                                              {}, "drop schema assay", deadline));
  if (options.log_path.empty() || !std::filesystem::exists(options.log_path)) return report;
  ASSAY_ASSIGN_OR_RETURN(OpenLog open, OpenLog::Open(options.log_path));
  ASSAY_RETURN_IF_ERROR(open.file->Begin());
  ASSAY_RETURN_IF_ERROR(open.stages->Set(kState, kLeft));
  ASSAY_RETURN_IF_ERROR(open.file->Commit());
  return report;
}

}  // namespace assay
