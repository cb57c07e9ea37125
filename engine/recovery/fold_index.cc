#include "engine/recovery/fold_index.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "absl/hash/hash.h"
#include "engine/fold/merge.h"
#include "engine/fold/unreadable_rows.h"
#include "log/annotate.h"
#include "log/check.h"

namespace assay {
namespace {

// Rows of the fold kept in memory before they go to the temporary table, in key order so that it is written from left
// to right.
constexpr size_t kCachedRows = 50'000;

}  // namespace

uint64_t HashValue(const TupleValue& value) {
  const uint64_t hash = value.kind == TupleValue::Kind::kText ? absl::HashOf(true, value.text) : absl::HashOf(false);
  return hash == kValueNotInLog ? hash + 1 : hash;
}

absl::StatusOr<std::unique_ptr<FoldIndex>> FoldIndex::Build(LogFile* file, const Stores& stores, Clock* clock,
                                                            const Visitor& visit) {
  std::unique_ptr<FoldIndex> index(new FoldIndex(file, stores, clock));
  ASSAY_RETURN_IF_ERROR(stores.conflicts->Clear());
  ASSAY_RETURN_IF_ERROR(index->Prepare());
  ASSAY_RETURN_IF_ERROR(index->FoldAll(visit));
  ASSAY_RETURN_IF_ERROR(index->Flush());
  index->building_ = false;
  return index;
}

absl::Status FoldIndex::Prepare() {
  ASSAY_ASSIGN_OR_RETURN(scratch_, ScratchFile::Beside(*file_));
  ASSAY_RETURN_IF_ERROR(scratch_->Execute(
      "CREATE TABLE fold (table_id INTEGER, key BLOB, versions BLOB, hashes BLOB, seen INTEGER DEFAULT 0, "
      "PRIMARY KEY (table_id, key)) WITHOUT ROWID; BEGIN"));
  ASSAY_ASSIGN_OR_RETURN(get_, scratch_->Prepare("SELECT versions, hashes FROM fold WHERE table_id = ? AND key = ?"));
  ASSAY_ASSIGN_OR_RETURN(put_, scratch_->Prepare("INSERT OR REPLACE INTO fold (table_id, key, versions, hashes) "
                                                 "VALUES (?, ?, ?, ?)"));
  ASSAY_ASSIGN_OR_RETURN(mark_, scratch_->Prepare("UPDATE fold SET seen = 1 WHERE table_id = ? AND key = ?"));
  return absl::OkStatus();
}

absl::Status FoldIndex::FoldAll(const Visitor& visit) {
  std::map<OriginId, EventReader> readers;
  std::map<std::pair<HlcStamp, OriginId>, const StoredEvent*> next;  // Of each chain.
  const auto advance = [&](const OriginId& origin) -> absl::Status {
    ASSAY_ASSIGN_OR_RETURN(const StoredEvent* event, readers.at(origin).Next());
    if (event != nullptr) next[{event->stamp, origin}] = event;
    return absl::OkStatus();
  };
  for (const OriginId& origin : stores_.log->Origins()) {
    readers.emplace(origin, stores_.log->Read(origin, assay::Sequence{1}));
    ASSAY_RETURN_IF_ERROR(advance(origin));
  }
  while (!next.empty()) {
    const StoredEvent& event = *next.begin()->second;
    const OriginId origin = event.origin;
    ASSAY_RETURN_IF_ERROR(FoldEvent(event, visit));
    next.erase(next.begin());
    ASSAY_RETURN_IF_ERROR(advance(origin));
  }
  return absl::OkStatus();
}

absl::Status FoldIndex::FoldEvent(const StoredEvent& stored, const Visitor& visit) {
  if (stored.masked) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(v1::Event event, ParseEvent(stored.bytes, stored.origin));
  ASSAY_RETURN_IF_ERROR(NoteSeen(event, stored.origin, stores_.state));
  if (stored.table.empty()) return absl::OkStatus();
  const absl::StatusOr<ResolvedChange> change = ResolveChange(std::move(event), stored.origin, *stores_.names);
  if (absl::IsPermissionDenied(change.status())) return absl::OkStatus();
  if (absl::IsInvalidArgument(change.status())) return NoteUnreadable(stored, change.status(), stores_.state);
  ASSAY_RETURN_IF_ERROR(change.status());
  if (!change->event.has_row()) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(Fold(*change, stored.origin));
  if (visit) visit(*change);
  return absl::OkStatus();
}

absl::Status FoldIndex::Fold(const ResolvedChange& change, const OriginId& origin) {
  empty_ = false;
  const v1::RowChange& row = change.row();
  const RowKey key(row.key().begin(), row.key().end());
  const RowRef ref = RowOf(change.schema->table, change.schema->key_columns, key);
  ASSAY_ASSIGN_OR_RETURN(Entry * entry, Load(ref));
  const RowClaim claim = ClaimOf(change, origin);
  newest_ = std::max(newest_, claim.version.stamp);
  ASSAY_RETURN_IF_ERROR(finder_.Take(ref, EncodeKey(key), entry->versions, VersionsOf(claim)));
  RowVersions merged = entry->versions;
  Merge(VersionsOf(claim), &merged);
  std::vector<uint64_t> hashes(merged.columns.size());
  for (size_t i = 0, old = 0; i < merged.columns.size(); ++i) {
    while (old < entry->versions.columns.size() && entry->versions.columns.ColumnAt(old) < merged.columns.ColumnAt(i))
      ++old;
    if (old < entry->versions.columns.size() && entry->versions.columns[old] == merged.columns[i])
      hashes[i] = entry->hashes[old];
  }
  if (claim.kind != ChangeKind::kDelete) {
    for (int i = 0; i < row.columns_size(); ++i) {
      const size_t at = merged.columns.LowerBound(change.ColumnAt(i));
      const ColumnVersion written{change.ColumnAt(i), claim.version};
      if (at == merged.columns.size() || merged.columns[at] != written) continue;  // Somebody's newer write is there.
      const v1::ColumnChange& column = row.columns(i);
      if (column.has_value())
        hashes[at] = HashValue({TupleValue::Kind::kText, column.value()});
      else
        hashes[at] = column.is_null() ? HashValue({}) : kValueNotInLog;
    }
  }
  entry->versions = std::move(merged);
  entry->hashes = std::move(hashes);
  return cache_.size() < kCachedRows ? absl::OkStatus() : Flush();
}

absl::StatusOr<FoldIndex::Entry*> FoldIndex::Load(const RowRef& row) {
  auto [at, unknown] = cache_.try_emplace(row);
  if (!unknown) return &at->second;
  const absl::string_view key(reinterpret_cast<const char*>(row.key.data()), row.key.size());
  ASSAY_ASSIGN_OR_RETURN(const bool found, get_.BindInt(1, row.table.value).BindBlob(2, key).Step());
  if (!found) return &at->second;
  ASSAY_ASSIGN_OR_RETURN(at->second.versions, RowVersions::Decode(get_.Blob("versions"), *stores_.log));
  const absl::string_view hashes = get_.Blob("hashes");
  at->second.hashes.resize(hashes.size() / sizeof(uint64_t));
  std::memcpy(at->second.hashes.data(), hashes.data(), hashes.size());
  get_.Reset();
  ASSAY_CHECK(at->second.hashes.size() == at->second.versions.columns.size());
  return &at->second;
}

absl::Status FoldIndex::Flush() {
  std::vector<const std::pair<const RowRef, Entry>*> sorted;
  sorted.reserve(cache_.size());
  for (const auto& entry : cache_) sorted.push_back(&entry);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
  for (const auto* entry : sorted) {
    const absl::string_view key(reinterpret_cast<const char*>(entry->first.key.data()), entry->first.key.size());
    const absl::string_view hashes(reinterpret_cast<const char*>(entry->second.hashes.data()),
                                   entry->second.hashes.size() * sizeof(uint64_t));
    const std::string versions = entry->second.versions.Encode(*stores_.log);
    ASSAY_RETURN_IF_ERROR(
        put_.BindInt(1, entry->first.table.value).BindBlob(2, key).BindBlob(3, versions).BindBlob(4, hashes).Run());
  }
  cache_.clear();
  return absl::OkStatus();
}

absl::StatusOr<const FoldIndex::Entry*> FoldIndex::Find(const RowRef& row) {
  ASSAY_CHECK(!building_);
  if (empty_) return nullptr;
  cache_.clear();  // Each row is asked for once a pass: nothing is gained by keeping it.
  ASSAY_ASSIGN_OR_RETURN(Entry * entry, Load(row));
  return entry->versions == RowVersions{} ? nullptr : entry;
}

absl::Status FoldIndex::ForgetSeen() { return scratch_->Execute("UPDATE fold SET seen = 0 WHERE seen <> 0"); }

absl::Status FoldIndex::MarkSeen(const RowRef& row) {
  const absl::string_view key(reinterpret_cast<const char*>(row.key.data()), row.key.size());
  return mark_.BindInt(1, row.table.value).BindBlob(2, key).Run();
}

absl::Status FoldIndex::ForEachUnseen(TableId table,
                                      const std::function<absl::Status(const RowRef&, const Entry&)>& visit) {
  ASSAY_CHECK(!building_);
  ASSAY_ASSIGN_OR_RETURN(Statement unseen,
                         scratch_->Prepare("SELECT key, versions, hashes FROM fold WHERE table_id = ? AND seen = 0"));
  unseen.BindInt(1, table.value);
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool row, unseen.Step());
    if (!row) return absl::OkStatus();
    RowRef ref{table, {}};
    Entry entry;
    const absl::string_view key = unseen.Blob("key");
    ASSAY_CHECK(key.size() == ref.key.size());
    std::memcpy(ref.key.data(), key.data(), key.size());
    ASSAY_ASSIGN_OR_RETURN(entry.versions, RowVersions::Decode(unseen.Blob("versions"), *stores_.log));
    const absl::string_view hashes = unseen.Blob("hashes");
    entry.hashes.resize(hashes.size() / sizeof(uint64_t));
    std::memcpy(entry.hashes.data(), hashes.data(), hashes.size());
    ASSAY_RETURN_IF_ERROR(visit(ref, entry));
  }
}

