// A projection's own transaction comes by in capture: it is recognised, and its batch is merged.
#include <algorithm>
#include <utility>

#include "engine/projector.h"
#include "log/annotate.h"
#include "log/check.h"

namespace assay {
namespace {

constexpr absl::string_view kBatchLanded = "batch_landed";
constexpr absl::Duration kAnchorInterval = absl::Seconds(60);

// Soon at first, since a missing column or parent row is often on its way; then rarely, since each try costs the shop's database.
absl::Duration RetryDelay(uint32_t attempts) {
  if (attempts > 50) return absl::Seconds(60);
  return std::min(absl::Seconds(10), absl::Milliseconds(500) * (1 << std::min<uint32_t>(attempts, 10)));
}

}  // namespace

bool Projector::Claims(absl::string_view tag, HlcStamp* stamp) {
  if (!intent_.has_value() || tag != intent_->tag()) return false;
  *stamp = HlcStamp{intent_->stamp()};
  return true;
}

bool Projector::Meant(const RowRef& ref, ChangeKind kind, const TableShape& shape,
                      absl::Span<const TupleValue> tuple) {
  auto it = meant_.find(ref);
  if (it == meant_.end()) return false;
  const v1::ProjectionIntent::Row& row = *it->second;
  // Rows that exchange a unique value are taken out of their table and put back (Database::Project).
  if (row.write() == v1::ProjectionIntent::Row::UPDATE && kind == ChangeKind::kDelete) return taken_out_.insert(ref).second;
  if (taken_out_.contains(ref) && kind == ChangeKind::kInsert) kind = ChangeKind::kUpdate;
  const auto expected = kind == ChangeKind::kInsert   ? v1::ProjectionIntent::Row::INSERT
                        : kind == ChangeKind::kDelete ? v1::ProjectionIntent::Row::DELETE
                                                      : v1::ProjectionIntent::Row::UPDATE;
  if (row.write() != expected) return false;
  if (kind != ChangeKind::kDelete) {
    ValuesHash hash;
    size_t at = 0;
    if (row.columns() >= static_cast<uint32_t>(intent_->columns_size())) return false;
    for (uint32_t column : intent_->columns(static_cast<int>(row.columns())).columns()) {
      const std::string& name = names_->ColumnNameOf(ref.table, ColumnId{column});
      // Mostly in the same order: begin after the last one.
      for (size_t tried = 0; tried < shape.columns.size(); ++tried, ++at) {
        if (at == shape.columns.size()) at = 0;
        if (shape.columns[at].name != name) continue;
        hash.Add(name, tuple[at]);
        break;
      }
    }
    if (hash.Finish() != row.values()) return false;
  }
  meant_.erase(it);
  return true;
}

absl::Status Projector::Landed() {
  ASSAY_CHECK(intent_.has_value());
  v1::ProjectionIntent intent = *std::exchange(intent_, std::nullopt);
  ForgetMeant();
  std::map<OriginId, Sequence> to;
  for (const v1::ProjectionIntent::Range& range : intent.ranges()) {
    ASSAY_ASSIGN_OR_RETURN(const OriginId origin, OriginId::FromBytes(range.origin()));
    to[origin] = Sequence{range.to()};
  }
  // After a restart the batch is not in memory; the log has it.
  if (batch_->to() != to) {
    DropBatch();
    ASSAY_RETURN_IF_ERROR(batch_->Regather(to));
  }
  ASSAY_RETURN_IF_ERROR(stages_->ClearIntent());
  ASSAY_RETURN_IF_ERROR(stages_->SetNumber(kBatchLanded, intent.batch()));
  activity_ = false;
  anchor_at_ = clock_->Now() + kAnchorInterval;
  return Settle(std::move(intent));
}

absl::Status Projector::Settle(v1::ProjectionIntent intent) {
  // Most rows are written as they were meant to be, and nothing is left to say of them.
  struct Left {
    v1::ProjectionIntent::Row* row;
    RowVersions before;
    bool moved;
  };
  std::vector<Left> left;
  for (v1::ProjectionIntent::Row& row : *intent.mutable_rows()) {
    ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, rows_->Get(RefOf(row)));
    const bool unwritten = row.write() == v1::ProjectionIntent::Row::NOTHING;
    const bool moved = !row.refused() && (unwritten || !config_.naive_projection) &&
                       VersionsDigest(stored) != row.versions();
    if (!moved && !row.refused() && row.missing().empty() && stages_->UnsettledCount() == 0) continue;
    left.push_back({&row, stored == nullptr ? RowVersions{} : *stored, moved});
  }
  if (std::any_of(left.begin(), left.end(), [](const Left& one) { return one.row->key().empty(); })) {
    absl::flat_hash_map<RowRef, const PendingRow*> pending;
    for (const PendingRow& row : batch_->rows()) pending[row.ref] = &row;
    for (const Left& one : left) {
      const auto at = pending.find(RefOf(*one.row));
      if (!one.row->key().empty() || at == pending.end()) continue;
      const Version named = at->second->newest();
      one.row->set_key(at->second->key);
      one.row->set_origin(named.origin.bytes.data(), named.origin.bytes.size());
      one.row->set_sequence(named.sequence.value);
    }
  }
  for (const auto& [row, meeting] : batch_->meetings()) ASSAY_RETURN_IF_ERROR(RecordMeetings(row->ref, row->key, {meeting}));
  const SawFunction saw = SawFromStages(stages_);
  for (const PendingRow& pending : batch_->rows()) {
    ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, rows_->Get(pending.ref));
    if (stored == nullptr) {
      ASSAY_RETURN_IF_ERROR(rows_->Put(pending.ref, pending.incoming()));
      continue;
    }
    RowVersions merged = *stored;
    const std::vector<Meeting> meetings = FindMeetings(merged, pending.incoming(), saw);
    if (!meetings.empty()) ASSAY_RETURN_IF_ERROR(RecordMeetings(pending.ref, pending.key, meetings));
    Merge(pending.incoming(), &merged);
    ASSAY_RETURN_IF_ERROR(rows_->Put(pending.ref, std::move(merged)));
  }
  for (const Left& one : left) {
    ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, rows_->Get(RefOf(*one.row)));
    const RowVersions merged = stored == nullptr ? RowVersions{} : *stored;
    ASSAY_RETURN_IF_ERROR(SettleRow(*one.row, one.before, merged, one.moved));
  }
  for (const auto& [declared, sequence] : batch_->declared()) {
    ASSAY_RETURN_IF_ERROR(history_.NoteDeclared(declared.first, declared.second, sequence));
  }
  for (const auto& [origin, to] : batch_->to()) ASSAY_RETURN_IF_ERROR(stages_->SetProjected(origin, to));
  probe_every_ = kProbeMin;
  events_projected_ += batch_->event_count();
  // What was gathered at full size and landed may be larger the next time.
  if (batch_->rows().size() >= batch_->rows_max()) {
    SetRowsCap(std::min(Batch::kRowsMax, batch_->rows_cap() + batch_->rows_cap() / 8 + 1));
  }
  batch_->Clear();
  Finish();
  return absl::OkStatus();
}

