#include "engine/engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/engine_parts.h"
#include "engine/own_chain.h"
#include "log/annotate.h"

namespace assay {
namespace {

// A Step takes some milliseconds, so that commands and keepalives are not kept waiting.
constexpr size_t kItemsPerStep = 4000;
constexpr size_t kEventsPerStep = 4000;
constexpr absl::Duration kCheckpointInterval = absl::Minutes(1);
// Positions that rest on no transaction of ours are made durable, and then confirmed, no more often: an idle daemon
// leaves the disk alone.
constexpr absl::Duration kPositionInterval = absl::Seconds(10);
constexpr absl::Duration kRestAfter = absl::Seconds(20);
// Row versions that a busy time left in runs are brought into their table when there is nothing else: in portions of a
// few milliseconds, which a sale that comes meanwhile does not feel, and so seldom that a daemon with nothing else to
// do still has next to nothing to do.
constexpr absl::Duration kTidyAfter = absl::Seconds(5);
constexpr absl::Duration kTidyInterval = absl::Seconds(1);
constexpr size_t kTidyRows = 500;

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
  ASSAY_ASSIGN_OR_RETURN(p.stages, StageStore::Open(file, p.log.get()));
  absl::StatusOr<OriginId> own = OwnOrigin(*p.stages);
  if (!own.ok()) return absl::FailedPreconditionError(own.status().message());
  p.own = *own;
  p.projector = std::make_unique<Projector>(p.config, p.own, p.log.get(), p.names.get(), p.rows.get(), p.stages.get(),
                                            clock, random);
  p.recorder = std::make_unique<Recorder>(p.config, p.own, p.log.get(), p.names.get(), p.rows.get(), p.stages.get(),
                                          clock, p.projector.get());
  p.pusher = std::make_unique<Pusher>(p.config, p.own, p.log.get(), clock, random);
  p.puller = std::make_unique<Puller>(p.config, p.own, p.log.get(), clock, random);
  p.session = std::make_unique<SessionGate>(p.config, p.own, p.stages.get(), clock, random);
  ASSAY_RETURN_IF_ERROR(p.recorder->Load());
  ASSAY_RETURN_IF_ERROR(p.projector->Load());
  ASSAY_RETURN_IF_ERROR(p.session->Load());
  p.capture_link.since = clock->Now();
  p.processed = p.confirmed = p.recorder->captured().position;
  // A restart is a good time to try what is parked: the times of the next tries may be of a clock that was wrong.
  p.retry_requests.push_back(std::nullopt);
  return std::unique_ptr<Engine>(new Engine(std::move(parts)));
}

void Engine::OnCaptureStarted(DatabaseEvidence evidence) {
  parts_->capture_restarted = parts_->capture_asked = true;
  parts_->evidence = std::move(evidence);
  parts_->captured.clear();
  parts_->captured_item = 0;
  parts_->capture_link = {absl::OkStatus(), parts_->clock->Now()};
}

void Engine::OnCapture(CaptureBatch batch) {
  if (!batch.items.empty()) parts_->captured.push_back(std::move(batch));
}

void Engine::OnCaptureStopped(const absl::Status& status, absl::Time next_try, DatabaseEvidence evidence) {
  parts_->capture_asked = true;
  // What halted us goes on doing so until a server shows that it is mended.
  if (!parts_->DatabaseHalts()) parts_->restore = RestoreState::kUnverified;
  parts_->checking = false;
  if (evidence.known) parts_->evidence = std::move(evidence);
  LinkStatus& link = parts_->capture_link;
  if (link.status.code() != status.code()) link.since = parts_->clock->Now();
  link.status = status;
  link.next_try = next_try;
  ++link.failures;
}

void Engine::OnDatabaseReply(DatabaseReply reply) {
  Parts& p = *parts_;
  p.database_busy = false;
  if (std::exchange(p.database_stale, false)) {
    p.abandon = true;  // Whoever asked has been reset; locks that its read may hold are let go.
  } else {
    p.database_reply = std::move(reply);
  }
}

void Engine::OnHubReply(Lane lane, HubReply reply, absl::Duration round_trip) {
  if (lane == Lane::kHubPush) {
    parts_->push_reply = std::move(reply);
  } else {
    parts_->pull_reply = std::move(reply);
    parts_->pull_round_trip = round_trip;
  }
}

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
  database_reply.reset();
  // Its asker is gone, and a new call must wait until the lane is free.
  database_stale = database_busy;
  processed = confirmed;
  return absl::OkStatus();
}

