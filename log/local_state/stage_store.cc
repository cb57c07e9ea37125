#include "log/local_state/stage_store.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/bytes.h"
#include "log/check.h"

namespace assay {
namespace {

constexpr char kUnsettledColumns[] =
    "SELECT table_id, key_hash, key, held_known, held, cause, sqlstate, origin, sequence, since_ms, retry_at_ms, "
    "attempts "
    "FROM unsettled ";

absl::Status Malformed(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("the log's table ", what, " is malformed"));
}

int64_t Signed(uint64_t value) { return static_cast<int64_t>(value); }
uint64_t Unsigned(int64_t value) { return static_cast<uint64_t>(value); }

absl::StatusOr<RowRef> ReadRowRef(const Statement& row, int column, absl::string_view table) {
  RowRef ref;
  ref.table = {static_cast<uint32_t>(row.Int(column))};
  const absl::string_view key = row.Blob(column + 1);
  if (key.size() != ref.key.size()) return Malformed(table);
  std::memcpy(ref.key.data(), key.data(), key.size());
  return ref;
}

absl::StatusOr<UnsettledRow> ReadUnsettled(const Statement& row, const EventLog& log) {
  UnsettledRow result;
  ASSAY_ASSIGN_OR_RETURN(result.row, ReadRowRef(row, 0, "unsettled"));
  result.key = std::string(row.Blob(2));
  result.held_known = row.Int(3) != 0;
  if (!row.IsNull(4)) {
    ASSAY_ASSIGN_OR_RETURN(result.held, RowVersions::Decode(row.Blob(4), log));
  }
  result.cause = std::string(row.Blob(5));
  result.sqlstate = std::string(row.Blob(6));
  if (!log.HasIndex(Unsigned(row.Int(7)))) return Malformed("unsettled");
  result.origin = log.OriginOf({static_cast<uint32_t>(row.Int(7))});
  result.sequence = {Unsigned(row.Int(8))};
  result.since_ms = row.Int(9);
  result.retry_at_ms = row.Int(10);
  result.attempts = static_cast<uint32_t>(row.Int(11));
  return result;
}

absl::StatusOr<std::vector<UnsettledRow>> ReadAllUnsettled(Statement& rows, const EventLog& log) {
  std::vector<UnsettledRow> result;
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) return result;
    ASSAY_ASSIGN_OR_RETURN(UnsettledRow unsettled, ReadUnsettled(rows, log));
    result.push_back(std::move(unsettled));
  }
}

absl::StatusOr<Version> ReadVersion(const Statement& row, int column, const EventLog& log) {
  if (!log.HasIndex(Unsigned(row.Int(column + 1)))) return Malformed("conflict");
  return Version{{Unsigned(row.Int(column))},
                 log.OriginOf({static_cast<uint32_t>(row.Int(column + 1))}),
                 {Unsigned(row.Int(column + 2))}};
}

}  // namespace

absl::StatusOr<std::unique_ptr<StageStore>> StageStore::Open(LogFile* file, EventLog* log) {
  std::unique_ptr<StageStore> store(new StageStore(file, log));
  ASSAY_RETURN_IF_ERROR(store->Load());
  ASSAY_ASSIGN_OR_RETURN(store->get_, file->Prepare("SELECT value FROM value WHERE name = ?1"));
  ASSAY_ASSIGN_OR_RETURN(store->seen_,
                         file->Prepare("SELECT seen FROM seen WHERE by_origin = ?1 AND of_origin = ?2 AND "
                                       "sequence <= ?3 ORDER BY sequence DESC LIMIT 1"));
  ASSAY_ASSIGN_OR_RETURN(store->unsettled_,
                         file->Prepare(absl::StrCat(kUnsettledColumns, "WHERE table_id = ?1 AND key_hash = ?2")));
  if (!file->read_only()) {
    ASSAY_ASSIGN_OR_RETURN(store->set_, file->Prepare("INSERT OR REPLACE INTO value VALUES (?1, ?2)"));
    ASSAY_ASSIGN_OR_RETURN(store->set_projected_, file->Prepare("INSERT OR REPLACE INTO projected VALUES (?1, ?2)"));
    ASSAY_ASSIGN_OR_RETURN(
        store->add_seen_,
        file->Prepare("INSERT OR REPLACE INTO seen (by_origin, of_origin, sequence, seen) VALUES (?1, ?2, ?3, ?4)"));
    ASSAY_ASSIGN_OR_RETURN(
        store->put_unsettled_,
        file->Prepare("INSERT OR REPLACE INTO unsettled VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"));
    ASSAY_ASSIGN_OR_RETURN(store->erase_unsettled_,
                           file->Prepare("DELETE FROM unsettled WHERE table_id = ?1 AND key_hash = ?2"));
    ASSAY_ASSIGN_OR_RETURN(
        store->add_conflict_,
        file->Prepare("INSERT INTO conflict VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"));
  }
  StageStore* raw = store.get();
  raw->participation_ = file->AddParticipant([raw] { return raw->WriteValues(); }, [raw] { return raw->Load(); });
  return store;
}

