#include "engine/merge.h"

#include <algorithm>

namespace assay {
namespace {

bool Concurrent(const Version& a, const Version& b, const SawFunction& saw) {
  if (a.IsNone() || b.IsNone() || a.origin == b.origin) return false;
  return !saw(a, b) && !saw(b, a);
}

Meeting MeetingOf(std::optional<ColumnId> column, const Version& a, const Version& b) {
  return {column, std::max(a, b), std::min(a, b)};
}

// A delete meets every write it had not seen, whoever is newer. A write hides behind the newest one of the same origin.
void MeetDelete(const Version& deleted, const RowVersions& row, const SawFunction& saw, std::vector<Meeting>* meetings) {
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

}  // namespace

RowVersions VersionsOf(const RowClaim& claim) {
  RowVersions versions;
  if (claim.kind == ChangeKind::kDelete) {
    versions.deleted = claim.version;
    return versions;
  }
  versions.written = claim.version;
  versions.columns.reserve(claim.columns.size());
  for (ColumnId column : claim.columns) versions.columns.push_back({column, claim.version});
  return versions;
}

void Merge(const RowVersions& from, RowVersions* into) {
  into->written = std::max(into->written, from.written);
  into->deleted = std::max(into->deleted, from.deleted);
  auto a = into->columns.begin();
  auto b = from.columns.begin();
  // Mostly every column is known already: then in place.
  for (; b != from.columns.end(); ++a, ++b) {
    while (a != into->columns.end() && a->column < b->column) ++a;
    if (a == into->columns.end() || b->column < a->column) break;
    a->version = std::max(a->version, b->version);
  }
  if (b == from.columns.end()) return;
  std::vector<ColumnVersion> joined(into->columns.begin(), a);
  joined.reserve(std::max(into->columns.size(), from.columns.size()));
  while (a != into->columns.end() || b != from.columns.end()) {
    if (b == from.columns.end() || (a != into->columns.end() && a->column < b->column)) {
      joined.push_back(*a++);
    } else if (a == into->columns.end() || b->column < a->column) {
      joined.push_back(*b++);
    } else {
      joined.push_back({a->column, std::max(a->version, b->version)});
      ++a, ++b;
    }
  }
  into->columns = std::move(joined);
}

Version Newest(const RowVersions& row) { return std::max(row.written, row.deleted); }

std::vector<Meeting> FindMeetings(const RowVersions& current, const RowVersions& incoming, const SawFunction& saw) {
  std::vector<Meeting> meetings;
  MeetDelete(incoming.deleted, current, saw, &meetings);
  MeetDelete(current.deleted, incoming, saw, &meetings);
  auto a = current.columns.begin();
  for (const ColumnVersion& b : incoming.columns) {
    while (a != current.columns.end() && a->column < b.column) ++a;
    if (a == current.columns.end()) break;
    if (a->column == b.column && Concurrent(a->version, b.version, saw)) {
      meetings.push_back(MeetingOf(b.column, a->version, b.version));
    }
  }
  return meetings;
}

}  // namespace assay
