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
      stores_(stores),
      clock_(clock),
      random_(random),
      values_(stores.log, stores.names),
      history_(own, stores.names, stores.state),
      appeared_(stores.rows, stores.unsettled, &values_, &history_),
      planner_(stores.names, &values_, &history_),
      settler_(config, stores, &values_, &history_, clock),
      flights_(config, own, stores) {}

absl::Status Projector::Load() {
  flights_.Clear();
  values_.Clear();
  history_.Clear();
  inserts_.ForgetTables();
  horizon_.Clear();
  call_.reset();
  has_work_ = true;
  ASSAY_ASSIGN_OR_RETURN(const std::vector<std::string> stored, stores_.state->Intents());
  for (const std::string& bytes : stored) {
    ASSAY_ASSIGN_OR_RETURN(OpenIntent intent, OpenIntent::Parse(bytes));
    flights_.landing().intent = std::exchange(flight().intent, std::move(intent));
  }
  // It may have committed: ask before anything else.
  if (flight().intent.has_value()) AskLastBatch();
  return absl::OkStatus();
}

void Projector::Finish() {
  flight().Begin();
  has_work_ = true;
}

std::string Projector::Nonce() { return absl::StrFormat("%016x%016x", random_->Next(), random_->Next()); }

void Projector::Failed(const absl::Status& status) {
  // It may be another server that answers next.
  inserts_.ForgetTables();
  horizon_.Clear();
  flights_.next().plan.reset();
  flight().not_before = link_.Fail(status, clock_->Now(), *random_);
}

void Projector::AskLastBatch() {
  flight().stage = Stage::kAsking;
  flight().not_before = absl::InfinitePast();
  call_ = DatabaseLastBatch{};
}

absl::Status Projector::GatherNext(size_t events_max) {
  if (flight().batch.Empty() ||
      flights_.size().IsMuch(flights_.landing().batch.rows().size() + flight().batch.rows().size()))
    return absl::OkStatus();
  Flight& ahead = flights_.Ahead();
  ASSAY_ASSIGN_OR_RETURN(const bool complete, ahead.batch.Gather(events_max));
  ahead.looked_up = std::min(ahead.looked_up, ahead.batch.rows().size());  // It may have begun again.
  for (; ahead.looked_up < ahead.batch.rows().size(); ++ahead.looked_up) {
    ASSAY_RETURN_IF_ERROR(stores_.rows->Prefetch(ahead.batch.rows()[ahead.looked_up].ref));
  }
  folding_ = !complete;
  has_work_ |= !complete;
  return complete && ahead.batch.Full() ? PlanNext() : absl::OkStatus();
}

bool Projector::MayPlan() const {
  if (flight().stage != Stage::kReading || !flight().read.has_value()) return false;
  return (!IsLanding() && (flight().fence_seen || config_.naive_projection)) || IsInLog();
}

