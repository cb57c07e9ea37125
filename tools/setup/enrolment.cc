#include "tools/setup/enrolment.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "adapters/libpq/sqlstate.h"
#include "adapters/libpq/steady_time.h"
#include "engine/capture/recorder.h"
#include "engine/own_chain.h"
#include "log/annotate.h"
#include "log/log_file.h"
#include "tools/setup/branch_log.h"
#include "tools/setup/installation.h"
#include "tools/setup/repair.h"
#include "tools/setup/server_checks.h"

namespace assay {
namespace {

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
  Findings found(&checks);
  CheckServer(admin, found);
  CheckLogin(url, found);
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

// One run of Init, its parts in the order of the enrolment's life.
class Initialisation {
 public:
  Initialisation(const InitOptions& options, Hub* hub, Clock* clock, Random* random)
      : options_(options), hub_(options.without_hub ? nullptr : hub), clock_(clock), random_(random) {}

  absl::StatusOr<InitReport> Run() {
    ASSAY_RETURN_IF_ERROR(Check());
    ASSAY_RETURN_IF_ERROR(Pull());
    ASSAY_RETURN_IF_ERROR(Claim());
    ASSAY_RETURN_IF_ERROR(Install());
    ASSAY_RETURN_IF_ERROR(fresh_ ? Begin() : JoinLater());
    if (!report_.waits_for_choice) {
      ASSAY_RETURN_IF_ERROR(Mend());
      ASSAY_RETURN_IF_ERROR(Push());
      for (const SelectedTable& table : selection_.tables) report_.enrolled.push_back(table.name());
    }
    report_.refused = std::move(selection_.refused);
    return std::move(report_);
  }

 private:
  absl::Time Deadline() const { return SteadyNow() + options_.lock_wait; }

  absl::Status Check() {
    ASSAY_RETURN_IF_ERROR(CheckConfiguration(options_));
    ASSAY_ASSIGN_OR_RETURN(admin_, Connection::Open(options_.admin_url, {.application_name = "assay init"}));
    ASSAY_RETURN_IF_ERROR(TakeInstallationLock(*admin_));
    ASSAY_RETURN_IF_ERROR(CheckServerIsFit(*admin_, options_.url, /*installed=*/false));
    ASSAY_RETURN_IF_ERROR(CheckTables());
    return CheckLog();
  }

  absl::Status CheckTables() {
    ASSAY_ASSIGN_OR_RETURN(selection_, SelectTables(*admin_, {options_.tables, options_.exclude}));
    std::vector<std::string> wrong;
    for (const RefusedTable& refused : selection_.refused) {
      if (refused.by_name)
        wrong.push_back(absl::StrCat(refused.name.ToString(), " cannot be enrolled: ", refused.reason));
    }
    if (!wrong.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("postgres.tables names tables that cannot be enrolled:\n  ", absl::StrJoin(wrong, "\n  ")));
    }
    ASSAY_RETURN_IF_ERROR(CheckOnly());
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
    return absl::OkStatus();
  }

