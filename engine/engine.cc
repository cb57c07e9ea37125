#include "engine/engine.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/projector.h"
#include "engine/puller.h"
#include "engine/pusher.h"
#include "engine/recorder.h"
#include "engine/restore_check.h"
#include "engine/session_gate.h"
#include "log/annotate.h"
#include "log/row_versions.h"
#include "log/table_names.h"

namespace assay {
namespace {

constexpr absl::string_view kOwnOrigin = "own_origin";
// A Step takes some milliseconds, so that commands and keepalives are not kept waiting.
constexpr size_t kItemsPerStep = 4000;
constexpr size_t kEventsPerStep = 4000;
constexpr uint32_t kFormatVersion = 1;
constexpr absl::Duration kCheckpointInterval = absl::Minutes(1);
// Positions that rest on no transaction of ours are made durable, and then confirmed, no more often: an idle daemon leaves the disk alone.
constexpr absl::Duration kPositionInterval = absl::Seconds(10);

}  // namespace

absl::StatusOr<OriginId> OwnOrigin(StageStore& stages) {
  ASSAY_ASSIGN_OR_RETURN(const std::optional<std::string> bytes, stages.Get(kOwnOrigin));
  if (!bytes.has_value()) return absl::NotFoundError("this log has no chain of its own yet; run `assay init`");
  return OriginId::FromBytes(*bytes);
}

absl::StatusOr<OriginId> OpenBranchLog(const EngineConfig& config, LogFile* file, Clock*, Random* random,
                                       const std::optional<PreviousChain>& previous) {
  ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<EventLog> log, EventLog::Open(file));
  ASSAY_ASSIGN_OR_RETURN(std::unique_ptr<StageStore> stages, StageStore::Open(file, log.get()));
  if (absl::StatusOr<OriginId> own = OwnOrigin(*stages); own.ok()) {
    return absl::AlreadyExistsError(absl::StrCat("this log already has a chain of its own, ", own->Hex()));
  }
  OriginId own;
  for (size_t i = 0; i < own.bytes.size(); i += 8) {
    const uint64_t random_bits = random->Next();
    for (size_t j = 0; j < 8; ++j) own.bytes[i + j] = static_cast<uint8_t>(random_bits >> (8 * j));
  }
  v1::Event event;
  event.set_origin(own.bytes.data(), own.bytes.size());
  event.set_sequence(1);
  // The lowest stamp: the opening competes with nothing, and rows found to be outdated at a join are stamped right after it.
  event.set_stamp(1);
  event.set_transaction_first(1);
  event.set_ends_transaction(true);
  event.mutable_transaction();
  v1::OriginOpened* opened = event.mutable_origin_opened();
  opened->set_branch_name(config.branch_name);
  opened->set_branch_number(config.branch_number);
  if (config.signing_key.has_value()) opened->set_public_key(config.signing_key->public_key());
  opened->set_epoch(previous.has_value() ? previous->epoch + 1 : 1);
  if (previous.has_value()) {
    opened->set_previous_origin(previous->origin.bytes.data(), previous->origin.bytes.size());
    opened->set_previous_sequence(previous->sequence.value);
    if (previous->root.has_value()) opened->set_previous_root(previous->root->data(), previous->root->size());
  }
  opened->set_format_version(kFormatVersion);
  ASSAY_RETURN_IF_ERROR(file->Begin());
  ASSAY_RETURN_IF_ERROR(log->Append(event, "", event.SerializeAsString()));
  ASSAY_RETURN_IF_ERROR(stages->Set(kOwnOrigin, own.AsBytes()));
  ASSAY_RETURN_IF_ERROR(file->Commit());
  return own;
}

absl::Status CheckBranchLog(EventLog& log, StageStore& stages, absl::string_view name, uint64_t number) {
  ASSAY_ASSIGN_OR_RETURN(const OriginId own, OwnOrigin(stages));
  ASSAY_ASSIGN_OR_RETURN(const v1::OriginOpened opened, log.Opening(own));
  if (opened.branch_name() == name && opened.branch_number() == number) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("is that of branch ", opened.branch_name(), " (number ", opened.branch_number(), "), and the config says ",
                   name, " (number ", number,
                   "): set branch.name, branch.number and branch.state_dir as they were when assay init ran"));
}

