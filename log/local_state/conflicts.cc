#include "log/local_state/conflicts.h"

#include <utility>

#include "log/annotate.h"
#include "log/check.h"
#include "log/local_state/stored_rows.h"

namespace assay {
namespace {

absl::StatusOr<Version> ReadVersion(const Statement& row, int column, const EventLog& log) {
  ASSAY_ASSIGN_OR_RETURN(const OriginId origin, ReadOrigin(row, column + 1, log, "conflict"));
  return Version{{static_cast<uint64_t>(row.Int(column))}, origin, {static_cast<uint64_t>(row.Int(column + 2))}};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Conflicts>> Conflicts::Open(LogFile* file, EventLog* log) {
  std::unique_ptr<Conflicts> conflicts(new Conflicts(file, log));
  ASSAY_RETURN_IF_ERROR(conflicts->Load());
  if (!file->read_only()) {
    ASSAY_ASSIGN_OR_RETURN(
        conflicts->add_,
        file->Prepare("INSERT INTO conflict VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"));
  }
  Conflicts* raw = conflicts.get();
  raw->participation_ = file->AddParticipant([] { return absl::OkStatus(); }, [raw] { return raw->Load(); });
  return conflicts;
}

absl::Status Conflicts::Refresh() { return file_->read_only() ? Load() : absl::OkStatus(); }

absl::Status Conflicts::Load() {
  ASSAY_ASSIGN_OR_RETURN(Statement count, file_->Prepare("SELECT count(*) FROM conflict"));
  ASSAY_ASSIGN_OR_RETURN(const bool row, count.Step());
  if (!row) return MalformedTable("conflict");
  count_ = count.Int(0);
  return absl::OkStatus();
}

absl::Status Conflicts::Add(const Conflict& conflict) {
  ASSAY_CHECK(file_->InTransaction());
  add_.BindInt(1, conflict.row.table.value).BindBlob(2, View(conflict.row.key)).BindBlob(3, conflict.key);
  conflict.column ? add_.BindInt(4, conflict.column->value) : add_.BindNull(4);
  int index = 5;
  for (const Version& version : {conflict.winner, conflict.loser}) {
    ASSAY_ASSIGN_OR_RETURN(const OriginIndex origin, log_->IndexOf(version.origin));
    add_.BindInt(index++, static_cast<int64_t>(version.stamp.value));
    add_.BindInt(index++, origin.value);
    add_.BindInt(index++, static_cast<int64_t>(version.sequence.value));
  }
  ASSAY_RETURN_IF_ERROR(add_.BindText(11, conflict.rule).BindInt(12, conflict.found_ms).Run());
  ++count_;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Conflict>> Conflicts::List(int64_t after_id, size_t count_max) {
  ASSAY_ASSIGN_OR_RETURN(Statement rows,
                         file_->Prepare("SELECT id, table_id, key_hash, key, column_id, winner_stamp, winner_origin, "
                                        "winner_sequence, loser_stamp, loser_origin, loser_sequence, rule, found_ms "
                                        "FROM conflict WHERE id > ?1 ORDER BY id LIMIT ?2"));
  rows.BindInt(1, after_id).BindInt(2, static_cast<int64_t>(count_max));
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

}  // namespace assay
