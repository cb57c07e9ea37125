// Compares one table with the log while the shop sells into the one and the daemon writes the other.
//
// *Read*: a piece of the table, and what the fold says of its rows at that moment. What is equal is done with. What is
// not may only be on its way: committed and not captured yet, or landed and not committed here. *Looked at again*: each
// doubtful row is read alone; then a fence is put into the WAL and awaited in capture, so that the log has every commit
// that the read has seen; then the fold is asked. A row differs when it did so at two such looks, between which neither
// PostgreSQL's version of the row nor the log's has changed. Whatever is equal, or waits for its projection by right,
// at any look is let go. *Missed*: rows that the fold has and no piece brought, by a walk over the fold; they are
// looked at in the same way. *Found*: values of which the log has none, though it has the row, are read again before a
// fence and handed in to be recorded (engine/recovery/found_rows.h). One look is enough: what has changed since is an
// edit, and wins.
//
//   TableCheck check(connection, fold, file, state_dir, hooks);
//   ASSAY_ASSIGN_OR_RETURN(CheckedTable checked, check.Run(name));
//
// Memory does not grow with the table. Not thread-safe; blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "adapters/libpq/connection.h"
#include "engine/recovery/live_fold.h"
#include "log/log_file.h"
#include "tools/sentinel/seen_keys.h"
#include "tools/sentinel/table_pieces.h"

namespace assay {

// What a check wants of the daemon around it.
struct CheckHooks {
  // Returns once capture has delivered the fence `nonce` and all before it is durable in the log. UNAVAILABLE: it does
  // not come.
  std::function<absl::Status(const std::string& nonce)> await_fence;
  // Waits that long. CANCELLED: the daemon stops.
  std::function<absl::Status(absl::Duration)> pause;
  // Values that the table has and the log has not, to be recorded. By the next fence they were.
  std::function<void(FoundRows)> found;
  // How far it is.
  std::function<void(const TableName& table, uint64_t rows)> progress;
  // Of the time, so much belongs to the check; the rest is for the shop. 1: all of it.
  double share = 1;
};

class TableCheck {
 public:
  // So many rows that differ are enough to know that the table is to be repaired.
  static constexpr uint64_t kDifferingMax = 1000;

  // `file`: that of the fold's stores, opened read-only. `directory`: where a file has room for 16 bytes a row.
  TableCheck(Connection& connection, LiveFold& fold, LogFile& file, std::string directory, const CheckHooks& hooks)
      : connection_(connection), fold_(fold), file_(file), directory_(std::move(directory)), hooks_(hooks) {}

  // FAILED_PRECONDITION: the table cannot be compared, and why. ABORTED: it was altered meanwhile. Others are those of
  // the database, the log, and the hooks. `ended_ms` is left to the caller.
  absl::StatusOr<CheckedTable> Run(const TableName& name);
  // As which it was compared.
  const TableShape& shape() const { return pieces_->shape(); }

 private:
  // A row that may differ: what was seen of it at the last look.
  struct Doubt {
    bool looked_at = false;
    std::string xmin;  // Empty: not there.
    RowVersions versions;
  };
  absl::Status ReadPieces();
  absl::Status FindMissed();
  absl::Status AddDoubt(RowKey key);
  absl::Status AddFound(RowKey key);
  // Hands in what the rows in `found_` have and the log has not.
  absl::Status RecordFound();
  // The table as it is now. ABORTED: it was altered since the comparison began.
  absl::StatusOr<TablePieces> Reopen();
  // Whatever was captured up to now counts. ABORTED: it was declared anew.
  absl::Status BeginAgain();
  // Looks at all doubtful rows until it is known of each.
  absl::Status Settle();
  absl::Status LookAtAll();
  void Judge(const RowKey& key, Doubt& doubt, LiveFold::Look look, std::string xmin, std::vector<RowKey>* done);
  absl::Status Fence();
  // Calls `read` inside a transaction of the log file.
  absl::Status AtOneMoment(const std::function<absl::Status()>& read);
  // Leaves its share of the time to others: it has worked since `begun`.
  absl::Status Rest(absl::Time begun);
  bool Enough() const { return checked_.differing >= kDifferingMax; }

  Connection& connection_;
  LiveFold& fold_;
  LogFile& file_;
  const std::string directory_;
  const CheckHooks& hooks_;

  std::optional<TablePieces> pieces_;
  std::unique_ptr<SeenKeys> seen_;
  std::map<RowKey, Doubt> doubts_;
  std::vector<RowKey> found_;
  CheckedTable checked_;
};

}  // namespace assay