absl::Status StageStore::Refresh() { return file_->read_only() ? Load() : absl::OkStatus(); }

absl::Status StageStore::Load() {
  values_.clear();
  projected_.clear();
  ASSAY_ASSIGN_OR_RETURN(Statement projected, file_->Prepare("SELECT origin, sequence FROM projected"));
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool row, projected.Step());
    if (!row) break;
    if (!log_->HasIndex(Unsigned(projected.Int(0)))) return Malformed("projected");
    projected_[log_->OriginOf({static_cast<uint32_t>(projected.Int(0))})] = {Unsigned(projected.Int(1))};
  }
  ASSAY_ASSIGN_OR_RETURN(
      Statement counts,
      file_->Prepare("SELECT (SELECT count(*) FROM unsettled), (SELECT count(*) FROM unsettled WHERE cause <> ''), "
                     "(SELECT count(*) FROM conflict)"));
  ASSAY_ASSIGN_OR_RETURN(const bool row, counts.Step());
  if (!row) return Malformed("unsettled");
  unsettled_count_ = counts.Int(0);
  parked_count_ = counts.Int(1);
  conflict_count_ = counts.Int(2);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::string>> StageStore::Get(absl::string_view name) {
  if (const auto found = values_.find(name); found != values_.end()) return found->second;
  get_.BindText(1, name);
  ASSAY_ASSIGN_OR_RETURN(const bool row, get_.Step());
  if (!row) return std::nullopt;
  std::string value(get_.Blob(0));
  get_.Reset();
  return value;
}

absl::Status StageStore::Set(absl::string_view name, absl::string_view value) {
  if (!file_->InTransaction()) return set_.BindText(1, name).BindBlob(2, value).Run();
  values_[std::string(name)] = std::string(value);
  return absl::OkStatus();
}

absl::Status StageStore::WriteValues() {
  for (const auto& [name, value] : values_) ASSAY_RETURN_IF_ERROR(set_.BindText(1, name).BindBlob(2, value).Run());
  values_.clear();
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> StageStore::GetNumber(absl::string_view name, uint64_t otherwise) {
  ASSAY_ASSIGN_OR_RETURN(const std::optional<std::string> value, Get(name));
  if (!value) return otherwise;
  ByteReader reader(*value);
  uint64_t number;
  if (!reader.Fixed64(&number) || !reader.empty()) return Malformed("value");
  return number;
}

absl::Status StageStore::SetNumber(absl::string_view name, uint64_t value) {
  std::string bytes;
  PutFixed64(&bytes, value);
  return Set(name, bytes);
}

Sequence StageStore::Projected(const OriginId& origin) const {
  const auto found = projected_.find(origin);
  return found == projected_.end() ? Sequence{} : found->second;
}

absl::Status StageStore::SetProjected(const OriginId& origin, Sequence sequence) {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_ASSIGN_OR_RETURN(const OriginIndex index, log_->IndexOf(origin));
  ASSAY_RETURN_IF_ERROR(set_projected_.BindInt(1, index.value).BindInt(2, Signed(sequence.value)).Run());
  projected_[origin] = sequence;
  return absl::OkStatus();
}

absl::Status StageStore::AddSeen(const OriginId& by, Sequence sequence, const OriginId& of, Sequence seen) {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_ASSIGN_OR_RETURN(const OriginIndex by_index, log_->IndexOf(by));
  ASSAY_ASSIGN_OR_RETURN(const OriginIndex of_index, log_->IndexOf(of));
  return add_seen_.BindInt(1, by_index.value)
      .BindInt(2, of_index.value)
      .BindInt(3, Signed(sequence.value))
      .BindInt(4, Signed(seen.value))
      .Run();
}

absl::StatusOr<Sequence> StageStore::Seen(const OriginId& by, Sequence sequence, const OriginId& of) {
  const absl::StatusOr<OriginIndex> by_index = log_->IndexOf(by), of_index = log_->IndexOf(of);
  if (!by_index.ok() || !of_index.ok()) return Sequence{};  // A reader's file has never heard of them.
  seen_.BindInt(1, by_index->value).BindInt(2, of_index->value).BindInt(3, Signed(sequence.value));
  ASSAY_ASSIGN_OR_RETURN(const bool row, seen_.Step());
  if (!row) return Sequence{};
  const Sequence seen{Unsigned(seen_.Int(0))};
  seen_.Reset();
  return seen;
}

absl::StatusOr<std::vector<std::string>> StageStore::Intents() {
  ASSAY_ASSIGN_OR_RETURN(Statement select, file_->Prepare("SELECT intent FROM intent ORDER BY batch"));
  std::vector<std::string> intents;
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return intents;
    intents.emplace_back(select.Blob(0));
  }
}

