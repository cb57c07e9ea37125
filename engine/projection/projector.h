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
#include "engine/link.h"
#include "engine/projection/answer_rate.h"
#include "engine/projection/appeared_columns.h"
#include "engine/projection/batch_settler.h"
#include "engine/projection/flights.h"
#include "engine/projection/idle_jobs.h"
#include "engine/projection/intent.h"
#include "engine/projection/optimistic_inserts.h"
#include "engine/projection/plan.h"
#include "engine/projection/xid_horizon.h"
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
  // Something local was captured.
  void NoteActivity() {
    jobs_.OnActivity();
    flight().plan_is_old = flights_.next().plan_is_old = true;
  }
  // What waits for a time waits no longer.
  void RetryNow() {
    flight().not_before = std::min(flight().not_before, clock_->Now());
    jobs_.RetryNow(clock_->Now());
  }

  // ProjectionEcho.
  bool Claims(absl::string_view tag, HlcStamp* stamp) override;
  bool Meant(const RowRef& row, ChangeKind kind, const TableShape& shape, absl::Span<const TupleValue> tuple) override;
  absl::Status Landed() override;

  const LinkStatus& link() const { return link_; }
  // Nobody knows when these chains go on, so no other chain waits for them (Batch::GiveUp).
  void GiveUp(const std::set<OriginId>& origins) { flights_.GiveUp(origins); }
  // Events of the other branches that are not merged yet.
  uint64_t Pending() const { return flight().batch.Pending(); }
  std::map<OriginId, absl::Status> stopped() const { return flights_.stopped(); }
  std::map<OriginId, std::pair<OriginId, Sequence>> waiting_for() const { return flights_.waiting_for(); }
  uint64_t events_projected() const { return events_projected_; }

 private:
  using Stage = Flight::Stage;

  // The one that is read and projected.
  Flight& flight() { return flights_.current(); }
  const Flight& flight() const { return flights_.current(); }
  bool IsLanding() const { return flights_.IsLanding(); }
  absl::Status Gather(size_t events_max);
  // There are no events to fold.
  absl::Status BeginWhatElseIsDue();
  // While PostgreSQL is at work on this batch: folds the next one, and does what else would have to be waited for
  // later.
  absl::Status GatherNext(size_t events_max);
  std::string Nonce();
  absl::StatusOr<std::vector<TargetRow>> Targets(const Batch& batch);
  // What is noted of the target now.
  absl::StatusOr<std::unique_ptr<UnsettledRow>> Unsettled(const TargetRow& target);
  // The log has `stored` of the target now.
  void NoteKnown(const RowVersions* stored, TargetRow* target) const;
  // Time has gone by since they became targets.
  absl::Status LookAgain(std::vector<TargetRow>* targets);
  // Which of them need no read.
  void ChooseReads(std::vector<TargetRow>* targets) const;
  // Every row that was read is as the log knows it, or will know it when what is landing has landed: it needs no fence.
  bool IsInLog() const;
  // What the log has of the rows of the flight's targets when what is landing has landed.
  class VersionsToBe;
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
  // Plans the next flight, too, if it has unknown rows only.
  absl::Status PlanNext();
  // True: the flight was planned like that, and the plan still holds.
  absl::StatusOr<bool> TakeAhead(ProjectionPlan* plan);
  // What the read says of this database's tables.
  absl::Status NoteShapes();
  absl::Status DropIntent(Flight* of);
  // The batch has committed: it only has to land, and the next one has its turn.
  void Committed();
  // Merges `batch`, which is over then; `rows`: how they came out.
  absl::Status Settle(std::deque<IntentRow> rows, Batch* batch);
  void Finish();
  void Failed(const absl::Status& status);
  void AskLastBatch();

  const EngineConfig& config_;
  const Stores stores_;
  Clock* clock_;
  Random* random_;
  FoldValues values_;
  ColumnHistory history_;
  AppearedColumns appeared_;
  ProjectionPlanner planner_;
  BatchSettler settler_;
  Flights flights_;
  // What is known of PostgreSQL without asking it.
  OptimisticInserts inserts_;
  XidHorizon horizon_;
  AnswerRate answer_rate_;

  IdleJobs jobs_;
  bool retry_turn_ = false;  // Parked rows and new events take turns.
  bool more_expected_ = false;
  Link link_{absl::Milliseconds(200), absl::Seconds(30)};
  std::optional<DatabaseCall> call_;
  uint64_t events_projected_ = 0;
  // Of the last step.
  bool idle_ = false;  // What was captured is in the log.
  bool has_work_ = false;
  bool folding_ = false;
  absl::Time wake_ = absl::InfiniteFuture();
};

}  // namespace assay
