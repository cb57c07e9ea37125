#include "tools/host/engine_host.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "adapters/libpq/steady_time.h"
#include "engine/link.h"
#include "engine/status_sentence.h"
#include "log/annotate.h"
#include "tools/host/capture_gatherer.h"
#include "tools/host/log_gate.h"
#include "tools/system.h"

namespace assay {
namespace {

constexpr absl::Duration kPublishInterval = absl::Milliseconds(100);
constexpr absl::Duration kStatusMax = absl::Seconds(1);  // A status that is older says so; whoever asks is not kept.
constexpr absl::Duration kStepAtMostEvery = absl::Milliseconds(5);  // When only a timer asks for it.
constexpr absl::Duration kLookAtLogEvery = absl::Seconds(1);
constexpr absl::Duration kStepAtLeastEvery = absl::Seconds(2);  // So that the engine notices a clock that was set.
constexpr absl::Duration kWorksAgainAfter =
    absl::Seconds(30);  // An engine that ran so long begins a new count of failures.
constexpr absl::Duration kCaptureWait = absl::Seconds(1);
constexpr absl::Duration kHintWait = absl::Seconds(5);
// The catalog is looked at so often, and sooner when something asks for it.
constexpr absl::Duration kSurveyEvery = absl::Minutes(1);
constexpr absl::Duration kSurveyAtMostEvery = absl::Seconds(2);
constexpr absl::Duration kCheckEndMax = absl::Seconds(2);
constexpr absl::Duration kGoodbyeMax = absl::Milliseconds(500);
// So short a pause, after so many messages, delays nobody.
constexpr absl::Duration kShortPause = absl::Milliseconds(3);
constexpr size_t kShortPauseItems = 100;

DaemonStatus FirstStatus(const HostParts& parts) {
  DaemonStatus status;
  status.engine.branch_name = parts.engine.branch_name;
  status.engine.branch_number = parts.engine.branch_number;
  status.engine.has_hub = parts.engine.has_hub;
  status.engine.hub_interval = parts.engine.hub_interval;
  status.version = parts.version;
  status.pid = getpid();
  status.started = status.as_of = absl::Now();
  return status;
}

size_t BytesOf(const CaptureBatch& batch) {
  size_t bytes = batch.items.size() * sizeof(CaptureItem);
  for (const auto& buffer : batch.buffers) bytes += buffer->size();
  return bytes;
}

}  // namespace

Problem EngineDownProblem(const LinkStatus& link, const std::string& log_path) {
  Problem problem{.kind = ProblemKind::kEngineStopped, .subject = log_path};
  if (absl::IsDataLoss(link.status)) problem.kind = ProblemKind::kLogDamaged;
  if (absl::IsResourceExhausted(link.status)) problem.kind = ProblemKind::kDiskFull;
  problem.detail = std::string(link.status.message());
  problem.since = link.since;
  problem.next_try = link.next_try;
  return problem;
}

absl::Status ExplainLogDamage(const absl::Status& status, const std::string& log_path) {
  if (!absl::IsDataLoss(status)) return status;
  const Problem problem = EngineDownProblem({.status = status}, log_path);
  return absl::DataLossError(
      absl::StrCat("the log ", log_path, " is damaged: ", status.message(), ". ", RemedyOf(problem)));
}

EngineHost::EngineHost(HostParts parts) : parts_(std::move(parts)), board_(FirstStatus(parts_), parts_.on_change) {}

EngineHost::~EngineHost() {
  Stop(absl::InfiniteDuration());
  for (std::thread& thread : threads_) thread.join();
}

void EngineHost::Spawn(std::function<void()> loop) {
  {
    MutexLock lock(&mutex_);
    ++running_;
  }
  threads_.emplace_back([this, loop = std::move(loop)] {
    loop();
    MutexLock lock(&mutex_);
    --running_;
    wake_.NotifyAll();
  });
}

void EngineHost::Start() {
  {
    MutexLock lock(&mutex_);
    engine_ended_ = false;
  }
  Spawn([this] { EngineLoop(); });
  Spawn([this] { CaptureLoop(); });
  Spawn([this] { database_calls_.Run(); });
  if (parts_.push_hub != nullptr) Spawn([this] { push_calls_.Run(); });
  if (parts_.pull_hub != nullptr) Spawn([this] { pull_calls_.Run(); });
  if (parts_.hints != nullptr) Spawn([this] { HintLoop(); });
  if (parts_.survey != nullptr) Spawn([this] { SurveyLoop(); });
  if (parts_.check != nullptr) Spawn([this] { CheckLoop(); });
}

bool EngineHost::Stop(absl::Duration patience) {
  const absl::Time deadline = SteadyNow() + patience;
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  inbox_.Wake();
  // The engine first: it must not take the interrupted calls for failures.
  {
    MutexLock lock(&mutex_);
    wake_.WaitFor(&mutex_, std::min(patience / 2, absl::Seconds(10)),
                  [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return engine_ended_; });
  }
  SayGoodbye(std::min(patience / 4, kGoodbyeMax));
  if (parts_.interrupt != nullptr) parts_.interrupt();
  for (CallQueue* queue : {&database_calls_, &push_calls_, &pull_calls_}) queue->Stop();
  MutexLock lock(&mutex_);
  return wake_.WaitFor(&mutex_, deadline - SteadyNow(),
                       [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return running_ == 0; });
}

void EngineHost::SayGoodbye(absl::Duration patience) {
  MutexLock lock(&mutex_);
  if (!last_heartbeat_.has_value()) return;
  auto said = std::make_shared<std::atomic<bool>>(false);
  pull_calls_.Post([this, said, heartbeat = *std::exchange(last_heartbeat_, std::nullopt)]() mutable {
    heartbeat.report.state = kShutDown;
    (void)parts_.pull_hub->Heartbeat(heartbeat.report, heartbeat.since);
    *said = true;
    MutexLock lock(&mutex_);
    wake_.NotifyAll();
  });
  wake_.WaitFor(&mutex_, patience, [&] { return said->load(); });
}

uint64_t EngineHost::AwaitEngine() {
  MutexLock lock(&mutex_);
  wake_.Wait(&mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || generation_ != 0; });
  return stopping_ ? 0 : generation_;
}

