#include "log/row_versions/row_versions.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/bytes.h"
#include "log/check.h"
#include "log/merkle_tree.h"

namespace assay {
namespace {

constexpr uint8_t kRowVersionsFormat = 1;
constexpr size_t kRestRows =
    1000;  // Fewer stay on the list: a quiet shop's sales are to cost no more than a busy one's.
constexpr uint64_t kFilterRowsMin = 100'000;
constexpr size_t kVersionBytes = 20;         // Of a version in the compact form, mostly less.
constexpr size_t kListBytesMax = 256 << 10;  // Of one entry of the list.

absl::Status Malformed() { return absl::DataLossError("the stored versions of a row are malformed"); }

// A place where rows are, in the order of their keys.
struct Source {
  std::function<absl::StatusOr<bool>(Source&)> next;  // Goes on to a row. False: the end.
  KeyHash key{};
  absl::string_view versions;
  bool more = true;
};

// Visits each key once, in order, with the versions that the first of the sources has of it, until `visit` says false.
absl::Status MergeSources(std::vector<Source>& sources,
                          const std::function<absl::StatusOr<bool>(const KeyHash&, absl::string_view)>& visit) {
  // From the oldest on, so that a reader that meets a run which has been moved since finds it in the table.
  for (auto source = sources.rbegin(); source != sources.rend(); ++source) {
    ASSAY_ASSIGN_OR_RETURN(source->more, source->next(*source));
  }
  for (;;) {
    const Source* first = nullptr;
    for (const Source& source : sources) {
      if (source.more && (first == nullptr || source.key < first->key)) first = &source;
    }
    if (first == nullptr) return absl::OkStatus();
    const KeyHash key = first->key;
    ASSAY_ASSIGN_OR_RETURN(const bool go_on, visit(key, first->versions));
    if (!go_on) return absl::OkStatus();
    for (Source& source : sources) {
      if (!source.more || source.key != key) continue;
      ASSAY_ASSIGN_OR_RETURN(source.more, source.next(source));
    }
  }
}

}  // namespace

std::string RowVersions::Encode(EventLog& log) const {
  // Per version, the bitmap of its columns. A row's columns mostly share one or two versions.
  absl::InlinedVector<std::pair<Version, std::string>, 4> distinct;
  const auto index_of = [&distinct](const Version& version) -> size_t {
    if (version.IsNone()) return 0;
    for (size_t i = 0; i < distinct.size(); ++i) {
      if (distinct[i].first == version) return i + 1;
    }
    distinct.emplace_back(version, "");
    return distinct.size();
  };
  const size_t written_index = index_of(written), deleted_index = index_of(deleted);
  for (const ColumnVersion& column : columns) {
    ASSAY_CHECK(!column.version.IsNone());
    std::string& bitmap = distinct[index_of(column.version) - 1].second;
    const size_t byte = column.column.value / 8;
    if (bitmap.size() <= byte) bitmap.resize(byte + 1, '\0');
    bitmap[byte] = static_cast<char>(bitmap[byte] | 1 << column.column.value % 8);
  }
  std::string out;
  out.reserve(4 + distinct.size() * kVersionBytes);
  out.push_back(kRowVersionsFormat);
  PutVarint(&out, written_index << 1 | (whole ? 1 : 0));
  PutVarint(&out, deleted_index);
  PutVarint(&out, distinct.size());
  for (const auto& [version, bitmap] : distinct) {
    const absl::StatusOr<OriginIndex> origin = log.IndexOf(version.origin);
    ASSAY_CHECK(origin.ok());  // Only a writer encodes, and there it cannot fail.
    PutFixed64(&out, version.stamp.value);
    PutVarint(&out, origin->value);
    PutVarint(&out, version.sequence.value);
    PutSized(&out, bitmap);
  }
  return out;
}

absl::StatusOr<RowVersions> RowVersions::Decode(absl::string_view bytes, const EventLog& log) {
  ByteReader reader(bytes);
  uint8_t format;
  uint64_t written, deleted, count;
  if (!reader.Byte(&format)) return Malformed();
  if (format != kRowVersionsFormat) {
    return absl::FailedPreconditionError(
        absl::StrCat("row versions of format ", format, ", unknown here: install a newer Assay"));
  }
  if (!reader.Varint(&written) || !reader.Varint(&deleted) || !reader.Varint(&count)) return Malformed();
  RowVersions row;
  row.whole = (written & 1) != 0;
  written >>= 1;
  if (written > count || deleted > count) return Malformed();
  absl::InlinedVector<std::pair<Version, absl::string_view>, 4> distinct;  // With the bitmap of its columns.
  size_t bitmap_bytes = 0;
  for (uint64_t i = 1; i <= count; ++i) {
    auto& [version, bitmap] = distinct.emplace_back();
    uint64_t origin;
    if (!reader.Fixed64(&version.stamp.value) || !reader.Varint(&origin) || !reader.Varint(&version.sequence.value) ||
        !reader.Sized(&bitmap) || !log.HasIndex(origin) || version.IsNone()) {
      return Malformed();
    }
    version.origin = log.OriginOf({static_cast<uint32_t>(origin)});
    if (written == i) row.written = version;
    if (deleted == i) row.deleted = version;
    bitmap_bytes = std::max(bitmap_bytes, bitmap.size());
  }
  if (!reader.empty()) return Malformed();
  for (size_t byte = 0; byte < bitmap_bytes; ++byte) {
    const Version* of_bit[8] = {};
    for (const auto& [version, bitmap] : distinct) {
      if (byte >= bitmap.size()) continue;
      for (uint8_t bits = static_cast<uint8_t>(bitmap[byte]); bits != 0; bits &= bits - 1) {
        const Version*& of = of_bit[std::countr_zero(bits)];
        if (of != nullptr) return Malformed();
        of = &version;
      }
    }
    for (uint32_t bit = 0; bit < 8; ++bit) {
      if (of_bit[bit] != nullptr) row.columns.Append({static_cast<uint32_t>(byte * 8 + bit)}, *of_bit[bit]);
    }
  }
  return row;
}

absl::StatusOr<std::unique_ptr<RowVersionStore>> RowVersionStore::Open(LogFile* file, EventLog* log, Limits limits) {
  std::unique_ptr<RowVersionStore> store(new RowVersionStore(file, log, limits));
  ASSAY_ASSIGN_OR_RETURN(store->get_,
                         file->Prepare("SELECT versions FROM row_version WHERE table_id = ?1 AND key_hash = ?2"));
  ASSAY_ASSIGN_OR_RETURN(store->newest_, file->Prepare("SELECT coalesce(max(id), 0) FROM row_version_recent"));
  if (!file->read_only()) {
    ASSAY_ASSIGN_OR_RETURN(store->put_, file->Prepare("INSERT OR REPLACE INTO row_version VALUES (?1, ?2, ?3)"));
    ASSAY_ASSIGN_OR_RETURN(store->append_, file->Prepare("INSERT INTO row_version_recent (rows) VALUES (?1)"));
    ASSAY_ASSIGN_OR_RETURN(store->clear_, file->Prepare("DELETE FROM row_version_recent"));
  }
  ASSAY_ASSIGN_OR_RETURN(store->runs_, RowVersionRuns::Open(file));
  ASSAY_RETURN_IF_ERROR(store->Load());
  if (!file->read_only()) ASSAY_RETURN_IF_ERROR(store->FillFilter());
  RowVersionStore* raw = store.get();
  store->participation_ = file->AddParticipant([raw] { return raw->List(); },
                                               [raw] {
                                                 ASSAY_RETURN_IF_ERROR(raw->runs_->Load());
                                                 return raw->Load();
                                               });
  return store;
}

absl::Status RowVersionStore::Load() {
  cache_.clear();
  newest_used_.reset();
  changed_.clear();
  listed_ = 0;
  ASSAY_ASSIGN_OR_RETURN(Statement list, file_->Prepare("SELECT id, rows FROM row_version_recent ORDER BY id"));
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool entry, list.Step());
    if (!entry) break;
    list_end_ = list.Int("id");
    ASSAY_ASSIGN_OR_RETURN(PackedRowsReader reader, PackedRowsReader::Open(list.Blob("rows")));
    for (;;) {
      ASSAY_ASSIGN_OR_RETURN(const bool row, reader.Next());
      if (!row) break;
      ASSAY_RETURN_IF_ERROR(RowVersions::Decode(reader.versions(), *log_).status());
      cache_.insert_or_assign(reader.row(), Entry{std::string(reader.versions()), Place::kList});
    }
  }
  listed_ = cache_.size();
  return absl::OkStatus();
}

