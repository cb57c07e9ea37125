// Who wins: last write wins per column, by the total order of versions; a row lives if its newest write is newer than
// its newest delete.
//
// A row's versions form a lattice and merging is its join, element by element the newer one. So merging is commutative,
// associative and idempotent: the same set of changes gives the same row in any order of arrival, any number of times.
// tests/engine/fold/reference_merge.h is the slow and obvious twin that this is held against. Pure functions.
#pragma once

#include <vector>

#include "absl/types/span.h"
#include "log/row_versions/row_versions.h"
#include "log/types.h"
#include "proto/event.pb.h"

namespace assay {

enum class ChangeKind : uint8_t { kInsert, kUpdate, kDelete };

// By which stamp a change counts, whose event has `stamp`. Nobody edited what a comparison of table and log found, so
// that it is older than every edit, whenever it was recorded; of two such changes the same one wins everywhere.
HlcStamp StampThatCounts(v1::RowChange::Standing standing, HlcStamp stamp);
// Somebody's write, and not something that was found.
bool IsEdit(const Version& version);

// What one event says about its row: which columns it wrote (none for a delete), all at one version.
struct RowClaim {
  ChangeKind kind = ChangeKind::kUpdate;
  Version version;
  std::vector<ColumnId> columns;  // Sorted.
};

// The versions that `claim` alone would leave.
RowVersions VersionsOf(const RowClaim& claim);

// The join: `into` takes whatever is newer in `from`.
void Merge(const RowVersions& from, RowVersions* into);

// The newest version anywhere in the row; none for a row never written.
Version Newest(const RowVersions& row);

}  // namespace assay
