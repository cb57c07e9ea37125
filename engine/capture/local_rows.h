// The rows that local changes move: what PostgreSQL held before, and what the log says of them afterwards.
//
// Mostly PostgreSQL holds what the fold has, and a local change, stamped newer than all of it, becomes the row's newest
// version. A row that is unsettled is different: its writer saw what PostgreSQL held, not what the log has. Such a
// change is recorded as what it is, a write that had not seen the other. Not thread-safe. Every call inside a LogFile
// transaction.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/clock.h"
#include "engine/database.h"
#include "engine/fold/merge.h"
#include "log/local_state/stores.h"
#include "log/local_state/unsettled_rows.h"
#include "log/row_versions/row_versions.h"
#include "log/types.h"

namespace assay {

class LocalRows {
 public:
  LocalRows(const OriginId& own, const Stores& stores, Clock* clock)
      : own_(own), rows_(stores.rows), unsettled_(stores.unsettled), clock_(clock) {}

  // Whether PostgreSQL has the row that the log knows as `fold`.
  absl::StatusOr<bool> IsThere(const RowRef& row, const RowVersions& fold);
  // What PostgreSQL held for the row before this change, as far as is known. Good until the next look at or change of
  // any row's versions.
  absl::StatusOr<std::reference_wrapper<const RowVersions>> Held(const RowRef& row);
  // Moves the row's versions by `claim`; its columns are those that were written, in any order.
  absl::Status Move(const RowRef& row, const RowKey& key, RowClaim claim);

 private:
  // The same of a claim that is nobody's edit: PostgreSQL shows it, and what the fold has counts.
  absl::Status MoveFound(const RowRef& row, const RowKey& key, const RowClaim& claim);

  const OriginId own_;
  RowVersionStore* rows_;
  UnsettledRows* unsettled_;
  Clock* clock_;
  RowVersions held_;  // What Held answers, when nothing else holds it.
};

}  // namespace assay