// A clock that was years ahead and is set right would leave every next try years away.
void Engine::Parts::WatchClock() {
  const absl::Time now = clock->Now();
  const bool stepped_back = now < newest_now - absl::Seconds(1);
  newest_now = stepped_back ? now : std::max(now, newest_now);
  if (!stepped_back) return;
  session->SyncNow();
  pusher->SyncNow();
  puller->SyncNow();
  projector->RetryNow();
  checkpoint_at = position_at = absl::InfinitePast();
  retry_requests.push_back(std::nullopt);
}

absl::StatusOr<LogEvidence> Engine::Parts::ReadLogEvidence() { return assay::ReadLogEvidence(own, *log, *stages); }

absl::Status Engine::Parts::SetRestore(Judgement judgement) {
  restore = judgement.state;
  restore_cause = std::move(judgement.cause);
  if (restore != RestoreState::kNormal || server.empty()) return absl::OkStatus();
  return NoteServer(server, timeline, stages.get());
}

absl::Status Engine::Parts::JudgeEvidence() {
  const DatabaseEvidence database = *std::exchange(evidence, std::nullopt);
  ASSAY_ASSIGN_OR_RETURN(const LogEvidence known, ReadLogEvidence());
  server = database.server;
  timeline = database.timeline;
  Judgement judgement = Judge(known, database);
  checking = judgement.state == RestoreState::kUnverified;
  if (!checking) {
    ASSAY_RETURN_IF_ERROR(SetRestore(std::move(judgement)));
  } else if (!DatabaseHalts()) {  // What halts us does so until the stream has shown otherwise.
    restore = RestoreState::kUnverified;
  }
  if (!capture_link.status.ok()) {
    // No stream: whatever is not wrong is not proved either.
    checking = false;
    if (restore == RestoreState::kNormal) restore = RestoreState::kUnverified;
    return absl::OkStatus();
  }
  stream_check.Begin(known.captured);
  // Confirmed is only what this stream has brought: the server may reuse positions that we knew.
  processed = confirmed = database.known ? database.slot_confirmed : known.captured.position;
  return absl::OkStatus();
}

RestoreState Engine::Parts::Hazard() const {
  return DatabaseHalts() ? restore : !session->refusal().empty() ? RestoreState::kClone : restore;
}

bool Engine::Parts::MayProject() const {
  return restore == RestoreState::kNormal && session->refusal().empty() && (paused || session->asked());
}

bool Engine::Parts::MayAskHub() const {
  return config.has_hub &&
         (restore == RestoreState::kNormal || (restore == RestoreState::kUnverified && capture_asked &&
                                               !capture_link.status.ok() && !evidence.has_value()));
}

absl::Status Engine::Parts::KeepPosition() {
  const bool wanted = std::exchange(position_wanted, false);
  if (restore != RestoreState::kNormal || processed <= recorder->captured().position) return absl::OkStatus();
  const absl::Time now = clock->Now();
  if (!wanted && now < position_at) return absl::OkStatus();
  position_at = now + kPositionInterval;
  return recorder->MovePosition(processed);
}

absl::Status Engine::Parts::Capture() {
  for (size_t done = 0; !captured.empty();) {
    CaptureBatch& batch = captured.front();
    while (captured_item < batch.items.size()) {
      const CaptureItem& item = batch.items[captured_item];
      // What is recorded so far must be able to commit.
      if (done >= kItemsPerStep && recorder->MayCommit()) return absl::OkStatus();
      const bool ends = item.kind == CaptureItem::Kind::kCommit || item.kind == CaptureItem::Kind::kKeepalive;
      if (checking) {
        // All that is before the last captured transaction is in the log, and so is that one.
        Judgement judgement = stream_check.See(item);
        checking = judgement.state == RestoreState::kUnverified;
        if (!checking) ASSAY_RETURN_IF_ERROR(SetRestore(std::move(judgement)));
        if (restore == RestoreState::kNormal) processed = std::max(processed, item.end_lsn);
      } else if (restore == RestoreState::kNormal) {
        ASSAY_RETURN_IF_ERROR(Annotate(recorder->Record(item), "record a captured change"));
        if (ends) processed = std::max(processed, item.end_lsn);
        position_wanted |= item.wants_reply;
      }
      ++captured_item;
      ++done;
    }
    captured.pop_front();
    captured_item = 0;
  }
  return absl::OkStatus();
}

absl::Status Engine::Parts::KeepCheckpoint() {
  const ChainHead head = log->Head(own);
  if (!config.signing_key.has_value() || head.last != head.complete || head.last.value == checkpoint_size ||
      clock->Now() < checkpoint_at) {
    return absl::OkStatus();
  }
  checkpoint_at = clock->Now() + kCheckpointInterval;
  checkpoint_size = head.last.value;
  return log->SignCheckpoint(own, *config.signing_key).status();
}

