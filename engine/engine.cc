#include "engine/engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/engine_parts.h"
#include "engine/own_chain.h"
#include "log/annotate.h"
#include "log/row_versions/row_ref.h"

namespace assay {
namespace {

// A Step takes some milliseconds, so that commands and keepalives are not kept waiting.
constexpr size_t kItemsPerStep = 4000;
constexpr size_t kEventsPerStep = 4000;
// A branch that comes back after longer, and cannot ask the hub, may have a clock that is wrong by years: its changes
// are stamped right after its last ones until the hub has told the time.
constexpr absl::Duration kUnconfirmedMax = absl::Hours(24 * 30);

}  // namespace

Engine::Engine(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Engine::~Engine() = default;

absl::StatusOr<std::unique_ptr<Engine>> Engine::Open(const EngineConfig& config, LogFile* file, Clock* clock,
                                                     Random* random) {
  auto parts = std::make_unique<Parts>(config, file, clock);
  Parts& p = *parts;
  ASSAY_ASSIGN_OR_RETURN(p.stores, OpenStores::Open(file, config.row_versions));
  const Stores stores = p.stores.stores();
  absl::StatusOr<OriginId> own = OwnOrigin(*stores.state);
  if (!own.ok()) return absl::FailedPreconditionError(own.status().message());
  p.own = *own;
  p.projector = std::make_unique<Projector>(p.config, p.own, stores, clock, random);
  p.recorder = std::make_unique<Recorder>(p.config, p.own, stores, clock, p.projector.get());
  p.late_events = std::make_unique<LateEvents>(stores, clock);
  p.remote = std::make_unique<Remote>(p.config, p.own, stores, clock, random);
  p.gate = std::make_unique<RestoreGate>(p.own, stores.log, stores.state);
  p.housekeeping = std::make_unique<Housekeeping>(p.config, p.own, file, stores.log, stores.rows, clock);
  ASSAY_RETURN_IF_ERROR(p.recorder->Load());
  ASSAY_RETURN_IF_ERROR(p.projector->Load());
  ASSAY_RETURN_IF_ERROR(p.remote->Load());
  ASSAY_ASSIGN_OR_RETURN(p.survey.enrolled, stores.state->Read(kEnrolledTablesNote));
  ASSAY_RETURN_IF_ERROR(p.LoadChecks());
  p.position.Begin(p.recorder->captured().position);
  p.NoteDurable();
  // A restart is a good time to try what is parked: the times of the next tries may be of a clock that was wrong.
  p.retry_requests.push_back(std::nullopt);
  return std::unique_ptr<Engine>(new Engine(std::move(parts)));
}

void Engine::OnCaptureStarted(DatabaseEvidence evidence) {
  parts_->TellGateOfStop();
  parts_->stream.OnStarted(parts_->clock->Now());
  parts_->gate->OnStarted(std::move(evidence));
}

void Engine::OnCapture(CaptureBatch batch) { parts_->stream.items().Add(std::move(batch)); }

void Engine::OnCaptureStopped(const absl::Status& status, absl::Time next_try, DatabaseEvidence evidence) {
  parts_->stream.OnStopped(status, parts_->clock->Now(), next_try, std::move(evidence));
  if (parts_->stream.items().empty()) parts_->TellGateOfStop();
}

void Engine::OnDatabaseReply(DatabaseReply reply) { parts_->database.OnReply(std::move(reply)); }

void Engine::OnHubReply(Lane lane, HubReply reply, absl::Duration round_trip) {
  if (lane == Lane::kHubPush) {
    parts_->remote->OnPushReply(std::move(reply));
  } else {
    parts_->remote->OnPullReply(std::move(reply), round_trip);
  }
}

void Engine::OnSurvey(absl::StatusOr<SurveyReport> report) {
  parts_->survey.status = report.status();
  if (report.ok()) parts_->survey.news = *std::move(report);
}

const std::set<std::string>& Engine::enrolled_tables() const { return parts_->survey.enrolled; }

const std::string& Engine::passed_fence() const { return parts_->checks.passed_fence; }

void Engine::OnTableChecked(std::string table, CheckedTable checked) {
  parts_->checks.news[std::move(table)] = std::move(checked);
}

void Engine::OnFound(FoundRows found) { parts_->checks.found = std::move(found); }

void Engine::OnCheckEnded(const absl::Status& status) { parts_->checks.status = status; }

void Engine::OnHubHint() { parts_->remote->OnHint(); }
void Engine::OnHintsChanged(const absl::Status& status) { parts_->remote->OnHintsChanged(status); }
void Engine::Pause() { parts_->remote->Pause(); }
void Engine::Resume() { parts_->remote->Resume(); }
void Engine::SyncNow() { parts_->remote->SyncNow(); }
void Engine::AskAboutAll() { parts_->remote->AskAboutAll(); }
void Engine::SetInterval(absl::Duration interval) { parts_->remote->SetInterval(interval); }

void Engine::RetryParked(std::optional<TableName> table) { parts_->retry_requests.push_back(std::move(table)); }
void Engine::ForgetParked(TableName table, std::optional<std::vector<std::string>> key) {
  parts_->forget_requests.emplace_back(std::move(table), std::move(key));
}

absl::Status Engine::Parts::Reset() {
  file->Rollback();
  ASSAY_RETURN_IF_ERROR(recorder->Load());
  ASSAY_RETURN_IF_ERROR(projector->Load());
  ASSAY_RETURN_IF_ERROR(remote->Load());
  database.Forget();
  position.Forget();
  return absl::OkStatus();
}

void Engine::Parts::TellGateOfStop() {
  if (std::optional<DatabaseEvidence> evidence = stream.TakeStopEvidence()) gate->OnStopped(*std::move(evidence));
}

absl::Status Engine::Parts::ForgetHalf() {
  if (recorder->InTransaction()) {
    ASSAY_RETURN_IF_ERROR(Reset());
    ASSAY_RETURN_IF_ERROR(file->Begin());
  }
  recorder->OnStreamRestart();
  return absl::OkStatus();
}

// A clock that was years ahead and is set right would leave every next try years away.
void Engine::Parts::WatchClock() {
  const absl::Time now = clock->Now();
  if (absl::AbsDuration(now - newest_now) > kCommitAheadMax) remote->ForgetOffset();
  const bool stepped_back = now < newest_now - absl::Seconds(1);
  newest_now = stepped_back ? now : std::max(now, newest_now);
  if (!stepped_back) return;
  remote->SyncNow();
  projector->RetryNow();
  housekeeping->OnClockSetBack();
  position.OnClockSetBack();
  retry_requests.push_back(std::nullopt);
}

void Engine::Parts::NoteDurable() {
  own_head = stores.log->Head(own);
  events_total = stores.log->EventCount();
}

absl::Time Engine::Parts::BelievedNow() const {
  const absl::Time now = clock->Now();
  if (remote->puller().hub_told_time()) return now + remote->puller().clock_offset();
  // Nobody has confirmed this machine's clock, and a dead battery may have made it 2099. A chain that is new has
  // nothing else to go by, and begins right after its opening.
  const absl::Time last = absl::FromUnixMillis(recorder->clock().millis());
  return config.has_hub && now - last > kUnconfirmedMax ? last : now;
}

RestoreState Engine::Parts::Hazard() const {
  const SessionGate& session = remote->session();
  if (gate->Halts() || session.refusal().empty()) return gate->state();
  switch (session.refused()) {
    case SessionGate::Refused::kSetAside:
      return RestoreState::kSetAside;
    case SessionGate::Refused::kReplaced:
      return RestoreState::kReplaced;
    default:
      return RestoreState::kClone;
  }
}

bool Engine::Parts::MayRecord() const {
  const SessionGate& session = remote->session();
  return gate->state() == RestoreState::kNormal && session.refusal().empty() && (remote->paused() || session.asked());
}

// The state of the gate comes from what capture brings.
bool Engine::Parts::HoldsCapture() const {
  return gate->state() == RestoreState::kNormal && !recorder->InTransaction() && !MayRecord();
}

std::set<OriginId> Engine::Parts::GivenUp() const {
  const Puller& puller = remote->puller();
  std::set<OriginId> given_up = puller.GivenUp();
  for (const SetAsideChain& chain : puller.set_aside()) given_up.insert(chain.origin);
  std::set<uint64_t> retired;
  for (const BranchPresence& branch : puller.branches()) {
    if (!branch.retired) continue;
    retired.insert(branch.report.number);
    given_up.insert(branch.report.origin);
  }
  for (const OriginId& origin : stores.log->Origins()) {
    if (retired.empty()) break;
    const absl::StatusOr<v1::OriginOpened> opened = stores.log->Opening(origin);
    if (opened.ok() && retired.contains(opened->branch_number())) given_up.insert(origin);
  }
  // What the hub has of them comes all the same.
  std::erase_if(given_up, [&](const OriginId& origin) {
    const auto head = puller.hub_heads().find(origin);
    return !puller.troubles().contains(origin) && head != puller.hub_heads().end() &&
           stores.log->Head(origin).last < head->second.complete;
  });
  return given_up;
}

bool Engine::Parts::MayAskHub() const {
  if (!config.has_hub) return false;
  if (gate->state() == RestoreState::kNormal) return true;
  return gate->state() == RestoreState::kUnverified && gate->asked() && !stream.running() && !gate->has_evidence();
}

absl::Status Engine::Parts::KeepPosition() {
  const bool wanted = position.TakeWanted();
  if (gate->state() != RestoreState::kNormal) return absl::OkStatus();
  if (!position.ShouldKeep(recorder->captured().position, wanted, clock->Now())) return absl::OkStatus();
  return recorder->MovePosition(position.processed());
}

absl::Status Engine::Parts::Capture() {
  CapturedItems& captured = stream.items();
  for (size_t done = 0; !captured.empty(); ++done) {
    if (HoldsCapture()) {
      stream.DropIfStopped();
      return absl::OkStatus();
    }
    // What is recorded so far must be able to commit.
    if (done >= kItemsPerStep && recorder->MayCommit()) return absl::OkStatus();
    // What is whole becomes durable before it: the rest of a half may be long in coming, or never come.
    if (done > 0 && captured.BeginsHalf()) return absl::OkStatus();
    ASSAY_RETURN_IF_ERROR(Record(captured.front()));
    captured.DropFront();
  }
  return absl::OkStatus();
}

absl::Status Engine::Parts::Record(const CaptureItem& item) {
  if (gate->checking()) {
    // All that is before the last captured transaction is in the log, and so is that one.
    ASSAY_RETURN_IF_ERROR(gate->See(item));
    if (gate->state() == RestoreState::kNormal) position.Pass(item.end_lsn);
    return absl::OkStatus();
  }
  if (gate->state() != RestoreState::kNormal) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(Annotate(recorder->Record(item), "record a captured change"));
  const bool ends = item.kind == CaptureItem::Kind::kCommit || item.kind == CaptureItem::Kind::kKeepalive;
  if (ends) position.Pass(item.end_lsn);
  if (item.wants_reply) position.Want();
  return absl::OkStatus();
}

absl::Status Engine::Parts::TakeDatabaseReply() {
  std::optional<DatabaseReply> reply = database.TakeReply();
  if (!reply.has_value()) return absl::OkStatus();
  if (auto* read = std::get_if<absl::StatusOr<ReadReply>>(&*reply)) return projector->OnRead(std::move(*read));
  if (auto* projected = std::get_if<ProjectReply>(&*reply)) return projector->OnProjected(std::move(*projected));
  return projector->OnLastBatch(std::get<absl::StatusOr<uint64_t>>(*reply));
}

absl::Status Engine::Parts::RetryParkedRows() {
  for (const std::optional<TableName>& table : std::exchange(retry_requests, {})) {
    std::optional<TableId> id;
    if (table.has_value()) {
      ASSAY_ASSIGN_OR_RETURN(id, stores.names->IdOf(*table));
    }
    ASSAY_RETURN_IF_ERROR(stores.unsettled->RetryNow(id).status());
  }
  return absl::OkStatus();
}

absl::Status Engine::Parts::ForgetParkedRows() {
  for (const auto& [table, key] : std::exchange(forget_requests, {})) {
    ASSAY_ASSIGN_OR_RETURN(const TableId id, stores.names->IdOf(table));
    const std::optional<std::string> encoded = key.has_value() ? std::optional(EncodeKey(*key)) : std::nullopt;
    ASSAY_RETURN_IF_ERROR(stores.unsettled->Forget(id, encoded, absl::ToUnixMillis(clock->Now())).status());
  }
  return absl::OkStatus();
}

// Of a database that does not belong to this log, nothing is noted.
absl::Status Engine::Parts::TakeSurvey() {
  if (gate->state() != RestoreState::kNormal || recorder->InTransaction() || !survey.news.has_value())
    return absl::OkStatus();
  SurveyReport report = *std::exchange(survey.news, std::nullopt);
  survey.problems = SurveyProblems(report.problems);
  recorder->SetKeyClasses(std::move(report.key_classes));
  return recorder->OnSurvey(report.missed, std::move(report.identities));
}

absl::Status Engine::Parts::LoadChecks() {
  for (const std::string& table : survey.enrolled) {
    ASSAY_ASSIGN_OR_RETURN(checks.tables[table], stores.state->Read(kCheckedNote, table));
  }
  checks.published = std::make_shared<const CheckedTables>(checks.tables);
  return absl::OkStatus();
}

absl::Status Engine::Parts::TakeChecks() {
  if (checks.news.empty()) return absl::OkStatus();
  for (auto& [table, checked] : std::exchange(checks.news, {})) {
    ASSAY_RETURN_IF_ERROR(stores.state->Write(kCheckedNote, checked, table));
    checks.tables[table] = std::move(checked);
  }
  checks.published = std::make_shared<const CheckedTables>(checks.tables);
  return absl::OkStatus();
}

absl::Status Engine::Parts::TakeFound() {
  if (!checks.found.has_value() || recorder->InTransaction() || !MayRecord()) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(const size_t recorded,
                         FoundRecorder(stores.stores(), recorder.get(), clock).Record(*checks.found));
  checks.found.reset();
  if (recorded > 0) projector->NoteActivity();
  return absl::OkStatus();
}

void Engine::Parts::PassFences() {
  for (const std::string& nonce : recorder->TakeFences()) {
    if (absl::StartsWith(nonce, kSentinelFence)) checks.fence = nonce;
    projector->OnFence(nonce);
  }
  if (!checks.found.has_value()) checks.passed_fence = checks.fence;
}

// Up to the pull: the push reads what is there when everything else has been done.
absl::Status Engine::Parts::StepHub() {
  ASSAY_RETURN_IF_ERROR(remote->KeepPause());
  ASSAY_RETURN_IF_ERROR(remote->TakeReplies());
  if (MayAskHub()) ASSAY_RETURN_IF_ERROR(remote->StepSession());
  if (!MayPull()) return absl::OkStatus();
  const bool may_append = !MayRecord() || !projector->folding();
  ASSAY_RETURN_IF_ERROR(Annotate(remote->StepPull(may_append, Report()), "append what was pulled"));
  for (const ChainIntake::Unmasked& unmasked : remote->TakeUnmasked()) {
    ASSAY_RETURN_IF_ERROR(
        Annotate(late_events->Merge(unmasked.origin, unmasked.events), "merge what was granted later"));
    projector->NoteActivity();
  }
  return absl::OkStatus();
}

absl::Status Engine::Parts::Work() {
  WatchClock();
  if (stream.TakeRestarted()) ASSAY_RETURN_IF_ERROR(ForgetHalf());
  if (gate->has_evidence()) {
    absl::StatusOr<std::optional<Lsn>> from = gate->Judge(stream.running());
    if (!from.ok()) return Annotate(from.status(), "compare the log with the database");
    // Confirmed is only what this stream has brought.
    if (from->has_value()) position.Begin(**from);
  }
  recorder->SetNow(BelievedNow());
  const uint64_t events_before = recorder->events();
  ASSAY_RETURN_IF_ERROR(Capture());
  // What has come in whole is kept. The rest of a half comes with the next stream, and PostgreSQL may be away for
  // hours: the hub does not wait for it.
  if (stream.TakeStopped()) {
    TellGateOfStop();
    ASSAY_RETURN_IF_ERROR(ForgetHalf());
  }
  if (recorder->events() != events_before) projector->NoteActivity();
  // A transaction of the application that is still coming in holds the log's transaction open: nothing else may join
  // it, since the stream may break off and all of it be forgotten.
  if (!recorder->MayCommit()) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(KeepPosition());
  ASSAY_RETURN_IF_ERROR(TakeSurvey());
  ASSAY_RETURN_IF_ERROR(TakeChecks());
  ASSAY_RETURN_IF_ERROR(Annotate(TakeFound(), "record what a comparison found"));
  PassFences();
  ASSAY_RETURN_IF_ERROR(TakeDatabaseReply());
  ASSAY_RETURN_IF_ERROR(RetryParkedRows());
  ASSAY_RETURN_IF_ERROR(ForgetParkedRows());
  ASSAY_RETURN_IF_ERROR(StepHub());
  const Puller& puller = remote->puller();
  if (puller.HasCallAhead()) return absl::OkStatus();
  projector->GiveUp(GivenUp());
  projector->ExpectMore(MayPull() && puller.more());
  if (MayRecord()) {
    const bool idle = stream.items().empty() || recorder->InEcho();
    ASSAY_RETURN_IF_ERROR(Annotate(projector->Step(kEventsPerStep, idle), "project"));
  }
  if (MaySync()) ASSAY_RETURN_IF_ERROR(Annotate(remote->StepPush(), "read what to push"));
  ASSAY_RETURN_IF_ERROR(housekeeping->Rest(recorder->events() + projector->events_projected(),
                                           database.busy() || remote->pusher().busy() || puller.more()));
  return gate->Halts() ? absl::OkStatus() : housekeeping->KeepCheckpoint();
}

std::optional<DatabaseCall> Engine::Parts::TakeDatabaseCall(bool early) {
  const std::optional<DatabaseCall>& next = projector->call();
  if (!MayRecord() || !next.has_value() || !database.May(*next, early)) return std::nullopt;
  database.Begin(*next);
  return projector->TakeCall();
}

void Engine::Parts::TakeDueCalls() {
  if (database.TakeAbandon()) calls.push_back({Lane::kDatabase, DatabaseCall(DatabaseAbandon{})});
  if (std::optional<DatabaseCall> call = TakeDatabaseCall(/*early=*/false)) {
    calls.push_back({Lane::kDatabase, *std::move(call)});
  }
  while (std::optional<HubCall> call = remote->TakePushCall()) calls.push_back({Lane::kHubPush, *std::move(call)});
  if (std::optional<HubCall> call = remote->TakePullCall()) calls.push_back({Lane::kHubPull, *std::move(call)});
}

absl::Status Engine::Step(const std::function<void(Call)>& begin) {
  Parts& p = *parts_;
  absl::Status status = absl::OkStatus();
  if (!p.file->InTransaction()) status = p.file->Begin();
  if (status.ok()) status = p.Work();
  if (status.ok() && p.recorder->MayCommit()) {
    if (begin != nullptr) {
      if (std::optional<DatabaseCall> call = p.TakeDatabaseCall(/*early=*/true))
        begin({Lane::kDatabase, *std::move(call)});
    }
    status = p.file->Commit();
    if (status.ok()) p.NoteDurable();
  }
  if (!status.ok()) {
    p.file->Rollback();
    return status;
  }
  p.has_work = p.HasCaptured();
  if (!p.recorder->MayCommit()) return absl::OkStatus();
  p.position.NoteDurable(p.recorder->captured().position);

  p.TakeDueCalls();
  p.has_work |= (p.MayRecord() && p.projector->HasWork()) || (p.MayPull() && p.remote->puller().HasWork());
  return absl::OkStatus();
}

std::vector<Call> Engine::TakeCalls() { return std::exchange(parts_->calls, {}); }

bool Engine::HasWork() const {
  const Parts& p = *parts_;
  // While a captured transaction is coming in, everything else waits for its end: nothing to do but for what capture
  // brings.
  const bool captured = p.HasCaptured() || p.stream.HasTurned();
  if (!p.recorder->MayCommit()) return captured;
  return captured || p.has_work || p.database.has_reply() || p.remote->HasReply() || !p.retry_requests.empty() ||
         !p.forget_requests.empty() || p.gate->has_evidence();
}

absl::Time Engine::NextWake() const {
  const Parts& p = *parts_;
  if (HasWork()) return absl::InfinitePast();
  if (!p.recorder->MayCommit()) return absl::InfiniteFuture();
  absl::Time wake = p.housekeeping->NextWake();
  if (p.MayRecord()) wake = std::min(wake, p.projector->NextWake());
  if (p.gate->state() == RestoreState::kNormal)
    wake = std::min(wake, p.position.NextWake(p.recorder->captured().position));
  if (p.MayAskHub()) wake = std::min(wake, p.remote->NextWake());
  return wake;
}

Lsn Engine::ConfirmedLsn() const { return parts_->position.confirmed(); }
bool Engine::HoldsCapture() const { return parts_->HoldsCapture(); }
bool Engine::WantsCapture() const {
  const RestoreGate& gate = *parts_->gate;
  if (gate.checking() || gate.has_evidence()) return true;
  return !gate.Halts() && parts_->remote->session().refusal().empty();
}

}  // namespace assay