absl::Status StageStore::PutIntent(uint64_t batch, absl::string_view intent) {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_ASSIGN_OR_RETURN(Statement put, file_->Prepare("INSERT OR REPLACE INTO intent VALUES (?1, ?2)"));
  return put.BindInt(1, Signed(batch)).BindBlob(2, intent).Run();
}

absl::Status StageStore::EraseIntent(uint64_t batch) {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_ASSIGN_OR_RETURN(Statement erase, file_->Prepare("DELETE FROM intent WHERE batch = ?1"));
  return erase.BindInt(1, Signed(batch)).Run();
}

absl::Status StageStore::ClearIntents() {
  ASSAY_CHECK(file_->InTransaction());
  return file_->Execute("DELETE FROM intent");
}

absl::StatusOr<std::optional<UnsettledRow>> StageStore::Unsettled(const RowRef& row) {
  if (unsettled_count_ == 0) return std::nullopt;
  unsettled_.BindInt(1, row.table.value).BindBlob(2, View(row.key));
  ASSAY_ASSIGN_OR_RETURN(const bool found, unsettled_.Step());
  if (!found) return std::nullopt;
  absl::StatusOr<UnsettledRow> result = ReadUnsettled(unsettled_, *log_);
  unsettled_.Reset();
  if (!result.ok()) return result.status();
  return *std::move(result);
}

absl::Status StageStore::PutUnsettled(const UnsettledRow& row) {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_RETURN_IF_ERROR(EraseUnsettled(row.row));
  ASSAY_ASSIGN_OR_RETURN(const OriginIndex origin, log_->IndexOf(row.origin));
  const std::string held = row.held ? row.held->Encode(*log_) : "";
  put_unsettled_.BindInt(1, row.row.table.value)
      .BindBlob(2, View(row.row.key))
      .BindBlob(3, row.key)
      .BindInt(4, row.held_known ? 1 : 0)
      .BindText(6, row.cause)
      .BindText(7, row.sqlstate)
      .BindInt(8, origin.value)
      .BindInt(9, Signed(row.sequence.value))
      .BindInt(10, row.since_ms)
      .BindInt(11, row.retry_at_ms)
      .BindInt(12, row.attempts);
  row.held ? put_unsettled_.BindBlob(5, held) : put_unsettled_.BindNull(5);
  ASSAY_RETURN_IF_ERROR(put_unsettled_.Run());
  ++unsettled_count_;
  if (!row.cause.empty()) ++parked_count_;
  return absl::OkStatus();
}