absl::Status Engine::Parts::Work() {
  WatchClock();
  if (std::exchange(capture_restarted, false)) {
    if (recorder->InTransaction()) {
      ASSAY_RETURN_IF_ERROR(Reset());
      ASSAY_RETURN_IF_ERROR(file->Begin());
    }
    recorder->OnStreamRestart();
  }
  if (evidence.has_value()) ASSAY_RETURN_IF_ERROR(Annotate(JudgeEvidence(), "compare the log with the database"));
  const uint64_t events_before = recorder->counters().events;
  ASSAY_RETURN_IF_ERROR(Capture());
  if (recorder->counters().events != events_before) projector->NoteActivity();
  // A transaction of the application that is still coming in holds the log's transaction open: nothing else may join
  // it, since the stream may break off and all of it be forgotten.
  if (!recorder->MayCommit()) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(KeepPosition());

  for (const std::string& nonce : recorder->TakeFences()) projector->OnFence(nonce);
  if (database_reply.has_value()) {
    DatabaseReply reply = *std::exchange(database_reply, std::nullopt);
    if (auto* read = std::get_if<absl::StatusOr<ReadReply>>(&reply)) {
      ASSAY_RETURN_IF_ERROR(projector->OnRead(std::move(*read)));
    } else if (auto* projected = std::get_if<ProjectReply>(&reply)) {
      ASSAY_RETURN_IF_ERROR(projector->OnProjected(std::move(*projected)));
    } else if (auto* last = std::get_if<absl::StatusOr<uint64_t>>(&reply)) {
      ASSAY_RETURN_IF_ERROR(projector->OnLastBatch(*last));
    }
  }
  for (std::optional<HubReply>* reply : {&push_reply, &pull_reply}) {
    if (!reply->has_value()) continue;
    if (auto* heads = std::get_if<absl::StatusOr<HubHeads>>(&**reply)) pusher->OnHeads(*heads);
    if (auto* pushed = std::get_if<absl::StatusOr<PushReply>>(&**reply)) {
      if (absl::IsAborted(pushed->status())) session->OnLost();
      pusher->OnPushed(*pushed);
    }
    if (auto* opened = std::get_if<absl::StatusOr<SessionReply>>(&**reply)) {
      ASSAY_RETURN_IF_ERROR(session->OnReply(*opened));
    }
    if (auto* pulled = std::get_if<absl::StatusOr<PullReply>>(&**reply)) {
      if (pulled->ok()) {
        auto head = (*pulled)->heads.heads.find(own);
        pusher->OnHubHead(head == (*pulled)->heads.heads.end() ? Sequence{} : head->second.last);
      }
      puller->OnPulled(std::move(*pulled), pull_round_trip);
    }
    if (auto* heard = std::get_if<absl::StatusOr<HeartbeatReply>>(&**reply)) {
      if (absl::IsAborted(heard->status())) session->OnLost();
      puller->OnHeartbeat(*heard, pull_round_trip);
    }
    reply->reset();
  }
  for (const std::optional<TableName>& table : std::exchange(retry_requests, {})) {
    std::optional<TableId> id;
    if (table.has_value()) {
      ASSAY_ASSIGN_OR_RETURN(id, names->IdOf(*table));
    }
    ASSAY_RETURN_IF_ERROR(stages->RetryUnsettled(id).status());
  }
  if (MayAskHub() && !pusher->busy()) ASSAY_RETURN_IF_ERROR(session->Step(paused));
  if (MaySync())
    ASSAY_RETURN_IF_ERROR(
        Annotate(puller->Step(paused, !MayProject() || !projector->folding(), Report()), "append what was pulled"));
  if (puller->HasCallAhead()) return absl::OkStatus();
  projector->GiveUp(puller->GivenUp());
  projector->ExpectMore(MaySync() && puller->more());
  if (MayProject())
    ASSAY_RETURN_IF_ERROR(Annotate(projector->Step(kEventsPerStep, captured.empty() || recorder->InEcho()), "project"));
  if (MaySync()) ASSAY_RETURN_IF_ERROR(Annotate(pusher->Step(paused), "read what to push"));
  ASSAY_RETURN_IF_ERROR(Rest());
  return DatabaseHalts() ? absl::OkStatus() : KeepCheckpoint();
}

