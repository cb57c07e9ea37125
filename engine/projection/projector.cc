#include "engine/projection/projector.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "log/annotate.h"

namespace assay {
namespace {

constexpr uint32_t kAttemptsBeforeLocking = 3;
constexpr size_t kRetryRowsMax = 10'000;  // Where all of them were written so far; a portion begins with fewer.
// How long a batch that is not full waits for events that are on their way: the more of them it spans, the fewer rows
// are written.
constexpr absl::Duration kOpenMax = absl::Seconds(2);
constexpr absl::Duration kLockedMax = absl::Milliseconds(500);

// A lock that is not to be had, a statement that ran out of time, or no answer at all: fewer rows may pass.
bool TookTooLong(const absl::Status& status) { return absl::IsAborted(status) || absl::IsDeadlineExceeded(status); }

}  // namespace

Projector::Projector(const EngineConfig& config, const OriginId& own, const Stores& stores, Clock* clock,
                     Random* random)
    : config_(config),
      log_(stores.log),
      names_(stores.names),
      rows_(stores.rows),
      state_(stores.state),
      unsettled_(stores.unsettled),
      conflicts_(stores.conflicts),
      clock_(clock),
      random_(random),
      values_(stores.log, stores.names),
      conflict_finder_(stores, &values_, clock),
      history_(own, stores.names, stores.state),
      appeared_(stores.rows, stores.unsettled, &values_, &history_),
      planner_(stores.names, &values_, &history_),
      landing_(std::make_unique<Flight>(own, stores.log, stores.names, stores.state)),
      flight_(std::make_unique<Flight>(own, stores.log, stores.names, stores.state)),
      next_(std::make_unique<Flight>(own, stores.log, stores.names, stores.state)),
      size_(config.batch_rows_max) {
  for (Flight* flight : {landing_.get(), flight_.get(), next_.get()}) {
    flight->batch.set_rows_cap(size_.rows());
    flight->batch.set_new_rows_cap((config.batch_rows_max + 1) / 2);
  }
}

void Projector::GiveUp(const std::set<OriginId>& origins) {
  for (Flight* flight : {landing_.get(), flight_.get(), next_.get()}) flight->batch.GiveUp(origins);
}

std::map<OriginId, absl::Status> Projector::stopped() const {
  std::map<OriginId, absl::Status> stopped;
  for (const Flight* flight : {landing_.get(), flight_.get(), next_.get()})
    stopped.insert(flight->batch.stopped().begin(), flight->batch.stopped().end());
  return stopped;
}

std::map<OriginId, std::pair<OriginId, Sequence>> Projector::waiting_for() const {
  std::map<OriginId, std::pair<OriginId, Sequence>> waiting = flight_->batch.waiting_for();
  waiting.insert(next_->batch.waiting_for().begin(), next_->batch.waiting_for().end());
  return waiting;
}

void Projector::DropBatch() {
  flight_->batch.Clear(IsLanding() ? landing_->intent->to() : std::map<OriginId, Sequence>());
  next_->batch.Clear();
  next_->Begin();
}

absl::Status Projector::Load() {
  for (Flight* flight : {landing_.get(), flight_.get()}) {
    flight->intent.reset();
    flight->Begin();
  }
  landing_->batch.Clear();
  DropBatch();
  values_.Clear();
  history_.Clear();
  shapes_.clear();
  horizon_.Clear();
  call_.reset();
  has_work_ = true;
  ASSAY_ASSIGN_OR_RETURN(const std::vector<std::string> stored, state_->Intents());
  for (const std::string& bytes : stored) {
    ASSAY_ASSIGN_OR_RETURN(OpenIntent intent, OpenIntent::Parse(bytes));
    landing_->intent = std::exchange(flight_->intent, std::move(intent));
  }
  // It may have committed: ask before anything else.
  if (flight_->intent.has_value()) AskLastBatch();
  return absl::OkStatus();
}

void Projector::Finish() {
  flight_->Begin();
  has_work_ = true;
}

std::string Projector::Nonce() { return absl::StrFormat("%016x%016x", random_->Next(), random_->Next()); }

void Projector::Failed(const absl::Status& status) {
  // It may be another server that answers next.
  shapes_.clear();
  horizon_.Clear();
  next_->plan.reset();
  flight_->not_before = link_.Fail(status, clock_->Now(), *random_);
}

void Projector::AskLastBatch() {
  flight_->stage = Stage::kAsking;
  flight_->not_before = absl::InfinitePast();
  call_ = DatabaseLastBatch{};
}

absl::Status Projector::GatherNext(size_t events_max) {
  if (flight_->batch.Empty() || size_.IsMuch(landing_->batch.rows().size() + flight_->batch.rows().size()))
    return absl::OkStatus();
  if (!next_->begun) {
    next_->Begin();
    next_->begun = true;
    next_->batch.Clear(flight_->batch.End());
  }
  ASSAY_ASSIGN_OR_RETURN(const bool complete, next_->batch.Gather(events_max));
  next_->looked_up = std::min(next_->looked_up, next_->batch.rows().size());  // It may have begun again.
  for (; next_->looked_up < next_->batch.rows().size(); ++next_->looked_up) {
    ASSAY_RETURN_IF_ERROR(rows_->Prefetch(next_->batch.rows()[next_->looked_up].ref));
  }
  folding_ = !complete;
  has_work_ |= !complete;
  return complete && next_->batch.Full() ? PlanNext() : absl::OkStatus();
}

bool Projector::MayPlan() const {
  if (flight_->stage != Stage::kReading || !flight_->read.has_value()) return false;
  return (!IsLanding() && (flight_->fence_seen || config_.naive_projection)) || IsInLog();
}

absl::Status Projector::Step(size_t events_max, bool idle) {
  has_work_ = folding_ = false;
  idle_ = idle;
  wake_ = absl::InfiniteFuture();
  const bool waiting =
      flight_->stage == Stage::kReading || flight_->stage == Stage::kProjecting || flight_->stage == Stage::kCommitted;
  if (waiting && idle) ASSAY_RETURN_IF_ERROR(GatherNext(events_max));
  switch (NextStep(*flight_, clock_->Now(), MayPlan())) {
    case FlightStep::kWait:
      return absl::OkStatus();
    case FlightStep::kWaitUntil:
      wake_ = flight_->not_before;
      return absl::OkStatus();
    case FlightStep::kGather:
      return Gather(events_max);
    case FlightStep::kShrink:
      flight_->shrink = false;
      return Shrink() ? Gather(events_max) : ReadAgain();
    case FlightStep::kReadAgain:
      return ReadAgain();
    case FlightStep::kPlan:
      return Plan();
    case FlightStep::kLetGo:
      call_ = DatabaseAbandon{};
      flight_->read.reset();
      flight_->shrink = true;
      Failed(absl::DeadlineExceededError("capture is behind: the fence did not come while rows were locked"));
      flight_->stage = Stage::kRead;
      return absl::OkStatus();
    case FlightStep::kAsk:
      AskLastBatch();
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status Projector::Gather(size_t events_max) {
  if (IsLanding() && size_.IsMuch(landing_->batch.rows().size())) return absl::OkStatus();
  const int64_t now_ms = absl::ToUnixMillis(clock_->Now());
  if (flight_->batch.Empty() && retry_turn_) {
    // What lands may settle some of them.
    if (IsLanding() && unsettled_->count() > 0) return absl::OkStatus();
    retry_turn_ = false;
    ASSAY_RETURN_IF_ERROR(Retry());
    if (flight_->stage != Stage::kGather) return absl::OkStatus();
  }
  if (flight_->batch.Empty()) {
    if (next_->begun) std::swap(flight_, next_);
    next_->begun = false;
    opened_ = clock_->Now();
  }
  ASSAY_ASSIGN_OR_RETURN(const bool complete, flight_->batch.Gather(events_max));
  if (!complete) {
    has_work_ = folding_ = true;
    return absl::OkStatus();
  }
  if (!flight_->batch.Empty()) {
    const absl::Duration open = clock_->Now() - opened_;
    if (more_expected_ && !flight_->batch.Full() && open >= absl::ZeroDuration() && open < kOpenMax) {
      wake_ = opened_ + kOpenMax;
      return absl::OkStatus();
    }
    retry_turn_ = true;
    ProjectionPlan plan;
    ASSAY_ASSIGN_OR_RETURN(const bool planned, TakeAhead(&plan));
    if (planned) return Ask(std::move(plan));
    ASSAY_ASSIGN_OR_RETURN(flight_->targets, Targets(flight_->batch));
    return Begin(Flight::Job::kFold);
  }
  if (IsLanding()) return absl::OkStatus();
  retry_turn_ = false;
  ASSAY_RETURN_IF_ERROR(Retry());
  if (flight_->stage != Stage::kGather) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(const std::optional<int64_t> next_ms, unsettled_->NextRetryMs());
  if (next_ms.has_value()) wake_ = absl::FromUnixMillis(std::max(*next_ms, now_ms));
  ASSAY_ASSIGN_OR_RETURN(const std::set<TableId> probed, history_.TablesWithNulls());
  if (!probed.empty()) {
    if (clock_->Now() >= probe_at_) {
      return Begin(Flight::Job::kProbe);
    }
    wake_ = std::min(wake_, probe_at_);
  }
  if (!activity_) return absl::OkStatus();
  if (clock_->Now() < anchor_at_) {
    wake_ = std::min(wake_, anchor_at_);
    return absl::OkStatus();
  }
  return Begin(Flight::Job::kAnchor);
}

absl::Status Projector::Retry() {
  if (unsettled_->count() == 0) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(std::vector<UnsettledRow> due,
                         unsettled_->Due(absl::ToUnixMillis(clock_->Now()), kRetryRowsMax));
  if (due.empty()) return absl::OkStatus();
  for (UnsettledRow& row : due) {
    TargetRow& target = flight_->targets.emplace_back(
        TargetRow{.ref = row.row, .unsettled = std::make_unique<UnsettledRow>(std::move(row))});
    ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, rows_->Get(target.ref));
    NoteKnown(stored, &target);
  }
  std::sort(flight_->targets.begin(), flight_->targets.end(),
            [](const TargetRow& a, const TargetRow& b) { return a.ref < b.ref; });
  return Begin(Flight::Job::kFold);
}

absl::Status Projector::Begin(Flight::Job job) {
  flight_->job = job;
  flight_->stage = Stage::kRead;
  flight_->not_before = absl::InfinitePast();
  return StartRead();
}

absl::Status Projector::ReadAgain() {
  ASSAY_RETURN_IF_ERROR(LookAgain(&flight_->targets));
  return StartRead();
}

absl::Status Projector::StartRead() {
  if (flight_->targets.empty() && flight_->job == Flight::Job::kFold) {
    if (IsLanding()) return absl::OkStatus();  // The cursors move in order.
    // Nothing that PostgreSQL would show: merge without a word to it.
    ASSAY_RETURN_IF_ERROR(Settle({}, &flight_->batch));
    Finish();
    return absl::OkStatus();
  }
  flight_->locked = flight_->attempts >= kAttemptsBeforeLocking || config_.naive_projection;
  ChooseReads(&flight_->targets);
  flight_->tag = Nonce();
  flight_->fence.clear();
  flight_->read = NothingToRead(flight_->targets);
  flight_->unread = flight_->read.has_value();
  if (flight_->unread) return Plan();
  flight_->fence = Nonce();
  flight_->fence_seen = false;
  // The naive build option locks late and decides without waiting for the fence: the fault that the protocol is there
  // to prevent.
  ASSAY_ASSIGN_OR_RETURN(ReadRequest request, planner_.Request(flight_->targets));
  if (flight_->job == Flight::Job::kProbe) {
    ASSAY_ASSIGN_OR_RETURN(const std::set<TableId> probed, history_.TablesWithNulls());
    for (const TableId& table : probed) request.tables.push_back({names_->NameOf(table), {}});
  }
  request.fence = flight_->fence;
  request.lock = flight_->locked;
  request.tag = flight_->tag;
  call_ = DatabaseRead{std::move(request)};
  flight_->stage = Stage::kReading;
  return absl::OkStatus();
}

// The chance that a row of the batch moves grows with its rows, and with the time that they take. What stays is how
// often it was tried: a row that moves all the time is still locked in the end, with fewer others.
bool Projector::Shrink() {
  if (flight_->batch.Empty()) {  // Rows that are due: fewer of them, and a batch before that.
    unsettled_->NotePortionFailed();
    DropBatch();
    Finish();
    return true;
  }
  if (!size_.Shrink(std::min(flight_->batch.rows().size(), flight_->batch.rows_max()))) return false;
  for (Flight* flight : {landing_.get(), flight_.get(), next_.get()}) flight->batch.set_rows_cap(size_.rows());
  DropBatch();
  const uint32_t attempts = flight_->attempts;
  std::map<RowRef, Refusal> refused = std::move(flight_->refused);
  Finish();
  flight_->attempts = attempts;
  flight_->refused = std::move(refused);
  retry_turn_ = false;  // It is still this batch's turn.
  return true;
}

absl::Status Projector::OnRead(absl::StatusOr<ReadReply> reply) {
  if (flight_->stage != Stage::kReading) return absl::OkStatus();
  if (!reply.ok()) {
    Failed(Annotate(reply.status(), "read the rows to project"));
    // Such a lock, perhaps for hours, must not keep the other rows waiting: without locks they may pass.
    if (flight_->locked && absl::IsAborted(reply.status())) flight_->attempts = 0;
    flight_->shrink = TookTooLong(reply.status());
    flight_->stage = Stage::kRead;
    return absl::OkStatus();
  }
  link_.Succeed(clock_->Now());
  flight_->read = *std::move(reply);
  horizon_.OnRead(flight_->fence, flight_->read->session, flight_->read->ended_before);
  if (flight_->locked) flight_->not_before = clock_->Now() + kLockedMax;
  has_work_ = true;
  return absl::OkStatus();
}

void Projector::OnFence(absl::string_view nonce) {
  horizon_.OnFence(nonce);
  if (nonce != flight_->fence) return;
  flight_->fence_seen = true;
  has_work_ = true;
}

absl::Status Projector::DropIntent(Flight* flight) {
  const uint64_t batch = flight->intent->batch();
  flight->intent.reset();
  return state_->EraseIntent(batch);
}

void Projector::Committed() {
  if (IsLanding()) {
    flight_->stage = Stage::kCommitted;
    return;
  }
  std::swap(landing_, flight_);
  landing_->Begin();  // What it was planned on is in its intent.
  flight_->batch.Clear(landing_->intent->to());
  Finish();
}

absl::Status Projector::OnProjected(ProjectReply reply) {
  if (reply.outcome == ProjectReply::Outcome::kCommitted) horizon_.OnCommitted(reply.session, reply.xmin);
  // The echo may come before the reply: then all is settled already, and the next projection may even wait for this
  // reply to be made.
  if (flight_->stage != Stage::kProjecting || call_.has_value()) return absl::OkStatus();
  switch (reply.outcome) {
    case ProjectReply::Outcome::kCommitted:
      link_.Succeed(clock_->Now());
      Committed();
      return absl::OkStatus();
    case ProjectReply::Outcome::kInDoubt:
      Failed(Annotate(reply.status, "commit a projection"));
      AskLastBatch();
      return absl::OkStatus();
    case ProjectReply::Outcome::kMoved:
      if (std::any_of(flight_->targets.begin(), flight_->targets.end(),
                      [](const TargetRow& target) { return !target.read; })) {
        assume_absent_ = false;
        flight_->not_before = absl::InfinitePast();
        break;
      }
      [[fallthrough]];
    case ProjectReply::Outcome::kGaveWay:
      ++flight_->attempts;
      flight_->shrink = true;
      // A row that keeps moving under locks waits for another projector, which cannot be, or a table rule: do not spin.
      flight_->not_before =
          flight_->attempts > 2 * kAttemptsBeforeLocking ? link_.Later(clock_->Now(), *random_) : absl::InfinitePast();
      break;
    case ProjectReply::Outcome::kRefused:
      if (reply.rows.empty()) {
        Failed(absl::InternalError("a projection was refused without naming a row"));
        break;
      }
      for (const ProjectReply::Row& row : reply.rows) {
        if (row.table >= flight_->written.size() || row.row >= flight_->written[row.table].size()) continue;
        flight_->refused[flight_->targets[flight_->written[row.table][row.row]].ref] = {row.sqlstate, row.cause};
      }
      flight_->not_before = absl::InfinitePast();
      break;
    case ProjectReply::Outcome::kUnavailable:
      Failed(Annotate(reply.status, "project"));
      // As for a read: locks that are not to be had, or were held for too long, must not keep the others waiting.
      if (flight_->locked && absl::IsAborted(reply.status)) flight_->attempts = 0;
      flight_->shrink = TookTooLong(reply.status);
      break;
  }
  flight_->stage = Stage::kRead;
  has_work_ = true;
  return DropIntent(flight_.get());
}

absl::Status Projector::OnLastBatch(const absl::StatusOr<uint64_t>& batch) {
  if (flight_->stage != Stage::kAsking) return absl::OkStatus();
  if (!batch.ok()) {
    Failed(Annotate(batch.status(), "ask which projection committed last"));
    return absl::OkStatus();
  }
  link_.Succeed(clock_->Now());
  // What did not commit never happened: begin again from the cursors.
  for (Flight* flight : {landing_.get(), flight_.get()}) {
    if (flight->intent.has_value() && *batch < flight->intent->batch()) ASSAY_RETURN_IF_ERROR(DropIntent(flight));
  }
  if (flight_->intent.has_value()) {
    Committed();
  } else {
    DropBatch();
    Finish();
  }
  return absl::OkStatus();
}

}  // namespace assay
