#include "tools/setup/repair.h"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "adapters/libpq/sqlstate.h"
#include "adapters/libpq/steady_time.h"
#include "adapters/postgres/capture.h"
#include "engine/human_text.h"
#include "engine/own_chain.h"
#include "engine/projection/intent.h"
#include "engine/remotes/session_gate.h"
#include "log/annotate.h"
#include "tools/setup/baseline.h"
#include "tools/setup/branch_key.h"
#include "tools/setup/branch_log.h"
#include "tools/setup/installation.h"
#include "tools/setup/log_swap.h"

namespace assay {
namespace {

constexpr absl::Duration kStreamCheckMax = absl::Seconds(60);
constexpr absl::Duration kSlotFreeMax = absl::Seconds(10);

std::string Short(const OriginId& origin) { return origin.Hex().substr(0, 8); }

// One run, its parts in the order of a repair's life.
class Repairing {
 public:
  Repairing(const RepairOptions& options, Hub* hub, Clock* clock, Random* random)
      : options_(options), hub_(options.without_hub ? nullptr : hub), clock_(clock), random_(random) {}

  absl::StatusOr<RepairReport> Run() {
    ASSAY_RETURN_IF_ERROR(Prepare());
    ASSAY_ASSIGN_OR_RETURN(const bool finished, FinishSwap());
    if (finished) return std::move(report_);
    ASSAY_RETURN_IF_ERROR(Examine());
    ASSAY_RETURN_IF_ERROR(LookForUnrecorded());
    if (report_.state == RestoreState::kNormal) return std::move(report_);
    if (report_.state == RestoreState::kOtherDatabase) {
      return absl::FailedPreconditionError(
          absl::StrCat(RestoreStateName(report_.state), ": ", report_.cause, ". ",
                       RemedyOf(*HazardProblem(report_.state, options_.engine.branch_name, report_.cause))));
    }
    ASSAY_ASSIGN_OR_RETURN(selection_, SelectTables(*admin_, {options_.tables, options_.exclude}));
    if (selection_.tables.empty()) {
      return absl::FailedPreconditionError("postgres.tables matches no table in this database: is it the right one?");
    }
    ASSAY_RETURN_IF_ERROR(new_origin_ ? WithNewLog() : WithThisLog());
    report_.applied = options_.apply;
    return std::move(report_);
  }

 private:
  std::string LogPath() const { return options_.state_dir + "/log.db"; }
  std::string Folder() const {
    return options_.apply ? NewLogFolder(options_.state_dir) : options_.state_dir + "/repair-preview";
  }
  void Tell(absl::string_view stage, uint64_t done) const {
    if (options_.progress) options_.progress(stage, done);
  }

  absl::Status Prepare() {
    ASSAY_ASSIGN_OR_RETURN(admin_, Connection::Open(options_.admin_url, {.application_name = "assay repair"}));
    return TakeInstallationLock(*admin_);
  }

  // ---- Examined ----

  absl::Status Examine() {
    PostgresCapture capture({.conninfo = options_.url});
    const absl::Status started = capture.Start();
    database_ = capture.Evidence();
    if (!database_.known)
      return started.ok() ? absl::UnavailableError("the database showed nothing of itself") : started;
    ASSAY_RETURN_IF_ERROR(OpenOldLog());
    if (old_ == nullptr) return absl::OkStatus();
    ASSAY_ASSIGN_OR_RETURN(old_origin_, OwnOrigin(*old_->state));
    report_.old_origin = old_origin_;
    ASSAY_ASSIGN_OR_RETURN(evidence_, ReadLogEvidence(old_origin_, *old_->log, *old_->state));
    Judgement judgement = Judge(evidence_, database_);
    if (judgement.state == RestoreState::kUnverified) {
      ASSAY_RETURN_IF_ERROR(started);
      ASSAY_ASSIGN_OR_RETURN(judgement, WatchStream(capture));
    }
    capture.Stop();
    report_.state = judgement.state;
    report_.cause = judgement.cause;
    ASSAY_RETURN_IF_ERROR(AskHub());
    LookForKey();
    // What keeps capture from starting and is no matter of restores (wal_level, a publication that is gone).
    if (report_.state == RestoreState::kNormal && !started.ok()) return started;
    new_origin_ |= report_.state == RestoreState::kLogBehind || report_.state == RestoreState::kClone ||
                   report_.state == RestoreState::kReplaced;
    return absl::OkStatus();
  }