absl::Status Engine::Parts::Rest() {
  const uint64_t done = recorder->counters().events + projector->events_projected();
  const absl::Time now = clock->Now();
  const bool worked = done != std::exchange(work_done, done);
  if (worked) rest_at = now + kRestAfter;
  if (worked || database_busy || pusher->busy() || puller->more()) tidy_at = now + kTidyAfter;
  if (now >= rest_at) {
    rest_at = absl::InfiniteFuture();
    ASSAY_RETURN_IF_ERROR(rows->Rest());
    file->ReleaseMemory();
  }
  if (!Untidy() || now < tidy_at) return absl::OkStatus();
  tidy_at = now + kTidyInterval;
  if (rest_at == absl::InfiniteFuture()) file->ReleaseMemory();  // Of the portion before.
  if (rows->untidy()) ASSAY_RETURN_IF_ERROR(rows->Tidy(kTidyRows));
  return log->Repack(config.repack_events);
}

std::optional<DatabaseCall> Engine::Parts::TakeDatabaseCall(bool early) {
  const std::optional<DatabaseCall>& next = projector->call();
  if (database_busy || !MayProject() || !next.has_value()) return std::nullopt;
  // What is abandoned goes first. Locks that nobody knows of after a failure would be held for long.
  const auto* read = std::get_if<DatabaseRead>(&*next);
  const bool may_be_early = std::holds_alternative<DatabaseProject>(*next) || (read != nullptr && !read->request.lock);
  if (early && (abandon || !may_be_early)) return std::nullopt;
  database_busy = !std::holds_alternative<DatabaseAbandon>(*next);
  return projector->TakeCall();
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
  }
  if (!status.ok()) {
    p.file->Rollback();
    return status;
  }
  p.has_work = !p.captured.empty();
  if (!p.recorder->MayCommit()) return absl::OkStatus();
  p.confirmed = std::min(p.processed, p.recorder->captured().position);

  // Only what is durable is acted upon.
  if (std::exchange(p.abandon, false)) p.calls.push_back({Lane::kDatabase, DatabaseCall(DatabaseAbandon{})});
  if (std::optional<DatabaseCall> call = p.TakeDatabaseCall(/*early=*/false))
    p.calls.push_back({Lane::kDatabase, *std::move(call)});
  if (std::optional<HubCall> call = p.session->TakeCall()) p.calls.push_back({Lane::kHubPush, *std::move(call)});
  if (std::optional<HubCall> call = p.pusher->TakeCall()) {
    if (auto* push = std::get_if<HubPush>(&*call)) push->request.session = p.session->session();
    p.calls.push_back({Lane::kHubPush, *std::move(call)});
  }
  if (std::optional<HubCall> call = p.puller->TakeCall()) {
    if (auto* heartbeat = std::get_if<HubHeartbeat>(&*call)) heartbeat->report.session = p.session->session();
    p.calls.push_back({Lane::kHubPull, *std::move(call)});
  }
  p.has_work |= (p.MayProject() && p.projector->HasWork()) || (p.MaySync() && p.puller->HasWork());
  return absl::OkStatus();
}

std::vector<Call> Engine::TakeCalls() { return std::exchange(parts_->calls, {}); }

bool Engine::HasWork() const {
  const Parts& p = *parts_;
  // While a captured transaction is coming in, everything else waits for its end: nothing to do but for what capture
  // brings.
  if (!p.recorder->MayCommit()) return !p.captured.empty() || p.capture_restarted;
  return p.has_work || !p.captured.empty() || p.database_reply.has_value() || p.push_reply.has_value() ||
         p.pull_reply.has_value() || !p.retry_requests.empty() || p.capture_restarted || p.evidence.has_value();
}

absl::Time Engine::NextWake() const {
  const Parts& p = *parts_;
  if (HasWork()) return absl::InfinitePast();
  if (!p.recorder->MayCommit()) return absl::InfiniteFuture();
  absl::Time wake = p.RestAt();
  if (p.MayProject()) wake = std::min(wake, p.projector->NextWake());
  if (p.restore == RestoreState::kNormal && p.processed > p.recorder->captured().position)
    wake = std::min(wake, p.position_at);
  if (p.MaySync() && !p.paused) wake = std::min({wake, p.pusher->NextWake(), p.puller->NextWake()});
  if (p.MayAskHub() && !p.session->open() && !p.paused) wake = std::min(wake, p.session->NextWake());
  if (p.config.signing_key.has_value() && p.log->Head(p.own).last.value != p.checkpoint_size) {
    wake = std::min(wake, p.checkpoint_at);
  }
  return wake;
}

Lsn Engine::ConfirmedLsn() const { return parts_->confirmed; }
bool Engine::WantsCapture() const {
  return !parts_->DatabaseHalts() || parts_->checking || parts_->evidence.has_value();
}

}  // namespace assay