  // That it is this branch's, and how far an enrolment has come in it: the slot has to be as the log says.
  absl::Status CheckLog() {
    // Nothing is left behind that a repair would take for a log.
    ASSAY_ASSIGN_OR_RETURN(const SlotState slot, FindSlot(*admin_));
    if (slot.exists && !std::filesystem::exists(options_.log_path)) return SlotOfAnotherLog();
    ASSAY_ASSIGN_OR_RETURN(open_, OpenLog::Open(options_.log_path));
    ASSAY_ASSIGN_OR_RETURN(const EnrolmentState state, open_->state->Read(kEnrolmentNote));
    if (state == EnrolmentState::kLeft) {
      return absl::FailedPreconditionError(
          absl::StrCat("the log ", options_.log_path,
                       " belongs to an enrolment that `assay leave` ended: move it away "
                       "(keep it, it is the history), with the files beside it of the same name, and run init again"));
    }
    const absl::Status of =
        CheckBranchLog(*open_->log, *open_->state, options_.engine.branch_name, options_.engine.branch_number);
    if (absl::IsFailedPrecondition(of)) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the log ", options_.log_path, " ", of.message(),
          state == EnrolmentState::kFinished ? "" : "; or, since that init never finished, delete that log"));
    }
    if (!absl::IsNotFound(of)) ASSAY_RETURN_IF_ERROR(of);
    fresh_ = state != EnrolmentState::kFinished;
    unknown_ = state == EnrolmentState::kNone;
    if (options_.only.has_value() && fresh_)
      return absl::FailedPreconditionError(
          "this branch is not enrolled yet: run `assay init`, which takes all its tables");
    if (!fresh_ && !slot.exists) {
      return absl::FailedPreconditionError(
          "the replication slot \"assay\" is gone, and the changes since then are not in the log: run `assay repair`, "
          "which compares every row with the log and makes a new slot");
    }
    if (fresh_ && slot.exists && state != EnrolmentState::kBegun) return SlotOfAnotherLog();
    if (fresh_) return absl::OkStatus();
    ASSAY_ASSIGN_OR_RETURN(already_, open_->state->Read(kEnrolledTablesNote));
    ASSAY_RETURN_IF_ERROR(FindReturning());
    if (options_.only.has_value()) {
      std::erase_if(selection_.tables, [this](const SelectedTable& table) {
        return table.name() != *options_.only && !already_.contains(table.name().ToString());
      });
    }
    return absl::OkStatus();
  }

  // A table that took part before and was taken out: the rows that it had then were projected here, and nobody would
  // write them again. So it is compared as one that was made anew.
  absl::Status FindReturning() {
    for (const SelectedTable& table : selection_.tables) {
      const std::string name = table.name().ToString();
      if (already_.contains(name) || (options_.only.has_value() && table.name() != *options_.only)) continue;
      ASSAY_ASSIGN_OR_RETURN(const DeclaredShape declared, open_->state->Read(kShapeNote, name));
      if (declared.sequence == Sequence{}) continue;
      returning_.insert(name);
      already_.insert(name);
    }
    return absl::OkStatus();
  }

  // The config is a person's file, and the one place that says which tables are meant.
  absl::Status CheckOnly() const {
    if (!options_.only.has_value()) return absl::OkStatus();
    const std::string name = options_.only->ToString();
    const TablePatterns patterns{options_.tables, options_.exclude};
    if (!patterns.Mean(*options_.only)) {
      const bool excluded = TablePatterns{options_.tables, {}}.Mean(*options_.only);
      return absl::InvalidArgumentError(absl::StrCat(
          name, excluded
                    ? " is named in postgres.exclude: take it out there, or write the pattern more narrowly, and run "
                      "this again"
                    : absl::StrCat(" is not meant by postgres.tables: add it there, tables = [\"",
                                   absl::StrJoin(options_.tables, "\", \""), "\", \"", options_.only->schema, ".",
                                   options_.only->table, "\"], and run this again")));
    }
    for (const RefusedTable& refused : selection_.refused) {
      if (refused.name == *options_.only)
        return absl::InvalidArgumentError(absl::StrCat(name, " cannot be enrolled: ", refused.reason));
    }
    const bool there = std::any_of(selection_.tables.begin(), selection_.tables.end(),
                                   [&](const SelectedTable& table) { return table.name() == *options_.only; });
    return there ? absl::OkStatus()
                 : absl::NotFoundError(absl::StrCat("there is no table ", name, " in this database"));
  }

  absl::Status SlotOfAnotherLog() const {
    return absl::FailedPreconditionError(absl::StrCat(
        "there is a replication slot \"assay\" that the log ", options_.log_path,
        " knows nothing of: another log is enrolled here, or this server is a copy of one that was. Put that log there; "
        "or, if it is lost, run `assay repair` (or, if this database is to be enrolled from the start: SELECT "
        "pg_drop_replication_slot('assay'))"));
  }

  // What was missed is noted before its cause is taken away.
  absl::Status NoteMissed() {
    if (fresh_) return absl::OkStatus();
    ASSAY_ASSIGN_OR_RETURN(missed_, MissedChanges(*open_, *admin_, {.patterns = {options_.tables, options_.exclude}}));
    for (const std::string& name : returning_)
      missed_.try_emplace(name, UnrecordedRows{.cause = "it was taken out, and takes part again", .made_anew = true});
    ASSAY_RETURN_IF_ERROR(open_->file->Begin());
    ASSAY_RETURN_IF_ERROR(open_->state->Write(kUnrecordedNote, missed_));
    return open_->file->Commit();
  }

  // Compares what was missed, by this run's survey or one before. The rows go into the log and to the hub with it.
  absl::Status Mend() {
    if (missed_.empty()) return absl::OkStatus();
    for (const auto& [table, missed] : missed_) report_.missed[table] = missed.cause;
    open_.reset();
    admin_.reset();  // And with it the installation's lock.
    RepairOptions repair;
    repair.engine = options_.engine;
    repair.stride = options_.stride;
    repair.url = options_.url;
    repair.admin_url = options_.admin_url;
    repair.tables = options_.tables;
    repair.exclude = options_.exclude;
    repair.sequences = options_.sequences;
    repair.state_dir = std::filesystem::path(options_.log_path).parent_path();
    repair.apply = true;
    repair.without_hub = options_.without_hub || hub_ == nullptr;
    repair.lock_wait = options_.lock_wait;
    repair.slot_wait = options_.slot_wait;
    if (options_.progress)
      repair.progress = [this](absl::string_view stage, uint64_t done) { options_.progress(stage, done, 0); };
    ASSAY_ASSIGN_OR_RETURN(RepairReport repaired, Repair(repair, hub_, clock_, random_));
    report_.compared = std::move(repaired.rows);
    ASSAY_ASSIGN_OR_RETURN(open_, OpenLog::Open(options_.log_path));
    return absl::OkStatus();
  }

  absl::Status Pull() {
    const bool joins =
        fresh_ || std::any_of(selection_.tables.begin(), selection_.tables.end(),
                              [&](const SelectedTable& table) { return !already_.contains(table.name().ToString()); });
    if (!joins) return absl::OkStatus();
    if (hub_ == nullptr) {
      if (!options_.engine.has_hub || options_.without_hub) return absl::OkStatus();
      return absl::FailedPreconditionError(
          "a hub is configured, and init was given none to ask: mend [hub], or run init --without-hub");
    }
    absl::StatusOr<PulledChains> pulled = PullAll(*open_, *hub_, clock_, random_, [&](uint64_t done, uint64_t total) {
      if (options_.progress) options_.progress("pull", done, total);
    });
    if (absl::IsFailedPrecondition(pulled.status())) return pulled.status();  // Not by going without the hub.
    if (!pulled.ok()) {
      return Annotate(pulled.status(),
                      "ask the hub what the fleet has (init --without-hub goes on without; rows that the fleet "
                      "has too are then written a second time)");
    }
    report_.pulled = pulled->events;
    std::move(pulled->refused.begin(), pulled->refused.end(), std::back_inserter(report_.warnings));
    if (unknown_) ASSAY_RETURN_IF_ERROR(CheckNoLogIsLost());
    return CheckNumberIsFree(*open_, options_.engine.branch_name, options_.engine.branch_number);
  }

  // One branch number has one living chain, or two machines would hand out the same keys. Nothing in the database is
  // changed before the hub has taken this log's for it.
  absl::Status Claim() {
    if (hub_ == nullptr) return absl::OkStatus();
    const bool begun_before = OwnOrigin(*open_->state).ok();
    if (fresh_) ASSAY_RETURN_IF_ERROR(TakePlace());
    ASSAY_ASSIGN_OR_RETURN(const OriginId own, OwnOrigin(*open_->state));
    const absl::Status claimed = ClaimBranch(*open_, options_.engine, own, *hub_, clock_, random_).status();
    if (claimed.ok()) return claimed;
    if (!ProblemNamedBy(claimed).has_value() || !absl::IsFailedPrecondition(claimed)) {
      // A running branch waits for its hub: what is done now is sent later.
      return fresh_ ? Annotate(claimed, "ask the hub for the place of this branch") : absl::OkStatus();
    }
    if (fresh_ && !begun_before) ASSAY_RETURN_IF_ERROR(ForgetLog());
    if (fresh_ && ProblemNamedBy(claimed)->kind == ProblemKind::kReplaced) {
      ASSAY_ASSIGN_OR_RETURN(const HubHeads heads, hub_->Heads());
      if (heads.living.has_value()) return SecondMachine(*heads.living);  // It was quicker.
    }
    return absl::FailedPreconditionError(
        absl::StrCat(claimed.message(), ". ",
                     RemedyOf({.kind = ProblemNamedBy(claimed)->kind, .subject = options_.engine.branch_name})));
  }

  // Begins the own chain: after no other of this branch, or after the one whose place a person gives it.
  absl::Status TakePlace() {
    ASSAY_ASSIGN_OR_RETURN(const HubHeads heads, hub_->Heads());
    const absl::StatusOr<OriginId> own = OwnOrigin(*open_->state);
    if (!heads.living.has_value() || (own.ok() && heads.living->origin == *own)) return OpenOrigin();
    if (!options_.replaces_other) {
      if (!own.ok()) ASSAY_RETURN_IF_ERROR(ForgetLog());
      return SecondMachine(*heads.living);
    }
    ASSAY_ASSIGN_OR_RETURN(const PreviousChain previous, ContinuedChain(*open_->log, heads.living->origin));
    ASSAY_RETURN_IF_ERROR(OpenOrigin(previous));
    ASSAY_RETURN_IF_ERROR(open_->file->Begin());
    ASSAY_RETURN_IF_ERROR(open_->state->Write(kReplacesNote, previous.replaces));
    return open_->file->Commit();
  }

  absl::Status SecondMachine(const LivingChain& living) const {
    return absl::FailedPreconditionError(absl::StrCat(
        OtherMachine(options_.engine, living),
        ". Two machines under one number hand out the same keys, and nothing was changed here. Give this one a name, "
        "a number and a login of its own (`assay hub enrol` at the head office, then [branch] and [hub] in the "
        "config); or, if that machine is stopped for good and this one takes its place, run `assay init "
        "--replaces-other`. What it has not sent stays in its log then, and `assay repair` there records it"));
  }

  // What a run that is refused leaves behind must not pass for a log later.
  absl::Status ForgetLog() {
    open_.reset();
    for (const char* end : {"-shm", "-wal", ""}) {
      std::error_code failed;
      std::filesystem::remove(options_.log_path + end, failed);
      if (failed) return absl::UnavailableError(absl::StrCat("cannot remove ", options_.log_path, end));
    }
    return absl::OkStatus();
  }

  // A branch that is enrolled next compares its rows with what the hub has: these belong to it.
  absl::Status Push() {
    if (hub_ == nullptr) return absl::OkStatus();
    const absl::StatusOr<uint64_t> pushed = PushAll(*open_, options_.engine, report_.origin, *hub_, clock_, random_);
    if (!pushed.ok()) {
      return Annotate(pushed.status(),
                      "the tables are enrolled, and the hub could not be given their rows, so that a branch which is "
                      "enrolled now does not know of them (run `assay init` again, or start assayd, which sends them)");
    }
    report_.pushed = *pushed;
    return absl::OkStatus();
  }

  // A database copied from another branch is welcome; one that this very branch was enrolled with has lost its log.
  absl::Status CheckNoLogIsLost() {
    const std::optional<OriginId> enrolled = EnrolledOrigin(options_.url);
    if (!enrolled.has_value()) return absl::OkStatus();
    const absl::StatusOr<v1::OriginOpened> opened = open_->log->Opening(*enrolled);
    if (!opened.ok() || opened->branch_number() != options_.engine.branch_number) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        "this database is enrolled already, with the log of origin ", enrolled->Hex().substr(0, 8), ", and ",
        options_.log_path, " is not that log: put that log back; or, if it is lost, run `assay repair`"));
  }

  absl::Status Install() {
    ASSAY_RETURN_IF_ERROR(InstallSchema(*admin_));
    if (!fresh_) ASSAY_RETURN_IF_ERROR(NoteProgress());
    ASSAY_RETURN_IF_ERROR(NoteMissed());
    ASSAY_RETURN_IF_ERROR(InstallRole(*admin_, options_.url));
    ASSAY_RETURN_IF_ERROR(CheckServerIsFit(*admin_, options_.url, /*installed=*/true));
    ASSAY_RETURN_IF_ERROR(GrantAround(*admin_, selection_.tables));
    ASSAY_RETURN_IF_ERROR(InstallPublication(*admin_));
    const auto progress = [&](size_t done, size_t total) {
      if (options_.progress) options_.progress("enrol tables", done, total);
    };
    // A table that joins a running branch is published when its snapshot is taken, not before.
    std::vector<SelectedTable> to_publish, to_join;
    for (const SelectedTable& table : selection_.tables)
      (fresh_ || already_.contains(table.name().ToString()) ? to_publish : to_join).push_back(table);
    ASSAY_RETURN_IF_ERROR(PrepareTables(*admin_, to_publish, /*publish=*/true, Deadline(), progress).status());
    ASSAY_RETURN_IF_ERROR(PrepareTables(*admin_, to_join, /*publish=*/false, Deadline(), progress).status());
    ASSAY_RETURN_IF_ERROR(StrideAll({}));
    ASSAY_ASSIGN_OR_RETURN(const std::vector<TableName> published, PublishedTables(*admin_));
    for (const TableName& name : published) {
      const bool named = std::any_of(selection_.tables.begin(), selection_.tables.end(),
                                     [&](const SelectedTable& table) { return table.name() == name; });
      if (!named) {
        report_.warnings.push_back(
            absl::StrCat(name.ToString(),
                         " stays enrolled, although postgres.tables no longer names it; to take it out: assay tables "
                         "remove ",
                         name.ToString()));
      }
    }
    return absl::OkStatus();
  }

  // A schema that was dropped has lost by what database and log know each other.
  absl::Status NoteProgress() {
    ASSAY_ASSIGN_OR_RETURN(const OriginId own, OwnOrigin(*open_->state));
    ASSAY_ASSIGN_OR_RETURN(const uint64_t batch, open_->state->Read(kBatchAskedNote));
    return admin_
        ->Execute("UPDATE assay.progress SET origin = $1, batch = $2::bigint WHERE origin IS NULL",
                  {own.Hex(), absl::StrCat(batch)})
        .status();
  }

  absl::Status StrideAll(const std::map<SequenceColumn, int64_t>& largest, KeysOfOthers others = KeysOfOthers::kKnown) {
    ASSAY_ASSIGN_OR_RETURN(SequenceReport report,
                           StrideSequences(*admin_, options_.stride, options_.engine.branch_number, options_.sequences,
                                           largest, Deadline(), others));
    std::move(report.strided.begin(), report.strided.end(), std::back_inserter(report_.sequences.strided));
    for (std::string& problem : report.problems) {
      auto& problems = report_.sequences.problems;
      if (std::find(problems.begin(), problems.end(), problem) == problems.end())
        problems.push_back(std::move(problem));
    }
    return absl::OkStatus();
  }

  absl::Status OpenOrigin(const std::optional<PreviousChain>& previous = std::nullopt) {
    absl::StatusOr<OriginId> origin = OwnOrigin(*open_->state);
    if (absl::IsNotFound(origin.status())) {
      open_.reset();  // What it holds in memory will be behind.
      {
        ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LogFile> file, LogFile::Open(options_.log_path, {}));
        origin = OpenBranchLog(options_.engine, file.get(), clock_, random_, previous);
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
    ASSAY_RETURN_IF_ERROR(open_->file->Begin());
    ASSAY_RETURN_IF_ERROR(open_->state->Write(kEnrolmentNote, EnrolmentState::kBegun));
    ASSAY_RETURN_IF_ERROR(open_->file->Commit());
    ASSAY_RETURN_IF_ERROR(DropSlot(*admin_));  // Of an init that did not finish.
    // A database copied from another branch brings that branch's progress along.
    ASSAY_RETURN_IF_ERROR(
        admin_->Execute("UPDATE assay.progress SET batch = 0, origin = $1", {report_.origin.Hex()}).status());
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
    ASSAY_ASSIGN_OR_RETURN(const CapturedPosition captured, open_->state->Read(kCapturedNote));
    report_.captured = captured.position;
    ASSAY_ASSIGN_OR_RETURN(const std::vector<TableName> published, PublishedTables(*admin_));
    for (const SelectedTable& table : selection_.tables) {
      if (already_.contains(table.name().ToString())) continue;
      // Published by an init that ended before its rows were in the log: begin again.
      if (std::binary_search(published.begin(), published.end(), table.name())) {
        ASSAY_RETURN_IF_ERROR(Unpublish(table));
      }
      ASSAY_RETURN_IF_ERROR(CompareFirst(table));
      if (report_.waits_for_choice) return absl::OkStatus();
      ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<Connection> reader, OpenReader(options_.admin_url));
      ASSAY_ASSIGN_OR_RETURN(compared_at_, PublishAt(*admin_, *reader, table, Deadline()));
      ASSAY_RETURN_IF_ERROR(Baseline(*reader, report_.captured, {table}, /*fresh_chain=*/false));
      if (report_.waits_for_choice) return Unpublish(table);
    }
    return absl::OkStatus();
  }

  // Nothing is published while a person still has to choose: what the application writes meanwhile would be captured,
  // and then be in the rows that are compared as well.
  absl::Status CompareFirst(const SelectedTable& table) {
    if (options_.differences != DifferenceChoice::kAsk) return absl::OkStatus();
    ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<Connection> reader, OpenReader(options_.admin_url));
    ASSAY_RETURN_IF_ERROR(BeginAt(*reader, ""));
    const ReconcileReport before = report_.rows;
    ASSAY_RETURN_IF_ERROR(open_->file->Begin());
    std::map<SequenceColumn, int64_t> largest;
    const absl::Status status =
        BaselineInTransaction(*reader, report_.captured, {table}, /*fresh_chain=*/false, &largest);
    open_->file->Rollback();
    already_.erase(table.name().ToString());
    ASSAY_RETURN_IF_ERROR(status);
    if (!report_.waits_for_choice) report_.rows = before;
    return absl::OkStatus();
  }

  absl::Status Unpublish(const SelectedTable& table) {
    return admin_
        ->ExecuteScript(
            absl::StrCat("ALTER PUBLICATION ", kPublication, " DROP TABLE ONLY ", Quoted(*admin_, table.name())))
        .status();
  }

  absl::Status Baseline(Connection& reader, Lsn at, const std::vector<SelectedTable>& tables, bool fresh_chain) {
    ASSAY_RETURN_IF_ERROR(open_->file->Begin());
    std::map<SequenceColumn, int64_t> largest;
    const absl::Status status = BaselineInTransaction(reader, at, tables, fresh_chain, &largest);
    if (!status.ok() || report_.waits_for_choice) {
      open_->file->Rollback();
      return status;
    }
    ASSAY_RETURN_IF_ERROR(open_->file->Commit());
    for (const SelectedTable& table : tables) report_.added.push_back(table.name());
    ASSAY_ASSIGN_OR_RETURN(const OriginId replaced, open_->state->Read(kReplacesNote));
    if (fresh_chain && replaced != OriginId{}) return StrideAll(largest, KeysOfOthers::kUnsent);
    // The fleet may know of keys this database handed out once and has lost since.
    return largest.empty() ? absl::OkStatus() : StrideAll(largest);
  }

  absl::Status BaselineInTransaction(Connection& reader, Lsn at, const std::vector<SelectedTable>& tables,
                                     bool fresh_chain, std::map<SequenceColumn, int64_t>* largest) {
    using ClassMap = std::map<SequenceColumn, SequenceClass>;
    ASSAY_ASSIGN_OR_RETURN(const ClassMap classes,
                           StridedColumns(*admin_, options_.stride, options_.engine.branch_number));
    const auto visit = [&](const ResolvedChange& change) { NoteOwnKeys(change, classes, largest); };
    ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<FoldIndex> fold,
                           FoldIndex::Build(open_->file.get(), open_->stores(), clock_, visit));
    ASSAY_RETURN_IF_ERROR(RaiseClock(fold->newest(), fresh_chain));
    NoEcho echo;
    Recorder recorder(options_.engine, report_.origin, open_->stores(), clock_, &echo);
    ASSAY_RETURN_IF_ERROR(recorder.Load());
    Reconciler reconciler({open_->log.get(), open_->names.get(), open_->rows.get(), open_->unsettled.get(), &recorder},
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
      // assayd compares it when it runs.
      ASSAY_RETURN_IF_ERROR(open_->state->Write(kCheckedNote, {}, table.name().ToString()));
      if (fresh_chain) continue;
      // Rows that came while this table was not here were parked.
      ASSAY_ASSIGN_OR_RETURN(const TableId id, open_->names->IdOf(table.name()));
      ASSAY_RETURN_IF_ERROR(open_->unsettled->RetryNow(id).status());
    }
    ASSAY_RETURN_IF_ERROR(NoteBaselines(tables, fresh_chain));
    if (fresh_chain) ASSAY_RETURN_IF_ERROR(open_->state->Write(kCapturedNote, {.position = at}));
    ASSAY_RETURN_IF_ERROR(open_->state->Write(kEnrolledTablesNote, already_));
    return open_->state->Write(kEnrolmentNote, EnrolmentState::kFinished);
  }

  // A table that joins later may have been in the publication before, until its rows came to differ or init was killed.
  // What was written to it then still comes by in the stream.
  absl::Status NoteBaselines(const std::vector<SelectedTable>& tables, bool fresh_chain) {
    if (fresh_chain) return open_->state->Write(kBaselinesNote, {});
    ASSAY_ASSIGN_OR_RETURN(TableBaselines baselines, open_->state->Read(kBaselinesNote));
    for (const SelectedTable& table : tables) baselines[table.name().ToString()] = compared_at_;
    return open_->state->Write(kBaselinesNote, baselines);
  }

  // What is taken on was seen by whoever changes it next. What was committed before, and waits in the WAL, saw nothing
  // of it: its time alone counts.
  absl::Status RaiseClock(HlcStamp newest, bool fresh_chain) {
    if (fresh_chain || options_.differences == DifferenceChoice::kHere) {
      ASSAY_ASSIGN_OR_RETURN(const HlcStamp clock, open_->state->Read(kClockNote));
      return open_->state->Write(kClockNote, std::max(clock, newest));
    }
    ASSAY_ASSIGN_OR_RETURN(const ClockAhead ahead, open_->state->Read(kClockAheadNote));
    const Lsn after = ahead.after == Lsn{} ? compared_at_ : std::min(ahead.after, compared_at_);
    return open_->state->Write(kClockAheadNote, ClockAhead{after, std::max(ahead.stamp, newest)});
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
  std::unique_ptr<OpenLog> open_;
  bool fresh_ = true;                // No baseline was ever finished.
  bool unknown_ = true;              // Nor begun.
  std::set<std::string> already_;    // Tables with a finished baseline.
  std::set<std::string> returning_;  // Tables that took part once, and do again.
  UnrecordedTables missed_;          // Of tables that take part already.
  Lsn compared_at_;                  // Of the table that joins a running branch: later commits are of after that.
  InitReport report_;
};

}  // namespace

