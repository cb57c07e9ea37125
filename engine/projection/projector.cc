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
constexpr size_t kShrunkRowsMin = 8;
// How long a batch that is not full waits for events that are on their way: the more of them it spans, the fewer rows
// are written.
constexpr absl::Duration kOpenMax = absl::Seconds(2);
constexpr absl::Duration kLockedMax = absl::Milliseconds(500);

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
      history_(own, stores.names, stores.state),
      appeared_(stores.rows, stores.unsettled, &values_, &history_),
      planner_(stores.names, &values_, &history_),
      landing_batch_(std::make_unique<Batch>(own, stores.log, stores.names, stores.state)),
      batch_(std::make_unique<Batch>(own, stores.log, stores.names, stores.state)),
      next_(std::make_unique<Batch>(own, stores.log, stores.names, stores.state)) {
  SetRowsCap(config.batch_rows_max);
  for (Batch* batch : {landing_batch_.get(), batch_.get(), next_.get()})
    batch->set_new_rows_cap((config.batch_rows_max + 1) / 2);
}

void Projector::GiveUp(const std::set<OriginId>& origins) {
  for (Batch* batch : {landing_batch_.get(), batch_.get(), next_.get()}) batch->GiveUp(origins);
}

std::map<OriginId, absl::Status> Projector::stopped() const {
  std::map<OriginId, absl::Status> stopped;
  for (const Batch* batch : {landing_batch_.get(), batch_.get(), next_.get()}) {
    stopped.insert(batch->stopped().begin(), batch->stopped().end());
  }
  return stopped;
}

std::map<OriginId, std::pair<OriginId, Sequence>> Projector::waiting_for() const {
  std::map<OriginId, std::pair<OriginId, Sequence>> waiting = batch_->waiting_for();
  waiting.insert(next_->waiting_for().begin(), next_->waiting_for().end());
  return waiting;
}

void Projector::DropBatch() {
  batch_->Clear(landing_.has_value() ? landing_->to() : std::map<OriginId, Sequence>());
  next_->Clear();
  next_begun_ = false;
  ahead_.reset();
}

absl::Status Projector::Load() {
  landing_.reset();
  intent_.reset();
  landing_batch_->Clear();
  DropBatch();
  values_.Clear();
  history_.Clear();
  shapes_.clear();
  horizon_.Clear();
  call_.reset();
  Finish();
  ASSAY_ASSIGN_OR_RETURN(const std::vector<std::string> stored, state_->Intents());
  for (const std::string& bytes : stored) {
    ASSAY_ASSIGN_OR_RETURN(OpenIntent intent, OpenIntent::Parse(bytes));
    landing_ = std::exchange(intent_, std::move(intent));
  }
  // It may have committed: ask before anything else.
  if (intent_.has_value()) AskLastBatch();
  return absl::OkStatus();
}

void Projector::Finish() {
  phase_ = Phase::kGather;
  targets_.clear();
  refused_.clear();
  read_.reset();
  fence_.clear();
  written_.clear();
  unread_ = locked_ = anchoring_ = probing_ = shrink_ = false;
  attempts_ = 0;
  has_work_ = true;
}

std::string Projector::Nonce() { return absl::StrFormat("%016x%016x", random_->Next(), random_->Next()); }

void Projector::Failed(const absl::Status& status) {
  // It may be another server that answers next.
  shapes_.clear();
  horizon_.Clear();
  ahead_.reset();
  retry_at_ = link_.Fail(status, clock_->Now(), *random_);
}

void Projector::AskLastBatch() {
  phase_ = Phase::kAsking;
  retry_at_ = absl::InfinitePast();
  call_ = DatabaseLastBatch{};
}

absl::Status Projector::GatherNext(size_t events_max) {
  if (batch_->Empty() || IsMuch(landing_batch_->rows().size() + batch_->rows().size())) return absl::OkStatus();
  if (!std::exchange(next_begun_, true)) {
    next_->Clear(batch_->End());
    next_looked_up_ = 0;
    ahead_tried_ = false;
  }
  ASSAY_ASSIGN_OR_RETURN(const bool complete, next_->Gather(events_max));
  next_looked_up_ = std::min(next_looked_up_, next_->rows().size());  // It may have begun again.
  for (; next_looked_up_ < next_->rows().size(); ++next_looked_up_) {
    ASSAY_RETURN_IF_ERROR(rows_->Prefetch(next_->rows()[next_looked_up_].ref));
  }
  folding_ = !complete;
  has_work_ |= !complete;
  return complete && next_->Full() ? PlanNext() : absl::OkStatus();
}

