// Brings PostgreSQL to the fold, without ever replacing a newer local write.
//
// A batch is a Flight (flight.h): *gathered*, other branches' transactions folded row by row; *read*, the rows as
// PostgreSQL shows them, followed by a fence: when capture delivers it, every commit the read saw is in the log;
// *planned*, against the row versions as they now are, with an intent in the log; *projected*, one PostgreSQL
// transaction that commits when that intent is durable; *landed*, its own tagged transaction comes by in capture and
// only there, in WAL order, are versions merged and cursors moved.
//
// The invariant: when a projection commits, every row it was planned on is as it was planned on, and every row it wrote
// came back as it was meant. A row that moved sends the batch back to the read, and half of it at that: a batch of many
// rows beside a shop that sells would meet a row that moved time and again, and hold many locks in the end. After a few
// times the rows are locked first. Batches that land grow again. A row PostgreSQL will not take is parked with its
// cause, and the rest goes on. Rows that the log has never heard of are written without a read; a batch that has no
// others is planned at once, on the tables as they were last seen, which Database::Project compares.
//
// Three flights are on their way at most: one that has committed and is to land; one that is read or projected
// meanwhile; and the next is gathered. What is planned while another is to land rests on what is known of that one's
// end: a row that is read is planned after its fence, which comes by after the echo, or at once if its xmin says that
// nobody but that batch has written it lately (engine/projection/xid_horizon.h); a batch of unknown rows only is
// planned at once if none of them is in the batch that is to land.
//
// What a crash costs: before the intent is durable, nothing, as PostgreSQL has not committed; after it, the database is
// asked which batch committed, before anything else; landed is one log transaction. The reasoning is in
// README.md, "No stale overwrite". Not thread-safe. Every call inside a LogFile transaction.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/capture/echo.h"
#include "engine/clock.h"
#include "engine/config.h"
#include "engine/database_calls.h"
#include "engine/fold/batch.h"
#include "engine/fold/column_history.h"
#include "engine/fold/conflict_finder.h"
#include "engine/link.h"
#include "engine/projection/answer_rate.h"
#include "engine/projection/appeared_columns.h"
#include "engine/projection/batch_size.h"
#include "engine/projection/flight.h"
#include "engine/projection/intent.h"
#include "engine/projection/plan.h"
#include "engine/projection/xid_horizon.h"
#include "log/local_state/conflicts.h"
#include "log/local_state/local_state.h"
#include "log/local_state/stores.h"
#include "log/local_state/unsettled_rows.h"

namespace assay {

class Projector : public ProjectionEcho {
 public:
  Projector(const EngineConfig& config, const OriginId& own, const Stores& stores, Clock* clock, Random* random);

  // Reads what a restart needs. Also after LogFile::Rollback.
  absl::Status Load();

  absl::Status OnRead(absl::StatusOr<ReadReply> reply);
  absl::Status OnProjected(ProjectReply reply);
  absl::Status OnLastBatch(const absl::StatusOr<uint64_t>& batch);
  void OnFence(absl::string_view nonce);

  // Goes on as far as it can without an answer, gathering at most `events_max` events.
  // `idle`: no captured change is to be worked on first, but for our own.
  absl::Status Step(size_t events_max, bool idle);
  const std::optional<DatabaseCall>& call() const { return call_; }
  std::optional<DatabaseCall> TakeCall() { return std::exchange(call_, std::nullopt); }
  bool HasWork() const { return has_work_; }
  // There are events in the log that it would fold before anything else.
  bool folding() const { return folding_; }
  // More of them are on their way: a batch is kept open for them, for a moment.
  void ExpectMore(bool more) { more_expected_ = more; }
  absl::Time NextWake() const { return wake_; }
  // Something local was captured: the database's note of where it stands (assay.progress) is renewed before long, so
  // that an older copy of it is known by that.
  void NoteActivity() {
    activity_ = true;
    flight_->plan_is_old = next_->plan_is_old = true;
  }
  // What waits for a time waits no longer.
  void RetryNow() {
    flight_->not_before = std::min(flight_->not_before, clock_->Now()),
    anchor_at_ = std::min(anchor_at_, clock_->Now()), probe_at_ = clock_->Now();
  }

  // ProjectionEcho.
  bool Claims(absl::string_view tag, HlcStamp* stamp) override;
  bool Meant(const RowRef& row, ChangeKind kind, const TableShape& shape, absl::Span<const TupleValue> tuple) override;
  absl::Status Landed() override;

  const LinkStatus& link() const { return link_; }
  // Nobody knows when these chains go on, so no other chain waits for them (Batch::GiveUp).
  void GiveUp(const std::set<OriginId>& origins);
  // Events of the other branches that are not merged yet.
  uint64_t Pending() const { return flight_->batch.Pending(); }
  std::map<OriginId, absl::Status> stopped() const;
  std::map<OriginId, std::pair<OriginId, Sequence>> waiting_for() const;
  uint64_t events_projected() const { return events_projected_; }