absl::Status Projector::Step(size_t events_max, bool idle) {
  has_work_ = folding_ = false;
  idle_ = idle;
  wake_ = absl::InfiniteFuture();
  const bool waiting =
      flight().stage == Stage::kReading || flight().stage == Stage::kProjecting || flight().stage == Stage::kCommitted;
  if (waiting && idle) ASSAY_RETURN_IF_ERROR(GatherNext(events_max));
  switch (NextStep(flight(), clock_->Now(), MayPlan())) {
    case FlightStep::kWait:
      return absl::OkStatus();
    case FlightStep::kWaitUntil:
      wake_ = flight().not_before;
      return absl::OkStatus();
    case FlightStep::kGather:
      return Gather(events_max);
    case FlightStep::kShrink:
      flight().shrink = false;
      return Shrink() ? Gather(events_max) : ReadAgain();
    case FlightStep::kReadAgain:
      return ReadAgain();
    case FlightStep::kPlan:
      return Plan();
    case FlightStep::kLetGo:
      call_ = DatabaseAbandon{};
      flight().read.reset();
      flight().shrink = true;
      Failed(absl::DeadlineExceededError("capture is behind: the fence did not come while rows were locked"));
      flight().stage = Stage::kRead;
      return absl::OkStatus();
    case FlightStep::kAsk:
      AskLastBatch();
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status Projector::Gather(size_t events_max) {
  if (IsLanding() && flights_.size().IsMuch(flights_.landing().batch.rows().size())) return absl::OkStatus();
  if (flight().batch.Empty() && retry_turn_) {
    // What lands may settle some of them.
    if (IsLanding() && stores_.unsettled->count() > 0) return absl::OkStatus();
    retry_turn_ = false;
    ASSAY_RETURN_IF_ERROR(Retry());
    if (flight().stage != Stage::kGather) return absl::OkStatus();
  }
  if (flight().batch.Empty()) {
    flights_.TakeAhead();
    flight().opened = clock_->Now();
  }
  ASSAY_ASSIGN_OR_RETURN(const bool complete, flight().batch.Gather(events_max));
  if (!complete) {
    has_work_ = folding_ = true;
    return absl::OkStatus();
  }
  if (!flight().batch.Empty()) {
    const absl::Duration open = clock_->Now() - flight().opened;
    if (more_expected_ && !flight().batch.Full() && open >= absl::ZeroDuration() && open < kOpenMax) {
      wake_ = flight().opened + kOpenMax;
      return absl::OkStatus();
    }
    retry_turn_ = true;
    ProjectionPlan plan;
    ASSAY_ASSIGN_OR_RETURN(const bool planned, TakeAhead(&plan));
    if (planned) return Ask(std::move(plan));
    ASSAY_ASSIGN_OR_RETURN(flight().targets, Targets(flight().batch));
    return Begin(Flight::Job::kFold);
  }
  return IsLanding() ? absl::OkStatus() : BeginWhatElseIsDue();
}

absl::Status Projector::BeginWhatElseIsDue() {
  retry_turn_ = false;
  ASSAY_RETURN_IF_ERROR(Retry());
  if (flight().stage != Stage::kGather) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(const std::optional<int64_t> next_ms, stores_.unsettled->NextRetryMs());
  if (next_ms.has_value()) wake_ = absl::FromUnixMillis(std::max(*next_ms, absl::ToUnixMillis(clock_->Now())));
  ASSAY_ASSIGN_OR_RETURN(const std::set<TableId> probed, history_.TablesWithNulls());
  const std::optional<Flight::Job> due = jobs_.Due(clock_->Now(), !probed.empty(), &wake_);
  return due.has_value() ? Begin(*due) : absl::OkStatus();
}

absl::Status Projector::Retry() {
  if (stores_.unsettled->count() == 0) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(std::vector<UnsettledRow> due,
                         stores_.unsettled->Due(absl::ToUnixMillis(clock_->Now()), kRetryRowsMax));
  if (due.empty()) return absl::OkStatus();
  for (UnsettledRow& row : due) {
    TargetRow& target = flight().targets.emplace_back(
        TargetRow{.ref = row.row, .unsettled = std::make_unique<UnsettledRow>(std::move(row))});
    ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, stores_.rows->Get(target.ref));
    NoteKnown(stored, &target);
  }
  std::sort(flight().targets.begin(), flight().targets.end(),
            [](const TargetRow& a, const TargetRow& b) { return a.ref < b.ref; });
  return Begin(Flight::Job::kFold);
}

absl::Status Projector::Begin(Flight::Job job) {
  flight().job = job;
  flight().stage = Stage::kRead;
  flight().not_before = absl::InfinitePast();
  return StartRead();
}

absl::Status Projector::ReadAgain() {
  ASSAY_RETURN_IF_ERROR(LookAgain(&flight().targets));
  return StartRead();
}

absl::Status Projector::StartRead() {
  if (flight().targets.empty() && flight().job == Flight::Job::kFold) {
    if (IsLanding()) return absl::OkStatus();  // The cursors move in order.
    // Nothing that PostgreSQL would show: merge without a word to it.
    ASSAY_RETURN_IF_ERROR(Settle({}, &flight().batch));
    Finish();
    return absl::OkStatus();
  }
  flight().locked = flight().attempts >= kAttemptsBeforeLocking || config_.naive_projection;
  ChooseReads(&flight().targets);
  flight().tag = Nonce();
  flight().fence.clear();
  flight().read = NothingToRead(flight().targets);
  flight().unread = flight().read.has_value();
  if (flight().unread) return Plan();
  flight().fence = Nonce();
  flight().fence_seen = false;
  // The naive build option locks late and decides without waiting for the fence: the fault that the protocol is there
  // to prevent.
  ASSAY_ASSIGN_OR_RETURN(ReadRequest request, planner_.Request(flight().targets));
  if (flight().job == Flight::Job::kProbe) {
    ASSAY_ASSIGN_OR_RETURN(const std::set<TableId> probed, history_.TablesWithNulls());
    for (const TableId& table : probed) request.tables.push_back({stores_.names->NameOf(table), {}});
  }
  request.fence = flight().fence;
  request.lock = flight().locked;
  request.tag = flight().tag;
  call_ = DatabaseRead{std::move(request)};
  flight().stage = Stage::kReading;
  return absl::OkStatus();
}

// The chance that a row of the batch moves grows with its rows, and with the time that they take. What stays is how
// often it was tried: a row that moves all the time is still locked in the end, with fewer others.
bool Projector::Shrink() {
  if (flight().batch.Empty()) {  // Rows that are due: fewer of them, and a batch before that.
    stores_.unsettled->NotePortionFailed();
    flights_.DropBatches();
    Finish();
    return true;
  }
  if (!flights_.Shrink()) return false;
  const uint32_t attempts = flight().attempts;
  std::map<RowRef, Refusal> refused = std::move(flight().refused);
  Finish();
  flight().attempts = attempts;
  flight().refused = std::move(refused);
  retry_turn_ = false;  // It is still this batch's turn.
  return true;
}

absl::Status Projector::OnRead(absl::StatusOr<ReadReply> reply) {
  if (flight().stage != Stage::kReading) return absl::OkStatus();
  if (!reply.ok()) {
    Failed(Annotate(reply.status(), "read the rows to project"));
    // Such a lock, perhaps for hours, must not keep the other rows waiting: without locks they may pass.
    if (flight().locked && absl::IsAborted(reply.status())) flight().attempts = 0;
    flight().shrink = TookTooLong(reply.status());
    flight().stage = Stage::kRead;
    return absl::OkStatus();
  }
  link_.Succeed(clock_->Now());
  flight().read = *std::move(reply);
  horizon_.OnRead(flight().fence, flight().read->session, flight().read->ended_before);
  if (flight().locked) flight().not_before = clock_->Now() + kLockedMax;
  has_work_ = true;
  return absl::OkStatus();
}

void Projector::OnFence(absl::string_view nonce) {
  horizon_.OnFence(nonce);
  if (nonce != flight().fence) return;
  flight().fence_seen = true;
  has_work_ = true;
}

absl::Status Projector::DropIntent(Flight* of) {
  const uint64_t batch = of->intent->batch();
  of->intent.reset();
  return stores_.state->EraseIntent(batch);
}

void Projector::Committed() {
  if (IsLanding()) {
    flight().stage = Stage::kCommitted;
    return;
  }
  flights_.Land();
  has_work_ = true;
}

absl::Status Projector::OnProjected(ProjectReply reply) {
  if (reply.outcome == ProjectReply::Outcome::kCommitted) horizon_.OnCommitted(reply.session, reply.xmin);
  // The echo may come before the reply: then all is settled already, and the next projection may even wait for this
  // reply to be made.
  if (flight().stage != Stage::kProjecting || call_.has_value()) return absl::OkStatus();
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
      if (std::any_of(flight().targets.begin(), flight().targets.end(),
                      [](const TargetRow& target) { return !target.read; })) {
        inserts_.OnRefuted();
        flight().not_before = absl::InfinitePast();
        break;
      }
      [[fallthrough]];
    case ProjectReply::Outcome::kGaveWay:
      ++flight().attempts;
      flight().shrink = true;
      // A row that keeps moving under locks waits for another projector, which cannot be, or a table rule: do not spin.
      flight().not_before =
          flight().attempts > 2 * kAttemptsBeforeLocking ? link_.Later(clock_->Now(), *random_) : absl::InfinitePast();
      break;
    case ProjectReply::Outcome::kRefused:
      if (reply.rows.empty()) {
        Failed(absl::InternalError("a projection was refused without naming a row"));
        break;
      }
      for (const ProjectReply::Row& row : reply.rows) {
        if (row.table >= flight().written.size() || row.row >= flight().written[row.table].size()) continue;
        flight().refused[flight().targets[flight().written[row.table][row.row]].ref] = {row.sqlstate, row.cause};
      }
      flight().not_before = absl::InfinitePast();
      break;
    case ProjectReply::Outcome::kUnavailable:
      Failed(Annotate(reply.status, "project"));
      // As for a read: locks that are not to be had, or were held for too long, must not keep the others waiting.
      if (flight().locked && absl::IsAborted(reply.status)) flight().attempts = 0;
      flight().shrink = TookTooLong(reply.status);
      break;
  }
  flight().stage = Stage::kRead;
  has_work_ = true;
  return DropIntent(&flight());
}

absl::Status Projector::OnLastBatch(const absl::StatusOr<uint64_t>& batch) {
  if (flight().stage != Stage::kAsking) return absl::OkStatus();
  if (!batch.ok()) {
    Failed(Annotate(batch.status(), "ask which projection committed last"));
    return absl::OkStatus();
  }
  link_.Succeed(clock_->Now());
  // What did not commit never happened: begin again from the cursors.
  for (Flight* open : {&flights_.landing(), &flight()}) {
    if (open->intent.has_value() && *batch < open->intent->batch()) ASSAY_RETURN_IF_ERROR(DropIntent(open));
  }
  if (flight().intent.has_value()) {
    Committed();
  } else {
    flights_.DropBatches();
    Finish();
  }
  return absl::OkStatus();
}

}  // namespace assay