absl::Status StageStore::EraseUnsettled(const RowRef& row) {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_ASSIGN_OR_RETURN(const std::optional<UnsettledRow> old, Unsettled(row));
  if (!old) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(erase_unsettled_.BindInt(1, row.table.value).BindBlob(2, View(row.key)).Run());
  --unsettled_count_;
  if (!old->cause.empty()) --parked_count_;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<UnsettledRow>> StageStore::UnsettledDue(int64_t now_ms, size_t count_max) {
  if (unsettled_count_ == 0) return std::vector<UnsettledRow>();
  ASSAY_ASSIGN_OR_RETURN(Statement rows,
                         file_->Prepare(absl::StrCat(kUnsettledColumns,
                                                     "WHERE retry_at_ms <= ?1 "
                                                     "ORDER BY since_ms, table_id, key_hash LIMIT ?2")));
  rows.BindInt(1, now_ms).BindInt(2, Signed(count_max));
  return ReadAllUnsettled(rows, *log_);
}

absl::StatusOr<std::vector<UnsettledRow>> StageStore::ListUnsettled(bool parked_only, size_t count_max) {
  ASSAY_ASSIGN_OR_RETURN(Statement rows,
                         file_->Prepare(absl::StrCat(kUnsettledColumns,
                                                     "WHERE cause <> '' OR NOT ?1 "
                                                     "ORDER BY since_ms, table_id, key_hash LIMIT ?2")));
  rows.BindInt(1, parked_only ? 1 : 0).BindInt(2, Signed(count_max));
  return ReadAllUnsettled(rows, *log_);
}

int64_t StageStore::UnsettledCount() const { return unsettled_count_; }
int64_t StageStore::ParkedCount() const { return parked_count_; }

absl::StatusOr<int64_t> StageStore::RetryUnsettled(std::optional<TableId> table) {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_ASSIGN_OR_RETURN(Statement count,
                         file_->Prepare("SELECT count(*) FROM unsettled WHERE ?1 IS NULL OR table_id = ?1"));
  ASSAY_ASSIGN_OR_RETURN(Statement retry,
                         file_->Prepare("UPDATE unsettled SET retry_at_ms = 0 WHERE ?1 IS NULL OR table_id = ?1"));
  for (Statement* each : {&count, &retry}) table ? each->BindInt(1, table->value) : each->BindNull(1);
  ASSAY_ASSIGN_OR_RETURN(const bool row, count.Step());
  const int64_t rows = row ? count.Int(0) : 0;
  count.Reset();
  ASSAY_RETURN_IF_ERROR(retry.Run());
  return rows;
}

absl::StatusOr<std::optional<int64_t>> StageStore::NextRetryMs() {
  if (unsettled_count_ == 0) return std::nullopt;
  ASSAY_ASSIGN_OR_RETURN(Statement select, file_->Prepare("SELECT min(retry_at_ms) FROM unsettled"));
  ASSAY_ASSIGN_OR_RETURN(const bool row, select.Step());
  if (!row || select.IsNull(0)) return std::nullopt;
  return select.Int(0);
}

absl::Status StageStore::AddConflict(const Conflict& conflict) {
  ASSAY_CHECK(file_->InTransaction());
  add_conflict_.BindInt(1, conflict.row.table.value).BindBlob(2, View(conflict.row.key)).BindBlob(3, conflict.key);
  conflict.column ? add_conflict_.BindInt(4, conflict.column->value) : add_conflict_.BindNull(4);
  int index = 5;
  for (const Version& version : {conflict.winner, conflict.loser}) {
    ASSAY_ASSIGN_OR_RETURN(const OriginIndex origin, log_->IndexOf(version.origin));
    add_conflict_.BindInt(index++, Signed(version.stamp.value));
    add_conflict_.BindInt(index++, origin.value);
    add_conflict_.BindInt(index++, Signed(version.sequence.value));
  }
  ASSAY_RETURN_IF_ERROR(add_conflict_.BindText(11, conflict.rule).BindInt(12, conflict.found_ms).Run());
  ++conflict_count_;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Conflict>> StageStore::ListConflicts(int64_t after_id, size_t count_max) {
  ASSAY_ASSIGN_OR_RETURN(Statement rows,
                         file_->Prepare("SELECT id, table_id, key_hash, key, column_id, winner_stamp, winner_origin, "
                                        "winner_sequence, loser_stamp, loser_origin, loser_sequence, rule, found_ms "
                                        "FROM conflict WHERE id > ?1 ORDER BY id LIMIT ?2"));
  rows.BindInt(1, after_id).BindInt(2, Signed(count_max));
  std::vector<Conflict> conflicts;
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) return conflicts;
    Conflict& conflict = conflicts.emplace_back();
    conflict.id = rows.Int(0);
    ASSAY_ASSIGN_OR_RETURN(conflict.row, ReadRowRef(rows, 1, "conflict"));
    conflict.key = std::string(rows.Blob(3));
    if (!rows.IsNull(4)) conflict.column = ColumnId{static_cast<uint32_t>(rows.Int(4))};
    ASSAY_ASSIGN_OR_RETURN(conflict.winner, ReadVersion(rows, 5, *log_));
    ASSAY_ASSIGN_OR_RETURN(conflict.loser, ReadVersion(rows, 8, *log_));
    conflict.rule = std::string(rows.Blob(11));
    conflict.found_ms = rows.Int(12);
  }
}

int64_t StageStore::ConflictCount() const { return conflict_count_; }

}  // namespace assay
