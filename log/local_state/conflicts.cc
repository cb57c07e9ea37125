#include "log/local_state/conflicts.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/check.h"
#include "log/local_state/stored_rows.h"

namespace assay {
namespace {

constexpr absl::string_view kSelect =
    "SELECT id, table_id, key_hash, key, column_id, winner_stamp, winner_origin, winner_sequence, loser_stamp, "
    "loser_origin, loser_sequence, rule, found_ms, listed FROM conflict ";

// By the names of its columns.
absl::StatusOr<Version> ReadVersion(const Statement& row, absl::string_view stamp, absl::string_view origin,
                                    absl::string_view sequence, const EventLog& log) {
  ASSAY_ASSIGN_OR_RETURN(const OriginId id, ReadOrigin(row, origin, log, "conflict"));
  return Version{{static_cast<uint64_t>(row.Int(stamp))}, id, {static_cast<uint64_t>(row.Int(sequence))}};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Conflicts>> Conflicts::Open(LogFile* file, EventLog* log) {
  std::unique_ptr<Conflicts> conflicts(new Conflicts(file, log));
  ASSAY_RETURN_IF_ERROR(conflicts->Load());
  if (!file->read_only()) {
    ASSAY_ASSIGN_OR_RETURN(
        conflicts->add_,
        file->Prepare("INSERT INTO conflict VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?13, ?11, ?12)"));
    ASSAY_ASSIGN_OR_RETURN(
        conflicts->unseen_,
        file->Prepare(absl::StrCat(
            kSelect, "WHERE table_id = ?1 AND key_hash = ?2 AND winner_origin = ?3 AND winner_sequence > ?4 UNION ",
            kSelect, "WHERE table_id = ?1 AND key_hash = ?2 AND loser_origin = ?3 AND loser_sequence > ?4")));
    ASSAY_ASSIGN_OR_RETURN(conflicts->remove_, file->Prepare("DELETE FROM conflict WHERE id = ?1"));
  }
  Conflicts* raw = conflicts.get();
  raw->participation_ = file->AddParticipant([raw] { return raw->Prune(); }, [raw] { return raw->Load(); });
  return conflicts;
}

absl::Status Conflicts::Refresh() { return file_->read_only() ? Load() : absl::OkStatus(); }

absl::Status Conflicts::Load() {
  ASSAY_ASSIGN_OR_RETURN(Statement count, file_->Prepare("SELECT count(*) FROM conflict WHERE listed"));
  ASSAY_ASSIGN_OR_RETURN(const bool row, count.Step());
  if (!row) return MalformedTable("conflict");
  count_ = count.OnlyInt();
  rows_.clear();
  if (file_->read_only()) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(FindOldest());
  ASSAY_ASSIGN_OR_RETURN(Statement rows, file_->Prepare("SELECT DISTINCT table_id, key_hash FROM conflict"));
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool more, rows.Step());
    if (!more) return absl::OkStatus();
    ASSAY_ASSIGN_OR_RETURN(const RowRef ref, ReadRowRef(rows, "conflict"));
    rows_.insert(ref);
  }
}

HlcStamp Conflicts::Horizon() const {
  HlcStamp newest;
  for (const OriginId& origin : log_->Origins()) newest = std::max(newest, log_->Head(origin).complete_stamp);
  const uint64_t kept = HlcStamp::FromMillis(kConflictDays * 24 * 3600 * 1000).value;
  return {newest.value - std::min(newest.value, kept)};
}

absl::Status Conflicts::Add(const Conflict& conflict) {
  ASSAY_CHECK(file_->InTransaction());
  if (conflict.loser.stamp < Horizon()) return absl::OkStatus();
  add_.BindInt(1, conflict.row.table.value).BindBlob(2, View(conflict.row.key)).BindBlob(3, conflict.key);
  conflict.column ? add_.BindInt(4, conflict.column->value) : add_.BindNull(4);
  int index = 5;
  for (const Version& version : {conflict.winner, conflict.loser}) {
    ASSAY_ASSIGN_OR_RETURN(const OriginIndex origin, log_->IndexOf(version.origin));
    add_.BindInt(index++, static_cast<int64_t>(version.stamp.value));
    add_.BindInt(index++, origin.value);
    add_.BindInt(index++, static_cast<int64_t>(version.sequence.value));
  }
  ASSAY_RETURN_IF_ERROR(
      add_.BindText(11, conflict.rule).BindInt(12, conflict.found_ms).BindInt(13, conflict.listed ? 1 : 0).Run());
  count_ += conflict.listed ? 1 : 0;
  oldest_ = std::min(oldest_, conflict.loser.stamp);
  rows_.insert(conflict.row);
  return absl::OkStatus();
}

absl::Status Conflicts::Remove(const Conflict& conflict) {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_RETURN_IF_ERROR(remove_.BindInt(1, conflict.id).Run());
  count_ -= conflict.listed ? 1 : 0;
  return absl::OkStatus();
}

absl::Status Conflicts::Clear() {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_RETURN_IF_ERROR(file_->Execute("DELETE FROM conflict"));
  count_ = 0;
  rows_.clear();
  return absl::OkStatus();
}

absl::Status Conflicts::Prune() {
  const HlcStamp horizon = Horizon();
  if (oldest_ >= horizon) return absl::OkStatus();
  const auto before = static_cast<int64_t>(horizon.value);
  ASSAY_ASSIGN_OR_RETURN(Statement listed,
                         file_->Prepare("SELECT count(*) FROM conflict WHERE listed AND loser_stamp < ?1"));
  ASSAY_ASSIGN_OR_RETURN(const bool row, listed.BindInt(1, before).Step());
  if (!row) return MalformedTable("conflict");
  count_ -= listed.OnlyInt();
  listed.Reset();
  ASSAY_ASSIGN_OR_RETURN(Statement erase, file_->Prepare("DELETE FROM conflict WHERE loser_stamp < ?1"));
  ASSAY_RETURN_IF_ERROR(erase.BindInt(1, before).Run());
  return FindOldest();
}

absl::Status Conflicts::FindOldest() {
  ASSAY_ASSIGN_OR_RETURN(Statement oldest, file_->Prepare("SELECT loser_stamp FROM conflict ORDER BY 1 LIMIT 1"));
  ASSAY_ASSIGN_OR_RETURN(const bool any, oldest.Step());
  oldest_ = {any ? static_cast<uint64_t>(oldest.OnlyInt()) : std::numeric_limits<uint64_t>::max()};
  return absl::OkStatus();
}

absl::Status Conflicts::AddUnseen(const RowRef& row, const OriginId& origin, Sequence seen,
                                  std::vector<Conflict>* pairs) {
  ASSAY_ASSIGN_OR_RETURN(const OriginIndex index, log_->IndexOf(origin));
  unseen_.BindInt(1, row.table.value).BindBlob(2, View(row.key)).BindInt(3, index.value);
  ASSAY_ASSIGN_OR_RETURN(std::vector<Conflict> found, Read(unseen_.BindInt(4, static_cast<int64_t>(seen.value))));
  pairs->insert(pairs->end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
  std::sort(pairs->begin(), pairs->end(), [](const Conflict& a, const Conflict& b) { return a.id < b.id; });
  const auto same = [](const Conflict& a, const Conflict& b) { return a.id == b.id; };
  pairs->erase(std::unique(pairs->begin(), pairs->end(), same), pairs->end());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Conflict>> Conflicts::List(int64_t after_id, size_t count_max) {
  ASSAY_ASSIGN_OR_RETURN(Statement rows,
                         file_->Prepare(absl::StrCat(kSelect, "WHERE listed AND id > ?1 ORDER BY id LIMIT ?2")));
  rows.BindInt(1, after_id).BindInt(2, static_cast<int64_t>(count_max));
  return Read(rows);
}

absl::StatusOr<std::vector<Conflict>> Conflicts::ListNewest(int64_t before_id, size_t count_max) {
  ASSAY_ASSIGN_OR_RETURN(Statement rows,
                         file_->Prepare(absl::StrCat(kSelect, "WHERE listed AND id < ?1 ORDER BY id DESC LIMIT ?2")));
  rows.BindInt(1, before_id).BindInt(2, static_cast<int64_t>(count_max));
  return Read(rows);
}

absl::StatusOr<std::vector<Conflict>> Conflicts::Read(Statement& rows) {
  std::vector<Conflict> conflicts;
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) return conflicts;
    Conflict& conflict = conflicts.emplace_back();
    conflict.id = rows.Int("id");
    ASSAY_ASSIGN_OR_RETURN(conflict.row, ReadRowRef(rows, "conflict"));
    conflict.key = std::string(rows.Blob("key"));
    if (!rows.IsNull("column_id")) conflict.column = ColumnId{static_cast<uint32_t>(rows.Int("column_id"))};
    ASSAY_ASSIGN_OR_RETURN(conflict.winner,
                           ReadVersion(rows, "winner_stamp", "winner_origin", "winner_sequence", *log_));
    ASSAY_ASSIGN_OR_RETURN(conflict.loser, ReadVersion(rows, "loser_stamp", "loser_origin", "loser_sequence", *log_));
    conflict.rule = std::string(rows.Blob("rule"));
    conflict.found_ms = rows.Int("found_ms");
    conflict.listed = rows.Int("listed") != 0;
  }
}

}  // namespace assay