  // Without its key nobody can go on with a chain, and with another key nobody would take it.
  void LookForKey() {
    const absl::Status loaded = LoadBranchKey(options_.state_dir).status();
    if (!ProblemNamedBy(loaded).has_value()) return;
    new_origin_ = true;
    if (report_.state != RestoreState::kNormal && report_.state != RestoreState::kGap) return;
    report_.state = RestoreState::kKeyLost;
    absl::StrAppend(&report_.cause, report_.cause.empty() ? "" : "; ", options_.state_dir,
                    "/signing.key is not there, or not the key of this log's chain");
  }

  absl::Status OpenOldLog() {
    if (!std::filesystem::exists(LogPath())) {
      if (!database_.batch.has_value()) {
        return absl::FailedPreconditionError("there is neither a log nor an enrolled database: run `assay init`");
      }
      return LogIsLost("the log file is missing, and the database is enrolled");
    }
    absl::StatusOr<std::unique_ptr<OpenLog>> opened = OpenLog::Open(LogPath());
    if (absl::IsDataLoss(opened.status())) return LogIsLost(std::string(opened.status().message()));
    ASSAY_RETURN_IF_ERROR(opened.status());
    old_ = *std::move(opened);
    ASSAY_ASSIGN_OR_RETURN(const EnrolmentState state, old_->state->Read(kEnrolmentNote));
    if (state == EnrolmentState::kFinished) return absl::OkStatus();
    const absl::StatusOr<OriginId> own = OwnOrigin(*old_->state);
    if (database_.origin.has_value() && (!own.ok() || *own != *database_.origin)) {
      old_.reset();
      return LogIsLost("the log was begun anew by `assay init`, and the database is enrolled with another");
    }
    return absl::FailedPreconditionError(
        "the enrolment of this log is not finished, or was ended by `assay leave`: run `assay init`");
  }

  absl::Status LogIsLost(std::string cause) {
    report_.state = RestoreState::kLogBehind;
    report_.cause = std::move(cause);
    report_.old_origin = database_.origin;
    new_origin_ = true;
    return AskHeads().status();
  }

  // No heads: no hub is to be asked.
  absl::StatusOr<HubHeads> AskHeads() {
    ASSAY_RETURN_IF_ERROR(CheckHub());
    if (hub_ == nullptr) return HubHeads{};
    absl::StatusOr<HubHeads> heads = hub_->Heads();
    if (!heads.ok()) return Annotate(heads.status(), "ask the hub what it has (--without-hub goes on without)");
    living_ = heads->living;
    return heads;
  }

  absl::Status CheckHub() const {
    if (hub_ != nullptr || !options_.engine.has_hub || options_.without_hub) return absl::OkStatus();
    return absl::FailedPreconditionError("a hub is configured and none was given: mend [hub], or add --without-hub");
  }

  absl::StatusOr<Judgement> WatchStream(PostgresCapture& capture) {
    StreamCheck check;
    check.Begin(evidence_.captured);
    for (const absl::Time deadline = SteadyNow() + kStreamCheckMax; SteadyNow() < deadline;) {
      ASSAY_ASSIGN_OR_RETURN(const CaptureBatch batch, capture.Next(absl::Seconds(1)));
      for (const CaptureItem& item : batch.items) {
        Judgement judgement = check.See(item);
        if (judgement.state != RestoreState::kUnverified) return judgement;
      }
    }
    return absl::DeadlineExceededError(
        "the server's stream did not come to the last transaction that the log has; try again");
  }

  // A longer chain at the hub, another one, or a session it refused, make an old log of one that fits its database.
  absl::Status AskHub() {
    ASSAY_ASSIGN_OR_RETURN(const SessionRefusal refusal, ReadSessionRefusal(*old_->state));
    ASSAY_ASSIGN_OR_RETURN(const HubHeads heads, AskHeads());
    const auto head = heads.heads.find(old_origin_);
    if (head != heads.heads.end()) hub_last_ = head->second.last;
    const Sequence own_last = old_->log->Head(old_origin_).last;
    if (head != heads.heads.end() && head->second.set_aside) {
      HubSays(RestoreState::kSetAside,
              absl::StrCat("the head office has set this log's chain aside after event ", head->second.complete.value));
    } else if (living_.has_value() && living_->origin != old_origin_) {
      HubSays(RestoreState::kReplaced, OtherMachine(options_.engine, *living_));
    } else if (hub_last_ > own_last) {
      HubSays(RestoreState::kClone, absl::StrCat("the hub has ", hub_last_.value,
                                                 " events of this log's chain, the log itself only ", own_last.value));
      if (report_.state == RestoreState::kGap) report_.state = RestoreState::kLogBehind;
    } else if (report_.state == RestoreState::kNormal && !refusal.why.empty()) {
      report_.state = refusal.as == SessionGate::Refused::kReplaced ? RestoreState::kReplaced : RestoreState::kClone;
      report_.cause = refusal.why;
    }
    return absl::OkStatus();
  }