absl::StatusOr<InitReport> Init(const InitOptions& options, Hub* hub, Clock* clock, Random* random) {
  return Initialisation(options, hub, clock, random).Run();
}

absl::StatusOr<bool> IsEnrolmentFinished(LocalState& state) {
  ASSAY_ASSIGN_OR_RETURN(const EnrolmentState enrolment, state.Read(kEnrolmentNote));
  return enrolment == EnrolmentState::kFinished;
}

absl::StatusOr<LeaveReport> Leave(const LeaveOptions& options) {
  LeaveReport report;
  const absl::Time deadline = SteadyNow() + options.lock_wait;
  ASSAY_ASSIGN_OR_RETURN(const auto admin, Connection::Open(options.admin_url, {.application_name = "assay leave"}));
  ASSAY_RETURN_IF_ERROR(TakeInstallationLock(*admin));
  // Another database's slot is another enrolment's.
  ASSAY_ASSIGN_OR_RETURN(const Result elsewhere,
                         admin->Execute("SELECT database FROM pg_catalog.pg_replication_slots WHERE slot_name = $1 AND "
                                        "database <> pg_catalog.current_database()",
                                        {kSlot}));
  if (elsewhere.rows() > 0) {
    report.notes.push_back(absl::StrCat("the replication slot \"assay\" belongs to the database ",
                                        elsewhere.Text(0, "database"), " and was left alone"));
  } else {
    ASSAY_RETURN_IF_ERROR(DropSlot(*admin));
  }
  // Before the replica identities: a published table without a usable one makes an application's UPDATE fail.
  ASSAY_RETURN_IF_ERROR(ExecuteWithShortLocks(*admin, absl::StrCat("DROP PUBLICATION IF EXISTS ", kPublication), {},
                                              "drop the publication", deadline));
  ASSAY_ASSIGN_OR_RETURN(
      const Result installed,
      admin->Execute("SELECT pg_catalog.to_regclass('assay.installation') IS NOT NULL AS installed, EXISTS "
                     "(SELECT FROM pg_catalog.pg_roles WHERE rolname = $1) AS role_there",
                     {kProjectorRole}));
  bool role_created = false;
  if (installed.Bool(0, "installed")) {
    report.was_enrolled = true;
    ASSAY_RETURN_IF_ERROR(RestoreTables(*admin, deadline));
    ASSAY_RETURN_IF_ERROR(RestoreSequences(*admin, deadline));
    ASSAY_ASSIGN_OR_RETURN(const Result made, admin->Execute("SELECT role_created FROM assay.installation"));
    role_created = made.rows() > 0 && made.Bool(0, "role_created");
  }
  if (installed.Bool(0, "role_there")) {
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
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<OpenLog> open, OpenLog::Open(options.log_path));
  ASSAY_RETURN_IF_ERROR(open->file->Begin());
  ASSAY_RETURN_IF_ERROR(open->state->Write(kEnrolmentNote, EnrolmentState::kLeft));
  ASSAY_RETURN_IF_ERROR(open->file->Commit());
  return report;
}

}  // namespace assay