absl::Status RowVersionStore::FillFilter() {
  ASSAY_ASSIGN_OR_RETURN(Statement count, file_->Prepare("SELECT count(*) FROM row_version"));
  ASSAY_RETURN_IF_ERROR(count.Step().status());
  filter_ = KeyFilter(std::max(kFilterRowsMin, 2 * static_cast<uint64_t>(count.OnlyInt())));
  ASSAY_ASSIGN_OR_RETURN(Statement keys, file_->Prepare("SELECT table_id, key_hash FROM row_version"));
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool row, keys.Step());
    if (!row) break;
    RowRef ref{{static_cast<uint32_t>(keys.Int("table_id"))}, {}};
    const absl::string_view key = keys.Blob("key_hash");
    if (key.size() != ref.key.size()) return Malformed();
    std::memcpy(ref.key.data(), key.data(), key.size());
    filter_.Add(ref);
  }
  for (RowVersionRuns::Cursor& run : runs_->From({})) {
    for (;;) {
      ASSAY_ASSIGN_OR_RETURN(const bool row, run.Next());
      if (!row) break;
      if (!filter_.MayHave(run.row())) filter_.Add(run.row());
    }
  }
  return absl::OkStatus();
}

absl::Status RowVersionStore::Refresh() {
  if (!file_->read_only()) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(newest_.Step().status());
  const int64_t newest = newest_.OnlyInt();
  newest_.Reset();
  ASSAY_ASSIGN_OR_RETURN(const bool sorted, runs_->Refresh());
  if (newest == list_end_ && !sorted) return absl::OkStatus();
  // Origins that the writer has met since have numbers that the list uses.
  ASSAY_RETURN_IF_ERROR(log_->Refresh());
  list_end_ = newest;
  return Load();
}