absl::Status Projector::Step(size_t events_max, bool idle) {
  has_work_ = folding_ = false;
  idle_ = idle;
  wake_ = absl::InfiniteFuture();
  const bool waiting = phase_ == Phase::kReading || phase_ == Phase::kProjecting || phase_ == Phase::kLanding;
  if (waiting && idle) ASSAY_RETURN_IF_ERROR(GatherNext(events_max));
  switch (phase_) {
    case Phase::kGather:
      return Gather(events_max);
    case Phase::kRead:
      if (clock_->Now() >= retry_at_)
        return std::exchange(shrink_, false) && Shrink() ? Gather(events_max) : ReadAgain();
      wake_ = retry_at_;
      return absl::OkStatus();
    case Phase::kReading:
      if (read_.has_value() && ((!landing_.has_value() && (fence_seen_ || config_.naive_projection)) || IsInLog()))
        return Plan();
      if (!read_.has_value() || !locked_) return absl::OkStatus();
      // The application waits for these locks: let go rather than wait long for a capture that is behind.
      if (clock_->Now() < retry_at_) {
        wake_ = retry_at_;
        return absl::OkStatus();
      }
      call_ = DatabaseAbandon{};
      read_.reset();
      shrink_ = true;
      Failed(absl::DeadlineExceededError("capture is behind: the fence did not come while rows were locked"));
      phase_ = Phase::kRead;
      return absl::OkStatus();
    case Phase::kAsking:
      if (call_.has_value() || retry_at_ == absl::InfinitePast()) return absl::OkStatus();
      if (clock_->Now() >= retry_at_) {
        AskLastBatch();
      } else {
        wake_ = retry_at_;
      }
      return absl::OkStatus();
    case Phase::kProjecting:
    case Phase::kLanding:
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status Projector::Gather(size_t events_max) {
  if (landing_.has_value() && IsMuch(landing_batch_->rows().size())) return absl::OkStatus();
  const int64_t now_ms = absl::ToUnixMillis(clock_->Now());
  if (batch_->Empty() && retry_turn_) {
    // What lands may settle some of them.
    if (landing_.has_value() && unsettled_->count() > 0) return absl::OkStatus();
    retry_turn_ = false;
    ASSAY_RETURN_IF_ERROR(Retry());
    if (phase_ != Phase::kGather) return absl::OkStatus();
  }
  if (batch_->Empty()) {
    if (std::exchange(next_begun_, false)) batch_.swap(next_);
    opened_ = clock_->Now();
  }
  ASSAY_ASSIGN_OR_RETURN(const bool complete, batch_->Gather(events_max));
  if (!complete) {
    has_work_ = folding_ = true;
    return absl::OkStatus();
  }
  if (!batch_->Empty()) {
    const absl::Duration open = clock_->Now() - opened_;
    if (more_expected_ && !batch_->Full() && open >= absl::ZeroDuration() && open < kOpenMax) {
      wake_ = opened_ + kOpenMax;
      return absl::OkStatus();
    }
    retry_turn_ = true;
    ProjectionPlan plan;
    ASSAY_ASSIGN_OR_RETURN(const bool planned, TakeAhead(&plan));
    if (planned) return Ask(std::move(plan));
    ASSAY_ASSIGN_OR_RETURN(targets_, Targets(*batch_));
    phase_ = Phase::kRead;
    retry_at_ = absl::InfinitePast();
    return StartRead();
  }
  if (landing_.has_value()) return absl::OkStatus();
  retry_turn_ = false;
  ASSAY_RETURN_IF_ERROR(Retry());
  if (phase_ != Phase::kGather) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(const std::optional<int64_t> next_ms, unsettled_->NextRetryMs());
  if (next_ms.has_value()) wake_ = absl::FromUnixMillis(std::max(*next_ms, now_ms));
  ASSAY_ASSIGN_OR_RETURN(const std::set<TableId> probed, history_.TablesWithNulls());
  if (!probed.empty()) {
    if (clock_->Now() >= probe_at_) {
      probing_ = true;
      phase_ = Phase::kRead;
      retry_at_ = absl::InfinitePast();
      return StartRead();
    }
    wake_ = std::min(wake_, probe_at_);
  }
  if (!activity_) return absl::OkStatus();
  if (clock_->Now() < anchor_at_) {
    wake_ = std::min(wake_, anchor_at_);
    return absl::OkStatus();
  }
  anchoring_ = true;
  phase_ = Phase::kRead;
  retry_at_ = absl::InfinitePast();
  return StartRead();
}

absl::Status Projector::Retry() {
  if (unsettled_->count() == 0) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(std::vector<UnsettledRow> due,
                         unsettled_->Due(absl::ToUnixMillis(clock_->Now()), kRetryRowsMax));
  if (due.empty()) return absl::OkStatus();
  for (UnsettledRow& row : due) {
    TargetRow& target =
        targets_.emplace_back(TargetRow{.ref = row.row, .unsettled = std::make_unique<UnsettledRow>(std::move(row))});
    ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, rows_->Get(target.ref));
    NoteVersions(stored, &target);
  }
  std::sort(targets_.begin(), targets_.end(), [](const TargetRow& a, const TargetRow& b) { return a.ref < b.ref; });
  phase_ = Phase::kRead;
  retry_at_ = absl::InfinitePast();
  return StartRead();
}

absl::Status Projector::ReadAgain() {
  ASSAY_RETURN_IF_ERROR(LookAgain(&targets_));
  return StartRead();
}

absl::Status Projector::StartRead() {
  if (targets_.empty() && !anchoring_ && !probing_) {
    if (landing_.has_value()) return absl::OkStatus();  // The cursors move in order.
    // Nothing that PostgreSQL would show: merge without a word to it.
    ASSAY_RETURN_IF_ERROR(Settle({}, batch_.get()));
    Finish();
    return absl::OkStatus();
  }
  locked_ = attempts_ >= kAttemptsBeforeLocking || config_.naive_projection;
  ChooseReads(&targets_);
  tag_ = Nonce();
  fence_.clear();
  read_ = NothingToRead(targets_);
  unread_ = read_.has_value();
  if (unread_) return Plan();
  fence_ = Nonce();
  fence_seen_ = false;
  // The naive build option locks late and decides without waiting for the fence: the fault that the protocol is there
  // to prevent.
  ASSAY_ASSIGN_OR_RETURN(ReadRequest request, planner_.Request(targets_));
  if (probing_) {
    ASSAY_ASSIGN_OR_RETURN(const std::set<TableId> probed, history_.TablesWithNulls());
    for (const TableId& table : probed) request.tables.push_back({names_->NameOf(table), {}});
  }
  request.fence = fence_;
  request.lock = locked_;
  request.tag = tag_;
  call_ = DatabaseRead{std::move(request)};
  phase_ = Phase::kReading;
  return absl::OkStatus();
}

void Projector::SetRowsCap(size_t rows) {
  for (Batch* batch : {landing_batch_.get(), batch_.get(), next_.get()}) batch->set_rows_cap(rows);
}

// The chance that a row of the batch moves grows with its rows, and with the time that they take. What stays is how
// often it was tried: a row that moves all the time is still locked in the end, with fewer others.
bool Projector::Shrink() {
  const size_t rows = std::min(batch_->rows().size(), batch_->rows_max());
  if (rows <= kShrunkRowsMin) return false;
  SetRowsCap(std::max(kShrunkRowsMin, rows / 2));
  DropBatch();
  targets_.clear();
  read_.reset();
  fence_.clear();
  written_.clear();
  retry_turn_ = false;  // It is still this batch's turn.
  phase_ = Phase::kGather;
  has_work_ = true;
  return true;
}

absl::Status Projector::OnRead(absl::StatusOr<ReadReply> reply) {
  if (phase_ != Phase::kReading) return absl::OkStatus();
  if (!reply.ok()) {
    Failed(Annotate(reply.status(), "read the rows to project"));
    // A lock that is not to be had, perhaps for hours, must not keep the other rows waiting: without locks they may
    // pass.
    if (locked_ && absl::IsAborted(reply.status())) attempts_ = 0, shrink_ = true;
    phase_ = Phase::kRead;
    return absl::OkStatus();
  }
  link_.Succeed(clock_->Now());
  read_ = *std::move(reply);
  horizon_.OnRead(fence_, read_->session, read_->ended_before);
  if (locked_) retry_at_ = clock_->Now() + kLockedMax;
  has_work_ = true;
  return absl::OkStatus();
}

void Projector::OnFence(absl::string_view nonce) {
  horizon_.OnFence(nonce);
  if (nonce != fence_) return;
  fence_seen_ = true;
  has_work_ = true;
}

absl::Status Projector::DropIntent(std::optional<OpenIntent>* intent) {
  const uint64_t batch = (*intent)->batch();
  intent->reset();
  return state_->EraseIntent(batch);
}

void Projector::Committed() {
  if (landing_.has_value()) {
    phase_ = Phase::kLanding;
    return;
  }
  landing_ = std::exchange(intent_, std::nullopt);
  batch_.swap(landing_batch_);
  batch_->Clear(landing_->to());
  Finish();
}

absl::Status Projector::OnProjected(ProjectReply reply) {
  if (reply.outcome == ProjectReply::Outcome::kCommitted) horizon_.OnCommitted(reply.session, reply.xmin);
  // The echo may come before the reply: then all is settled already, and the next projection may even wait for this
  // reply to be made.
  if (phase_ != Phase::kProjecting || call_.has_value()) return absl::OkStatus();
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
      if (std::any_of(targets_.begin(), targets_.end(), [](const TargetRow& target) { return !target.read; })) {
        assume_absent_ = false;
        retry_at_ = absl::InfinitePast();
        break;
      }
      [[fallthrough]];
    case ProjectReply::Outcome::kGaveWay:
      ++attempts_;
      shrink_ = true;
      // A row that keeps moving under locks waits for another projector, which cannot be, or a table rule: do not spin.
      retry_at_ = attempts_ > 2 * kAttemptsBeforeLocking ? link_.Later(clock_->Now(), *random_) : absl::InfinitePast();
      break;
    case ProjectReply::Outcome::kRefused:
      if (reply.rows.empty()) {
        Failed(absl::InternalError("a projection was refused without naming a row"));
        break;
      }
      for (const ProjectReply::Row& row : reply.rows) {
        if (row.table >= written_.size() || row.row >= written_[row.table].size()) continue;
        refused_[targets_[written_[row.table][row.row]].ref] = {row.sqlstate, row.cause};
      }
      retry_at_ = absl::InfinitePast();
      break;
    case ProjectReply::Outcome::kUnavailable:
      Failed(Annotate(reply.status, "project"));
      // As for a read: locks that are not to be had, or were held for too long, must not keep the others waiting.
      if (locked_ && absl::IsAborted(reply.status)) attempts_ = 0, shrink_ = true;
      break;
  }
  phase_ = Phase::kRead;
  has_work_ = true;
  return DropIntent(&intent_);
}

absl::Status Projector::OnLastBatch(const absl::StatusOr<uint64_t>& batch) {
  if (phase_ != Phase::kAsking) return absl::OkStatus();
  if (!batch.ok()) {
    Failed(Annotate(batch.status(), "ask which projection committed last"));
    return absl::OkStatus();
  }
  link_.Succeed(clock_->Now());
  // What did not commit never happened: begin again from the cursors.
  for (std::optional<OpenIntent>* intent : {&landing_, &intent_}) {
    if (intent->has_value() && *batch < (*intent)->batch()) ASSAY_RETURN_IF_ERROR(DropIntent(intent));
  }
  if (intent_.has_value()) {
    Committed();
  } else {
    DropBatch();
    Finish();
  }
  return absl::OkStatus();
}

}  // namespace assay
