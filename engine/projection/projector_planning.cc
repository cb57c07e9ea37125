// What is to be written of a batch, and when that may be told: without a read, on what the rows' xmin says, or after
// the fence.
#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "engine/projection/projector.h"
#include "log/annotate.h"

namespace assay {
namespace {

// Where nothing else reads the tables. A column that some branch has and that never comes here costs next to nothing.
constexpr absl::Duration kProbeIntervalMax = absl::Minutes(5);

}  // namespace

// Rows of the batch that could change something in PostgreSQL. What is older than what the row has changes nothing, now
// or later.
absl::StatusOr<std::vector<TargetRow>> Projector::Targets(const Batch& batch) {
  std::vector<TargetRow> targets;
  targets.reserve(batch.rows().size());
  for (const PendingRow& pending : batch.rows()) {
    TargetRow target{.ref = pending.ref, .pending = &pending};
    ASSAY_ASSIGN_OR_RETURN(target.unsettled, Unsettled(target));
    ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, rows_->Get(target.ref));
    if (target.unsettled == nullptr && stored != nullptr) {
      RowVersions merged = *stored;
      Merge(pending.incoming(), &merged);
      if (merged == *stored) continue;
    }
    NoteKnown(stored, &target);
    targets.push_back(std::move(target));
  }
  std::sort(targets.begin(), targets.end(), [](const TargetRow& a, const TargetRow& b) { return a.ref < b.ref; });
  return targets;
}

// What is noted of a target that is only unsettled, and has been settled since: it is compared once more.
absl::StatusOr<std::unique_ptr<UnsettledRow>> Projector::Unsettled(const TargetRow& target) {
  ASSAY_ASSIGN_OR_RETURN(std::optional<UnsettledRow> row, unsettled_->Find(target.ref));
  if (row.has_value()) return std::make_unique<UnsettledRow>(*std::move(row));
  if (target.pending != nullptr) return nullptr;
  return std::make_unique<UnsettledRow>(UnsettledRow{target.ref, target.unsettled->key, false});
}

void Projector::NoteKnown(const RowVersions* stored, TargetRow* target) const {
  const auto concerns = [target](const Flight& flight) {
    return flight.intent.has_value() && flight.intent->Concerns(target->ref);
  };
  target->unknown = stored == nullptr && target->unsettled == nullptr && !concerns(*landing_) && !concerns(*flight_);
}

absl::Status Projector::LookAgain(std::vector<TargetRow>* targets) {
  for (TargetRow& target : *targets) {
    ASSAY_ASSIGN_OR_RETURN(target.unsettled, Unsettled(target));
    ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, rows_->Get(target.ref));
    NoteKnown(stored, &target);
  }
  return absl::OkStatus();
}

void Projector::ChooseReads(std::vector<TargetRow>* targets) const {
  for (TargetRow& target : *targets) {
    target.read = flight_->locked || !assume_absent_ || !target.unknown || target.pending == nullptr ||
                  !target.pending->incoming().IsLive();
  }
}

// A read's fence brings into the log what was committed until then, and there is none here; so that the log is not far
// behind, only while no captured change waits. A row that the application has inserted and deleted again since comes
// back until its own changes go by: then the versions differ from those that were planned on, as they do when that
// happens between a read and its projection.
std::optional<ReadReply> Projector::NothingToRead(const std::vector<TargetRow>& targets) const {
  if (!idle_ || flight_->locked || flight_->job == Flight::Job::kProbe || targets.empty() || !flight_->refused.empty())
    return std::nullopt;
  if (answer_rate_.TooOften(clock_->Now())) return std::nullopt;  // What answers may have been made since.
  ReadReply reply;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i].read) return std::nullopt;
    if (i > 0 && targets[i].ref.table == targets[i - 1].ref.table) continue;
    const auto shape = shapes_.find(targets[i].ref.table);
    if (shape == shapes_.end()) return std::nullopt;
    reply.tables.push_back({.shape = *shape->second});
  }
  return reply;
}

// Of a full batch, which gathers no more: the plan points into its rows.
absl::Status Projector::PlanNext() {
  if (!flight_->intent.has_value() || std::exchange(next_->plan_tried, true)) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(std::vector<TargetRow> targets, Targets(next_->batch));
  ChooseReads(&targets);
  const std::optional<ReadReply> shapes = NothingToRead(targets);
  if (!shapes.has_value()) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(next_->plan, planner_.Plan(targets, *shapes, {}, ProjectionPlanner::Unknown));
  next_->targets = std::move(targets);
  return absl::OkStatus();
}

absl::StatusOr<bool> Projector::TakeAhead(ProjectionPlan* plan) {
  if (!flight_->plan.has_value()) return false;
  std::vector<TargetRow> targets = std::exchange(flight_->targets, {});
  *plan = *std::exchange(flight_->plan, std::nullopt);
  if (flight_->plan_is_old) {
    ASSAY_RETURN_IF_ERROR(LookAgain(&targets));
    ChooseReads(&targets);
  }
  if (!NothingToRead(targets).has_value()) return false;
  flight_->targets = std::move(targets);
  flight_->tag = Nonce();
  flight_->unread = true;
  return true;
}

absl::Status Projector::NoteShapes() {
  for (const ReadReply::Table& table : flight_->read->tables) {
    if (!table.shape.has_value()) continue;
    ASSAY_ASSIGN_OR_RETURN(const TableId id, names_->IdOf(table.shape->name));
    if (!table.answers.empty()) {
      shapes_.erase(id);  // Always looked at.
    } else {
      std::shared_ptr<const TableShape>& known = shapes_[id];
      if (known == nullptr || !(*known == *table.shape)) known = std::make_shared<const TableShape>(*table.shape);
    }
    ASSAY_RETURN_IF_ERROR(history_.Note(id, *table.shape));
    ASSAY_ASSIGN_OR_RETURN(const bool appeared, appeared_.MakeRowsDue(id, *table.shape, clock_->Now()));
    if (appeared) probe_every_ = kProbeMin;
  }
  return absl::OkStatus();
}