RowComparison CompareRow(const FoldIndex::Entry* entry, absl::Span<const ColumnId> columns,
                         const std::vector<bool>& is_key, absl::Span<const TupleValue> tuple) {
  std::vector<uint64_t> hashes;
  hashes.reserve(tuple.size());
  for (const TupleValue& value : tuple) hashes.push_back(HashValue(value));
  return CompareRow(entry, columns, is_key, hashes);
}

RowComparison CompareRow(const FoldIndex::Entry* entry, absl::Span<const ColumnId> columns,
                         const std::vector<bool>& is_key, absl::Span<const uint64_t> hashes) {
  RowComparison comparison;
  if (entry == nullptr) return comparison;
  if (!entry->versions.IsLive()) {
    comparison.kind = RowComparison::Kind::kDeleted;
    return comparison;
  }
  for (size_t i = 0; i < hashes.size(); ++i) {
    if (is_key[i]) continue;
    const auto& known = entry->versions.columns;
    const size_t at = known.LowerBound(columns[i]);
    if (at == known.size() || known.ColumnAt(at) != columns[i]) {
      comparison.unknown.push_back(i);
    } else if (entry->hashes[at] != kValueNotInLog && hashes[i] != kValueNotInLog) {
      ++comparison.compared;
      if (entry->hashes[at] != hashes[i]) comparison.differing.push_back(i);
    }
  }
  comparison.kind = comparison.differing.empty() ? RowComparison::Kind::kEqual : RowComparison::Kind::kDiffers;
  return comparison;
}

}  // namespace assay
