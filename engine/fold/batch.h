// The next part of the other branches' changes to merge: whole transactions in stamp order, folded row by row.
//
// Stamp order is causally closed, so any prefix of it is a state that some branch could have seen; a transaction that
// had seen an event not held here yet waits (with all that follows in its chain). Folding keeps, per row, the newest
// versions and their values: a million updates of ten thousand rows become ten thousand rows.
//
// A row that nobody can read, because its table is declared without a key, say, is left out and noted by name
// (kUnreadableNote). What follows it in its chain is as good as before. Not thread-safe.
#pragma once

#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/database.h"
#include "engine/fold/merge.h"
#include "engine/fold/pending_rows.h"
#include "engine/fold/row_event.h"
#include "log/event_log.h"
#include "log/local_state/local_state.h"
#include "log/row_versions/row_versions.h"
#include "log/table_names.h"

namespace assay {

class Batch {
 public:
  Batch(const OriginId& own, EventLog* log, TableNames* names, LocalState* state)
      : own_(own), log_(log), names_(names), state_(state), rows_(names) {}

  // Folds in up to about `events_max` further events. True: the batch is as large as it gets (at a transaction's end),
  // or there is nothing more to take now.
  absl::StatusOr<bool> Gather(size_t events_max);
  // Forgets the rows; the next Gather goes on where the cursors in LocalState stand, or after `after` in the chains
  // that it names.
  void Clear(std::map<OriginId, Sequence> after = {});
  // Nothing more is folded in before Clear: gives back what only that has use for.
  void Seal();
  // Folds exactly the events after the cursors up to `to`, which were gathered once before (by a process that is gone).
  absl::Status Regather(const std::map<OriginId, Sequence>& to);

  // Nobody knows when these chains go on: what had seen their events is merged without them, out of causal order,
  // rather than never. They are merged when they come.
  void GiveUp(std::set<OriginId> origins) { given_up_ = std::move(origins); }

  // Rows at which this batch is as large as it gets, though one transaction may exceed them alone. The cap holds from
  // the next batch on.
  size_t rows_max() const { return rows_max_; }
  size_t rows_cap() const { return rows_cap_; }
  void set_rows_cap(size_t rows) { rows_cap_ = rows; }
  // The same of rows that are new.
  void set_new_rows_cap(size_t rows) { new_rows_cap_ = rows; }

  bool Empty() const { return to_.empty(); }
  bool Full() const;
  // In the order in which they came.
  const Pieces<PendingRow>& rows() const { return rows_.rows(); }
  // Where the cursors go when the batch is merged.
  const std::map<OriginId, Sequence>& to() const { return to_; }
  // The last event of the chain that it has not got, because it was projected before.
  Sequence From(const OriginId& origin) const;
  // What follows it begins after these.
  std::map<OriginId, Sequence> End() const;
  HlcStamp stamp() const { return stamp_; }
  // The newest declaration of each table in each chain.
  const std::map<std::pair<OriginId, TableId>, Sequence>& declared() const { return declared_; }
  size_t event_count() const { return event_count_; }
  // Chains whose next event is damaged: they stand still, the others go on.
  const std::map<OriginId, absl::Status>& stopped() const { return stopped_; }
  // Chains that wait for an event of another chain which is not here yet.
  const std::map<OriginId, std::pair<OriginId, Sequence>>& waiting_for() const { return waiting_for_; }
  // Events not merged yet, over all chains but our own.
  uint64_t Pending() const;

 private:
  struct Source {
    std::optional<EventReader> reader;
    const StoredEvent* next = nullptr;  // Read and not yet folded.
    bool waiting = false;               // For an event of another chain that is not here.
  };

  absl::Status Peek(const OriginId& origin, Source& source);
  absl::StatusOr<std::map<OriginId, Source>::iterator> Earliest();
  // The first event of the transaction at the source's head that is not masked, which has the transaction's header;
  // nullptr: it shows nothing here. Good until `ahead` reads on.
  absl::StatusOr<const StoredEvent*> FirstShown(const OriginId& origin, const Source& source,
                                                std::optional<EventReader>* ahead);
  // False: the transaction at the source's head has seen what is not here.
  absl::StatusOr<bool> Ready(const OriginId& origin, Source& source);
  // Notes what the transaction's header says that it had seen.
  absl::Status TakeHeader(const StoredEvent& stored, const RowEvent& event);
  absl::Status Fold(const OriginId& origin, const StoredEvent& event);
  void Forget();
  Sequence Reached(const OriginId& origin) const;
  void Stop(const OriginId& origin, absl::Status status);

  const OriginId own_;
  EventLog* log_;
  TableNames* names_;
  LocalState* state_;

  bool sealed_ = false;
  std::map<OriginId, Source> sources_;
  std::optional<OriginId> in_transaction_;  // Of this chain: not between two transactions.
  PendingRows rows_;
  std::map<OriginId, Sequence> after_;
  std::map<OriginId, Sequence> to_;
  std::map<std::pair<OriginId, TableId>, Sequence> declared_;
  std::map<OriginId, uint32_t> epochs_;  // Of each writer, the number of what it had seen of others.
  uint32_t epochs_given_ = 0;
  std::map<OriginId, absl::Status> stopped_;
  std::map<OriginId, std::pair<OriginId, Sequence>> waiting_for_;
  std::set<OriginId> given_up_;
  HlcStamp stamp_;
  size_t event_count_ = 0;
  size_t rows_max_ = 0;  // Of this batch.
  size_t rows_cap_ = std::numeric_limits<size_t>::max();
  size_t new_rows_cap_ = std::numeric_limits<size_t>::max();
  RowEventReader reader_;
};

}  // namespace assay
