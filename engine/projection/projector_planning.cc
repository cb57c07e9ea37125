// What is to be written of a batch, and when that may be told: without a read, on what the rows' xmin says, or after
// the fence.
#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "engine/projection/projector.h"
#include "log/annotate.h"

namespace assay {

// Rows of the batch that could change something in PostgreSQL. What is older than what the row has changes nothing, now
// or later.
absl::StatusOr<std::vector<TargetRow>> Projector::Targets(const Batch& batch) {
  std::vector<TargetRow> targets;
  targets.reserve(batch.rows().size());
  for (const PendingRow& pending : batch.rows()) {
    TargetRow target{.ref = pending.ref, .pending = &pending};
    ASSAY_ASSIGN_OR_RETURN(target.unsettled, Unsettled(target));
    ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, stores_.rows->Get(target.ref));
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
  ASSAY_ASSIGN_OR_RETURN(std::optional<UnsettledRow> row, stores_.unsettled->Find(target.ref));
  if (row.has_value()) return std::make_unique<UnsettledRow>(*std::move(row));
  if (target.pending != nullptr) return nullptr;
  return std::make_unique<UnsettledRow>(UnsettledRow{target.ref, target.unsettled->key, false});
}

void Projector::NoteKnown(const RowVersions* stored, TargetRow* target) const {
  const auto concerns = [target](const Flight& one) {
    return one.intent.has_value() && one.intent->Concerns(target->ref);
  };
  target->unknown =
      stored == nullptr && target->unsettled == nullptr && !concerns(flights_.landing()) && !concerns(flight());
}

absl::Status Projector::LookAgain(std::vector<TargetRow>* targets) {
  for (TargetRow& target : *targets) {
    ASSAY_ASSIGN_OR_RETURN(target.unsettled, Unsettled(target));
    ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, stores_.rows->Get(target.ref));
    NoteKnown(stored, &target);
  }
  return absl::OkStatus();
}

void Projector::ChooseReads(std::vector<TargetRow>* targets) const {
  for (TargetRow& target : *targets) {
    target.read = flight().locked || !inserts_.MayGoUnread(target);
  }
}

// A read's fence brings into the log what was committed until then, and there is none here; so that the log is not far
// behind, only while no captured change waits. A row that the application has inserted and deleted again since comes
// back until its own changes go by: then the versions differ from those that were planned on, as they do when that
// happens between a read and its projection.
std::optional<ReadReply> Projector::NothingToRead(const std::vector<TargetRow>& targets) const {
  if (!idle_ || flight().locked || flight().job == Flight::Job::kProbe || targets.empty() || !flight().refused.empty())
    return std::nullopt;
  if (answer_rate_.TooOften(clock_->Now())) return std::nullopt;  // What answers may have been made since.
  return inserts_.Tables(targets);
}

// Of a full batch, which gathers no more: the plan points into its rows.
absl::Status Projector::PlanNext() {
  if (!flight().intent.has_value() || std::exchange(flights_.next().plan_tried, true)) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(std::vector<TargetRow> targets, Targets(flights_.next().batch));
  ChooseReads(&targets);
  const std::optional<ReadReply> shapes = NothingToRead(targets);
  if (!shapes.has_value()) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(flights_.next().plan, planner_.Plan(targets, *shapes, {}, ProjectionPlanner::Unknown));
  flights_.next().targets = std::move(targets);
  return absl::OkStatus();
}

absl::StatusOr<bool> Projector::TakeAhead(ProjectionPlan* plan) {
  if (!flight().plan.has_value()) return false;
  std::vector<TargetRow> targets = std::exchange(flight().targets, {});
  *plan = *std::exchange(flight().plan, std::nullopt);
  if (flight().plan_is_old) {
    ASSAY_RETURN_IF_ERROR(LookAgain(&targets));
    ChooseReads(&targets);
  }
  if (!NothingToRead(targets).has_value()) return false;
  flight().targets = std::move(targets);
  flight().tag = Nonce();
  flight().unread = true;
  return true;
}

absl::Status Projector::NoteShapes() {
  for (const ReadReply::Table& table : flight().read->tables) {
    if (!table.shape.has_value()) continue;
    ASSAY_ASSIGN_OR_RETURN(const TableId id, stores_.names->IdOf(table.shape->name));
    inserts_.OnTable(id, table);
    ASSAY_RETURN_IF_ERROR(history_.Note(id, *table.shape));
    ASSAY_ASSIGN_OR_RETURN(const bool appeared, appeared_.MakeRowsDue(id, *table.shape, clock_->Now()));
    if (appeared) jobs_.ProbeOften();
  }
  return absl::OkStatus();
}

