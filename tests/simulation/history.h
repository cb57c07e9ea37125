// What must be true of a finished run, judged from the logs, the databases' WALs and their rows, without asking the
// engine.
//
//   History history;
//   ASSAY_RETURN_IF_ERROR(history.AddBranch(...)) for each;
//   ASSAY_RETURN_IF_ERROR(history.Check(hub));
//
// Every check ends in a Status that names the invariant first ("captured once: ..."). Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "engine/engine.h"
#include "log/event_log.h"
#include "log/local_state/conflicts.h"
#include "log/local_state/unsettled_rows.h"
#include "log/log_file.h"
#include "proto/event.pb.h"
#include "tests/engine/fold/reference_merge.h"
#include "tests/simulation/history_names.h"
#include "tests/simulation/sim_database.h"
#include "tests/simulation/sim_hub.h"

namespace assay {

// A row change of some chain, with its names resolved.
struct HistoricChange {
  Version version;
  v1::RowChange::Operation operation = v1::RowChange::OPERATION_UNSPECIFIED;
  SimRowName row;
  std::map<std::string, ColumnText> new_values;  // Columns written.
  std::map<std::string, ColumnText> old_values;
  std::map<std::string, std::string> types;  // Of new_values, as they were declared.
};

// For people: "UPDATE public.stock(k1) {quantity=b2-17}".
std::string Show(const SimRowName& row);
std::string Show(const HistoricChange& change);

// For people.
std::string Show(const ColumnText& text);
std::string Show(const SimRowName& row);
std::string Show(const HistoricChange& change);

// What every check finds: an invariant that does not hold, and where.
absl::Status Violation(absl::string_view invariant, absl::string_view what);

struct HistoricTransaction {
  Sequence first, last;
  v1::TransactionHeader header;
  std::map<OriginId, Sequence> seen;  // By all headers of the chain so far.
  std::vector<HistoricChange> changes;
};

struct HistoricChain {
  OriginId origin;
  std::vector<std::string> bytes;  // Event `sequence` at index sequence - 1; empty where masked.
  std::vector<Hash> leaves;
  std::vector<HistoricTransaction> transactions;  // Without those of masked events alone.
  HlcStamp newest;                                // Of all events, masked or not.
};

// Row, column (empty: its life), winner and loser.
using HistoricConflict = std::tuple<SimRowName, std::string, Version, Version>;

// One branch as it stands at the end.
struct HistoricBranch {
  std::string name;
  OriginId origin;
  const SimDatabase* database = nullptr;
  std::map<OriginId, HistoricChain> chains;
  std::map<TableName, TablePolicy> policies;
  std::set<SimRowName> unsettled;  // Rows that the engine says PostgreSQL does not hold as folded.
  std::set<HistoricConflict> conflicts;
  std::set<std::string> denied;                   // Tables not readable here, as in SegmentPart::table.
  bool granted_late = false;                      // Until the end: then they came.
  std::map<std::string, Lsn> known_when_planned;  // As SimBranch has it.
};

// What a column has that came to the rows that were there, and that nobody wrote.
bool IsFill(absl::string_view column, const ColumnText& value);

// Another branch has that column of the table in another type.
bool IsAnotherTypeElsewhere(const std::vector<HistoricBranch>& branches, const HistoricBranch& branch,
                            const TableName& table, const std::string& column);

class History {
 public:
  // Reads every chain out of the log. DATA_LOSS, naming the invariant, when a chain is not what a chain must be.
  static absl::StatusOr<HistoricBranch> Read(const std::string& name, const OriginId& origin,
                                             const SimDatabase* database, LogFile* file, EventLog& log,
                                             UnsettledRows& rows, TableNames& names, Conflicts& conflicts);

  void Add(HistoricBranch branch) { branches_.push_back(std::move(branch)); }

  absl::Status CheckOneHistory(const SimHub& hub) const;
  absl::Status CheckCapturedOnce();
  // Whoever is given an event is given what its transaction's header says, whatever else of it is withheld.
  absl::Status CheckHeaders() const;
  absl::Status CheckProjections();
  absl::Status CheckRowsAreTheFold() const;
  absl::Status CheckEqualTables() const;
  // The same at each branch that has the same events, and as the slow twin has it.
  absl::Status CheckConflicts() const;
  // A row is parked only while PostgreSQL would really not take it.
  absl::Status CheckParked() const;

  // Of every event of every chain: the same in every run of one seed.
  uint64_t Fingerprint() const;

  uint64_t events() const;
  uint64_t projected_rows() const { return projected_rows_; }
  uint64_t parked_rows() const;

 private:
  // Of which somebody has captured the beginning. Of others no branch makes a row.
  std::set<SimRowName> RowsSeenWhole() const;
  // Rows of which a column was made anew under its name, and the old one was written at another branch after the new
  // one here: engine/LIMITS.md says that the two count as one.
  std::set<SimRowName> RowsOfTwoColumns() const;
  class Replay;
  using Writes = std::map<SimRowName, std::vector<ReferenceWrite>>;
  static Writes WritesIn(const HistoricBranch& branch);
  // What the branch's log has of the row's table, for people.
  static std::string LifeOf(const SimRowName& row, const HistoricBranch& branch);
  // As the slow twin finds them.
  static std::set<HistoricConflict> ConflictsIn(const HistoricBranch& branch);

  std::vector<HistoricBranch> branches_;
  // Per branch, WAL transaction to the chain's transaction it became.
  std::vector<std::map<Lsn, const HistoricTransaction*>> captured_;
  uint64_t projected_rows_ = 0;
};

}  // namespace assay