void EngineHost::Sleep(absl::Time until, uint64_t generation) {
  MutexLock lock(&mutex_);
  wake_.WaitFor(&mutex_, until - absl::Now(),
                [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || generation_ != generation; });
}

// A projection does not wait for a busy shop.
void EngineHost::AwaitEcho() {
  MutexLock lock(&mutex_);
  echo_due_ = true;
  wake_.NotifyAll();
}

void EngineHost::PauseCapture(absl::Duration pause, size_t items, uint64_t generation) {
  const bool is_short = pause <= kShortPause && items >= kShortPauseItems;
  MutexLock lock(&mutex_);
  wake_.WaitFor(&mutex_, pause, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || generation_ != generation || (echo_due_ && !is_short);
  });
}

// ---- The engine's thread ----

void EngineHost::EngineLoop() {
  SystemRandom random;
  Link link(absl::Seconds(1), absl::Minutes(1));
  while (!stopping_) {
    const absl::Time begun = SteadyNow();
    const absl::Status status = RunEngine();
    {
      MutexLock lock(&mutex_);
      generation_ = 0;
      wake_.NotifyAll();
    }
    if (stopping_) break;
    const absl::Time now = absl::Now();
    if (SteadyNow() - begun > kWorksAgainAfter) link.Succeed(now);
    link.Fail(status, now, random);
    PublishStopped(link);
    Sleep(link.next_try, 0);
  }
  MutexLock lock(&mutex_);
  engine_ended_ = true;
  wake_.NotifyAll();
}

