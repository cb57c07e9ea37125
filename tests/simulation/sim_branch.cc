#include "tests/simulation/sim_branch.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "engine/own_chain.h"
#include "log/annotate.h"
#include "log/check.h"
#include "tools/host/log_gate.h"

namespace assay {
namespace {

std::vector<SimRowName> RowsOf(const ReadRequest& request) {
  std::vector<SimRowName> rows;
  for (const ReadRequest::Table& table : request.tables) {
    for (const RowKey& key : table.keys) rows.push_back({table.name, key});
  }
  return rows;
}

std::vector<SimRowName> RowsOf(const ProjectRequest& request) {
  std::vector<SimRowName> rows;
  for (const TableWrites& writes : request.writes) {
    for (const RowWrite& write : writes.rows) {
      const PackedRow::KeyTexts key = write.row.KeyParts();
      rows.push_back({writes.name, RowKey(key.begin(), key.end())});
    }
  }
  return rows;
}

}  // namespace

SimBranch::SimBranch(uint32_t number, const EngineConfig& config, const WorkloadOptions& workload,
                     const FaultOptions& faults, bool late_column, int email_width, WorldClock* world, SimHub* hub,
                     SeededRandom* random)
    : number_(number),
      config_(config),
      faults_(faults),
      random_(random),
      engine_random_(random->Next()),
      clock_(world),
      database_(random, &clock_),
      capture_(&database_, random),
      workload_(workload, absl::StrCat("b", number), &database_, random),
      server_(hub),
      hub_(hub->Connect(number)),
      vfs_(random->Next()) {
  CreateShopTables(&database_, late_column, email_width);
  capture_.set_small_portions(faults.small_portions);
}

// ---- The daemon ----

absl::Status SimBranch::Start() {
  ASSAY_ASSIGN_OR_RETURN(file_, LogFile::Open(kSimLogPath, log_options()));
  absl::StatusOr<OriginId> opened = OpenBranchLog(config_, file_.get(), &clock_, &engine_random_);
  if (opened.ok()) {
    // A chain that was begun and never got anywhere may be begun again after a power loss; one that did may not.
    if (origin_ != OriginId{}) return absl::DataLossError("the log came back without its own chain");
    origin_ = *opened;
  } else if (!absl::IsAlreadyExists(opened.status())) {
    return opened.status();
  }
  ASSAY_ASSIGN_OR_RETURN(engine_, Engine::Open(config_, file_.get(), &clock_, &engine_random_));
  return absl::OkStatus();
}

absl::Status SimBranch::Step() {
  bool dies = false;
  auto gate = std::make_shared<LogGate>();
  const absl::Status status = engine_->Step([&](Call call) {
    DatabaseCall& database_call = std::get<DatabaseCall>(call.call);
    const auto* read = std::get_if<DatabaseRead>(&database_call);
    const bool reads = read != nullptr;
    ASSAY_CHECK(!reads || !read->request.lock);  // If the log fails, nobody knows of the locks.
    if (!reads) std::get<DatabaseProject>(database_call).request.gate = gate;
    NoteWhenPlanned(call);
    ++outcomes_[reads ? "asked to read before the log was durable" : "asked to project before the log was durable"];
    lane(call.lane).push_back({std::move(call)});
    // A projection waits with its commit in any case.
    if (reads && lane(Lane::kDatabase).size() == 1 && random_->Chance(faults_.read_before_log))
      MakeCall(Lane::kDatabase, /*faults=*/false);
    dies = random_->Chance(faults_.power_before_log);
    if (dies) vfs_.PowerLossAtSync(1);
  });
  gate->Decide(status.ok());
  if (dies) {
    ++outcomes_["lost power before the log was durable"];
    vfs_.PowerLossAtSync(0);  // There may have been nothing to sync.
    Kill(/*power=*/true);
    return absl::OkStatus();
  }
  ASSAY_RETURN_IF_ERROR(status);
  for (Call& call : engine_->TakeCalls()) {
    if (AsksAhead(call)) ++outcomes_["asked before the last pull was appended"];
    NoteWhenPlanned(call);
    lane(call.lane).push_back({std::move(call)});
  }
  capture_.Confirm(engine_->ConfirmedLsn());
  return absl::OkStatus();
}

// A projection is planned in the step that asks for it, and not before: but for one that waits for the reply to the one
// before it, whose echo has come by already. That is planned after that one was asked for.
void SimBranch::NoteWhenPlanned(const Call& call) {
  if (call.lane != Lane::kDatabase) return;
  if (const auto* project = std::get_if<DatabaseProject>(&std::get<DatabaseCall>(call.call))) {
    known_when_planned_[project->request.tag] =
        std::exchange(echo_came_first_, false) ? known_when_asked_ : capture_.delivered();
  }
  known_when_asked_ = capture_.delivered();
}

bool SimBranch::AsksAhead(const Call& call) const {
  const auto* hub_call = std::get_if<HubCall>(&call.call);
  const auto* pull = hub_call == nullptr ? nullptr : std::get_if<HubPull>(hub_call);
  if (pull == nullptr) return false;
  const EngineStatus status = engine_->Status();
  return std::any_of(status.origins.begin(), status.origins.end(), [&](const OriginStatus& origin) {
    const auto have = pull->request.have.find(origin.origin);
    return have != pull->request.have.end() && have->second > origin.head && origin.status.ok();
  });
}

bool SimBranch::Capture() {
  absl::StatusOr<CaptureBatch> batch = capture_.Next(absl::ZeroDuration());
  if (!batch.ok()) {
    engine_->OnCaptureStopped(batch.status());
    if (capture_.Start().ok()) engine_->OnCaptureStarted(capture_.Evidence());
    return true;
  }
  if (batch->items.empty()) return false;
  if (confirm_early_) capture_.Confirm(batch->items.back().end_lsn);
  engine_->OnCapture(*std::move(batch));
  return true;
}

bool SimBranch::HasCallToMake(Lane which) const { return !lane(which).empty() && !lane(which).front().made; }
bool SimBranch::HasReplyToGive(Lane which) const { return !lane(which).empty() && lane(which).front().made; }

void SimBranch::MakeCall(Lane which, bool faults) {
  Outstanding& outstanding = lane(which).front();
  outstanding.made = true;
  if (which == Lane::kDatabase) {
    MakeDatabaseCall(outstanding, faults);
    // Abandon is not answered.
    if (!outstanding.database_reply) lane(which).pop_front();
  } else {
    MakeHubCall(outstanding, faults);
  }
}

int64_t SimBranch::IntentsOpen() {
  absl::StatusOr<Statement> count = file_->Prepare("SELECT count(*) FROM intent");
  return count.ok() && count->Step().ok() ? count->OnlyInt() : 0;
}

void SimBranch::MakeDatabaseCall(Outstanding& outstanding, bool faults) {
  const DatabaseCall& call = std::get<DatabaseCall>(outstanding.call.call);
  echo_ends_ = std::holds_alternative<DatabaseLastBatch>(call) ? Lsn{} : Lsn{UINT64_MAX};
  if (faults && random_->Chance(faults_.database_call)) {
    const bool project = std::holds_alternative<DatabaseProject>(call);
    database_.set_fault(static_cast<DatabaseFault>(1 + random_->Below(project ? 4 : 2)));
  }
  if (const auto* read = std::get_if<DatabaseRead>(&call)) {
    if (faults && random_->Chance(faults_.write_inside_read)) {
      database_.set_between_read_and_fence(
          [this, near = RowsOf(read->request)] { outcomes_["wrote inside a read"] += workload_.ActAtOnce(near); });
    }
    if (faults && random_->Chance(faults_.commit_unseen))
      outcomes_["committed unseen"] += workload_.CommitUnseen(RowsOf(read->request));
    outstanding.database_reply = database_.Read(read->request);
    if (read->request.lock) ++outcomes_["locked"];
    database_.set_between_read_and_fence(nullptr);
  } else if (const auto* project = std::get_if<DatabaseProject>(&call)) {
    if (faults && random_->Chance(faults_.write_before_projection))
      outcomes_["wrote before a projection"] += workload_.ActAtOnce(RowsOf(project->request));
    if (faults) ComeAndGo();
    if (faults && random_->Chance(faults_.gives_way)) database_.set_fault(DatabaseFault::kGaveWay);
    if (IntentsOpen() > 1) ++outcomes_["asked before the last one landed"];
    for (const TableWrites& writes : project->request.writes) {
      for (const RowWrite& write : writes.rows)
        outcomes_["kept rows"] += write.operation == RowWrite::Operation::kKeep ? 1 : 0;
    }
    ProjectReply reply = database_.Project(project->request);
    constexpr const char* kOutcomes[] = {"committed", "moved", "gave way", "refused", "in doubt", "unavailable"};
    ++outcomes_[kOutcomes[static_cast<int>(reply.outcome)]];
    if (reply.outcome == ProjectReply::Outcome::kCommitted) echo_ends_ = database_.end_of_wal();
    if (reply.outcome == ProjectReply::Outcome::kInDoubt) echo_ends_ = {};
    outstanding.database_reply = std::move(reply);
  } else if (std::holds_alternative<DatabaseLastBatch>(call)) {
    outstanding.database_reply = database_.LastBatch();
  } else {
    database_.Abandon();
  }
  database_.set_fault(DatabaseFault::kNone);
}

void SimBranch::MakeHubCall(Outstanding& outstanding, bool faults) {
  const HubCall& call = std::get<HubCall>(outstanding.call.call);
  const bool fault = faults && random_->Chance(faults_.hub_call);
  const bool reaches = !partitioned_ && (!fault || random_->Chance(50));
  const absl::Status lost = fault && reaches ? absl::DeadlineExceededError("no reply came")
                                             : absl::UnavailableError("the hub cannot be reached");
  const bool answered = reaches && !fault;
  if (const auto* push = std::get_if<HubPush>(&call)) {
    absl::StatusOr<PushReply> reply = reaches ? hub_->Push(push->request) : lost;
    if (reaches && faults && random_->Chance(faults_.hub_duplicate)) delayed_.push_back(push->request);
    if (answered && reply.ok()) acknowledged_ = std::max(acknowledged_, reply->last.value);
    outstanding.hub_reply = answered ? std::move(reply) : absl::StatusOr<PushReply>(lost);
  } else if (const auto* pull = std::get_if<HubPull>(&call)) {
    absl::StatusOr<PullReply> reply = reaches ? hub_->Pull(pull->request) : lost;
    outstanding.hub_reply = answered ? std::move(reply) : absl::StatusOr<PullReply>(lost);
  } else if (std::holds_alternative<HubGetHeads>(call)) {
    outstanding.hub_reply = answered ? hub_->Heads() : absl::StatusOr<HubHeads>(lost);
  } else if (const auto* session = std::get_if<HubOpenSession>(&call)) {
    absl::StatusOr<SessionReply> reply = reaches ? hub_->OpenSession(session->request) : lost;
    outstanding.hub_reply = answered ? std::move(reply) : absl::StatusOr<SessionReply>(lost);
  } else {
    const HubHeartbeat& heartbeat = std::get<HubHeartbeat>(call);
    absl::StatusOr<HeartbeatReply> reply = reaches ? hub_->Heartbeat(heartbeat.report, heartbeat.since) : lost;
    outstanding.hub_reply = answered ? std::move(reply) : absl::StatusOr<HeartbeatReply>(lost);
  }
}

int SimBranch::ComeAndGo() {
  if (!random_->Chance(faults_.come_and_go)) return 0;
  std::vector<SimRowName> rows;
  if (std::optional<SimRowName> news = news_ == nullptr ? std::nullopt : news_()) rows.push_back(*std::move(news));
  const bool asks = !lane(Lane::kDatabase).empty() && random_->Chance(60);
  const auto* project =
      asks ? std::get_if<DatabaseProject>(&std::get<DatabaseCall>(lane(Lane::kDatabase).front().call.call)) : nullptr;
  if (project != nullptr && !project->request.writes.empty()) rows = RowsOf(project->request);
  const int commits = rows.empty() ? 0 : workload_.ComeAndGo(rows[random_->Below(rows.size())]);
  outcomes_["came and went"] += commits;
  return commits;
}

void SimBranch::GiveReply(Lane which) {
  Outstanding outstanding = std::move(lane(which).front());
  lane(which).pop_front();
  if (which == Lane::kDatabase) {
    echo_came_first_ = capture_.delivered() >= echo_ends_;
    engine_->OnDatabaseReply(*std::move(outstanding.database_reply));
  } else {
    engine_->OnHubReply(which, *std::move(outstanding.hub_reply), absl::Milliseconds(20));
  }
}

void SimBranch::Kill(bool power) {
  power ? vfs_.PowerLoss() : vfs_.Kill();
  engine_.reset();
  file_.reset();
  // A projection on its way may still arrive, or hang about in the server after its client is gone.
  for (Outstanding& outstanding : lane(Lane::kDatabase)) {
    const auto* project = std::get_if<DatabaseProject>(&std::get<DatabaseCall>(outstanding.call.call));
    if (project == nullptr || outstanding.made || random_->Chance(40)) continue;
    database_.set_fault(random_->Chance(50) ? DatabaseFault::kReplyLost : DatabaseFault::kCommitLater);
    database_.Project(project->request);
    database_.set_fault(DatabaseFault::kNone);
  }
  for (Outstanding& outstanding : lane(Lane::kHubPush)) {
    const auto* push = std::get_if<HubPush>(&std::get<HubCall>(outstanding.call.call));
    if (push != nullptr && !outstanding.made && random_->Chance(50)) delayed_.push_back(push->request);
  }
  for (std::deque<Outstanding>& calls : lanes_) calls.clear();
  database_.Disconnect();
  capture_.Disconnect();
}

void SimBranch::DeliverDuplicate() {
  if (delayed_.empty()) return;
  const size_t index = random_->Below(delayed_.size());
  (void)hub_->Push(delayed_[index]);  // Nobody waits for the answer.
  delayed_.erase(delayed_.begin() + static_cast<ptrdiff_t>(index));
}

// ---- Everything else ----

void SimBranch::CrashDatabase() {
  database_.Crash();
  workload_.EndAll();
}

void SimBranch::Heal() {
  faults_ = {};
  capture_.set_small_portions(faults_.small_portions);
  partitioned_ = false;
  clock_.SetOffset(absl::ZeroDuration());
  workload_.EndAll();
  database_.Settle();
  delayed_.clear();
}

}  // namespace assay