  // The chain cannot go on, whatever else has happened.
  void HubSays(RestoreState state, absl::string_view cause) {
    new_origin_ = true;
    const bool clone = state == RestoreState::kClone;
    if (report_.state == RestoreState::kNormal || (report_.state == RestoreState::kGap && !clone))
      report_.state = state;
    absl::StrAppend(&report_.cause, report_.cause.empty() ? "" : "; ", cause);
  }

  // What came by in capture and could not be recorded, or never came by, is missing as if the slot had lost it.
  absl::Status LookForUnrecorded() {
    if (old_ == nullptr) return absl::OkStatus();
    ASSAY_ASSIGN_OR_RETURN(unrecorded_,
                           MissedChanges(*old_, *admin_, {.patterns = {options_.tables, options_.exclude}}));
    if (report_.state != RestoreState::kNormal) return absl::OkStatus();  // All tables are compared anyhow.
    for (const auto& [table, unrecorded] : unrecorded_) {
      report_.state = RestoreState::kGap;
      absl::StrAppend(&report_.cause, report_.cause.empty() ? "" : "; ", "not all that was written to ", table,
                      " is in the log: ", unrecorded.cause);
    }
    return LookForDifferences();
  }

  // What the sentinel has found came about where nothing else has seen it.
  absl::Status LookForDifferences() {
    ASSAY_ASSIGN_OR_RETURN(const std::set<std::string> enrolled, old_->state->Read(kEnrolledTablesNote));
    for (const std::string& table : enrolled) {
      ASSAY_ASSIGN_OR_RETURN(const CheckedTable checked, old_->state->Read(kCheckedNote, table));
      if (checked.differing == 0) continue;
      report_.state = RestoreState::kGap;
      absl::StrAppend(&report_.cause, report_.cause.empty() ? "" : "; ", Count(checked.differing, "row"), " of ", table,
                      checked.differing == 1 ? " is" : " are", " not as the log has ",
                      checked.differing == 1 ? "it" : "them");
    }
    return absl::OkStatus();
  }

  // ---- The log goes on ----

  absl::Status WithThisLog() {
    if (options_.apply) {
      ASSAY_RETURN_IF_ERROR(old_->file->Begin());
      ASSAY_RETURN_IF_ERROR(NoteRepair(report_.state, old_->state.get()));
      ASSAY_RETURN_IF_ERROR(old_->state->Write(kUnrecordedNote, unrecorded_));
      ASSAY_RETURN_IF_ERROR(old_->file->Commit());
      ASSAY_RETURN_IF_ERROR(Install(old_origin_, evidence_.batch_asked));
    }
    ASSAY_RETURN_IF_ERROR(CompareIn(*old_, old_origin_, WhatIsHeldHere()));
    const CapturedPosition& captured = evidence_.captured;
    if (report_.state == RestoreState::kGap) {
      report_.lost.push_back(absl::StrCat("The history between ", Where(captured),
                                          " and the rows as they are now: of what was changed in between the result is "
                                          "recorded, but not who changed it, when, and through which values."));
    } else {
      report_.lost.push_back(absl::StrCat("What was committed after ", Where(captured),
                                          " and before the database was restored: it never came into the log."));
      report_.notes.push_back(
          "Changes made since the restore are recorded as of now: who made them and when is not known. Rows that "
          "were deleted since the restore cannot be told from rows that the restore took away: they are written again.");
    }
    return absl::OkStatus();
  }

  static std::string Where(const CapturedPosition& captured) {
    if (captured.commit_time_us == 0) return absl::StrCat("WAL position ", captured.position.ToString());
    return absl::StrCat(
        "the last captured transaction (",
        absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", absl::FromUnixMicros(captured.commit_time_us), absl::UTCTimeZone()),
        ", ", captured.commit_lsn.ToString(), ")");
  }