absl::Status RowVersionStore::MakeRoom() {
  if (listed_ + changed_.size() >= limits_.listed && file_->InTransaction()) ASSAY_RETURN_IF_ERROR(AddRun());
  if (cache_.size() >= limits_.listed + limits_.listed / 4) ForgetStored();
  return absl::OkStatus();
}

void RowVersionStore::ForgetStored() {
  absl::erase_if(cache_, [](const auto& entry) { return entry.second.place == Place::kSorted; });
}

absl::Status RowVersionStore::Rest() {
  if (listed_ + changed_.size() >= kRestRows) ASSAY_RETURN_IF_ERROR(AddRun());
  ForgetStored();
  cache_.rehash(0);
  newest_used_.reset();
  return absl::OkStatus();
}

absl::StatusOr<const RowVersionStore::Entry*> RowVersionStore::Find(const RowRef& row) {
  ASSAY_RETURN_IF_ERROR(Refresh());
  auto found = cache_.find(row);
  // What a reader has from the table may have changed there.
  if (found != cache_.end() && (!file_->read_only() || found->second.place != Place::kSorted)) return &found->second;
  ASSAY_RETURN_IF_ERROR(MakeRoom());
  Entry entry;
  if (file_->read_only() || filter_.MayHave(row)) {
    ASSAY_ASSIGN_OR_RETURN(entry.versions, runs_->Find(row));
    if (entry.versions.empty()) {
      get_.BindInt(1, row.table.value).BindBlob(2, View(row.key));
      ASSAY_ASSIGN_OR_RETURN(const bool stored, get_.Step());
      if (stored) entry.versions = std::string(get_.OnlyBlob());
      get_.Reset();
      if (stored && entry.versions.empty()) return Malformed();
    }
  }
  return &cache_.insert_or_assign(row, std::move(entry)).first->second;
}

absl::StatusOr<const RowVersions*> RowVersionStore::Get(const RowRef& row) {
  if (!file_->read_only() && newest_used_.has_value() && newest_used_->first == row) return &newest_used_->second;
  ASSAY_ASSIGN_OR_RETURN(const Entry* entry, Find(row));
  if (entry->versions.empty()) return nullptr;
  newest_used_.reset();
  ASSAY_ASSIGN_OR_RETURN(RowVersions versions, RowVersions::Decode(entry->versions, *log_));
  newest_used_.emplace(row, std::move(versions));
  return &newest_used_->second;
}

absl::Status RowVersionStore::Put(const RowRef& row, RowVersions versions) {
  ASSAY_CHECK(file_->InTransaction());
  auto found = cache_.find(row);
  if (found == cache_.end() || found->second.place == Place::kSorted) {
    ASSAY_RETURN_IF_ERROR(MakeRoom());
    found = cache_.try_emplace(row).first;
  }
  Entry& entry = found->second;
  entry.versions = versions.Encode(*log_);
  newest_used_.emplace(row, std::move(versions));
  if (entry.place == Place::kMemory) return absl::OkStatus();
  if (entry.place == Place::kList) --listed_;
  entry.place = Place::kMemory;
  changed_.push_back(row);
  return absl::OkStatus();
}

