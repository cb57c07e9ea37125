#include "engine/fold/merge.h"

#include <algorithm>

namespace assay {
namespace {

// Below the stamp of every edit: a chain's opening has 1.
constexpr HlcStamp kGivenUp{0}, kFound{1};

}  // namespace

HlcStamp StampThatCounts(v1::RowChange::Standing standing, HlcStamp stamp) {
  switch (standing) {
    case v1::RowChange::FOUND:
      return kFound;
    case v1::RowChange::GIVEN_UP:
      return kGivenUp;
    default:
      return stamp;
  }
}

bool IsEdit(const Version& version) { return version.stamp > kFound; }

RowVersions VersionsOf(const RowClaim& claim) {
  RowVersions versions;
  if (claim.kind == ChangeKind::kDelete) {
    versions.deleted = claim.version;
    return versions;
  }
  versions.written = claim.version;
  versions.whole = claim.kind == ChangeKind::kInsert;
  for (ColumnId column : claim.columns) versions.columns.Append(column, claim.version);
  return versions;
}

void Merge(const RowVersions& from, RowVersions* into) {
  into->written = std::max(into->written, from.written);
  into->deleted = std::max(into->deleted, from.deleted);
  into->whole |= from.whole;
  ColumnVersions& ours = into->columns;
  const ColumnVersions& theirs = from.columns;
  size_t a = 0, b = 0;
  // Mostly every column is known already: then in place.
  for (; b < theirs.size(); ++a, ++b) {
    while (a < ours.size() && ours.ColumnAt(a) < theirs.ColumnAt(b)) ++a;
    if (a == ours.size() || theirs.ColumnAt(b) < ours.ColumnAt(a)) break;
    if (ours.VersionAt(a) < theirs.VersionAt(b)) ours.Set(a, theirs.VersionAt(b));
  }
  if (b == theirs.size()) return;
  ColumnVersions joined;
  for (size_t i = 0; i < a; ++i) joined.Append(ours.ColumnAt(i), ours.VersionAt(i));
  while (a < ours.size() || b < theirs.size()) {
    if (b == theirs.size() || (a < ours.size() && ours.ColumnAt(a) < theirs.ColumnAt(b))) {
      joined.Append(ours.ColumnAt(a), ours.VersionAt(a));
      ++a;
    } else if (a == ours.size() || theirs.ColumnAt(b) < ours.ColumnAt(a)) {
      joined.Append(theirs.ColumnAt(b), theirs.VersionAt(b));
      ++b;
    } else {
      joined.Append(ours.ColumnAt(a), std::max(ours.VersionAt(a), theirs.VersionAt(b)));
      ++a, ++b;
    }
  }
  ours = std::move(joined);
}

Version Newest(const RowVersions& row) { return std::max(row.written, row.deleted); }

}  // namespace assay