struct Engine::Parts {
  EngineConfig config;
  LogFile* file = nullptr;
  Clock* clock = nullptr;
  OriginId own;
  std::unique_ptr<EventLog> log;
  std::unique_ptr<TableNames> names;
  std::unique_ptr<RowVersionStore> rows;
  std::unique_ptr<StageStore> stages;
  std::unique_ptr<Projector> projector;
  std::unique_ptr<Recorder> recorder;
  std::unique_ptr<Pusher> pusher;
  std::unique_ptr<Puller> puller;
  std::unique_ptr<SessionGate> session;

  // Inputs not worked on yet.
  std::deque<CaptureBatch> captured;
  size_t captured_item = 0;  // Of the first batch: the next item.
  bool capture_restarted = false;
  std::optional<DatabaseEvidence> evidence;  // Not judged yet.
  bool capture_asked = false;                // The database could be reached, or was found not to be.

  // Do database and log belong together? kNormal, kUnverified, or what halts us.
  RestoreState restore = RestoreState::kUnverified;
  std::string restore_cause;
  std::string server;  // DatabaseEvidence::server, of the evidence judged last.
  uint32_t timeline = 0;
  StreamCheck stream_check;
  bool checking = false;  // The stream has to show the last captured transaction first.

  // The database lane: a call whose asker is gone (after a rollback) is waited for and its answer dropped.
  bool database_busy = false;
  bool database_stale = false;
  bool abandon = false;
  std::optional<DatabaseReply> database_reply;
  std::optional<HubReply> push_reply, pull_reply;
  absl::Duration pull_round_trip;

  std::vector<std::optional<TableName>> retry_requests;

  Lsn processed;  // End of the last transaction or keepalive worked on, in this stream.
  Lsn confirmed;
  bool position_wanted = false;  // The server waits for it.
  absl::Time position_at = absl::InfinitePast();
  bool paused = false;
  bool has_work = true;
  std::vector<Call> calls;
  LinkStatus capture_link{absl::UnavailableError("capture has not started yet")};
  absl::Status hints = absl::UnavailableError("not listening yet");
  bool hints_told = false;
  absl::Time checkpoint_at = absl::InfinitePast();
  uint64_t checkpoint_size = 0;

  absl::Time newest_now = absl::InfinitePast();  // The clock's newest time in this process.

  absl::Status Reset();
  void WatchClock();
  absl::Status JudgeEvidence();
  absl::Status SetRestore(Judgement judgement);
  absl::StatusOr<LogEvidence> ReadLogEvidence();
  absl::Status Capture();
  absl::Status KeepPosition();
  // What is wrong between database, log and hub; kNormal and kUnverified halt nothing.
  RestoreState Hazard() const;
  bool DatabaseHalts() const { return restore != RestoreState::kNormal && restore != RestoreState::kUnverified; }
  bool MayProject() const;
  // A database that cannot be reached tells nothing against what the log has.
  bool MayAskHub() const;
  bool MaySync() const { return MayAskHub() && session->open(); }
  absl::Status Work();
  absl::Status KeepCheckpoint();
  BranchReport Report() const;
  std::string State() const;
  // For people: the branch, if its opening is here, and the origin.
  std::string NameOf(const OriginId& origin) const;
  std::vector<std::string> Problems() const;
};

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
  ASSAY_ASSIGN_OR_RETURN(p.rows, RowVersionStore::Open(file, p.log.get()));
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