bool Projector::IsInLog() const {
  if (!idle_ || flight().locked || flight().unread || flight().job != Flight::Job::kFold || config_.naive_projection)
    return false;
  if (!flight().refused.empty() || stores_.unsettled->count() > 0) return false;
  const bool covered =
      std::all_of(flight().read->tables.begin(), flight().read->tables.end(), [this](const ReadReply::Table& table) {
        return table.shape.has_value() &&
               std::all_of(table.rows.begin(), table.rows.end(), [this](const ReadReply::Row& row) {
                 return row.exists && horizon_.Covers(flight().read->session, row.xmin);
               });
      });
  // What the one that is landing leaves out, PostgreSQL has not got; and after a restart its batch is not in memory.
  if (!covered || !IsLanding()) return covered;
  const Flight& landing = flights_.landing();
  return !landing.intent->LeavesOut() && landing.batch.to() == landing.intent->to();
}

class Projector::VersionsToBe {
 public:
  VersionsToBe(RowVersionStore* rows, const Flights& flights) : rows_(rows) {
    if (!flights.IsLanding()) return;
    absl::flat_hash_set<RowRef> both;
    for (const TargetRow& target : flights.current().targets) {
      if (flights.landing().intent->Concerns(target.ref)) both.insert(target.ref);
    }
    if (both.empty()) return;
    for (const PendingRow& row : flights.landing().batch.rows()) {
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
  if (!flight().unread) {
    flights_.next().plan.reset();  // It is for the tables as they were.
    ASSAY_RETURN_IF_ERROR(NoteShapes());
  }
  if (flight().job == Flight::Job::kProbe) {
    jobs_.OnProbed(clock_->Now());
    Finish();
    return absl::OkStatus();
  }
  // Between the read and here the row may have become settled, parked or changed by a captured commit.
  for (TargetRow& target : flight().targets) {
    if (flight().unread) break;
    ASSAY_ASSIGN_OR_RETURN(target.unsettled, Unsettled(target));
  }
  planner_.SetAsideWhatAnswers(answer_rate_.TooOften(clock_->Now()));
  const VersionsToBe versions(stores_.rows, flights_);
  ASSAY_ASSIGN_OR_RETURN(
      ProjectionPlan plan,
      flight().unread ? planner_.Plan(flight().targets, *flight().read, flight().refused, ProjectionPlanner::Unknown)
                      : planner_.Plan(flight().targets, *flight().read, flight().refused, versions));
  flight().read.reset();
  inserts_.OnUnknownRows(plan.unknown_read, plan.unknown_there);
  // Under locks the read is younger than the versions that were noted before it, and nobody can have changed anything
  // since.
  if (plan.outdated && !flight().locked && !config_.naive_projection) {
    ++flight().attempts;
    return Shrink() ? absl::OkStatus() : ReadAgain();
  }
  return Ask(std::move(plan));
}

absl::Status Projector::Ask(ProjectionPlan plan) {
  v1::ProjectionIntent intent;
  ASSAY_ASSIGN_OR_RETURN(const uint64_t last, stores_.state->Read(kBatchAskedNote));
  intent.set_batch(last + 1);
  intent.set_tag(flight().tag);
  intent.set_stamp(std::max(flight().batch.stamp(), plan.newest).value);
  for (const auto& [origin, to] : flight().batch.to()) {
    v1::ProjectionIntent::Range* range = intent.add_ranges();
    range->set_origin(origin.bytes.data(), origin.bytes.size());
    range->set_from(flight().batch.From(origin).value);
    range->set_to(to.value);
  }
  for (const std::vector<uint32_t>& columns : plan.columns)
    intent.add_columns()->mutable_columns()->Add(columns.begin(), columns.end());
  ProjectRequest request{intent.batch(), flight().tag, std::move(plan.writes), flight().locked};
  flight().written = std::move(plan.targets);
  for (size_t i = 0; i < flight().written.size(); ++i) {
    request.writes[i].planned_on = inserts_.Shape(flight().targets[flight().written[i].front()].ref.table);
    request.writes[i].unread = flight().unread;
  }
  ASSAY_ASSIGN_OR_RETURN(flight().intent, OpenIntent::Make(std::move(intent), std::move(plan.rows)));
  flight().batch.Seal();
  ASSAY_RETURN_IF_ERROR(stores_.state->Write(kBatchAskedNote, flight().intent->batch()));
  ASSAY_RETURN_IF_ERROR(stores_.state->PutIntent(flight().intent->batch(), flight().intent->Serialize()));
  call_ = DatabaseProject{std::move(request)};
  flight().stage = Stage::kProjecting;
  return absl::OkStatus();
}

}  // namespace assay