  // Which versions this database is known to have held, as far as this log tells.
  RowRepair::Held WhatIsHeldHere() {
    if (report_.state == RestoreState::kDatabaseBehind) {
      return [](const RowRef&, std::optional<ColumnId>, const Version&) { return false; };
    }
    // A projection that committed and whose echo was lost is in the database, too.
    auto landed = std::make_shared<std::map<OriginId, Sequence>>();
    const absl::StatusOr<std::vector<std::string>> stored = old_->state->Intents();
    for (const std::string& bytes : stored.ok() ? *stored : std::vector<std::string>()) {
      const absl::StatusOr<OpenIntent> intent = OpenIntent::Parse(bytes);
      if (!intent.ok() || database_.batch.value_or(0) < intent->batch()) continue;
      for (const auto& [origin, to] : intent->to()) (*landed)[origin] = to;
    }
    return [landed, local = old_->state.get(), rows = old_->unsettled.get(), own = old_origin_](
               const RowRef& ref, std::optional<ColumnId> column, const Version& version) -> absl::StatusOr<bool> {
      ASSAY_ASSIGN_OR_RETURN(const std::optional<UnsettledRow> unsettled, rows->Find(ref));
      if (unsettled.has_value()) {
        if (!unsettled->held_known || !unsettled->held.has_value()) return false;
        if (!column.has_value()) return version <= std::max(unsettled->held->written, unsettled->held->deleted);
        const Version* held = unsettled->held->Find(*column);
        return held != nullptr && version <= *held;
      }
      if (version.origin == own || version.sequence <= local->Projected(version.origin)) return true;
      const auto to = landed->find(version.origin);
      return to != landed->end() && version.sequence <= to->second;
    };
  }

  // ---- A new log takes its place ----

  absl::Status WithNewLog() {
    ASSAY_RETURN_IF_ERROR(MakeFolderAnew(Folder()));
    const absl::Status status = MakeNewLog();
    fresh_.reset();
    std::error_code ignored;
    if (!options_.apply) std::filesystem::remove_all(Folder(), ignored);
    return status;
  }

  absl::Status MakeNewLog() {
    const std::string path = Folder() + "/log.db";
    ASSAY_ASSIGN_OR_RETURN(fresh_, OpenLog::Open(path));
    if (hub_ != nullptr) {
      ASSAY_ASSIGN_OR_RETURN(PulledChains pulled, PullAll(*fresh_, *hub_, clock_, random_,
                                                          [this](uint64_t done, uint64_t) { Tell("pull", done); }));
      std::move(pulled.refused.begin(), pulled.refused.end(), std::back_inserter(report_.notes));
    }
    ASSAY_RETURN_IF_ERROR(FindOldChain());
    ASSAY_RETURN_IF_ERROR(CheckIdentity());
    ASSAY_RETURN_IF_ERROR(OpenNewOrigin(path));
    ASSAY_RETURN_IF_ERROR(DescribeLoss());
    if (options_.apply) ASSAY_RETURN_IF_ERROR(Install(std::nullopt, 0));
    ASSAY_ASSIGN_OR_RETURN(const RowRepair::Held held, WhatWasHeld());
    ASSAY_RETURN_IF_ERROR(CompareIn(*fresh_, *report_.new_origin, held));
    if (!options_.apply) return absl::OkStatus();
    fresh_.reset();
    old_.reset();
    ASSAY_RETURN_IF_ERROR(NoteOrigin(*report_.new_origin, 0));
    return Swap();
  }

  // Without an old log, the database says which chain was its own; an older enrolment did not note that.
  absl::Status FindOldChain() {
    if (!report_.old_origin.has_value()) {
      uint32_t epoch = 0;
      for (const OriginId& origin : fresh_->log->Origins()) {
        const absl::StatusOr<v1::OriginOpened> opened = fresh_->log->Opening(origin);
        if (!opened.ok() || opened->branch_number() != options_.engine.branch_number || opened->epoch() <= epoch)
          continue;
        epoch = opened->epoch();
        report_.old_origin = origin;
      }
    }
    if (!report_.old_origin.has_value()) return absl::OkStatus();
    old_origin_ = *report_.old_origin;
    ASSAY_ASSIGN_OR_RETURN(previous_, ContinuedChain(*fresh_->log, old_origin_));
    absl::StatusOr<v1::OriginOpened> opened = fresh_->log->Opening(old_origin_);
    if (!opened.ok() && old_ != nullptr) opened = old_->log->Opening(old_origin_);
    if (opened.ok()) {
      previous_->epoch = opened->epoch();
      old_name_ = opened->branch_name();
      old_number_ = opened->branch_number();
    }
    return absl::OkStatus();
  }

