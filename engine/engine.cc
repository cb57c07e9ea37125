#include "engine/engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/engine_parts.h"
#include "engine/own_chain.h"
#include "log/annotate.h"
#include "log/local_state/stores.h"

namespace assay {
namespace {

// A Step takes some milliseconds, so that commands and keepalives are not kept waiting.
constexpr size_t kItemsPerStep = 4000;
constexpr size_t kEventsPerStep = 4000;
// Positions that rest on no transaction of ours are made durable, and then confirmed, no more often: an idle daemon
// leaves the disk alone.
constexpr absl::Duration kPositionInterval = absl::Seconds(10);
// A branch that comes back after longer, and cannot ask the hub, may have a clock that is wrong by years: its changes
// are stamped right after its last ones until the hub has told the time.
constexpr absl::Duration kUnconfirmedMax = absl::Hours(24 * 30);

}  // namespace

Engine::Engine(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Engine::~Engine() = default;

absl::StatusOr<std::unique_ptr<Engine>> Engine::Open(const EngineConfig& config, LogFile* file, Clock* clock,
                                                     Random* random) {
  auto parts = std::make_unique<Parts>();
  Parts& p = *parts;
  p.config = config;
  p.file = file;
  p.clock = clock;
  ASSAY_ASSIGN_OR_RETURN(p.log, EventLog::Open(file));
  ASSAY_ASSIGN_OR_RETURN(p.names, TableNames::Open(file, p.log.get()));
  ASSAY_ASSIGN_OR_RETURN(p.rows, RowVersionStore::Open(file, p.log.get(), config.row_versions));
  ASSAY_ASSIGN_OR_RETURN(p.state, LocalState::Open(file, p.log.get()));
  ASSAY_ASSIGN_OR_RETURN(p.unsettled, UnsettledRows::Open(file, p.log.get()));
  ASSAY_ASSIGN_OR_RETURN(p.conflicts, Conflicts::Open(file, p.log.get()));
  absl::StatusOr<OriginId> own = OwnOrigin(*p.state);
  if (!own.ok()) return absl::FailedPreconditionError(own.status().message());
  p.own = *own;
  const Stores stores{p.log.get(), p.names.get(), p.rows.get(), p.state.get(), p.unsettled.get(), p.conflicts.get()};
  p.projector = std::make_unique<Projector>(p.config, p.own, stores, clock, random);
  p.recorder = std::make_unique<Recorder>(p.config, p.own, stores, clock, p.projector.get());
  p.pusher = std::make_unique<Pusher>(p.config, p.own, p.log.get(), clock, random);
  p.puller = std::make_unique<Puller>(p.config, p.own, p.log.get(), clock, random);
  p.puller->UnmaskUpTo([state = p.state.get()](const OriginId& origin) { return state->Projected(origin); });
  p.late_events = std::make_unique<LateEvents>(stores, clock);
  p.session = std::make_unique<SessionGate>(p.config, p.own, p.state.get(), clock, random);
  p.gate = std::make_unique<RestoreGate>(p.own, p.log.get(), p.state.get());
  p.housekeeping = std::make_unique<Housekeeping>(p.config, p.own, file, p.log.get(), p.rows.get(), clock);
  ASSAY_RETURN_IF_ERROR(p.recorder->Load());
  ASSAY_RETURN_IF_ERROR(p.projector->Load());
  ASSAY_RETURN_IF_ERROR(p.session->Load());
  p.capture_link.status = absl::UnavailableError("capture has not started yet");
  p.capture_link.since = clock->Now();
  ASSAY_ASSIGN_OR_RETURN(p.paused, p.state->Read(kPausedNote));
  p.paused_noted = p.paused;
  ASSAY_ASSIGN_OR_RETURN(p.enrolled_tables, p.state->Read(kEnrolledTablesNote));
  p.processed = p.confirmed = p.recorder->captured().position;
  p.NoteDurable();
  // A restart is a good time to try what is parked: the times of the next tries may be of a clock that was wrong.
  p.retry_requests.push_back(std::nullopt);
  return std::unique_ptr<Engine>(new Engine(std::move(parts)));
}

void Engine::OnCaptureStarted(DatabaseEvidence evidence) {
  parts_->TellGateOfStop();
  parts_->capture_restarted = true;
  parts_->capture_stopped = false;
  parts_->captured.Clear();
  parts_->gate->OnStarted(std::move(evidence));
  parts_->capture_link.Succeed(parts_->clock->Now());
}

void Engine::OnCapture(CaptureBatch batch) { parts_->captured.Add(std::move(batch)); }

void Engine::OnCaptureStopped(const absl::Status& status, absl::Time next_try, DatabaseEvidence evidence) {
  parts_->capture_stopped = true;
  parts_->stop_evidence = std::move(evidence);
  if (parts_->captured.empty()) parts_->TellGateOfStop();
  parts_->capture_link.FailUntil(status, parts_->clock->Now(), next_try);
}

void Engine::OnDatabaseReply(DatabaseReply reply) { parts_->database.OnReply(std::move(reply)); }

void Engine::OnHubReply(Lane lane, HubReply reply, absl::Duration round_trip) {
  if (lane == Lane::kHubPush) {
    parts_->push_reply = std::move(reply);
  } else {
    parts_->pull_reply = std::move(reply);
    parts_->pull_round_trip = round_trip;
  }
}

void Engine::OnSurvey(absl::StatusOr<SurveyReport> report) {
  parts_->survey_status = report.status();
  if (report.ok()) parts_->survey_news = *std::move(report);
}

const std::set<std::string>& Engine::enrolled_tables() const { return parts_->enrolled_tables; }

void Engine::OnHubHint() { parts_->puller->OnHint(); }
void Engine::OnHintsChanged(const absl::Status& status) {
  const bool worked = parts_->hints.ok();
  parts_->hints = status;
  parts_->hints_told = true;
  if (worked && !status.ok()) parts_->puller->OnHintsLost();
  if (!worked && status.ok()) parts_->puller->OnHint();  // Some may have been missed meanwhile.
}
void Engine::Pause() { parts_->paused = true; }
void Engine::SetInterval(absl::Duration interval) { parts_->puller->SetInterval(interval); }

void Engine::Resume() {
  parts_->paused = false;
  SyncNow();
}

void Engine::SyncNow() {
  parts_->session->SyncNow();
  parts_->pusher->SyncNow();
  parts_->puller->SyncNow();
}

void Engine::RetryParked(std::optional<TableName> table) { parts_->retry_requests.push_back(std::move(table)); }

absl::Status Engine::Parts::Reset() {
  file->Rollback();
  ASSAY_RETURN_IF_ERROR(recorder->Load());
  ASSAY_RETURN_IF_ERROR(projector->Load());
  ASSAY_RETURN_IF_ERROR(session->Load());
  ASSAY_ASSIGN_OR_RETURN(paused_noted, state->Read(kPausedNote));
  database.Forget();
  processed = confirmed;
  return absl::OkStatus();
}

void Engine::Parts::TellGateOfStop() {
  if (stop_evidence.has_value()) gate->OnStopped(*std::exchange(stop_evidence, std::nullopt));
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
  if (absl::AbsDuration(now - newest_now) > kCommitAheadMax) puller->ForgetOffset();
  const bool stepped_back = now < newest_now - absl::Seconds(1);
  newest_now = stepped_back ? now : std::max(now, newest_now);
  if (!stepped_back) return;
  session->SyncNow();
  pusher->SyncNow();
  puller->SyncNow();
  projector->RetryNow();
  housekeeping->OnClockSetBack();
  position_at = absl::InfinitePast();
  retry_requests.push_back(std::nullopt);
}

void Engine::Parts::NoteDurable() {
  own_head = log->Head(own);
  events_total = log->EventCount();
}

absl::Time Engine::Parts::BelievedNow() const {
  const absl::Time now = clock->Now();
  if (puller->hub_told_time()) return now + puller->clock_offset();
  // Nobody has confirmed this machine's clock, and a dead battery may have made it 2099. A chain that is new has
  // nothing else to go by, and begins right after its opening.
  const absl::Time last = absl::FromUnixMillis(recorder->clock().millis());
  return config.has_hub && now - last > kUnconfirmedMax ? last : now;
}

RestoreState Engine::Parts::Hazard() const {
  return gate->Halts() || session->refusal().empty() ? gate->state() : RestoreState::kClone;
}

bool Engine::Parts::MayProject() const {
  return gate->state() == RestoreState::kNormal && session->refusal().empty() && (paused || session->asked());
}

bool Engine::Parts::MayAskHub() const {
  if (!config.has_hub) return false;
  if (gate->state() == RestoreState::kNormal) return true;
  return gate->state() == RestoreState::kUnverified && gate->asked() && !capture_link.status.ok() &&
         !gate->has_evidence();
}

absl::Status Engine::Parts::KeepPosition() {
  const bool wanted = std::exchange(position_wanted, false);
  if (gate->state() != RestoreState::kNormal || processed <= recorder->captured().position) return absl::OkStatus();
  const absl::Time now = clock->Now();
  if (!wanted && now < position_at) return absl::OkStatus();
  position_at = now + kPositionInterval;
  return recorder->MovePosition(processed);
}

absl::Status Engine::Parts::Capture() {
  for (size_t done = 0; !captured.empty(); ++done) {
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
    if (gate->state() == RestoreState::kNormal) processed = std::max(processed, item.end_lsn);
    return absl::OkStatus();
  }
  if (gate->state() != RestoreState::kNormal) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(Annotate(recorder->Record(item), "record a captured change"));
  const bool ends = item.kind == CaptureItem::Kind::kCommit || item.kind == CaptureItem::Kind::kKeepalive;
  if (ends) processed = std::max(processed, item.end_lsn);
  position_wanted |= item.wants_reply;
  return absl::OkStatus();
}

absl::Status Engine::Parts::TakeDatabaseReply() {
  std::optional<DatabaseReply> reply = database.TakeReply();
  if (!reply.has_value()) return absl::OkStatus();
  if (auto* read = std::get_if<absl::StatusOr<ReadReply>>(&*reply)) return projector->OnRead(std::move(*read));
  if (auto* projected = std::get_if<ProjectReply>(&*reply)) return projector->OnProjected(std::move(*projected));
  return projector->OnLastBatch(std::get<absl::StatusOr<uint64_t>>(*reply));
}

absl::Status Engine::Parts::TakeHubReply(HubReply reply) {
  if (auto* heads = std::get_if<absl::StatusOr<HubHeads>>(&reply)) {
    pusher->OnHeads(*heads);
  } else if (auto* pushed = std::get_if<absl::StatusOr<PushReply>>(&reply)) {
    if (absl::IsAborted(pushed->status())) session->OnLost();
    pusher->OnPushed(*pushed);
  } else if (auto* opened = std::get_if<absl::StatusOr<SessionReply>>(&reply)) {
    return session->OnReply(*opened);
  } else if (auto* pulled = std::get_if<absl::StatusOr<PullReply>>(&reply)) {
    if (pulled->ok()) {
      const auto head = (*pulled)->heads.heads.find(own);
      pusher->OnHubHead(head == (*pulled)->heads.heads.end() ? Sequence{} : head->second.last);
    }
    puller->OnPulled(std::move(*pulled), pull_round_trip);
  } else if (auto* heard = std::get_if<absl::StatusOr<HeartbeatReply>>(&reply)) {
    if (absl::IsAborted(heard->status())) session->OnLost();
    puller->OnHeartbeat(*heard, pull_round_trip);
  }
  return absl::OkStatus();
}

absl::Status Engine::Parts::RetryParkedRows() {
  for (const std::optional<TableName>& table : std::exchange(retry_requests, {})) {
    std::optional<TableId> id;
    if (table.has_value()) {
      ASSAY_ASSIGN_OR_RETURN(id, names->IdOf(*table));
    }
    ASSAY_RETURN_IF_ERROR(unsettled->RetryNow(id).status());
  }
  return absl::OkStatus();
}

// Of a database that does not belong to this log, nothing is noted.
absl::Status Engine::Parts::TakeSurvey() {
  if (gate->state() != RestoreState::kNormal || recorder->InTransaction() || !survey_news.has_value())
    return absl::OkStatus();
  SurveyReport report = *std::exchange(survey_news, std::nullopt);
  survey_problems = SurveyProblems(report.problems);
  return recorder->OnSurvey(report.missed, std::move(report.identities));
}

// Up to the pull: the push reads what is there when everything else has been done.
absl::Status Engine::Parts::StepHub() {
  for (std::optional<HubReply>* reply : {&push_reply, &pull_reply}) {
    if (!reply->has_value()) continue;
    ASSAY_RETURN_IF_ERROR(TakeHubReply(*std::exchange(*reply, std::nullopt)));
  }
  if (MayAskHub() && !pusher->busy()) ASSAY_RETURN_IF_ERROR(session->Step(paused));
  if (!MayPull()) return absl::OkStatus();
  const bool may_append = !MayProject() || !projector->folding();
  ASSAY_RETURN_IF_ERROR(
      Annotate(puller->Step(paused, may_append, session->open(), Report()), "append what was pulled"));
  for (const ChainIntake::Unmasked& unmasked : puller->TakeUnmasked()) {
    ASSAY_RETURN_IF_ERROR(
        Annotate(late_events->Merge(unmasked.origin, unmasked.events), "merge what was granted later"));
    projector->NoteActivity();
  }
  return absl::OkStatus();
}

absl::Status Engine::Parts::Work() {
  WatchClock();
  if (std::exchange(capture_restarted, false)) ASSAY_RETURN_IF_ERROR(ForgetHalf());
  if (gate->has_evidence()) {
    absl::StatusOr<std::optional<Lsn>> from = gate->Judge(capture_link.status.ok());
    if (!from.ok()) return Annotate(from.status(), "compare the log with the database");
    // Confirmed is only what this stream has brought.
    if (from->has_value()) processed = confirmed = **from;
  }
  recorder->SetNow(BelievedNow());
  const uint64_t events_before = recorder->events();
  ASSAY_RETURN_IF_ERROR(Capture());
  // What has come in whole is kept. The rest of a half comes with the next stream, and PostgreSQL may be away for
  // hours: the hub does not wait for it.
  if (capture_stopped && captured.empty()) {
    capture_stopped = false;
    TellGateOfStop();
    ASSAY_RETURN_IF_ERROR(ForgetHalf());
  }
  if (recorder->events() != events_before) projector->NoteActivity();
  // A transaction of the application that is still coming in holds the log's transaction open: nothing else may join
  // it, since the stream may break off and all of it be forgotten.
  if (!recorder->MayCommit()) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(KeepPosition());
  ASSAY_RETURN_IF_ERROR(TakeSurvey());
  if (paused != std::exchange(paused_noted, paused)) ASSAY_RETURN_IF_ERROR(state->Write(kPausedNote, paused));

  for (const std::string& nonce : recorder->TakeFences()) projector->OnFence(nonce);
  ASSAY_RETURN_IF_ERROR(TakeDatabaseReply());
  ASSAY_RETURN_IF_ERROR(RetryParkedRows());
  ASSAY_RETURN_IF_ERROR(StepHub());
  if (puller->HasCallAhead()) return absl::OkStatus();
  projector->GiveUp(puller->GivenUp());
  projector->ExpectMore(MayPull() && puller->more());
  if (MayProject()) {
    const bool idle = captured.empty() || recorder->InEcho();
    ASSAY_RETURN_IF_ERROR(Annotate(projector->Step(kEventsPerStep, idle), "project"));
  }
  if (MaySync()) ASSAY_RETURN_IF_ERROR(Annotate(pusher->Step(paused), "read what to push"));
  ASSAY_RETURN_IF_ERROR(housekeeping->Rest(recorder->events() + projector->events_projected(),
                                           database.busy() || pusher->busy() || puller->more()));
  return gate->Halts() ? absl::OkStatus() : housekeeping->KeepCheckpoint();
}

std::optional<DatabaseCall> Engine::Parts::TakeDatabaseCall(bool early) {
  const std::optional<DatabaseCall>& next = projector->call();
  if (!MayProject() || !next.has_value() || !database.May(*next, early)) return std::nullopt;
  database.Begin(*next);
  return projector->TakeCall();
}

void Engine::Parts::TakeDueCalls() {
  if (database.TakeAbandon()) calls.push_back({Lane::kDatabase, DatabaseCall(DatabaseAbandon{})});
  if (std::optional<DatabaseCall> call = TakeDatabaseCall(/*early=*/false)) {
    calls.push_back({Lane::kDatabase, *std::move(call)});
  }
  if (std::optional<HubCall> call = session->TakeCall()) calls.push_back({Lane::kHubPush, *std::move(call)});
  if (std::optional<HubCall> call = pusher->TakeCall()) {
    if (auto* push = std::get_if<HubPush>(&*call)) push->request.session = session->session();
    calls.push_back({Lane::kHubPush, *std::move(call)});
  }
  if (std::optional<HubCall> call = puller->TakeCall()) {
    if (auto* heartbeat = std::get_if<HubHeartbeat>(&*call)) heartbeat->report.session = session->session();
    calls.push_back({Lane::kHubPull, *std::move(call)});
  }
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
  p.has_work = !p.captured.empty();
  if (!p.recorder->MayCommit()) return absl::OkStatus();
  p.confirmed = std::min(p.processed, p.recorder->captured().position);

  p.TakeDueCalls();
  p.has_work |= (p.MayProject() && p.projector->HasWork()) || (p.MayPull() && p.puller->HasWork());
  return absl::OkStatus();
}

std::vector<Call> Engine::TakeCalls() { return std::exchange(parts_->calls, {}); }

bool Engine::HasWork() const {
  const Parts& p = *parts_;
  // While a captured transaction is coming in, everything else waits for its end: nothing to do but for what capture
  // brings.
  if (!p.recorder->MayCommit()) return !p.captured.empty() || p.capture_restarted || p.capture_stopped;
  return p.has_work || !p.captured.empty() || p.database.has_reply() || p.push_reply.has_value() ||
         p.pull_reply.has_value() || !p.retry_requests.empty() || p.capture_restarted || p.capture_stopped ||
         p.gate->has_evidence();
}

absl::Time Engine::NextWake() const {
  const Parts& p = *parts_;
  if (HasWork()) return absl::InfinitePast();
  if (!p.recorder->MayCommit()) return absl::InfiniteFuture();
  absl::Time wake = p.housekeeping->NextWake();
  if (p.MayProject()) wake = std::min(wake, p.projector->NextWake());
  if (p.gate->state() == RestoreState::kNormal && p.processed > p.recorder->captured().position)
    wake = std::min(wake, p.position_at);
  if (p.MaySync() && !p.paused) wake = std::min(wake, p.pusher->NextWake());
  if (p.MayPull() && !p.paused) wake = std::min(wake, p.puller->NextWake());
  if (p.MayAskHub() && !p.session->open() && !p.paused) wake = std::min(wake, p.session->NextWake());
  return wake;
}

Lsn Engine::ConfirmedLsn() const { return parts_->confirmed; }
bool Engine::WantsCapture() const {
  const RestoreGate& gate = *parts_->gate;
  return !gate.Halts() || gate.checking() || gate.has_evidence();
}

}  // namespace assay