absl::Status EngineHost::RunEngine() {
  SystemClock clock;
  SystemRandom random;
  LogFile::Options options;
  options.vfs = parts_.log_vfs;
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LogFile> file, LogFile::Open(parts_.log_path, options));
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                         Engine::Open(parts_.engine, file.get(), &clock, &random));
  if (const int64_t us = interval_us_; us != 0) engine->SetInterval(absl::Microseconds(us));
  if (const PauseWish wish = pause_wish_; wish == PauseWish::kPause) {
    engine->Pause();
  } else if (wish == PauseWish::kResume) {
    engine->Resume();
  }
  if (parts_.engine.has_hub && parts_.hints == nullptr) {
    engine->OnHintsChanged(absl::CancelledError("off (hub.realtime = false)"));
  }

  static std::atomic<uint64_t> generations{0};
  const uint64_t generation = ++generations;
  inbox_.Begin(generation);
  {
    MutexLock lock(&mutex_);
    generation_ = generation;
    enrolled_tables_ = engine->enrolled_tables();
    wake_.NotifyAll();
  }
  // Whoever leaves here leaves no inbox behind that an engine could be meant by.
  const absl::Cleanup no_inbox = [this] { inbox_.Begin(0); };
  Publish(*engine);
  const LogPlace place(parts_.log_path);
  // Wall-clock times come from the engine; what is paced here goes by a clock that nobody sets.
  absl::Time published = SteadyNow(), looked = published, stepped = absl::InfinitePast(), wake = absl::InfinitePast();
  bool dirty = false;
  absl::Status status;
  while (status.ok() && !stopping_) {
    const absl::Time publish =
        dirty ? absl::Now() + (published + kPublishInterval - SteadyNow()) : absl::InfiniteFuture();
    const std::vector<Inbox::Input> inputs = inbox_.Take(std::min(wake, publish));
    if (stopping_) break;
    if (!inputs.empty() || absl::Now() >= wake || SteadyNow() >= stepped + kStepAtLeastEvery) {
      stepped = SteadyNow();
      for (const Inbox::Input& input : inputs) input(*engine);
      status = Step(*engine, generation);
      if (!engine->HoldsCapture()) inbox_.Done();
      if (!status.ok()) break;
      NoteFence(engine->passed_fence());
      for (Call& call : engine->TakeCalls()) Make(std::move(call), generation);
      parts_.capture->Confirm(engine->ConfirmedLsn());
      capture_wanted_ = engine->WantsCapture();
      dirty = true;
      wake = engine->HasWork() ? absl::InfinitePast() : std::max(engine->NextWake(), absl::Now() + kStepAtMostEvery);
    }
    if (SteadyNow() >= looked + kLookAtLogEvery && !file->InTransaction()) {
      looked = SteadyNow();
      status = KeepLog(*engine, *file, place, generation);
      if (!status.ok()) return status;
    }
    const uint64_t asked = std::exchange(picture_wanted_, 0);
    if (asked != 0 || (dirty && SteadyNow() >= published + kPublishInterval)) {
      Publish(*engine);
      MutexLock lock(&mutex_);
      picture_shown_ = std::max(picture_shown_, asked);
      wake_.NotifyAll();
      published = SteadyNow();
      dirty = false;
    }
  }
  file->Rollback();
  const absl::Status kept = KeepLog(*engine, *file, place, generation);
  // Whoever closes the log last puts its journal away, and a reader cannot.
  MutexLock lock(&mutex_);
  if (stopping_) {
    wake_.WaitFor(&mutex_, kCheckEndMax, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !checking_; });
  }
  return status.ok() ? kept : status;
}

void EngineHost::PublishStopped(const LinkStatus& link) {
  board_.Publish([&](DaemonStatus& to) {
    to.engine_link = link;
    to.state = "stopped";
    to.problems = {EngineDownProblem(to.engine_link, parts_.log_path)};
  });
}

// A log that is open and not at its path would be gone with this process, all of it: nothing else is done until it has
// been written again. Then the engine is opened anew, on what is at the path.
absl::Status EngineHost::KeepLog(const Engine& engine, LogFile& file, const LogPlace& place, uint64_t generation) {
  const LogPlace::State state = parts_.log_vfs.empty() ? place.Look() : LogPlace::State::kThere;
  if (state == LogPlace::State::kThere) return absl::OkStatus();
  // It may be the right one that was put back.
  if (state == LogPlace::State::kReplaced && engine.Status().state == "halted")
    return absl::AbortedError(absl::StrCat("another log was put at ", parts_.log_path));
  const std::string what = absl::StrCat("the log ", parts_.log_path, " was deleted or replaced under the daemon");
  SystemRandom random;
  Link link(absl::Seconds(1), absl::Seconds(15));
  for (;;) {
    const absl::Status saved = place.Save(file, absl::Now());
    if (saved.ok()) return absl::AbortedError(absl::StrCat(what, "; all of it has been written there again"));
    link.Fail(Annotate(saved, absl::StrCat(what, ", which still has it: do not stop assayd")), absl::Now(), random);
    PublishStopped(link);
    if (stopping_) return saved;
    Sleep(link.next_try, generation);
  }
}

