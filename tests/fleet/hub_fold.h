// What every row should be, by the hub's bytes alone: a slow reader that was written from log/FORMAT.md and
// proto/event.proto, and shares nothing with the engine.
//
//   EXPECT_OK(CompareWithHub(hub, branch));
//
// It verifies each event against its leaf hash, folds all chains in memory, last write wins, and looks whether the
// branch's database has just that. What needs to know how a table changed is left to others: columns that were renamed,
// dropped or given another type, tables whose key moved, rows that were never seen whole.
#pragma once

#include "absl/status/status.h"
#include "tests/support/sql.h"

namespace assay::test {

// Superusers' sessions; the branch's shows values as events have them. FAILED_PRECONDITION names the rows that differ;
// DATA_LOSS: the hub's bytes are not what FORMAT.md says.
absl::Status CompareWithHub(SqlSession& hub, SqlSession& branch);

}  // namespace assay::test