 private:
  using Stage = Flight::Stage;

  absl::Status Gather(size_t events_max);
  // While PostgreSQL is at work on this batch: folds the next one, and does what else would have to be waited for
  // later.
  absl::Status GatherNext(size_t events_max);
  void DropBatch();
  std::string Nonce();
  absl::StatusOr<std::vector<TargetRow>> Targets(const Batch& batch);
  // What unsettled_ has of the target now.
  absl::StatusOr<std::unique_ptr<UnsettledRow>> Unsettled(const TargetRow& target);
  // The log has `stored` of the target now.
  void NoteKnown(const RowVersions* stored, TargetRow* target) const;
  // Time has gone by since they became targets.
  absl::Status LookAgain(std::vector<TargetRow>* targets);
  // Which of them need no read.
  void ChooseReads(std::vector<TargetRow>* targets) const;
  // Every row that was read is as the log knows it, or will know it when landing_ has landed: it needs no fence.
  bool IsInLog() const;
  // What the log has of the rows of the flight's targets when landing_ has landed.
  class VersionsToBe;
  bool IsLanding() const { return landing_->intent.has_value(); }
  // Flights land in the order in which they committed, which is that of the WAL. The echo may come before the reply.
  Flight& FirstToLand() { return IsLanding() ? *landing_ : *flight_; }
  bool MayPlan() const;
  absl::Status Retry();
  // Has its targets, if any, and reads them.
  absl::Status Begin(Flight::Job job);
  // Reads the flight's targets, of which the log has just been asked.
  absl::Status StartRead();
  // Reads them after another try, or a pause.
  absl::Status ReadAgain();
  // Of `targets` nothing has to be looked at: the reply that has only the shapes of their tables.
  std::optional<ReadReply> NothingToRead(const std::vector<TargetRow>& targets) const;
  // Somebody was in our way: gathers a batch of half the rows, if there is half a batch to be had.
  bool Shrink();
  absl::Status Plan();
  // Makes the intent durable and asks for the projection of the flight's targets.
  absl::Status Ask(ProjectionPlan plan);
  // Plans next_, too, if it has unknown rows only.
  absl::Status PlanNext();
  // True: batch_ was planned like that, and the plan still holds.
  absl::StatusOr<bool> TakeAhead(ProjectionPlan* plan);
  // What the read says of this database's tables.
  absl::Status NoteShapes();
  absl::Status DropIntent(Flight* flight);
  // The batch has committed: it only has to land, and the next one has its turn.
  void Committed();
  // Merges `batch`; `rows`: how they came out.
  absl::Status Settle(std::deque<IntentRow> rows, Batch* batch);
  // `moved`: a local commit changed it before our own came by.
  absl::Status SettleRow(const IntentRow& row, const RowVersions& before, const RowVersions& merged, bool moved);
  void Finish();
  void Failed(const absl::Status& status);
  void AskLastBatch();

  const EngineConfig& config_;
  EventLog* log_;
  TableNames* names_;
  RowVersionStore* rows_;
  LocalState* state_;
  UnsettledRows* unsettled_;
  Conflicts* conflicts_;
  Clock* clock_;
  Random* random_;
  FoldValues values_;
  ConflictFinder conflict_finder_;
  ColumnHistory history_;
  AppearedColumns appeared_;
  ProjectionPlanner planner_;
  // In their order, and never null: what has committed and is to land, if that has an intent; what is read and
  // projected; what comes then, once that is complete.
  std::unique_ptr<Flight> landing_, flight_, next_;
  BatchSize size_;
  bool folding_ = false;
  bool more_expected_ = false;
  absl::Time opened_ = absl::InfinitePast();  // When there was the first of the flight's batch.
  // Rows that the log has never heard of are not in PostgreSQL either, but for what the application has just written;
  // so they are written without being looked for, and their keys stand guard. Not while that does not hold: after a
  // join both have the same rows.
  bool assume_absent_ = true;
  std::map<TableId, std::shared_ptr<const TableShape>> shapes_;  // As they were last read.
  AnswerRate answer_rate_;
  bool answered_ = false;  // The projection that lands.
  bool idle_ = false;      // Of this step: what was captured is in the log.

  std::optional<DatabaseCall> call_;
  XidHorizon horizon_;
  bool retry_turn_ = false;  // Parked rows and new events take turns.
  bool activity_ = true;     // Since the last projection landed.
  absl::Time probe_at_ = absl::InfinitePast();
  static constexpr absl::Duration kProbeMin = absl::Seconds(5);
  absl::Duration probe_every_ = kProbeMin;
  absl::Time anchor_at_ = absl::InfinitePast();
  bool has_work_ = false;
  absl::Time wake_ = absl::InfiniteFuture();
  Link link_{absl::Milliseconds(200), absl::Seconds(30)};
  uint64_t events_projected_ = 0;
};

}  // namespace assay