absl::Status EngineHost::Step(Engine& engine, uint64_t generation) {
  std::shared_ptr<LogGate> gate;
  const absl::Status status = engine.Step([&](Call call) {
    auto* project = std::get_if<DatabaseProject>(&std::get<DatabaseCall>(call.call));
    if (project != nullptr) project->request.gate = gate = std::make_shared<LogGate>();
    Make(std::move(call), generation);
  });
  if (gate != nullptr) gate->Decide(status.ok());
  return status;
}

// No Step commits while a picture is made: the next one has all that was in the log when it was asked for.
DaemonStatus EngineHost::Status() {
  const uint64_t generation = inbox_.generation();
  if (generation == 0) return board_.Get();
  // By its number, since others publish too; and in its turn, so that it shows the commands before it.
  const uint64_t asked = ++pictures_asked_;
  inbox_.Post(generation, [this, asked](Engine&) { picture_wanted_ = std::max(picture_wanted_, asked); });
  {
    MutexLock lock(&mutex_);
    wake_.WaitFor(&mutex_, kStatusMax, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return stopping_ || generation_ != generation || picture_shown_ >= asked;
    });
  }
  return board_.Get();
}

void EngineHost::Publish(const Engine& engine) {
  board_.Publish([&](DaemonStatus& to) {
    const std::vector<Problem> before = std::move(to.engine.problems);
    to.engine = engine.Status();
    KeepSince(before, absl::Now(), &to.engine.problems);
    to.state = to.engine.state;
    to.problems = to.engine.problems;
    const absl::Time now = SteadyNow();
    to.push = push_meter_.Update(to.engine.push_position, now);
    to.pull = pull_meter_.Update(to.engine.pull_position, now);
    to.projection = projection_meter_.Update(to.engine.projection_position, now);
    if (!to.engine_link.status.ok() || to.engine_link.since == absl::InfinitePast())
      to.engine_link = {absl::OkStatus(), absl::Now()};
  });
}

// ---- Calls ----

void EngineHost::Make(Call call, uint64_t generation) {
  if (auto* database = std::get_if<DatabaseCall>(&call.call)) {
    auto shared = std::make_shared<DatabaseCall>(std::move(*database));
    return database_calls_.Post([this, shared, generation] { MakeDatabaseCall(*shared, generation); });
  }
  const bool push = call.lane == Lane::kHubPush;
  auto shared = std::make_shared<HubCall>(std::move(std::get<HubCall>(call.call)));
  (push ? push_calls_ : pull_calls_).Post([this, shared, lane = call.lane, generation, push] {
    MakeHubCall(push ? *parts_.push_hub : *parts_.pull_hub, lane, std::move(*shared), generation);
  });
}

void EngineHost::MakeDatabaseCall(const DatabaseCall& call, uint64_t generation) {
  const auto reply = [&](DatabaseReply reply) {
    auto shared = std::make_shared<DatabaseReply>(std::move(reply));
    inbox_.Post(generation, [shared](Engine& engine) { engine.OnDatabaseReply(std::move(*shared)); });
  };
  Database& database = *parts_.database;
  if (auto* read = std::get_if<DatabaseRead>(&call)) {
    AwaitEcho();
    auto rows = database.Read(read->request);
    if (!rows.ok()) echo_due_ = false;
    reply(std::move(rows));
  }
  if (auto* project = std::get_if<DatabaseProject>(&call)) {
    AwaitEcho();
    ProjectReply projected = database.Project(project->request);
    if (projected.outcome != ProjectReply::Outcome::kCommitted) echo_due_ = false;
    reply(std::move(projected));
  }
  if (std::holds_alternative<DatabaseAbandon>(call)) database.Abandon();
  if (std::holds_alternative<DatabaseLastBatch>(call)) reply(database.LastBatch());
}

