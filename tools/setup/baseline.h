// Reads the rows a database already has, at one exact point of its WAL, and puts into the log what the log does not
// have.
//
// Creating a slot with an exported snapshot cuts time in two: what committed before is read here, what commits after is
// streamed from the slot, and nothing is in both. A table that joins later is cut the same way under a lock held for a
// few milliseconds.
//
//   ASSAY_ASSIGN_OR_RETURN(auto slot, SlotSnapshot::Create(url, admin, {...}));  // Keep it until the snapshot is open.
//   ASSAY_ASSIGN_OR_RETURN(auto reader, OpenReader(admin_url));
//   ASSAY_RETURN_IF_ERROR(BeginAt(*reader, slot->snapshot()));
//   ASSAY_ASSIGN_OR_RETURN(report, WriteBaseline(*reader, slot->consistent_point(), tables, ...));
//
// Rows are streamed (COPY): memory does not grow with the table. Not thread-safe; everything blocks.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "adapters/libpq/connection.h"
#include "adapters/libpq/lsn_text.h"
#include "engine/database.h"
#include "engine/recovery/fold_index.h"
#include "engine/recovery/reconcile.h"
#include "tools/setup/enrolled_tables.h"

namespace assay {

// The slot `assay`, just made, with the snapshot of everything that committed before it.
class SlotSnapshot {
 public:
  // The server first waits for every transaction that is writing now. ABORTED when that takes longer than `wait`,
  // naming them; the slot is then gone again. ALREADY_EXISTS: there is a slot of that name.
  static absl::StatusOr<std::unique_ptr<SlotSnapshot>> Create(const std::string& url, Connection& admin,
                                                              absl::Duration wait);

  Lsn consistent_point() const { return consistent_point_; }
  const std::string& snapshot() const { return snapshot_; }  // Valid while this lives.

 private:
  std::unique_ptr<Connection> connection_;
  Lsn consistent_point_;
  std::string snapshot_;
};

// A session that reads whole tables: an error rather than rows hidden by row-level security.
absl::StatusOr<std::unique_ptr<Connection>> OpenReader(const std::string& admin_url);
// Begins its reading transaction, at `snapshot` when there is one.
absl::Status BeginAt(Connection& reader, const std::string& snapshot);

// Adds `table` to the publication such that the transaction begun in `reader` sees exactly what committed before, and
// the slot streams exactly what commits after. ABORTED as ExecuteWithShortLocks.
absl::StatusOr<Lsn> PublishAt(Connection& admin, Connection& reader, const SelectedTable& table, absl::Time deadline);

// Calls `visit` with each row's values (parallel to shape.columns), in key order.
absl::Status ReadRows(Connection& reader, const SelectedTable& table,
                      const std::function<absl::Status(absl::Span<const TupleValue>)>& visit);

struct BaselineOptions {
  DifferenceChoice choice = DifferenceChoice::kAsk;
  bool fresh_chain = true;
  int64_t time_us = 0;  // Unix microseconds: the events' time.
  std::function<void(absl::string_view stage, uint64_t done)> progress;
};

// Compares every row of `tables` with `fold` and writes what it finds. `reader` is in a transaction at `at`. Inside a
// LogFile transaction, which must be rolled back when Reconciler::MustAsk() is true afterwards.
absl::Status WriteBaseline(Connection& reader, Lsn at, const std::vector<SelectedTable>& tables, Reconciler& reconciler,
                           const FoldIndex& fold, const BaselineOptions& options);

}  // namespace assay
