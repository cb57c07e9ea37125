#include "log/row_versions.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/bytes.h"
#include "log/check.h"
#include "log/merkle_tree.h"
#include "log/stage_store.h"

namespace assay {
namespace {

constexpr uint8_t kRowVersionsFormat = 1;
constexpr size_t kCachedRowsMax = 32768;  // With some ten columns a row, about 16 MB.

absl::Status Malformed() { return absl::DataLossError("the stored versions of a row are malformed"); }

absl::string_view View(const KeyHash& key) { return {reinterpret_cast<const char*>(key.data()), key.size()}; }

}  // namespace

KeyHash HashKey(absl::Span<const std::string> key) {
  const Hash hash = Sha256(EncodeKey(key));
  KeyHash out;
  std::memcpy(out.data(), hash.data(), out.size());
  return out;
}

const Version* RowVersions::Find(ColumnId column) const {
  const auto found = std::lower_bound(columns.begin(), columns.end(), column,
                                      [](const ColumnVersion& each, ColumnId wanted) { return each.column < wanted; });
  return found == columns.end() || found->column != column ? nullptr : &found->version;
}

std::string RowVersions::Encode(EventLog& log) const {
  // Per version, the bitmap of its columns. A row's columns mostly share one or two versions.
  std::vector<std::pair<Version, std::string>> distinct;
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
  out.push_back(kRowVersionsFormat);
  PutVarint(&out, written_index);
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
  if (!reader.Varint(&written) || !reader.Varint(&deleted) || !reader.Varint(&count) || written > count ||
      deleted > count) {
    return Malformed();
  }
  RowVersions row;
  for (uint64_t i = 1; i <= count; ++i) {
    Version version;
    uint64_t origin;
    absl::string_view bitmap;
    if (!reader.Fixed64(&version.stamp.value) || !reader.Varint(&origin) || !reader.Varint(&version.sequence.value) ||
        !reader.Sized(&bitmap) || !log.HasIndex(origin) || version.IsNone()) {
      return Malformed();
    }
    version.origin = log.OriginOf({static_cast<uint32_t>(origin)});
    if (written == i) row.written = version;
    if (deleted == i) row.deleted = version;
    for (size_t byte = 0; byte < bitmap.size(); ++byte) {
      for (uint32_t bit = 0; bit < 8; ++bit) {
        if (bitmap[byte] >> bit & 1) row.columns.push_back({{static_cast<uint32_t>(byte * 8 + bit)}, version});
      }
    }
  }
  if (!reader.empty()) return Malformed();
  std::sort(row.columns.begin(), row.columns.end(), [](const auto& a, const auto& b) { return a.column < b.column; });
  const auto twice = std::adjacent_find(row.columns.begin(), row.columns.end(),
                                        [](const auto& a, const auto& b) { return a.column == b.column; });
  if (twice != row.columns.end()) return Malformed();
  return row;
}

absl::StatusOr<std::unique_ptr<RowVersionStore>> RowVersionStore::Open(LogFile* file, EventLog* log) {
  std::unique_ptr<RowVersionStore> store(new RowVersionStore(file, log));
  ASSAY_ASSIGN_OR_RETURN(store->get_,
                         file->Prepare("SELECT versions FROM row_version WHERE table_id = ?1 AND key_hash = ?2"));
  if (!file->read_only()) {
    ASSAY_ASSIGN_OR_RETURN(store->put_, file->Prepare("INSERT OR REPLACE INTO row_version VALUES (?1, ?2, ?3)"));
  }
  RowVersionStore* raw = store.get();
  raw->participation_ = file->AddParticipant([raw] { return raw->FlushDirty(); },
                                             [raw] {
                                               raw->cache_.clear();
                                               raw->dirty_.clear();
                                               return absl::OkStatus();
                                             });
  return store;
}

absl::Status RowVersionStore::MakeRoom() {
  if (cache_.size() < kCachedRowsMax) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(FlushDirty());
  cache_.clear();
  return absl::OkStatus();
}

absl::StatusOr<const RowVersions*> RowVersionStore::Get(const RowRef& row) {
  // A reader's file changes under it: ask it every time.
  auto found = file_->read_only() ? cache_.end() : cache_.find(row);
  if (found == cache_.end()) {
    ASSAY_RETURN_IF_ERROR(MakeRoom());
    std::optional<RowVersions> versions;
    get_.BindInt(1, row.table.value).BindBlob(2, View(row.key));
    ASSAY_ASSIGN_OR_RETURN(const bool stored, get_.Step());
    if (stored) {
      absl::StatusOr<RowVersions> decoded = RowVersions::Decode(get_.Blob(0), *log_);
      get_.Reset();
      if (!decoded.ok()) return decoded.status();
      versions = *std::move(decoded);
    }
    found = cache_.insert_or_assign(row, Entry{std::move(versions)}).first;
  }
  return found->second.versions ? &*found->second.versions : nullptr;
}

absl::Status RowVersionStore::Put(const RowRef& row, RowVersions versions) {
  ASSAY_CHECK(file_->InTransaction());
  auto found = cache_.find(row);
  if (found == cache_.end()) {
    ASSAY_RETURN_IF_ERROR(MakeRoom());
    found = cache_.try_emplace(row).first;
  }
  found->second.versions = std::move(versions);
  if (!std::exchange(found->second.dirty, true)) dirty_.push_back(row);
  return absl::OkStatus();
}

absl::Status RowVersionStore::FlushDirty() {
  // In the table's own order, so that neighbours share a page.
  std::sort(dirty_.begin(), dirty_.end());
  for (const RowRef& row : dirty_) {
    Entry& entry = cache_.at(row);
    const std::string bytes = entry.versions->Encode(*log_);
    ASSAY_RETURN_IF_ERROR(put_.BindInt(1, row.table.value).BindBlob(2, View(row.key)).BindBlob(3, bytes).Run());
    entry.dirty = false;
  }
  dirty_.clear();
  return absl::OkStatus();
}

absl::Status RowVersionStore::ForEach(TableId table,
                                      const std::function<absl::Status(const KeyHash&, const RowVersions&)>& visit) {
  ASSAY_RETURN_IF_ERROR(FlushDirty());
  ASSAY_ASSIGN_OR_RETURN(
      Statement rows,
      file_->Prepare("SELECT key_hash, versions FROM row_version WHERE table_id = ?1 ORDER BY key_hash"));
  rows.BindInt(1, table.value);
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) return absl::OkStatus();
    KeyHash key;
    if (rows.Blob(0).size() != key.size()) return Malformed();
    std::memcpy(key.data(), rows.Blob(0).data(), key.size());
    ASSAY_ASSIGN_OR_RETURN(const RowVersions versions, RowVersions::Decode(rows.Blob(1), *log_));
    ASSAY_RETURN_IF_ERROR(visit(key, versions));
  }
}

}  // namespace assay