  // The place of its branch is this machine's where the branch lives by the chain that database or log name. Any other
  // needs a person's word.
  absl::Status CheckIdentity() {
    const bool same = old_number_ == options_.engine.branch_number || old_name_ == options_.engine.branch_name;
    const bool taken = living_.has_value() && living_->origin != old_origin_;
    replaces_machine_ = (report_.state == RestoreState::kClone && same) || taken;
    if (replaces_machine_ && !options_.replaces_other) {
      return absl::InvalidArgumentError(absl::StrCat(
          RestoreStateName(taken ? RestoreState::kReplaced : report_.state), ": ",
          taken ? OtherMachine(options_.engine, *living_)
                : absl::StrCat(report_.cause, ". Branch \"", old_name_, "\" (number ", old_number_,
                               ") is the other copy"),
          ". Give this one a name, a number and a login of its own (`assay hub enrol` at the head office, then [branch] "
          "and [hub] in the config); or, if the other machine is stopped for good and this one takes its place, add "
          "--replaces-other"));
    }
    if (taken) {
      if (!previous_.has_value()) previous_ = PreviousChain{.origin = living_->origin};
      const absl::StatusOr<v1::OriginOpened> opened = fresh_->log->Opening(living_->origin);
      if (opened.ok()) previous_->epoch = std::max(previous_->epoch, opened->epoch());
    }
    if (previous_.has_value()) previous_->replaces = living_.has_value() ? living_->origin : old_origin_;
    return CheckNumberIsFree(*fresh_, options_.engine.branch_name, options_.engine.branch_number);
  }

  absl::Status OpenNewOrigin(const std::string& path) {
    fresh_.reset();  // What it holds in memory will be behind.
    {
      ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LogFile> file, LogFile::Open(path, {}));
      EngineConfig engine = options_.engine;
      ASSAY_ASSIGN_OR_RETURN(engine.signing_key, SigningKey::Generate());
      ASSAY_RETURN_IF_ERROR(engine.signing_key->Save(Folder() + "/signing.key"));
      ASSAY_ASSIGN_OR_RETURN(report_.new_origin, OpenBranchLog(engine, file.get(), clock_, random_, previous_));
    }
    ASSAY_ASSIGN_OR_RETURN(fresh_, OpenLog::Open(path));
    return absl::OkStatus();
  }

  // How far two copies of the old chain are the same.
  absl::StatusOr<Sequence> Shared() {
    if (old_ == nullptr) return fresh_->log->Head(old_origin_).complete;
    uint64_t low = 0,
             high = std::min(old_->log->Head(old_origin_).last.value, fresh_->log->Head(old_origin_).last.value);
    while (low < high) {
      const uint64_t middle = (low + high + 1) / 2;
      ASSAY_ASSIGN_OR_RETURN(const Hash ours, old_->log->RootAt(old_origin_, middle));
      ASSAY_ASSIGN_OR_RETURN(const Hash theirs, fresh_->log->RootAt(old_origin_, middle));
      (ours == theirs ? low : high) = ours == theirs ? middle : middle - 1;
    }
    return Sequence{low};
  }

  absl::Status DescribeLoss() {
    const Sequence at_hub = fresh_->log->Head(old_origin_).complete;
    const std::string chain = report_.old_origin.has_value() ? Short(old_origin_) : "of the lost log";
    ASSAY_ASSIGN_OR_RETURN(const Sequence shared, Shared());
    const Sequence here = old_ == nullptr ? Sequence{} : old_->log->Head(old_origin_).last;
    if (here > shared) {
      report_.lost.push_back(
          absl::StrCat("Events ", shared.value + 1, " to ", here.value, " of chain ", chain,
                       ", which only this copy has: they stay in the old log file, outside the fleet's history. The "
                       "rows as they made them are recorded."));
    }
    if (report_.state == RestoreState::kClone || report_.state == RestoreState::kReplaced) return absl::OkStatus();
    report_.lost.push_back(absl::StrCat(
        "The history of chain ", chain, " after event ", std::max(at_hub, shared).value,
        hub_ == nullptr ? " (no hub was asked)" : ", the last that the hub has",
        ": what was captured later and not pushed (up to WAL position ", database_.slot_confirmed.ToString(),
        "; how many events is not known). The rows as it made them are recorded, but not who changed them, when, and through which values."));
    report_.notes.push_back(
        "Rows that were deleted in that time, and that are not known to have been here, are written again.");
    return absl::OkStatus();
  }