void EngineHost::MakeHubCall(Hub& hub, Lane lane, HubCall call, uint64_t generation) {
  const absl::Time begun = SteadyNow();
  const auto reply = [&](HubReply reply) {
    auto shared = std::make_shared<HubReply>(std::move(reply));
    const absl::Duration round_trip = SteadyNow() - begun;
    inbox_.Post(generation, [shared, lane, round_trip](Engine& engine) {
      engine.OnHubReply(lane, std::move(*shared), round_trip);
    });
  };
  if (auto* push = std::get_if<HubPush>(&call)) reply(hub.Push(push->request));
  if (auto* pull = std::get_if<HubPull>(&call)) reply(hub.Pull(pull->request));
  if (std::holds_alternative<HubGetHeads>(call)) reply(hub.Heads());
  if (auto* session = std::get_if<HubOpenSession>(&call)) reply(hub.OpenSession(session->request));
  if (auto* heartbeat = std::get_if<HubHeartbeat>(&call)) {
    heartbeat->report.version = parts_.version;
    absl::StatusOr<HeartbeatReply> heard = hub.Heartbeat(heartbeat->report, heartbeat->since);
    {
      MutexLock lock(&mutex_);
      last_heartbeat_ = heard.ok() ? std::optional(*heartbeat) : std::nullopt;
    }
    reply(std::move(heard));
  }
}

// ---- Capture's thread ----

void EngineHost::CaptureLoop() {
  SystemRandom random;
  Link link(absl::Milliseconds(500), absl::Seconds(30));
  while (const uint64_t generation = AwaitEngine()) {
    const absl::Time begun = SteadyNow();
    absl::Status status = parts_.capture->Start();
    DatabaseEvidence evidence = parts_.capture->Evidence();
    if (status.ok()) {
      capture_wanted_ = true;
      inbox_.PostCapture(
          generation, [evidence](Engine& engine) { engine.OnCaptureStarted(evidence); }, 0, 0);
      evidence = {};
      status = StreamCapture(generation);
      parts_.capture->Stop();
    }
    if (status.ok() || stopping_) continue;
    if (SteadyNow() - begun > kWorksAgainAfter) link.Succeed(absl::Now());
    const absl::Time next_try = link.Fail(status, absl::Now(), random);
    inbox_.PostCapture(
        generation,
        [status, next_try, evidence](Engine& engine) { engine.OnCaptureStopped(status, next_try, evidence); }, 0, 0);
    Sleep(next_try, generation);
  }
}

absl::Status EngineHost::StreamCapture(uint64_t generation) {
  CaptureGatherer gatherer;
  const auto post = [&] {
    if (gatherer.empty()) return;
    auto shared = std::make_shared<CaptureBatch>(gatherer.TakePortion());
    const size_t bytes = BytesOf(*shared), items = shared->items.size();
    inbox_.PostCapture(
        generation, [shared](Engine& engine) { engine.OnCapture(std::move(*shared)); }, bytes, items);
  };
  while (!stopping_ && inbox_.generation() == generation) {
    if (!capture_wanted_) return absl::FailedPreconditionError("this branch is halted");
    if (!inbox_.WaitForRoom(kCaptureWait)) {
      if (parts_.capture_keep_alive != nullptr) ASSAY_RETURN_IF_ERROR(parts_.capture_keep_alive());
      continue;
    }
    absl::StatusOr<CaptureBatch> batch = parts_.capture->Next(gatherer.Wait(SteadyNow(), kCaptureWait));
    if (!batch.ok()) {
      post();
      return batch.status();
    }
    const absl::Time now = SteadyNow();
    const size_t items = batch->items.size();
    const auto describes = [](const CaptureItem& item) { return item.kind == CaptureItem::Kind::kRelation; };
    if (std::any_of(batch->items.begin(), batch->items.end(), describes)) WantSurvey();
    const bool due = gatherer.Add(*std::move(batch), now);
    if (gatherer.saw_echo()) echo_due_ = false;
    if (due) post();
    PauseCapture(gatherer.Pause(now), items, generation);
  }
  return absl::OkStatus();
}

// ---- The hints' thread ----

