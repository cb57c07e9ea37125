// Turns the captured stream into events of this branch's own chain, and row versions to match.
//
// Life of a captured transaction: *begun*, the clock is untouched; *first row*, the transaction gets its one stamp, in
// WAL order; *rows*, each becomes an event and moves its row's versions; *committed*, the last event carries the end
// mark and the LSN is remembered in the same log transaction. A crash before that log transaction commits forgets all
// of it, and the slot sends it again. What the log has already (commit LSN not above the remembered one) is passed
// over.
//
// Three things in the stream are not the application's: fences (reported by TakeFences), attribution, and our own
// projections, whose rows are believed only as far as ProjectionEcho confirms that they were meant.
//
// No captured row is an error. One that cannot be recorded is left out and its table named (Unrecorded), and the rest
// of its transaction is recorded. Every status is of the log. Not thread-safe. Every call inside a LogFile transaction,
// which must not commit unless MayCommit().
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/capture/declared_tables.h"
#include "engine/capture/echo.h"
#include "engine/capture/event_writer.h"
#include "engine/capture/foreign_keys.h"
#include "engine/capture/hybrid_clock.h"
#include "engine/capture/local_rows.h"
#include "engine/capture/unrecorded.h"
#include "engine/capture/withheld_values.h"
#include "engine/clock.h"
#include "engine/config.h"
#include "engine/database.h"
#include "engine/fold/fold_values.h"
#include "engine/fold/merge.h"
#include "log/event_log.h"
#include "log/local_state/conflicts.h"
#include "log/local_state/local_state.h"
#include "log/local_state/stores.h"
#include "log/local_state/unsettled_rows.h"
#include "log/row_versions/row_versions.h"
#include "log/table_names.h"
#include "proto/event.pb.h"

namespace assay {

// A commit whose time is further ahead of what the clock says is not believed: the time stays in its event, as
// evidence, and its stamp is that of the clock. Whoever's clock is an hour ahead has it set wrong, and would win over
// every other shop until the hour is past; and where two clocks of one shop differ by less, nothing is gained by the
// difference.
inline constexpr absl::Duration kCommitAheadMax = absl::Hours(1);

struct RecorderCounters {
  uint64_t unattributed_transactions = 0;
  uint64_t false_tags = 0;  // Rows under our tag that were not meant: recorded as local changes.
  int64_t last_commit_us = 0;
  // The last commit that was further ahead than kCommitAheadMax: its last event, and when it claims to be made.
  Sequence ahead;
  absl::Time ahead_until = absl::InfinitePast();
};

class Recorder {
 public:
  Recorder(const EngineConfig& config, const OriginId& own, const Stores& stores, Clock* clock, ProjectionEcho* echo);

  // Reads what a restart needs. Also after LogFile::Rollback.
  absl::Status Load();

  // The time, as far as anybody knows: by the hub's clock, or by this machine's. Bounds the stamps from now on.
  void SetNow(absl::Time now) { now_ = now; }
  absl::Status Record(const CaptureItem& item);
  // The clock of the stamps.
  HlcStamp clock() const { return hybrid_.now(); }
  // A captured transaction has begun and not ended.
  bool InTransaction() const { return in_transaction_; }
  // False: the log's transaction has a part of a captured one, which the stream may yet forget. (Our own projections
  // leave nothing before they land.)
  bool MayCommit() const { return !in_transaction_ || !writer_.stamped(); }
  // One of our own projections is coming by, so far as it was meant.
  bool InEcho() const { return in_transaction_ && tagged_ && !writer_.stamped(); }
  // What the log has (durable once the log transaction is).
  const CapturedPosition& captured() const { return captured_; }
  // The stream begins again where the server likes: what it brings is judged by what the log has, and by nothing else.
  // Not inside a captured transaction.
  void OnStreamRestart();
  // Nothing of ours is before `position` that is not in the log.
  absl::Status MovePosition(Lsn position);
  // Nonces of the fences seen since the last call.
  std::vector<std::string> TakeFences() { return std::exchange(fences_, {}); }
  // Appended in this process.
  uint64_t events() const { return writer_.events(); }
  const RecorderCounters& counters() const { return counters_; }