  // Which versions this database is known to have held: its own chain's, as far as it wrote it, and what that chain or
  // the old log say it had projected.
  absl::StatusOr<RowRepair::Held> WhatWasHeld() {
    if (report_.state == RestoreState::kDatabaseBehind) return WhatIsHeldHere();
    auto held = std::make_shared<std::map<OriginId, Sequence>>();
    const auto raise = [&](const OriginId& origin, Sequence sequence) {
      (*held)[origin] = std::max((*held)[origin], sequence);
    };
    Sequence own = fresh_->log->Head(old_origin_).complete;
    // The other copy's part of the chain never was in this database.
    if (report_.state == RestoreState::kClone || report_.state == RestoreState::kReplaced) {
      ASSAY_ASSIGN_OR_RETURN(own, Shared());
    }
    if (own.value > 0) raise(old_origin_, own);
    EventReader reader = fresh_->log->Read(old_origin_, Sequence{1});
    while (reader.next_sequence() <= own) {
      ASSAY_ASSIGN_OR_RETURN(const StoredEvent* stored, reader.Next());
      if (stored == nullptr) break;
      v1::Event event;
      if (!event.ParseFromArray(stored->bytes.data(), static_cast<int>(stored->bytes.size()))) continue;
      for (const v1::Seen& seen : event.transaction().seen()) {
        ASSAY_ASSIGN_OR_RETURN(const OriginId origin, OriginId::FromBytes(seen.origin()));
        raise(origin, Sequence{seen.sequence()});
      }
    }
    if (old_ != nullptr) {
      for (const OriginId& origin : old_->log->Origins()) raise(origin, old_->state->Projected(origin));
    }
    return [held](const RowRef&, std::optional<ColumnId>, const Version& version) {
      const auto known = held->find(version.origin);
      return known != held->end() && version.sequence <= known->second;
    };
  }

  // The last step of all, and one that a later run can finish.
  absl::Status Swap() {
    ASSAY_ASSIGN_OR_RETURN(const std::string suffix, SwapLogs(options_.state_dir, clock_->Now()));
    report_.notes.push_back(
        absl::StrCat("The old log and key are kept beside the new ones, with names that end in ", suffix, "."));
    return absl::OkStatus();
  }

  // A run before this one may have ended between noting the new origin in the database and the last renaming.
  absl::StatusOr<bool> FinishSwap() {
    const std::string path = NewLogFolder(options_.state_dir) + "/log.db";
    if (!std::filesystem::exists(path)) return false;
    const std::optional<OriginId> noted = EnrolledOrigin(options_.url);
    {
      absl::StatusOr<std::unique_ptr<OpenLog>> made = OpenLog::Open(path);
      if (!made.ok() || !noted.has_value()) return false;
      const absl::StatusOr<OriginId> own = OwnOrigin(*(*made)->state);
      ASSAY_ASSIGN_OR_RETURN(const EnrolmentState state, (*made)->state->Read(kEnrolmentNote));
      if (!own.ok() || *own != *noted || state != EnrolmentState::kFinished) return false;
    }
    report_.state = RestoreState::kLogBehind;
    report_.cause = "a repair was interrupted at its very end; what it had made takes its place now";
    report_.new_origin = noted;
    if (options_.apply) ASSAY_RETURN_IF_ERROR(Swap());
    report_.applied = options_.apply;
    return true;
  }

  // ---- Both ----

