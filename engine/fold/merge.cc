#include "engine/fold/merge.h"

#include <algorithm>

namespace assay {
namespace {

bool Concurrent(const Version& a, const Version& b, const SawFunction& saw) {
  if (a.IsNone() || b.IsNone() || a.origin == b.origin || !IsEdit(a) || !IsEdit(b)) return false;
  return !saw(a, b) && !saw(b, a);
}

Meeting MeetingOf(std::optional<ColumnId> column, const Version& a, const Version& b) {
  return {column, std::max(a, b), std::min(a, b)};
}

// A delete meets every write it had not seen, whoever is newer. A write hides behind the newest one of the same origin.
void MeetDelete(const Version& deleted, const RowVersions& row, const SawFunction& saw,
                std::vector<Meeting>* meetings) {
  if (deleted.IsNone()) return;
  std::vector<Version> writes = {row.written};
  for (const ColumnVersion& column : row.columns) writes.push_back(column.version);
  std::sort(writes.begin(), writes.end(), std::greater<>());
  std::vector<OriginId> met;
  for (const Version& write : writes) {
    if (std::find(met.begin(), met.end(), write.origin) != met.end()) continue;
    met.push_back(write.origin);
    if (Concurrent(deleted, write, saw)) meetings->push_back(MeetingOf(std::nullopt, deleted, write));
  }
}

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

std::vector<Meeting> FindMeetings(const RowVersions& current, const RowVersions& incoming, const SawFunction& saw) {
  std::vector<Meeting> meetings;
  MeetDelete(incoming.deleted, current, saw, &meetings);
  MeetDelete(current.deleted, incoming, saw, &meetings);
  size_t a = 0;
  for (const ColumnVersion& b : incoming.columns) {
    while (a < current.columns.size() && current.columns.ColumnAt(a) < b.column) ++a;
    if (a == current.columns.size()) break;
    if (current.columns.ColumnAt(a) == b.column && Concurrent(current.columns.VersionAt(a), b.version, saw)) {
      meetings.push_back(MeetingOf(b.column, current.columns.VersionAt(a), b.version));
    }
  }
  return meetings;
}

}  // namespace assay
