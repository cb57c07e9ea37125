#include "log/local_state/unsettled_rows.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/check.h"
#include "log/local_state/stored_rows.h"

namespace assay {
namespace {

constexpr char kTable[] = "unsettled";
constexpr char kColumns[] =
    "SELECT table_id, key_hash, key, held_known, held, cause, sqlstate, origin, sequence, since_ms, retry_at_ms, "
    "attempts, forgotten_ms, revision FROM unsettled ";

// Where more than a portion is parked, this much of the time until the next try is for each of them. They are tried at
// the ticks, a portion together: a projection has a price of its own.
constexpr int64_t kEachMs = 20;
constexpr int64_t kTickMs = 5'000;
constexpr size_t kPortionMax = 1 << 16;
// Of the causes that went at a time, those of the most rows say which others to try.
constexpr size_t kCausesMax = 4;

// Spread evenly by the key: a number that stays the same, and needs no randomness.
int64_t SpreadMs(const KeyHash& key, int64_t parked) {
  uint64_t bits = 0;
  for (size_t i = 0; i < 4; ++i) bits = bits << 8 | key[i];
  return static_cast<int64_t>(bits % static_cast<uint64_t>(2 * parked)) * kEachMs;
}

// Nobody knows what PostgreSQL holds of it: it is looked at, and at once.
void SetUnknown(bool there, UnsettledRow* row) {
  row->held_known = false;
  row->held.reset();
  if (there) row->held.emplace();
  row->retry_at_ms = 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<UnsettledRows>> UnsettledRows::Open(LogFile* file, EventLog* log) {
  std::unique_ptr<UnsettledRows> rows(new UnsettledRows(file, log));
  ASSAY_RETURN_IF_ERROR(rows->Load());
  ASSAY_ASSIGN_OR_RETURN(rows->find_, file->Prepare(absl::StrCat(kColumns, "WHERE table_id = ?1 AND key_hash = ?2")));
  if (!file->read_only()) {
    ASSAY_ASSIGN_OR_RETURN(
        rows->put_,
        file->Prepare(
            "INSERT OR REPLACE INTO unsettled VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"));
    ASSAY_ASSIGN_OR_RETURN(rows->erase_, file->Prepare("DELETE FROM unsettled WHERE table_id = ?1 AND key_hash = ?2"));
    ASSAY_ASSIGN_OR_RETURN(rows->due_, file->Prepare(absl::StrCat(kColumns,
                                                                  "WHERE retry_at_ms <= ?1 AND forgotten_ms = 0 "
                                                                  "ORDER BY since_ms, table_id, key_hash LIMIT ?2")));
  }
  UnsettledRows* raw = rows.get();
  raw->participation_ = file->AddParticipant([] { return absl::OkStatus(); }, [raw] { return raw->Load(); });
  return rows;
}

absl::Status UnsettledRows::Refresh() { return file_->read_only() ? Load() : absl::OkStatus(); }

absl::Status UnsettledRows::Load() {
  ASSAY_ASSIGN_OR_RETURN(
      Statement counts, file_->Prepare("SELECT (SELECT count(*) FROM unsettled) AS all_rows, "
                                       "(SELECT count(*) FROM unsettled WHERE cause <> '' AND forgotten_ms = 0) AS "
                                       "parked, (SELECT count(*) FROM unsettled WHERE forgotten_ms > 0) AS forgotten"));
  ASSAY_ASSIGN_OR_RETURN(const bool row, counts.Step());
  if (!row) return MalformedTable(kTable);
  count_ = counts.Int("all_rows");
  parked_count_ = counts.Int("parked");
  forgotten_count_ = counts.Int("forgotten");
  settled_.clear();
  failed_ = false;
  portion_ = kPortionMin;
  return absl::OkStatus();
}

absl::StatusOr<UnsettledRow> UnsettledRows::Decode(const Statement& row) const {
  UnsettledRow result;
  ASSAY_ASSIGN_OR_RETURN(result.row, ReadRowRef(row, kTable));
  result.key = std::string(row.Blob("key"));
  result.held_known = row.Int("held_known") != 0;
  if (!row.IsNull("held")) {
    ASSAY_ASSIGN_OR_RETURN(result.held, RowVersions::Decode(row.Blob("held"), *log_));
  }
  result.cause = std::string(row.Blob("cause"));
  result.sqlstate = std::string(row.Blob("sqlstate"));
  ASSAY_ASSIGN_OR_RETURN(result.origin, ReadOrigin(row, "origin", *log_, kTable));
  result.sequence = {static_cast<uint64_t>(row.Int("sequence"))};
  result.since_ms = row.Int("since_ms");
  result.retry_at_ms = row.Int("retry_at_ms");
  result.attempts = static_cast<uint32_t>(row.Int("attempts"));
  result.forgotten_ms = row.Int("forgotten_ms");
  result.revision = static_cast<uint64_t>(row.Int("revision"));
  return result;
}

absl::StatusOr<std::vector<UnsettledRow>> UnsettledRows::ReadAll(Statement& rows) const {
  std::vector<UnsettledRow> result;
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool row, rows.Step());
    if (!row) return result;
    ASSAY_ASSIGN_OR_RETURN(UnsettledRow unsettled, Decode(rows));
    result.push_back(std::move(unsettled));
  }
}

absl::StatusOr<std::optional<UnsettledRow>> UnsettledRows::Find(const RowRef& row) {
  if (count_ == 0) return std::nullopt;
  find_.BindInt(1, row.table.value).BindBlob(2, View(row.key));
  ASSAY_ASSIGN_OR_RETURN(const bool found, find_.Step());
  if (!found) return std::nullopt;
  absl::StatusOr<UnsettledRow> result = Decode(find_);
  find_.Reset();
  if (!result.ok()) return result.status();
  return *std::move(result);
}

// Whatever happens to a row now, it is news of it: nobody has forgotten that.
UnsettledRows::Entry UnsettledRows::EntryOf(UnsettledRow known) {
  Entry entry;
  entry.was_there = true;
  entry.was_forgotten = known.forgotten_ms > 0;
  entry.was_parked = !known.cause.empty() && !entry.was_forgotten;
  entry.row = std::move(known);
  entry.row.forgotten_ms = 0;
  return entry;
}

absl::StatusOr<UnsettledRows::Entry> UnsettledRows::Begin(const RowRef& row, const WaitingEvent& waiting,
                                                          int64_t now_ms) {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_ASSIGN_OR_RETURN(std::optional<UnsettledRow> known, Find(row));
  if (known.has_value()) return EntryOf(*std::move(known));
  Entry entry;
  entry.row.row = row;
  entry.row.key = waiting.key;
  entry.row.origin = waiting.origin;
  entry.row.sequence = waiting.sequence;
  entry.row.since_ms = now_ms;
  return entry;
}

absl::StatusOr<UnsettledRows::Entry> UnsettledRows::BeginFailure(const RowRef& row, const WaitingEvent& waiting,
                                                                 const ParkCause& cause, int64_t now_ms) {
  ASSAY_ASSIGN_OR_RETURN(Entry entry, Begin(row, waiting, now_ms));
  if (!entry.was_parked) {
    entry.row.since_ms = now_ms;
    entry.row.attempts = 0;
    entry.row.origin = waiting.origin;
    entry.row.sequence = waiting.sequence;
  }
  entry.row.key = waiting.key;
  entry.row.cause = cause.text;
  entry.row.sqlstate = cause.sqlstate;
  return entry;
}

absl::Status UnsettledRows::ParkUntilRetry(Entry entry, int64_t now_ms) {
  int64_t& retry_at_ms = entry.row.retry_at_ms;
  retry_at_ms = now_ms + absl::ToInt64Milliseconds(RetryDelay(entry.row.attempts));
  if (parked_count_ > static_cast<int64_t>(kPortionMin)) {
    retry_at_ms = std::max(retry_at_ms, now_ms + SpreadMs(entry.row.row.key, parked_count_));
    retry_at_ms += (kTickMs - retry_at_ms % kTickMs) % kTickMs;
  }
  ++entry.row.attempts;
  failed_ = true;
  return Write(entry);
}

absl::Status UnsettledRows::Write(const Entry& entry) {
  const UnsettledRow& row = entry.row;
  ASSAY_ASSIGN_OR_RETURN(const OriginIndex origin, log_->IndexOf(row.origin));
  const std::string held = row.held ? row.held->Encode(*log_) : "";
  put_.BindInt(1, row.row.table.value)
      .BindBlob(2, View(row.row.key))
      .BindBlob(3, row.key)
      .BindInt(4, row.held_known ? 1 : 0)
      .BindText(6, row.cause)
      .BindText(7, row.sqlstate)
      .BindInt(8, origin.value)
      .BindInt(9, static_cast<int64_t>(row.sequence.value))
      .BindInt(10, row.since_ms)
      .BindInt(11, row.retry_at_ms)
      .BindInt(12, row.attempts)
      .BindInt(13, row.forgotten_ms);
  row.held ? put_.BindBlob(5, held) : put_.BindNull(5);
  ASSAY_RETURN_IF_ERROR(put_.Run());
  count_ += entry.was_there ? 0 : 1;
  parked_count_ += (row.cause.empty() ? 0 : 1) - (entry.was_parked ? 1 : 0);
  forgotten_count_ -= entry.was_forgotten ? 1 : 0;
  return absl::OkStatus();
}

absl::Status UnsettledRows::Settle(const RowRef& row) {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_ASSIGN_OR_RETURN(const std::optional<UnsettledRow> known, Find(row));
  if (!known.has_value()) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(erase_.BindInt(1, row.table.value).BindBlob(2, View(row.key)).Run());
  --count_;
  if (known->cause.empty()) return absl::OkStatus();
  --(known->forgotten_ms > 0 ? forgotten_count_ : parked_count_);
  ++settled_[{row.table, known->cause}];
  return absl::OkStatus();
}

absl::Status UnsettledRows::WakeThoseLikeTheSettled() {
  if (settled_.empty()) return absl::OkStatus();
  std::vector<std::pair<int64_t, const std::pair<TableId, std::string>*>> causes;
  for (const auto& [cause, rows] : settled_) causes.emplace_back(rows, &cause);
  const size_t count = std::min(kCausesMax, causes.size());
  std::partial_sort(
      causes.begin(), causes.begin() + static_cast<std::ptrdiff_t>(count), causes.end(),
      [](const auto& a, const auto& b) { return a.first != b.first ? a.first > b.first : *a.second < *b.second; });
  ASSAY_ASSIGN_OR_RETURN(
      Statement wake,
      file_->Prepare(
          "UPDATE unsettled SET retry_at_ms = 0 WHERE table_id = ?1 AND key_hash IN (SELECT key_hash FROM "
          "unsettled WHERE table_id = ?1 AND cause = ?2 AND retry_at_ms > 0 AND forgotten_ms = 0 LIMIT ?3)"));
  for (size_t i = 0; i < count; ++i) {
    const auto& [table, cause] = *causes[i].second;
    const int64_t rows = std::max(2 * causes[i].first, static_cast<int64_t>(kPortionMin));
    ASSAY_RETURN_IF_ERROR(wake.BindInt(1, table.value).BindText(2, cause).BindInt(3, rows).Run());
  }
  settled_.clear();
  return absl::OkStatus();
}

absl::Status UnsettledRows::ParkRefused(const RowRef& row, const WaitingEvent& waiting, const ParkCause& cause,
                                        const RowVersions& held_if_settled, int64_t now_ms) {
  ASSAY_ASSIGN_OR_RETURN(Entry entry, BeginFailure(row, waiting, cause, now_ms));
  if (!entry.was_there) entry.row.held = held_if_settled;
  return ParkUntilRetry(std::move(entry), now_ms);
}

absl::Status UnsettledRows::ParkPartly(const RowRef& row, const WaitingEvent& waiting, const ParkCause& cause,
                                       RowVersions held, int64_t now_ms) {
  ASSAY_ASSIGN_OR_RETURN(Entry entry, BeginFailure(row, waiting, cause, now_ms));
  entry.row.held_known = true;
  entry.row.held = std::move(held);
  return ParkUntilRetry(std::move(entry), now_ms);
}

absl::Status UnsettledRows::MarkMoved(const RowRef& row, const WaitingEvent& waiting, const ParkCause& cause,
                                      std::optional<bool> there_if_wrote, bool there_if_settled, int64_t now_ms) {
  ASSAY_ASSIGN_OR_RETURN(Entry entry, BeginFailure(row, waiting, cause, now_ms));
  const bool there_before = entry.was_there ? entry.row.IsThere() : there_if_settled;
  SetUnknown(there_if_wrote.value_or(there_before), &entry.row);
  return Write(entry);
}

absl::Status UnsettledRows::MarkDue(const RowRef& row, const WaitingEvent& waiting, std::optional<RowVersions> held,
                                    int64_t now_ms) {
  ASSAY_RETURN_IF_ERROR(Settle(row));
  ASSAY_ASSIGN_OR_RETURN(Entry entry, Begin(row, waiting, now_ms));
  entry.row.held = std::move(held);
  return Write(entry);
}

absl::Status UnsettledRows::MarkDifferent(const RowRef& row, const WaitingEvent& waiting, int64_t now_ms) {
  ASSAY_RETURN_IF_ERROR(Settle(row));
  ASSAY_ASSIGN_OR_RETURN(Entry entry, Begin(row, waiting, now_ms));
  SetUnknown(/*there=*/true, &entry.row);
  return Write(entry);
}

absl::StatusOr<bool> UnsettledRows::LoseColumn(const RowRef& row, ColumnId column) {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_ASSIGN_OR_RETURN(std::optional<UnsettledRow> known, Find(row));
  if (!known.has_value()) return false;
  if (known->held.has_value()) {
    known->held->columns.EraseIf([&](const ColumnVersion& held) { return held.column == column; });
  }
  known->retry_at_ms = 0;
  ASSAY_RETURN_IF_ERROR(Write(EntryOf(*std::move(known))));
  return true;
}

absl::Status UnsettledRows::NoteLocalEdit(const RowRef& row, const WaitingEvent& waiting, RowVersions held,
                                          int64_t now_ms) {
  ASSAY_ASSIGN_OR_RETURN(Entry entry, Begin(row, waiting, now_ms));
  ASSAY_CHECK(entry.row.held_known);
  entry.row.held = std::move(held);
  entry.row.retry_at_ms = 0;
  return Write(entry);
}

absl::Status UnsettledRows::NoteUnseenEdit(const RowRef& row, const WaitingEvent& waiting, bool there, int64_t now_ms) {
  ASSAY_ASSIGN_OR_RETURN(Entry entry, Begin(row, waiting, now_ms));
  SetUnknown(there, &entry.row);
  return Write(entry);
}

absl::StatusOr<int64_t> UnsettledRows::RetryNow(std::optional<TableId> table) {
  ASSAY_CHECK(file_->InTransaction());
  ASSAY_ASSIGN_OR_RETURN(Statement count,
                         file_->Prepare("SELECT count(*) AS all_rows, total(forgotten_ms > 0) AS forgotten FROM "
                                        "unsettled WHERE iif(?1 IS NULL, forgotten_ms = 0, table_id = ?1)"));
  ASSAY_ASSIGN_OR_RETURN(Statement retry, file_->Prepare("UPDATE unsettled SET retry_at_ms = 0, forgotten_ms = 0 WHERE "
                                                         "iif(?1 IS NULL, forgotten_ms = 0, table_id = ?1)"));
  for (Statement* each : {&count, &retry}) table ? each->BindInt(1, table->value) : each->BindNull(1);
  ASSAY_ASSIGN_OR_RETURN(const bool row, count.Step());
  if (!row) return MalformedTable(kTable);
  const int64_t rows = count.Int("all_rows"), forgotten = count.Int("forgotten");
  count.Reset();
  ASSAY_RETURN_IF_ERROR(retry.Run());
  forgotten_count_ -= forgotten;
  parked_count_ += forgotten;
  return rows;
}

absl::StatusOr<int64_t> UnsettledRows::Forget(TableId table, const std::optional<std::string>& key, int64_t now_ms) {
  ASSAY_CHECK(file_->InTransaction());
  constexpr absl::string_view kThese =
      "WHERE table_id = ?1 AND cause <> '' AND forgotten_ms = 0 AND (?2 IS NULL OR key = ?2)";
  ASSAY_ASSIGN_OR_RETURN(Statement count, file_->Prepare(absl::StrCat("SELECT count(*) FROM unsettled ", kThese)));
  ASSAY_ASSIGN_OR_RETURN(Statement forget,
                         file_->Prepare(absl::StrCat("UPDATE unsettled SET forgotten_ms = ?3 ", kThese)));
  for (Statement* each : {&count, &forget}) {
    each->BindInt(1, table.value);
    key.has_value() ? each->BindBlob(2, *key) : each->BindNull(2);
  }
  ASSAY_ASSIGN_OR_RETURN(const bool row, count.Step());
  const int64_t rows = row ? count.OnlyInt() : 0;
  count.Reset();
  ASSAY_RETURN_IF_ERROR(forget.BindInt(3, now_ms).Run());
  parked_count_ -= rows;
  forgotten_count_ += rows;
  return rows;
}

absl::StatusOr<std::vector<UnsettledRow>> UnsettledRows::Due(int64_t now_ms, size_t count_max) {
  if (std::exchange(failed_, false)) {
    portion_ = kPortionMin;
  } else if (!settled_.empty()) {
    portion_ = std::min(portion_ * 2, kPortionMax);
  }
  ASSAY_RETURN_IF_ERROR(WakeThoseLikeTheSettled());
  if (count_ == 0) return std::vector<UnsettledRow>();
  due_.Reset();  // The last portion may have ended with an error.
  due_.BindInt(1, now_ms).BindInt(2, static_cast<int64_t>(std::min(portion_, count_max)));
  return ReadAll(due_);
}

absl::StatusOr<std::vector<UnsettledRow>> UnsettledRows::List(Which which, size_t count_max,
                                                              std::optional<TableId> table) {
  const absl::string_view these = which == Which::kAll      ? "TRUE"
                                  : which == Which::kParked ? "cause <> '' AND forgotten_ms = 0"
                                                            : "forgotten_ms > 0";
  ASSAY_ASSIGN_OR_RETURN(Statement rows,
                         file_->Prepare(absl::StrCat(kColumns, "WHERE ", these,
                                                     " AND (?1 IS NULL OR table_id = ?1) "
                                                     "ORDER BY since_ms, table_id, key_hash LIMIT ?2")));
  table.has_value() ? rows.BindInt(1, table->value) : rows.BindNull(1);
  rows.BindInt(2, static_cast<int64_t>(count_max));
  return ReadAll(rows);
}

absl::StatusOr<std::optional<int64_t>> UnsettledRows::NextRetryMs() {
  if (count_ == 0) return std::nullopt;
  ASSAY_ASSIGN_OR_RETURN(Statement select,
                         file_->Prepare("SELECT min(retry_at_ms) AS at_ms FROM unsettled WHERE forgotten_ms = 0"));
  ASSAY_ASSIGN_OR_RETURN(const bool row, select.Step());
  if (!row || select.IsNull("at_ms")) return std::nullopt;
  return select.Int("at_ms");
}

absl::Duration RetryDelay(uint32_t attempts) {
  if (attempts > 50) return absl::Seconds(60);
  return std::min(absl::Seconds(10), absl::Milliseconds(500) * (1 << std::min<uint32_t>(attempts, 10)));
}

}  // namespace assay
