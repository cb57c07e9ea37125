// Compares rows that PostgreSQL holds with the fold of the log, and writes the difference as flagged events.
//
// Enrolling a database that already has data, joining a fleet, and (later) repairing a gap are this one operation.
// Against an empty log every row is new and becomes a BASELINE event. Against a fleet's log: a row that is equal writes
// nothing and takes on the fleet's versions; a row only here is BASELINE; a row only in the log comes by projection; a
// row that differs waits for a choice. What nobody edited is FOUND: older than any edit, whenever it was recorded.
//
//   ASSAY_ASSIGN_OR_RETURN(auto fold, FoldIndex::Build(file, stores, nullptr));
//   Reconciler reconciler(parts, fold.get(), DifferenceChoice::kAsk);
//   for each pass in {kCompare, kWrite}:
//     reconciler.BeginPass(pass, …);  per table: BeginTable(shape), Row(tuple) …;  reconciler.EndPass()
//     if (reconciler.MustAsk()) roll back, show reconciler.report().differences
//
// Everything happens inside one LogFile transaction that the caller begins and ends, and in flat memory. Not
// thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/recovery/fold_index.h"
#include "engine/recovery/table_comparer.h"
#include "log/types.h"

namespace assay {

enum class DifferenceChoice : uint8_t {
  kAsk,    // List them and write nothing.
  kHere,   // What this database holds is written now, and wins.
  kFleet,  // What the fleet holds wins. What was here is kept in the log, given up, and loses.
};

struct ReconcileReport {
  uint64_t rows = 0;     // Seen here.
  uint64_t written = 0;  // Only here: BASELINE events.
  uint64_t equal = 0;
  uint64_t differing_rows = 0;
  uint64_t differing_columns = 0;
  std::vector<RowDifference> differences;  // The first kDifferencesListed.
};

class Reconciler : public TableComparer {
 public:
  // `fresh_chain`: nothing is projected yet, so that the cursors bring what the fleet has. Otherwise rows that are
  // given up are made due to be written.
  Reconciler(const Parts& parts, FoldIndex* fold, DifferenceChoice choice, bool fresh_chain)
      : TableComparer(parts, fold), choice_(choice), fresh_chain_(fresh_chain) {}

  // `at`: the WAL position at which the rows were read; `time_us`: Unix microseconds, the events' time. kCompare may be
  // left out when the fold is empty.
  absl::Status BeginPass(Pass pass, Lsn at, int64_t time_us);
  absl::Status EndPass();

  // There are differences and nobody has chosen: roll back.
  bool MustAsk() const { return choice_ == DifferenceChoice::kAsk && report_.differing_rows > 0; }
  const ReconcileReport& report() const { return report_; }

 private:
  absl::Status Compared(const ComparedRow& row) override;
  absl::Status Differs(const ComparedRow& row);
  absl::Status List(const ComparedRow& row);

  DifferenceChoice choice_;
  bool fresh_chain_;
  ReconcileReport report_;
};

}  // namespace assay