  // What a restored database may lack, and the row by which database and log know each other.
  absl::Status Install(std::optional<OriginId> origin, uint64_t batch) {
    const absl::Time deadline = SteadyNow() + options_.lock_wait;
    ASSAY_RETURN_IF_ERROR(InstallSchema(*admin_));
    ASSAY_RETURN_IF_ERROR(InstallRole(*admin_, options_.url));
    ASSAY_RETURN_IF_ERROR(GrantAround(*admin_, selection_.tables));
    ASSAY_RETURN_IF_ERROR(InstallPublication(*admin_));
    ASSAY_RETURN_IF_ERROR(PrepareTables(*admin_, selection_.tables, /*publish=*/true, deadline, nullptr).status());
    if (origin.has_value()) ASSAY_RETURN_IF_ERROR(NoteOrigin(*origin, batch));
    return absl::OkStatus();
  }

  absl::Status NoteOrigin(const OriginId& origin, uint64_t batch) {
    return admin_
        ->Execute("UPDATE assay.progress SET batch = $1::bigint, origin = $2", {absl::StrCat(batch), origin.Hex()})
        .status();
  }

  absl::Status DropOldSlot() {
    // The server needs a moment to see that our own stream has ended.
    for (const absl::Time deadline = SteadyNow() + kSlotFreeMax; SteadyNow() < deadline;
         absl::SleepFor(absl::Milliseconds(50))) {
      ASSAY_ASSIGN_OR_RETURN(const SlotState slot, FindSlot(*admin_));
      if (!slot.active) break;
    }
    return DropSlot(*admin_);
  }

  absl::Status CompareIn(OpenLog& open, const OriginId& own, const RowRepair::Held& held) {
    ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<Connection> reader, OpenReader(options_.admin_url));
    std::unique_ptr<SlotSnapshot> slot;
    Lsn at = database_.flushed;
    if (options_.apply) {
      ASSAY_RETURN_IF_ERROR(DropOldSlot());
      Tell("create the slot", 0);
      ASSAY_ASSIGN_OR_RETURN(slot, SlotSnapshot::Create(options_.url, *admin_, options_.slot_wait));
      at = slot->consistent_point();
    }
    ASSAY_RETURN_IF_ERROR(BeginAt(*reader, slot == nullptr ? "" : slot->snapshot()));
    ASSAY_RETURN_IF_ERROR(open.file->Begin());
    std::map<SequenceColumn, int64_t> largest;
    const absl::Status status = CompareInTransaction(open, own, held, *reader, at, &largest);
    if (!status.ok() || !options_.apply) {
      open.file->Rollback();
      return status;
    }
    ASSAY_RETURN_IF_ERROR(open.file->Commit());
    // Keys that were handed out before the restore must not be handed out again.
    ASSAY_ASSIGN_OR_RETURN(const SequenceReport sequences,
                           StrideSequences(*admin_, options_.stride, options_.engine.branch_number, options_.sequences,
                                           largest, SteadyNow() + options_.lock_wait,
                                           replaces_machine_ ? KeysOfOthers::kUnsent : KeysOfOthers::kKnown));
    for (const std::string& text : sequences.strided) report_.notes.push_back(absl::StrCat("Sequence ", text, "."));
    for (const std::string& text : sequences.problems)
      report_.notes.push_back(absl::StrCat("Look at this sequence: ", text, "."));
    return absl::OkStatus();
  }

  absl::Status CompareInTransaction(OpenLog& open, const OriginId& own, const RowRepair::Held& held, Connection& reader,
                                    Lsn at, std::map<SequenceColumn, int64_t>* largest) {
    using ClassMap = std::map<SequenceColumn, SequenceClass>;
    ClassMap classes;  // A preview strides nothing, and may find nothing installed that could tell.
    if (options_.apply) {
      ASSAY_ASSIGN_OR_RETURN(classes, StridedColumns(*admin_, options_.stride, options_.engine.branch_number));
    }
    ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<FoldIndex> fold,
                           FoldIndex::Build(open.file.get(), open.stores(), clock_, [&](const ResolvedChange& change) {
                             NoteOwnKeys(change, classes, largest);
                           }));
    ASSAY_ASSIGN_OR_RETURN(const HlcStamp clock, open.state->Read(kClockNote));
    ASSAY_RETURN_IF_ERROR(open.state->Write(kClockNote, std::max(clock, fold->newest())));
    NoEcho echo;
    Recorder recorder(options_.engine, own, open.stores(), clock_, &echo);
    ASSAY_RETURN_IF_ERROR(recorder.Load());
    RowRepair repair(
        {open.log.get(), open.names.get(), open.rows.get(), open.unsettled.get(), &recorder}, fold.get(), held,
        {.make_due = report_.state == RestoreState::kDatabaseBehind && !new_origin_, .made_anew = MadeAnew()});
    uint64_t done = 0;
    for (const RowRepair::Pass pass : {RowRepair::Pass::kCompare, RowRepair::Pass::kWrite}) {
      ASSAY_RETURN_IF_ERROR(repair.BeginPass(pass, at, absl::ToUnixMicros(clock_->Now())));
      for (const SelectedTable& table : selection_.tables) {
        ASSAY_RETURN_IF_ERROR(repair.BeginTable(std::make_shared<TableShape>(table.shape)));
        ASSAY_RETURN_IF_ERROR(ReadRows(reader, table, [&](absl::Span<const TupleValue> tuple) {
          if (++done % 10'000 == 0) Tell("compare rows", done);
          return repair.Row(tuple);
        }));
        ASSAY_RETURN_IF_ERROR(repair.EndTable());
      }
      ASSAY_RETURN_IF_ERROR(repair.EndPass());
    }
    report_.rows = repair.report();
    return NoteMended(open, at);
  }