  const std::vector<WithheldValue>& withheld() const { return withheld_.values(); }
  const UnrecordedTables& unrecorded() const { return unrecorded_.tables(); }
  // What a look at the catalog found: tables of which changes may have been missed, and, of all that take part, those
  // whose old tuples are not whole. Not inside a captured transaction.
  absl::Status OnSurvey(const UnrecordedTables& missed, std::map<std::string, ReplicaIdentity> identities);
  // Which keys are this branch's own; and, of each table, the newest row that was made with another branch's.
  void SetKeyClasses(KeyClasses classes) { foreign_keys_.SetClasses(std::move(classes)); }
  const ForeignKeys& foreign_keys() const { return foreign_keys_; }
  // The tables whose old tuples are not whole, as the stream or the catalog told last.
  const std::map<std::string, ReplicaIdentity>& identities() const { return identities_; }
  // A table of this database as its rows are recorded. Good until Load.
  absl::StatusOr<const DeclaredTable*> Describe(const std::shared_ptr<const TableShape>& shape) {
    return tables_.Describe(shape);
  }

  // How the rows fed from now on came to be known, and what they count against others.
  void SetSource(v1::TransactionHeader::Source source, v1::RowChange::Standing standing);

 private:
  absl::Status Begin(const CaptureItem& item);
  absl::Status Message(const CaptureItem& item);
  void Relation(const CaptureItem& item);
  // INVALID_ARGUMENT, from these and what they call: it cannot be recorded, and nothing was.
  absl::Status Change(const CaptureItem& item);
  absl::Status Row(const CaptureItem& item);
  absl::Status Insert(const DeclaredTable& table, absl::Span<const TupleValue> tuple, const RowKey& key,
                      const RowKey* moved_from);
  absl::Status Update(const DeclaredTable& table, absl::Span<const TupleValue> before,
                      absl::Span<const TupleValue> after, const RowKey& key);
  absl::Status Delete(const DeclaredTable& table, absl::Span<const TupleValue> tuple, const RowKey& key);
  absl::Status MoveRow(const DeclaredTable& table, absl::Span<const TupleValue> before,
                       absl::Span<const TupleValue> after, const RowKey& old_key, const RowKey& key);
  absl::Status Truncate(const CaptureItem& item);
  // By which the event of that version knows its row. None: the log does not tell it, or it is of other columns than
  // the table's key.
  absl::StatusOr<std::optional<RowKey>> KeyBehind(const Version& written, const DeclaredTable& table,
                                                  FoldValues* values);
  // The key of a row before its update to `key`.
  absl::StatusOr<RowKey> OldKey(const DeclaredTable& table, absl::Span<const TupleValue> before, const RowKey& key);
  // What the stream did not say of a row as it was, and the log knows. `texts` holds what is added.
  absl::Status FillIn(const DeclaredTable& table, const RowRef& ref, std::vector<TupleValue>* before,
                      std::vector<std::string>* texts);
  // What the held event, of the same row, has written to that column.
  absl::StatusOr<ColumnText> HeldValue(size_t ordinal);
  absl::Status Attribution(absl::string_view json);
  absl::Status Commit(const CaptureItem& item);
  // The change was committed before its table's baseline was read, which has what came of it.
  bool IsInBaseline(const CaptureItem& item) const;

  const OriginId own_;
  EventLog* log_;
  TableNames* names_;
  RowVersionStore* rows_;
  LocalState* state_;
  ProjectionEcho* echo_;

  DeclaredTables tables_;
  WithheldValues withheld_;
  Unrecorded unrecorded_;
  ForeignKeys foreign_keys_;
  std::map<std::string, ReplicaIdentity> identities_;
  HybridClock hybrid_{HlcStamp{}};
  ClockAhead clock_ahead_;
  TableBaselines baselines_;  // That the stream has not passed.
  CapturedPosition captured_;
  Lsn passed_;  // Transactions up to here have been worked on.
  RecorderCounters counters_;
  v1::TransactionHeader::Source source_ = v1::TransactionHeader::LIVE;
  v1::RowChange::Standing standing_ = v1::RowChange::EDIT;
  std::vector<std::string> fences_;
  EventWriter writer_;
  LocalRows local_;

  absl::Time now_ = absl::InfiniteFuture();

  // Of the transaction under way.
  bool in_transaction_ = false;
  bool ahead_ = false;            // Its time is not believed.
  bool known_ = false;            // The log has it: pass over.
  bool tagged_ = false;           // Under our tag.
  std::string attribution_json_;  // Of the last message that was one, and what it says.
  std::shared_ptr<const v1::Attribution> last_attribution_;
};

}  // namespace assay