bool Projector::IsInLog() const {
  if (!idle_ || flight_->locked || flight_->unread || flight_->job != Flight::Job::kFold || config_.naive_projection)
    return false;
  if (!flight_->refused.empty() || unsettled_->count() > 0) return false;
  const bool covered =
      std::all_of(flight_->read->tables.begin(), flight_->read->tables.end(), [this](const ReadReply::Table& table) {
        return table.shape.has_value() &&
               std::all_of(table.rows.begin(), table.rows.end(), [this](const ReadReply::Row& row) {
                 return row.exists && horizon_.Covers(flight_->read->session, row.xmin);
               });
      });
  // What landing_ leaves out, PostgreSQL has not got; and after a restart its batch is not in memory.
  return covered &&
         (!IsLanding() || (!landing_->intent->LeavesOut() && landing_->batch.to() == landing_->intent->to()));
}

class Projector::VersionsToBe {
 public:
  explicit VersionsToBe(const Projector& projector) : rows_(projector.rows_) {
    if (!projector.IsLanding()) return;
    absl::flat_hash_set<RowRef> both;
    for (const TargetRow& target : projector.flight_->targets) {
      if (projector.landing_->intent->Concerns(target.ref)) both.insert(target.ref);
    }
    if (both.empty()) return;
    for (const PendingRow& row : projector.landing_->batch.rows()) {
      if (both.contains(row.ref)) landing_[row.ref] = &row;
    }
  }

  absl::StatusOr<const RowVersions*> operator()(const RowRef& ref) const {
    ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, rows_->Get(ref));
    const auto landing = landing_.find(ref);
    if (landing == landing_.end()) return stored;
    merged_ = stored == nullptr ? RowVersions{} : *stored;
    Merge(landing->second->incoming(), &merged_);
    return &merged_;
  }

 private:
  RowVersionStore* rows_;
  absl::flat_hash_map<RowRef, const PendingRow*> landing_;
  mutable RowVersions merged_;
};

absl::Status Projector::Plan() {
  if (!flight_->unread) {
    next_->plan.reset();  // It is for the tables as they were.
    ASSAY_RETURN_IF_ERROR(NoteShapes());
  }
  if (flight_->job == Flight::Job::kProbe) {
    probe_at_ = clock_->Now() + probe_every_;
    probe_every_ = std::min(probe_every_ * 2, kProbeIntervalMax);
    Finish();
    return absl::OkStatus();
  }
  // Between the read and here the row may have become settled, parked or changed by a captured commit.
  for (TargetRow& target : flight_->targets) {
    if (flight_->unread) break;
    ASSAY_ASSIGN_OR_RETURN(target.unsettled, Unsettled(target));
  }
  planner_.SetAsideWhatAnswers(answer_rate_.TooOften(clock_->Now()));
  const VersionsToBe versions(*this);
  ASSAY_ASSIGN_OR_RETURN(
      ProjectionPlan plan,
      flight_->unread ? planner_.Plan(flight_->targets, *flight_->read, flight_->refused, ProjectionPlanner::Unknown)
                      : planner_.Plan(flight_->targets, *flight_->read, flight_->refused, versions));
  flight_->read.reset();
  if (plan.unknown_read > 0) assume_absent_ = plan.unknown_there == 0;
  // Under locks the read is younger than the versions that were noted before it, and nobody can have changed anything
  // since.
  if (plan.outdated && !flight_->locked && !config_.naive_projection) {
    ++flight_->attempts;
    return Shrink() ? absl::OkStatus() : ReadAgain();
  }
  return Ask(std::move(plan));
}

absl::Status Projector::Ask(ProjectionPlan plan) {
  v1::ProjectionIntent intent;
  ASSAY_ASSIGN_OR_RETURN(const uint64_t last, state_->Read(kBatchAskedNote));
  intent.set_batch(last + 1);
  intent.set_tag(flight_->tag);
  intent.set_stamp(std::max(flight_->batch.stamp(), plan.newest).value);
  for (const auto& [origin, to] : flight_->batch.to()) {
    v1::ProjectionIntent::Range* range = intent.add_ranges();
    range->set_origin(origin.bytes.data(), origin.bytes.size());
    range->set_from(flight_->batch.From(origin).value);
    range->set_to(to.value);
  }
  for (const std::vector<uint32_t>& columns : plan.columns)
    intent.add_columns()->mutable_columns()->Add(columns.begin(), columns.end());
  ProjectRequest request{intent.batch(), flight_->tag, std::move(plan.writes), flight_->locked};
  flight_->written = std::move(plan.targets);
  for (size_t i = 0; flight_->unread && i < flight_->written.size(); ++i)
    request.writes[i].unread = shapes_.at(flight_->targets[flight_->written[i].front()].ref.table);
  ASSAY_ASSIGN_OR_RETURN(flight_->intent, OpenIntent::Make(std::move(intent), std::move(plan.rows)));
  flight_->batch.Seal();
  ASSAY_RETURN_IF_ERROR(state_->Write(kBatchAskedNote, flight_->intent->batch()));
  ASSAY_RETURN_IF_ERROR(state_->PutIntent(flight_->intent->batch(), flight_->intent->Serialize()));
  call_ = DatabaseProject{std::move(request)};
  flight_->stage = Stage::kProjecting;
  return absl::OkStatus();
}

}  // namespace assay