void EngineHost::HintLoop() {
  uint64_t told_generation = 0;
  absl::Status told;
  while (const uint64_t generation = AwaitEngine()) {
    const absl::Time begun = absl::Now();
    const absl::StatusOr<bool> hint = parts_.hints->Wait(kHintWait);
    if (stopping_) return;
    if (generation != told_generation || hint.status() != told) {
      told_generation = generation;
      told = hint.status();
      inbox_.Post(generation, [told](Engine& engine) { engine.OnHintsChanged(told); });
    }
    if (hint.ok() && *hint) inbox_.Post(generation, [](Engine& engine) { engine.OnHubHint(); });
    if (!hint.ok())
      Sleep(begun + absl::Seconds(1), generation);  // The body paces its tries; this is against one that does not.
  }
}

// ---- The survey's thread ----

void EngineHost::WantSurvey() {
  MutexLock lock(&mutex_);
  survey_wanted_ = check_wanted_ = true;
  wake_.NotifyAll();
}

void EngineHost::SurveyLoop() {
  while (const uint64_t generation = AwaitEngine()) {
    std::set<std::string> enrolled;
    {
      MutexLock lock(&mutex_);
      survey_wanted_ = false;
      enrolled = enrolled_tables_;
    }
    auto report = std::make_shared<absl::StatusOr<SurveyReport>>(parts_.survey(enrolled));
    inbox_.Post(generation, [report](Engine& engine) { engine.OnSurvey(std::move(*report)); });
    Sleep(absl::Now() + kSurveyAtMostEvery, generation);
    MutexLock lock(&mutex_);
    wake_.WaitFor(&mutex_, kSurveyEvery, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return stopping_ || generation_ != generation || survey_wanted_;
    });
  }
}

// ---- Commands ----

absl::Status EngineHost::Tell(Inbox::Input command) {
  const uint64_t generation = inbox_.generation();
  if (generation == 0) {
    const LinkStatus link = board_.Get().engine_link;
    return absl::UnavailableError(link.status.ok() ? "the daemon is starting: try again in a moment"
                                                   : absl::StrCat("the daemon is stopped: ", link.status.message()));
  }
  inbox_.Post(generation, std::move(command));
  return absl::OkStatus();
}

absl::Status EngineHost::SyncNow() {
  WantSurvey();
  return Tell([](Engine& engine) { engine.SyncNow(); });
}

absl::Status EngineHost::AskAboutAll() {
  return Tell([](Engine& engine) { engine.AskAboutAll(); });
}

absl::Status EngineHost::RetryParked(std::optional<TableName> table) {
  return Tell([table = std::move(table)](Engine& engine) { engine.RetryParked(table); });
}

absl::StatusOr<uint64_t> EngineHost::CheckTables(std::vector<TableName> tables) {
  ASSAY_RETURN_IF_ERROR(Tell([](Engine&) {}));
  CheckRequest request{.asked = true};
  MutexLock lock(&mutex_);
  for (const TableName& table : tables) {
    if (!enrolled_tables_.contains(table.ToString()))
      return absl::NotFoundError(absl::StrCat(table.ToString(), " is not enrolled"));
    request.tables.push_back(table.ToString());
  }
  checks_asked_.push_back(std::move(request));
  wake_.NotifyAll();
  return ++check_count_;
}

absl::Status EngineHost::ForgetParked(TableName table, std::optional<std::vector<std::string>> key) {
  return Tell([table = std::move(table), key = std::move(key)](Engine& engine) { engine.ForgetParked(table, key); });
}

// These are remembered, and hold for the next engine if there is none now.
absl::Status EngineHost::Pause() {
  pause_wish_ = PauseWish::kPause;
  inbox_.Post(inbox_.generation(), [](Engine& engine) { engine.Pause(); });
  return absl::OkStatus();
}

absl::Status EngineHost::Resume() {
  pause_wish_ = PauseWish::kResume;
  inbox_.Post(inbox_.generation(), [](Engine& engine) { engine.Resume(); });
  return absl::OkStatus();
}

absl::Status EngineHost::SetInterval(absl::Duration interval) {
  interval_us_ = absl::ToInt64Microseconds(interval);
  inbox_.Post(inbox_.generation(), [interval](Engine& engine) { engine.SetInterval(interval); });
  return absl::OkStatus();
}

}  // namespace assay