absl::Status RowVersionStore::List() {
  if (changed_.empty()) return absl::OkStatus();
  if (listed_ + changed_.size() >= limits_.listed) return AddRun();
  PackedRowsWriter rows;
  const auto append = [&] { return append_.BindBlob(1, rows.bytes()).Run(); };
  for (const RowRef& row : changed_) {
    if (rows.bytes().size() >= kListBytesMax) {
      ASSAY_RETURN_IF_ERROR(append());
      rows.Clear();
    }
    Entry& entry = cache_.at(row);
    rows.Add(row, entry.versions);
    entry.place = Place::kList;
  }
  listed_ += changed_.size();
  changed_.clear();
  return append();
}

absl::Status RowVersionStore::AddRun() {
  std::vector<std::pair<RowRef, absl::string_view>> rows;
  rows.reserve(listed_ + changed_.size());
  for (auto& [row, entry] : cache_) {
    if (entry.place != Place::kSorted) rows.emplace_back(row, entry.versions);
    entry.place = Place::kSorted;
  }
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  ASSAY_RETURN_IF_ERROR(runs_->Add(rows));
  for (const auto& [row, versions] : rows) {
    if (!filter_.MayHave(row)) filter_.Add(row);
  }
  changed_.clear();
  listed_ = 0;
  ASSAY_RETURN_IF_ERROR(clear_.Run());
  return runs_->count() > limits_.runs ? MoveToTable(std::numeric_limits<size_t>::max()).status() : absl::OkStatus();
}

absl::Status RowVersionStore::Tidy(size_t rows_max) {
  for (size_t rows = 0; untidy() && rows < rows_max;) {
    ASSAY_ASSIGN_OR_RETURN(const size_t moved, MoveToTable(rows_max - rows));
    rows += moved;
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> RowVersionStore::MoveToTable(size_t rows_max) {
  return runs_->TakeOldest(rows_max, [&](const RowRef& row, absl::string_view versions) {
    return put_.BindInt(1, row.table.value).BindBlob(2, View(row.key)).BindBlob(3, versions).Run();
  });
}

absl::Status RowVersionStore::ForEach(TableId table,
                                      const std::function<absl::Status(const KeyHash&, const RowVersions&)>& visit) {
  return ForEachFrom(table, {}, [&visit](const KeyHash& key, const RowVersions& versions) -> absl::StatusOr<bool> {
    ASSAY_RETURN_IF_ERROR(visit(key, versions));
    return true;
  });
}

absl::Status RowVersionStore::ForEachFrom(
    TableId table, const KeyHash& from,
    const std::function<absl::StatusOr<bool>(const KeyHash&, const RowVersions&)>& visit) {
  ASSAY_RETURN_IF_ERROR(Refresh());
  // The newest place first.
  std::vector<Source> sources;
  const auto add = [&](std::function<absl::StatusOr<bool>(Source&)> next) { sources.push_back({std::move(next)}); };

  std::vector<std::pair<KeyHash, const std::string*>> listed;
  for (const auto& [row, entry] : cache_) {
    if (row.table == table && row.key >= from && entry.place != Place::kSorted)
      listed.emplace_back(row.key, &entry.versions);
  }
  std::sort(listed.begin(), listed.end());
  add([at = size_t{0}, &listed](Source& source) mutable -> absl::StatusOr<bool> {
    if (at == listed.size()) return false;
    source.key = listed[at].first;
    source.versions = *listed[at++].second;
    return true;
  });
  std::vector<RowVersionRuns::Cursor> cursors = runs_->From({table, from});
  for (RowVersionRuns::Cursor& cursor : cursors) {
    add([&cursor, table](Source& source) -> absl::StatusOr<bool> {
      ASSAY_ASSIGN_OR_RETURN(const bool row, cursor.Next());
      if (!row || cursor.row().table != table) return false;
      source.key = cursor.row().key;
      source.versions = cursor.versions();
      return true;
    });
  }
  ASSAY_ASSIGN_OR_RETURN(
      Statement rows,
      file_->Prepare("SELECT key_hash, versions FROM row_version WHERE table_id = ?1 AND key_hash >= ?2 "
                     "ORDER BY key_hash"));
  rows.BindInt(1, table.value).BindBlob(2, View(from));
  add([&rows](Source& source) -> absl::StatusOr<bool> {
    ASSAY_ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) return false;
    const absl::string_view key = rows.Blob("key_hash");
    if (key.size() != source.key.size()) return Malformed();
    std::memcpy(source.key.data(), key.data(), key.size());
    source.versions = rows.Blob("versions");
    return true;
  });
  return MergeSources(sources, [&](const KeyHash& key, absl::string_view stored) -> absl::StatusOr<bool> {
    ASSAY_ASSIGN_OR_RETURN(const RowVersions versions, RowVersions::Decode(stored, *log_));
    return visit(key, versions);
  });
}

}  // namespace assay
