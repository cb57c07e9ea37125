// Writes the events of one captured transaction to the own chain.
//
// A transaction gets its one stamp with its first event, in WAL order; one that changes nothing gets none. The first
// event carries the header: who and when, and how much of the other chains this branch had projected. So does the first
// event of each further table, unless an event of no table has had it: a reader that is not granted every table needs
// the header with whatever it may read. The newest event is held back until it is known whether it ends the
// transaction, because an event that was appended never changes.
//
//   writer.Begin(facts);
//   ASSAY_ASSIGN_OR_RETURN(v1::RowChange* row, writer.NextRow(shape, table, v1::RowChange::INSERT, key));
//   row->add_columns()...
//   ASSAY_ASSIGN_OR_RETURN(const bool any, writer.End());
//
// Not thread-safe. Every call inside a LogFile transaction.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/capture/declared_tables.h"
#include "engine/capture/hybrid_clock.h"
#include "engine/config.h"
#include "engine/database.h"
#include "engine/fold/fold_values.h"
#include "engine/fold/merge.h"
#include "log/event_log.h"
#include "log/local_state/local_state.h"
#include "proto/event.pb.h"

namespace assay {

// What a captured transaction's beginning says of it.
struct TransactionFacts {
  v1::TransactionHeader::Source source = v1::TransactionHeader::LIVE;
  // But for EDIT: found by comparing. It is stamped right after what there is, and not by its time.
  v1::RowChange::Standing standing = v1::RowChange::EDIT;
  int64_t commit_time_us = 0;
  int64_t stamp_time_us = 0;  // The same, as far as it is believed.
  Lsn commit_lsn;
  uint32_t xid = 0;
};

class EventWriter {
 public:
  EventWriter(const OriginId& own, const EngineConfig& config, EventLog* log, LocalState* state, DeclaredTables* tables,
              HybridClock* clock)
      : own_(own), config_(config), log_(log), state_(state), tables_(tables), clock_(clock) {}

  // Forgets the transaction under way and what the chain was taken to have. After LogFile::Rollback.
  void Clear();

  void Begin(const TransactionFacts& facts);
  const TransactionFacts& facts() const { return facts_; }
  // Who did it; the first word counts. Before the first event.
  void Attribute(std::shared_ptr<const v1::Attribution> attribution) { attribution_ = std::move(attribution); }
  bool attributed() const { return attribution_ != nullptr; }

  // Begins the event of one row, behind the declaration of its table where the chain has none yet. The row's columns
  // are the caller's to add, until the next call. INVALID_ARGUMENT, and nothing was begun: no reader would take it.
  absl::StatusOr<v1::RowChange*> NextRow(const TableShape& shape, const DeclaredTable& table,
                                         v1::RowChange::Operation operation, const RowKey& key);
  // The row of the event that is held back; null: there is none.
  const v1::RowChange* held_row() const { return holding_ && has_row_ ? &row_ : nullptr; }
  // The row under way, and what its event will be known as.
  const v1::RowChange& row() const { return row_; }
  Version version() const { return {StampThatCounts(facts_.standing, stamp_), own_, Sequence{event_.sequence()}}; }
  // The number by which the row under way names `version` as replaced. 0: none.
  uint32_t ReplacedIndex(const Version& version);
  // True: `value` is to go into the row under way, which has that much less room from now on.
  bool TakesRoom(const TupleValue& value);

  // Appends what is held back, so that the log can be asked for it. Another event must follow: an appended one ends no
  // transaction any more.
  absl::Status Flush();
  // Appends what is held back as the transaction's last event. False: the transaction has none.
  absl::StatusOr<bool> End();

  // The transaction has a stamp: the log's transaction has a part of it.
  bool stamped() const { return stamped_; }
  // Appended in this process.
  uint64_t events() const { return events_; }

 private:
  // Puts a TableSchema event before the first row that needs it. Returns that event.
  absl::StatusOr<Sequence> DeclareInChain(const TableShape& shape, const DeclaredTable& table);
  // Opens the next event in `event_`, having appended the one before. Stamps the transaction at its first.
  absl::Status NextEvent(absl::string_view table);
  // Is the event under way the first of its table, and nobody who may read it has the transaction's header yet?
  bool NeedsHeader();
  absl::Status WriteHeader(bool first);
  absl::Status AppendHeld(bool ends_transaction);

  const OriginId own_;
  const EngineConfig& config_;
  EventLog* log_;
  LocalState* state_;
  DeclaredTables* tables_;
  HybridClock* clock_;
  using SeenVector = std::map<OriginId, Sequence>;
  // By the table of the event that has the header: of each chain, what the newest such header says. What those of no
  // table say everybody has read.
  std::map<std::string, SeenVector, std::less<>> seen_written_;
  SeenVector seen_noted_;  // The newest that is noted in state_.
  uint64_t events_ = 0;

  TransactionFacts facts_;
  std::shared_ptr<const v1::Attribution> attribution_;
  bool stamped_ = false;
  std::set<std::string, std::less<>> headed_;  // The tables of this transaction's events that have the header.
  HlcStamp stamp_;
  Sequence first_;
  bool holding_ = false;  // event_ is to be appended.
  v1::Event event_;       // But for its row.
  bool has_row_ = false;
  v1::RowChange row_;
  std::string event_table_;
  size_t row_bytes_ = 0;  // Size of the values of row_.
  std::string buffer_;
};

}  // namespace assay