absl::Status Projector::SettleRow(const v1::ProjectionIntent::Row& row, const RowVersions& before, const RowVersions& merged,
                                  bool moved) {
  const RowRef ref = RefOf(row);
  ASSAY_ASSIGN_OR_RETURN(std::optional<UnsettledRow> known, stages_->Unsettled(ref));
  const bool unwritten = row.write() == v1::ProjectionIntent::Row::NOTHING;
  if (!row.refused() && row.missing().empty() && !moved) {
    return known.has_value() ? stages_->EraseUnsettled(ref) : absl::OkStatus();
  }
  UnsettledRow unsettled = known.value_or(UnsettledRow{});
  const int64_t now_ms = absl::ToUnixMillis(clock_->Now());
  if (!known.has_value() || known->cause.empty()) {
    unsettled.since_ms = now_ms;
    unsettled.attempts = 0;
    ASSAY_ASSIGN_OR_RETURN(unsettled.origin, OriginId::FromBytes(row.origin()));
    unsettled.sequence = Sequence{row.sequence()};
  }
  const RowVersions held = known.has_value() && known->held_known ? known->held.value_or(RowVersions{}) : before;
  unsettled.row = ref;
  unsettled.key = row.key();
  unsettled.cause = row.cause();
  unsettled.sqlstate = row.sqlstate();
  if (moved) {
    // A local commit changed it before our own went by: look again, and compare every value. An update or a delete would have been
    // stopped by that; a row that was to stay as it is was not written, and one that was absent may have come and gone.
    unsettled.held_known = false;
    if (!unwritten) unsettled.held = row.write() == v1::ProjectionIntent::Row::DELETE ? std::nullopt : std::optional(merged);
    if (unwritten && !known.has_value()) unsettled.held = before.IsLive() ? std::optional(before) : std::nullopt;
    unsettled.retry_at_ms = 0;
    return stages_->PutUnsettled(unsettled);
  }
  if (row.refused()) {
    if (!known.has_value()) {
      unsettled.held_known = true;
      unsettled.held = held;
    }
  } else {
    // Written but for the columns that are not here: of those PostgreSQL holds what it held.
    RowVersions written = merged;
    written.columns.EraseIf([&](const ColumnVersion& column) {
      return std::count(row.missing().begin(), row.missing().end(), column.column.value) > 0;
    });
    unsettled.held_known = true;
    unsettled.held = std::move(written);
  }
  unsettled.retry_at_ms = now_ms + absl::ToInt64Milliseconds(RetryDelay(unsettled.attempts++));
  return stages_->PutUnsettled(unsettled);
}

absl::Status Projector::RecordMeetings(const RowRef& ref, const std::string& key,
                                       const std::vector<Meeting>& meetings) {
  for (const Meeting& meeting : meetings) {
    if (meeting.column.has_value()) {
      // Two branches that wrote the same value (as two copies of one database do) do not disagree.
      const absl::StatusOr<ColumnText> winner = values_.Value(meeting.winner, *meeting.column);
      const absl::StatusOr<ColumnText> loser = values_.Value(meeting.loser, *meeting.column);
      if (winner.ok() && loser.ok() && *winner == *loser) continue;
    }
    const char* rule = meeting.column.has_value() ? "newest write of the column wins"
                                                  : "a row lives if its newest write is newer than its newest delete";
    ASSAY_RETURN_IF_ERROR(stages_->AddConflict({0, ref, key, meeting.column, meeting.winner, meeting.loser, rule,
                                                absl::ToUnixMillis(clock_->Now())}));
  }
  return absl::OkStatus();
}

}  // namespace assay