void Engine::RetryParked(std::optional<TableName> table) {
  parts_->retry_requests.push_back(std::move(table));
}

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
  return config.has_hub && (restore == RestoreState::kNormal || (restore == RestoreState::kUnverified && capture_asked &&
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
      // Between transactions only: what is recorded so far must be able to commit.
      if (done >= kItemsPerStep && !recorder->InTransaction()) return absl::OkStatus();
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
  return log->KeepCheckpoint(own, SignCheckpoint({own, head.last.value, log->Root(own)}, *config.signing_key));
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
  // A transaction of the application that is still coming in holds the log's transaction open: nothing else may join it, since
  // the stream may break off and all of it be forgotten.
  if (recorder->InTransaction()) return absl::OkStatus();
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
  if (MaySync()) ASSAY_RETURN_IF_ERROR(Annotate(puller->Step(paused, !MayProject() || !projector->folding(), Report()), "append what was pulled"));
  projector->GiveUp(puller->GivenUp());
  projector->ExpectMore(MaySync() && puller->more());
  if (MayProject()) ASSAY_RETURN_IF_ERROR(Annotate(projector->Step(kEventsPerStep, captured.empty()), "project"));
  if (MaySync()) ASSAY_RETURN_IF_ERROR(Annotate(pusher->Step(paused), "read what to push"));
  return DatabaseHalts() ? absl::OkStatus() : KeepCheckpoint();
}

absl::Status Engine::Step() {
  Parts& p = *parts_;
  absl::Status status = absl::OkStatus();
  if (!p.file->InTransaction()) status = p.file->Begin();
  if (status.ok()) status = p.Work();
  if (status.ok() && !p.recorder->InTransaction()) status = p.file->Commit();
  if (!status.ok()) {
    p.file->Rollback();
    return status;
  }
  p.has_work = !p.captured.empty();
  if (p.recorder->InTransaction()) return absl::OkStatus();
  p.confirmed = std::min(p.processed, p.recorder->captured().position);

  // Only what is durable is acted upon.
  if (std::exchange(p.abandon, false)) p.calls.push_back({Lane::kDatabase, DatabaseCall(DatabaseAbandon{})});
  if (!p.database_busy && p.MayProject()) {
    if (std::optional<DatabaseCall> call = p.projector->TakeCall(); call.has_value()) {
      p.database_busy = !std::holds_alternative<DatabaseAbandon>(*call);
      p.calls.push_back({Lane::kDatabase, *std::move(call)});
    }
  }
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
  // While a captured transaction is coming in, everything else waits for its end: nothing to do but for what capture brings.
  if (p.recorder->InTransaction()) return !p.captured.empty() || p.capture_restarted;
  return p.has_work || !p.captured.empty() || p.database_reply.has_value() || p.push_reply.has_value() ||
         p.pull_reply.has_value() || !p.retry_requests.empty() || p.capture_restarted || p.evidence.has_value();
}

absl::Time Engine::NextWake() const {
  const Parts& p = *parts_;
  if (HasWork()) return absl::InfinitePast();
  if (p.recorder->InTransaction()) return absl::InfiniteFuture();
  absl::Time wake = absl::InfiniteFuture();
  if (p.MayProject()) wake = p.projector->NextWake();
  if (p.restore == RestoreState::kNormal && p.processed > p.recorder->captured().position) wake = std::min(wake, p.position_at);
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

BranchReport Engine::Parts::Report() const {
  BranchReport report;
  report.name = config.branch_name;
  report.number = config.branch_number;
  report.origin = own;
  report.head = log->Head(own).last;
  for (const OriginId& origin : log->Origins()) {
    if (origin != own) report.projected[origin] = stages->Projected(origin);
  }
  report.parked = stages->ParkedCount();
  report.state = State();
  return report;
}

std::string Engine::Parts::State() const {
  if (Hazard() != RestoreState::kNormal && Hazard() != RestoreState::kUnverified) return "halted";
  if (!capture_link.status.ok()) return capture_link.failures == 0 ? "starting" : "stopped";
  if (restore == RestoreState::kUnverified) return "starting";
  if (!config.has_hub) return "local-only";
  if (paused) return "paused";
  if (!session->link().status.ok() || !puller->link().status.ok() || !pusher->link().status.ok()) return "offline";
  if (puller->last_pull() == absl::InfinitePast()) return "starting";
  const bool behind = puller->Behind() > 0 || projector->Pending() > 0 ||
                      (pusher->hub_last().has_value() && *pusher->hub_last() < log->Head(own).complete);
  return behind ? "catching-up" : "running";
}

std::string Engine::Parts::NameOf(const OriginId& origin) const {
  const std::string id = absl::StrCat("origin ", origin.Hex().substr(0, 8));
  const absl::StatusOr<v1::OriginOpened> opened = log->Opening(origin);
  return opened.ok() ? absl::StrCat(id, " (", opened->branch_name(), ")") : id;
}

std::vector<std::string> Engine::Parts::Problems() const {
  std::vector<std::string> problems;
  const auto since = [](const LinkStatus& link) {
    std::string text = absl::StrCat(" (since ", absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", link.since, absl::UTCTimeZone()));
    if (link.next_try > absl::InfinitePast()) {
      absl::StrAppend(&text, ", next try at ", absl::FormatTime("%H:%M:%S UTC", link.next_try, absl::UTCTimeZone()));
    }
    return text + ")";
  };
  const auto add = [&](absl::string_view what, const LinkStatus& link) {
    if (!link.status.ok()) problems.push_back(absl::StrCat(what, ": ", link.status.message(), since(link)));
  };
  if (const RestoreState hazard = Hazard(); DatabaseHalts() || hazard == RestoreState::kClone) {
    problems.push_back(absl::StrCat("HALTED, ", RestoreStateName(hazard), ": ",
                                    DatabaseHalts() ? restore_cause : session->refusal(), ". Nothing is ",
                                    DatabaseHalts() ? "captured, " : "", "written to PostgreSQL, pushed or pulled. What to do: ",
                                    RestoreRemedy(hazard)));
  }
  if (capture_link.failures > 0) add("Changes are not captured", capture_link);
  add("Changes of other branches are not written to PostgreSQL", projector->link());
  if (config.has_hub && !session->link().status.ok()) {
    add("Nothing is pushed to the hub or pulled from it", session->link());
  } else if (config.has_hub) {
    add("Nothing is pushed to the hub", pusher->link());
    add("Nothing is pulled from the hub", puller->link());
    // CANCELLED: turned off on purpose.
    if (hints_told && !hints.ok() && pusher->link().status.ok() && puller->link().status.ok() && !absl::IsCancelled(hints)) {
      problems.push_back(absl::StrCat("The hub cannot tell at once that something has come: ", hints.message(),
                                      " (it is asked every ", absl::FormatDuration(puller->interval()), " all the same)"));
    }
  }
  constexpr size_t kChainsListed = 10;  // A hub may name as many as it likes.
  size_t listed = 0;
  for (const auto& [origin, trouble] : puller->troubles()) {
    if (++listed > kChainsListed && origin != own) continue;
    if (origin == own) {
      add("The hub does not have this branch's own chain as this branch wrote it (nothing of it is taken from there; tell the head "
          "office)", trouble);
    } else if (trouble.next_try == absl::InfiniteFuture()) {
      problems.push_back(absl::StrCat("The changes of ", NameOf(origin), " are not taken further: ", trouble.status.message(),
                                      since({trouble.status, trouble.since}),
                                      ". Keep this log, and ask that branch and the head office what happened to theirs; assayd looks "
                                      "at the chain again when it is started again"));
    } else {
      add(absl::StrCat("The hub does not give the changes of ", NameOf(origin),
                       " as they must be, and none of what is wrong is taken (it is asked for again by itself; if this stays so, ask "
                       "the head office what happened to the hub)"), trouble);
    }
  }
  if (listed > kChainsListed) {
    problems.push_back(absl::StrCat("So it is with other chains, ", listed, " in all"));
  }
  for (const auto& [origin, status] : projector->stopped()) {
    problems.push_back(absl::StrCat("The changes of ", NameOf(origin), " are not taken further: ", status.message(),
                                    ". Ask that branch and the head office what happened to its log"));
  }
  for (const auto& [origin, awaited] : projector->waiting_for()) {
    problems.push_back(absl::StrCat("The changes of ", NameOf(origin), " wait for event ",
                                    EventName(awaited.first, awaited.second),
                                    ", which they build on and which is not here yet; it comes when its branch is online"));
  }
  if (stages->ParkedCount() > 0) {
    problems.push_back(absl::StrCat(stages->ParkedCount(), stages->ParkedCount() == 1 ? " row" : " rows",
                                    " cannot be written to PostgreSQL; see `assay parked`"));
  }
  if (recorder->counters().false_tags > 0) {
    problems.push_back(absl::StrCat(recorder->counters().false_tags,
                                    " rows carried Assay's mark but were not written by it; they were recorded as local "
                                    "changes. Look for triggers that are ENABLE ALWAYS, or for somebody who forges the mark"));
  }
  constexpr size_t kWithheldListed = 3;
  const std::vector<WithheldValue>& withheld = recorder->withheld();
  for (size_t i = 0; i < withheld.size() && i < kWithheldListed; ++i) {
    const WithheldValue& value = withheld[i];
    const absl::StatusOr<std::vector<std::string>> key = DecodeKey(value.key);
    problems.push_back(absl::StrCat("Column ", value.column, " of ", value.table, " [", key.ok() ? absl::StrJoin(*key, ", ") : "?",
                                    "] holds ", value.bytes >> 20, " MB, and a row's changes have room for ",
                                    config.row_bytes_max >> 20,
                                    " MB in the log: the value is in this database alone. Store a smaller one, or keep such data "
                                    "outside of the table"));
  }
  if (withheld.size() > kWithheldListed) {
    problems.push_back(absl::StrCat("So it is with ", withheld.size() - kWithheldListed, " other values"));
  }
  const absl::Duration offset = puller->clock_offset();
  if (absl::AbsDuration(offset) > absl::Seconds(5)) {
    problems.push_back(absl::StrCat("This machine's clock is ", absl::FormatDuration(absl::AbsDuration(offset)),
                                    offset > absl::ZeroDuration() ? " behind" : " ahead of",
                                    " the hub's; set it right (timedatectl set-ntp true): later writes win by time"));
  }
  return problems;
}

EngineStatus Engine::Status() const {
  const Parts& p = *parts_;
  EngineStatus status;
  status.branch_name = p.config.branch_name;
  status.branch_number = p.config.branch_number;
  status.origin = p.own;
  status.state = p.State();
  status.restore = p.Hazard();
  status.problems = p.Problems();
  status.capture = p.capture_link;
  status.projection = p.projector->link();
  status.hub_push = p.session->link().status.ok() ? p.pusher->link() : p.session->link();
  status.hub_pull = p.session->link().status.ok() ? p.puller->link() : p.session->link();
  status.hints = p.hints;
  status.has_hub = p.config.has_hub;
  status.paused = p.paused;
  status.hub_interval = p.puller->interval();
  status.last_push = p.pusher->last_push();
  status.last_pull = p.puller->last_pull();
  status.next_pull = p.puller->next_pull();
  status.hub_clock_offset = p.puller->clock_offset();
  status.captured = p.confirmed;
  status.last_captured_commit = absl::FromUnixMicros(p.recorder->counters().last_commit_us);
  status.events_captured = p.recorder->counters().events;
  status.unattributed_transactions = p.recorder->counters().unattributed_transactions;
  status.false_tags = p.recorder->counters().false_tags;
  status.events_total = p.log->EventCount();
  status.unsettled = p.stages->UnsettledCount();
  status.parked = p.stages->ParkedCount();
  status.conflicts = p.stages->ConflictCount();
  status.log_bytes = p.file->SizeOnDisk();
  status.branches = p.puller->branches();
  status.branches_heard = p.puller->heard();
  for (const OriginId& origin : p.log->Origins()) {
    OriginStatus one;
    one.origin = origin;
    one.own = origin == p.own;
    const ChainHead head = p.log->Head(origin);
    one.head = head.last;
    one.complete = head.complete;
    one.projected = one.own ? head.complete : p.stages->Projected(origin);
    if (absl::StatusOr<v1::OriginOpened> opened = p.log->Opening(origin); opened.ok()) {
      one.branch_name = opened->branch_name();
    }
    if (auto it = p.puller->hub_heads().find(origin); it != p.puller->hub_heads().end()) one.hub_head = it->second.complete;
    if (one.own && p.pusher->hub_heard().has_value()) one.hub_head = *p.pusher->hub_heard();
    if (auto it = p.puller->troubles().find(origin); it != p.puller->troubles().end()) one.status = it->second.status;
    const auto& stopped = p.projector->stopped();
    if (auto it = stopped.find(origin); it != stopped.end()) one.status = it->second;
    if (one.own) {
      if (p.pusher->hub_heard().has_value()) status.push_position = {one.hub_head.value, head.last.value};
    } else if (one.status.ok()) {
      const uint64_t newest = std::max(head.last, one.hub_head).value;
      status.pull_position.at += head.last.value;
      status.pull_position.goal += newest;
      // What is still to be pulled is still to be written, too: who waits for the rows waits for all of it.
      status.projection_position.at += one.projected.value;
      status.projection_position.goal += newest;
    }
    status.origins.push_back(std::move(one));
  }
  return status;
}

}  // namespace assay