  std::set<std::string> MadeAnew() const {
    std::set<std::string> tables;
    for (const auto& [table, unrecorded] : unrecorded_) {
      if (unrecorded.made_anew) tables.insert(table);
    }
    return tables;
  }

  absl::Status NoteMended(OpenLog& open, Lsn at) {
    LocalState& state = *open.state;
    ASSAY_RETURN_IF_ERROR(state.Write(kCapturedNote, {.position = at}));
    // Whatever became of it: its rows were compared.
    ASSAY_RETURN_IF_ERROR(state.ClearIntents());
    ASSAY_RETURN_IF_ERROR(state.Write(kBatchLandedNote, new_origin_ ? 0 : evidence_.batch_asked));
    ASSAY_RETURN_IF_ERROR(NoteServer(database_.server, database_.timeline, &state));
    ASSAY_RETURN_IF_ERROR(NoteRepair(RestoreState::kNormal, &state));
    ASSAY_RETURN_IF_ERROR(state.Write(kUnrecordedNote, {}));
    ASSAY_RETURN_IF_ERROR(state.Write(kBaselinesNote, {}));  // The slot is another one.
    std::set<std::string> names;
    for (const SelectedTable& table : selection_.tables) names.insert(table.name().ToString());
    // assayd compares them all when it runs again.
    for (const std::string& name : names) ASSAY_RETURN_IF_ERROR(state.Write(kCheckedNote, {}, name));
    ASSAY_RETURN_IF_ERROR(state.Write(kEnrolledTablesNote, names));
    return state.Write(kEnrolmentNote, EnrolmentState::kFinished);
  }

  const RepairOptions& options_;
  Hub* hub_;
  Clock* clock_;
  Random* random_;
  std::unique_ptr<Connection> admin_;
  DatabaseEvidence database_;
  std::unique_ptr<OpenLog> old_, fresh_;  // `old_` null: the log is lost.
  OriginId old_origin_;
  LogEvidence evidence_;
  Sequence hub_last_;
  std::optional<LivingChain> living_;  // Of this branch, as the hub has it.
  bool new_origin_ = false;
  bool replaces_machine_ = false;  // Another one, which may have sold what it has not sent.
  std::optional<PreviousChain> previous_;
  std::string old_name_;
  uint64_t old_number_ = 0;
  TableSelection selection_;
  UnrecordedTables unrecorded_;
  RepairReport report_;
};

}  // namespace

absl::StatusOr<RepairReport> Repair(const RepairOptions& options, Hub* hub, Clock* clock, Random* random) {
  return Repairing(options, hub, clock, random).Run();
}

std::optional<OriginId> EnrolledOrigin(const std::string& url) {
  const auto session = Connection::Open(url, {.application_name = "assay", .call_timeout = absl::Seconds(10)});
  if (!session.ok()) return std::nullopt;
  const auto progress = (*session)->Execute("SELECT origin FROM assay.progress");
  if (!progress.ok() || progress->rows() != 1 || progress->IsNull(0, "origin")) return std::nullopt;
  const absl::StatusOr<OriginId> origin = OriginId::FromHex(progress->Text(0, "origin"));
  return origin.ok() ? std::optional(*origin) : std::nullopt;
}

}  // namespace assay
