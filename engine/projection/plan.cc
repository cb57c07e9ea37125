#include "engine/projection/plan.h"

#include <algorithm>
#include <list>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/projection/row_digest.h"
#include "engine/written_as.h"
#include "log/annotate.h"
#include "log/bytes.h"
#include "log/check.h"

namespace assay {
namespace {

// The number of `list` among `lists`, where it is added if it is new.
uint32_t NumberOf(absl::Span<const uint32_t> list, std::vector<std::vector<uint32_t>>* lists) {
  for (size_t i = lists->size(); i-- > 0;) {
    if (absl::MakeConstSpan((*lists)[i]) == list) return static_cast<uint32_t>(i);
  }
  lists->emplace_back(list.begin(), list.end());
  return static_cast<uint32_t>(lists->size() - 1);
}

const RowVersions kNeverWritten;

}  // namespace

// The local table as this plan sees it.
struct ProjectionPlanner::Table {
  static constexpr size_t kNowhere = SIZE_MAX;

  const TableShape* shape = nullptr;  // Null: not here.
  std::string refusal;
  std::vector<ColumnId> ids;  // Of the shape's columns, by their names.
  std::vector<size_t>
      writable;  // By ColumnId: the index in the shape, of a column that is no key and not generated; or kNowhere.
  std::map<ColumnId, size_t> renamed;  // Such columns, by the names they had here before.
  bool renamed_elsewhere = false;      // Some branch has renamed one of the table's columns.
  // Where in the plan the writes of one operation and column list are collected.
  absl::flat_hash_map<std::string, size_t> groups;

  std::optional<size_t> Writable(ColumnId column) const {
    if (column.value >= writable.size() || writable[column.value] == kNowhere) return std::nullopt;
    return writable[column.value];
  }
  // The column of that name that can be written.
  std::optional<size_t> Writable(absl::string_view name) const {
    for (const size_t index : writable) {
      if (index != kNowhere && shape->columns[index].name == name) return index;
    }
    return std::nullopt;
  }
};

// A row on its way into the plan.
struct ProjectionPlanner::PlannedRow {
  static constexpr size_t kNone = SIZE_MAX;

  PlannedRow(const TargetRow& target_row, Table& local, const ReadReply::Row& as_read,
             const RowVersions& stored_versions, const RowVersions& with_news, IntentRow& to)
      : target(target_row), table(local), read(as_read), stored(stored_versions), merged(with_news), intent(to) {
    const UnsettledRow* unsettled = target.unsettled.get();
    // Of a row that moved unseen every value is compared.
    if (!read.exists || (unsettled != nullptr && !unsettled->held_known)) return;
    held = unsettled == nullptr ? &stored : unsettled->held.has_value() ? &*unsettled->held : &kNeverWritten;
  }

  // PostgreSQL has this version.
  bool IsHeld(const ColumnVersion& column) const {
    const Version* version = held == nullptr ? nullptr : held->Find(column.column);
    return version != nullptr && *version == column.version;
  }

  // By what the log knows, PostgreSQL has the row.
  bool IsToBeThere() const { return target.unsettled == nullptr ? stored.IsLive() : target.unsettled->IsThere(); }

  // What to say of it when it is parked.
  IntentRow::Remark& Name() {
    IntentRow::Remark& remark = intent.MutableRemark();
    remark.key = std::string(target.key());
    const bool named_before = target.unsettled != nullptr && target.unsettled->origin != OriginId{};
    const Version named = target.pending != nullptr ? target.pending->newest()
                          : named_before            ? Version{{}, target.unsettled->origin, target.unsettled->sequence}
                                                    : Newest(stored);
    remark.origin = named.origin;
    remark.sequence = named.sequence;
    return remark;
  }

  void Refuse(absl::string_view sqlstate, absl::string_view cause) {
    IntentRow::Remark& remark = Name();
    remark.sqlstate = std::string(sqlstate);
    remark.cause = std::string(cause);
    intent.refused = true;
  }

  const TargetRow& target;
  Table& table;
  const ReadReply::Row& read;
  const RowVersions& stored;
  const RowVersions& merged;          // With what is pending.
  const RowVersions* held = nullptr;  // By PostgreSQL; null: that is not known by version.
  IntentRow& intent;

  // As indexes of merged.columns: by the shape's columns, the one whose value goes there, or kNone; and those that are
  // not here. Two names may mean one column, while a rename has not been made everywhere: the newest write under any of
  // them wins.
  absl::InlinedVector<size_t, 32> winners;
  std::vector<size_t> not_here;
  absl::InlinedVector<Written, 16> written;
  std::list<std::string> from_log;  // What their texts point into, when the batch has not got them.
};

absl::StatusOr<ReadRequest> ProjectionPlanner::Request(const std::vector<TargetRow>& targets) const {
  ReadRequest request;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (i == 0 || targets[i].ref.table != targets[i - 1].ref.table) {
      request.tables.push_back({names_->NameOf(targets[i].ref.table), {}});
    }
    if (!targets[i].read) continue;
    ASSAY_ASSIGN_OR_RETURN(RowKey key, DecodeKey(targets[i].key()));
    request.tables.back().keys.push_back(std::move(key));
  }
  return request;
}

absl::StatusOr<ProjectionPlan> ProjectionPlanner::Plan(const std::vector<TargetRow>& targets, const ReadReply& reply,
                                                       const std::map<RowRef, Refusal>& refused, VersionsOf versions) {
  ProjectionPlan plan;
  size_t target = 0;
  for (const ReadReply::Table& read : reply.tables) {
    if (target >= targets.size()) break;
    const TableId id = targets[target].ref.table;
    Table table;
    table.refusal = read.refusal;
    if (read.shape.has_value()) {
      table.shape = &*read.shape;
      for (size_t i = 0; i < read.shape->columns.size(); ++i) {
        ASSAY_ASSIGN_OR_RETURN(const ColumnId column, names_->ColumnIdOf(id, read.shape->columns[i].name));
        table.ids.push_back(column);
        const bool is_key = std::count(read.shape->key.begin(), read.shape->key.end(), i) > 0;
        if (is_key || read.shape->columns[i].generated) continue;
        if (table.writable.size() <= column.value) table.writable.resize(column.value + 1, Table::kNowhere);
        table.writable[column.value] = i;
      }
      ASSAY_ASSIGN_OR_RETURN(const auto renamed, history_->RenamedHere(id, *read.shape));
      for (const auto& [before, now] : renamed) {
        const std::optional<size_t> index = table.Writable(now);
        if (!index.has_value()) continue;
        ASSAY_ASSIGN_OR_RETURN(const ColumnId column, names_->ColumnIdOf(id, before));
        table.renamed[column] = *index;
      }
      ASSAY_ASSIGN_OR_RETURN(table.renamed_elsewhere, history_->RenamedElsewhere(id));
    }
    static const ReadReply::Row kNoRow;
    for (size_t row = 0; target < targets.size() && targets[target].ref.table == id; ++target) {
      const bool was_read = targets[target].read && row < read.rows.size();
      const ReadReply::Row& found = was_read ? read.rows[row] : kNoRow;
      if (targets[target].read) ++row;
      if (was_read && targets[target].unknown) ++plan.unknown_read, plan.unknown_there += found.exists ? 1 : 0;
      ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, versions(targets[target].ref));
      if (stored != nullptr) plan.newest = std::max(plan.newest, Newest(*stored).stamp);
      ASSAY_RETURN_IF_ERROR(PlanRow(targets[target], stored, table, found, refused, &plan));
    }
  }
  if (target != targets.size()) return absl::InternalError("the database's reply has fewer tables than were asked for");
  return plan;
}

absl::StatusOr<bool> ProjectionPlanner::DesiredValue(const TargetRow& target, const ColumnVersion& column,
                                                     Desired* desired) {
  if (target.pending != nullptr) {
    const ColumnVersions& columns = target.pending->incoming().columns;
    const size_t at = columns.LowerBound(column.column);
    if (at < columns.size() && columns[at] == column) {
      const PendingRow::Value value = target.pending->ValueAt(at);
      if (value.kind == PendingRow::Kind::kNone) return false;
      desired->is_null = value.kind == PendingRow::Kind::kNull;
      desired->text = value.text;
      desired->type = value.declared->type();
      desired->number = value.declared->number();
      desired->pending = at;
      return true;
    }
  }
  absl::StatusOr<const ResolvedChange*> change = values_->Change(column.version);
  // Masked here, or a column that its event names without a value: there is nothing this branch could write.
  if (absl::IsPermissionDenied(change.status())) return false;
  if (!change.ok()) return change.status();
  absl::StatusOr<ColumnText> text = values_->Value(column.version, column.column);
  if (absl::IsNotFound(text.status())) return false;
  if (!text.ok()) return text.status();
  desired->is_null = !text->has_value();
  desired->pending = Desired::kFromLog;
  desired->from_log = std::move(*text).value_or("");
  desired->text = desired->from_log;
  desired->type = {};
  desired->number = 0;
  for (const v1::TableSchema::Column& declared : (*change)->schema->schema.columns()) {
    if (declared.name() != names_->ColumnNameOf(target.ref.table, column.column)) continue;
    desired->type = declared.type();  // The schema stays cached.
    desired->number = declared.number();
  }
  return true;
}

// Of a column that is not here under its name. `held`: PostgreSQL had its value once.
absl::StatusOr<ProjectionPlanner::Place> ProjectionPlanner::PlaceOf(const TargetRow& target, const Table& table,
                                                                    const ColumnVersion& column, bool held) {
  // ALTER TABLE … RENAME here: the others go on under the old name until they have renamed, too.
  if (auto it = table.renamed.find(column.column); it != table.renamed.end())
    return Place{Place::Kind::kHere, it->second};
  const std::string& name = names_->ColumnNameOf(target.ref.table, column.column);
  for (const TableColumn& local : table.shape->columns) {
    if (local.name == name) return Place{Place::Kind::kNowhere};  // Generated, or part of the key.
  }
  // What it has become elsewhere is a look into the log, and matters to a value that was written only for what it may
  // have beaten.
  if (held && !table.renamed_elsewhere) return Place{Place::Kind::kNowhere};
  Desired desired;
  ASSAY_ASSIGN_OR_RETURN(const bool is_known, DesiredValue(target, column, &desired));
  if (!is_known) return Place{Place::Kind::kNowhere};
  ASSAY_ASSIGN_OR_RETURN(const ColumnHistory::Fate fate,
                         history_->FateOf(column.version, target.ref.table, name, desired.number, *table.shape));
  if (!fate.known) return Place{Place::Kind::kMissing};
  if (!fate.name.has_value()) return Place{Place::Kind::kNowhere};
  const std::optional<size_t> index = table.Writable(*fate.name);
  return index.has_value() ? Place{Place::Kind::kHere, *index} : Place{Place::Kind::kMissing};
}

absl::Status ProjectionPlanner::AddWrite(const TargetRow& target, Table& table, RowWrite::Operation operation,
                                         absl::Span<const Written> written, uint32_t xmin, ProjectionPlan* plan) {
  std::string columns(1, static_cast<char>(operation));
  for (const Written& each : written) {
    PutVarint(&columns, each.index);
    PutSized(&columns, each.as);
  }
  const auto [group, is_new] = table.groups.try_emplace(std::move(columns), plan->writes.size());
  if (is_new) {
    TableWrites& writes = plan->writes.emplace_back();
    writes.name = names_->NameOf(target.ref.table);
    for (const Written& each : written) {
      writes.columns.push_back(table.shape->columns[each.index].name);
      writes.written_as.emplace_back(each.as);
    }
    plan->targets.emplace_back();
  }
  TableWrites& writes = plan->writes[group->second];
  absl::InlinedVector<uint32_t, 32> order;
  const bool pending =
      target.pending != nullptr && std::all_of(written.begin(), written.end(),
                                               [](const Written& each) { return each.pending != Desired::kFromLog; });
  if (pending) {
    for (const Written& each : written) order.push_back(static_cast<uint32_t>(each.pending));
    writes.rows.push_back({operation, xmin, target.pending->texts(), NumberOf(order, &writes.orders)});
  } else {
    ASSAY_RETURN_IF_ERROR(DecodeKey(target.key()).status());  // It may have come from the disk.
    PackedRow row(target.key());
    for (const Written& each : written) {
      order.push_back(static_cast<uint32_t>(order.size()));
      row.Add(each.text);
    }
    writes.rows.push_back({operation, xmin, std::move(row), NumberOf(order, &writes.orders)});
  }
  plan->targets[group->second].push_back(static_cast<uint32_t>(plan->rows.size() - 1));
  return absl::OkStatus();
}

absl::Status ProjectionPlanner::PlanRow(const TargetRow& target, const RowVersions* stored, Table& table,
                                        const ReadReply::Row& read, const std::map<RowRef, Refusal>& refused,
                                        ProjectionPlan* plan) {
  RowVersions joined;
  const RowVersions* merged = stored == nullptr ? &kNeverWritten : stored;
  if (target.pending != nullptr && stored == nullptr) {
    merged = &target.pending->incoming();
  } else if (target.pending != nullptr) {
    joined = *stored;
    Merge(target.pending->incoming(), &joined);
    merged = &joined;
  }
  IntentRow& intent = plan->rows.emplace_back();
  intent.ref = target.ref;
  intent.versions = VersionsDigest(stored);
  intent.note = target.unsettled == nullptr ? 0 : target.unsettled->revision;
  PlannedRow row(target, table, read, stored == nullptr ? kNeverWritten : *stored, *merged, intent);
  if (target.pending == nullptr) row.Name();
  if (const auto it = refused.find(target.ref); it != refused.end()) {
    row.Refuse(it->second.sqlstate, it->second.cause);
  } else if (table.shape == nullptr) {
    row.Refuse("42P01", table.refusal);
  } else if (merged->IsLive()) {
    return PlanLiveRow(row, plan);
  } else if (read.exists) {
    intent.write = IntentRow::Write::kDelete;
    return AddWrite(target, table, RowWrite::Operation::kDelete, {}, read.xmin, plan);
  } else {
    // Nothing can stand guard over a row that is not there: what was read is true of the versions of that moment, and
    // the echo compares with those.
    intent.versions = target.versions_at_read;
    plan->outdated |= row.IsToBeThere();
  }
  return absl::OkStatus();
}

absl::Status ProjectionPlanner::PlanLiveRow(PlannedRow& row, ProjectionPlan* plan) {
  ASSAY_RETURN_IF_ERROR(ChoosePlaces(row));
  ASSAY_RETURN_IF_ERROR(ChooseValues(row, plan));
  ASSAY_RETURN_IF_ERROR(NameWhatIsMissing(row));
  const bool exists = row.read.exists;
  if (exists && row.written.empty()) {
    return AddWrite(row.target, row.table, RowWrite::Operation::kKeep, {}, row.read.xmin, plan);
  }
  row.intent.write = exists ? IntentRow::Write::kUpdate : IntentRow::Write::kInsert;
  plan->outdated |= !exists && row.intent.versions != row.target.versions_at_read;
  return AddWrite(row.target, row.table, exists ? RowWrite::Operation::kUpdate : RowWrite::Operation::kInsert,
                  row.written, row.read.xmin, plan);
}

absl::Status ProjectionPlanner::ChoosePlaces(PlannedRow& row) {
  row.winners.assign(row.table.shape->columns.size(), PlannedRow::kNone);
  for (size_t i = 0; i < row.merged.columns.size(); ++i) {
    const ColumnVersion column = row.merged.columns[i];
    Place place{Place::Kind::kHere};
    if (const std::optional<size_t> local = row.table.Writable(column.column); local.has_value()) {
      place.index = *local;
    } else {
      ASSAY_ASSIGN_OR_RETURN(place, PlaceOf(row.target, row.table, column, row.IsHeld(column)));
    }
    if (place.kind == Place::Kind::kMissing && !row.IsHeld(column)) row.not_here.push_back(i);
    if (place.kind != Place::Kind::kHere) continue;
    size_t& winner = row.winners[place.index];
    if (winner == PlannedRow::kNone || row.merged.columns.VersionAt(winner) < column.version) winner = i;
  }
  return absl::OkStatus();
}

absl::Status ProjectionPlanner::ChooseValues(PlannedRow& row, ProjectionPlan* plan) {
  ValuesHash hash;
  absl::InlinedVector<uint32_t, 32> hashed;
  Desired desired;
  for (size_t index = 0; index < row.winners.size(); ++index) {
    if (row.winners[index] == PlannedRow::kNone) continue;
    const ColumnVersion column = row.merged.columns[row.winners[index]];
    if (row.IsHeld(column)) continue;
    ASSAY_ASSIGN_OR_RETURN(const bool is_known, DesiredValue(row.target, column, &desired));
    if (!is_known) continue;
    if (row.read.exists && index < row.read.values.size() && row.read.values[index].has_value() != desired.is_null &&
        (desired.is_null || *row.read.values[index] == desired.text)) {
      continue;
    }
    const TableColumn& local = row.table.shape->columns[index];
    const bool same_type = desired.type.empty() || desired.type == local.type;
    bool checked = !same_type;
    if (checked) {
      // Once its writer's column has the type it has here, the value was converted there, too.
      ASSAY_ASSIGN_OR_RETURN(const ColumnHistory::Fate fate,
                             history_->FateOf(column.version, row.target.ref.table,
                                              names_->ColumnNameOf(row.target.ref.table, column.column), desired.number,
                                              *row.table.shape));
      checked = !fate.known || fate.type != local.type;
    }
    if (desired.pending == Desired::kFromLog) desired.text = row.from_log.emplace_back(std::move(desired.from_log));
    Written& written = row.written.emplace_back(Written{index, desired.pending, std::nullopt,
                                                        same_type ? absl::string_view()
                                                        : checked ? desired.type
                                                                  : kConvertedWhereItWasWritten});
    if (!desired.is_null) written.text = desired.text;
    if (same_type) {
      hash.Add(local.name, written.text);
      hashed.push_back(row.table.ids[index].value);
    }
  }
  row.intent.columns = NumberOf(hashed, &plan->columns);
  row.intent.values = hash.Finish();
  return absl::OkStatus();
}

absl::Status ProjectionPlanner::NameWhatIsMissing(PlannedRow& row) {
  const TableId table = row.target.ref.table;
  std::vector<std::string> missing;
  Desired desired;
  for (const size_t i : row.not_here) {
    const ColumnVersion column = row.merged.columns[i];
    ASSAY_ASSIGN_OR_RETURN(const bool is_known, DesiredValue(row.target, column, &desired));
    if (!is_known) continue;
    if (desired.is_null) {
      // No loss yet; but should the column appear with another default, the row is looked at again.
      ASSAY_RETURN_IF_ERROR(history_->NoteNull(table, column.column, column.version.stamp));
      continue;
    }
    missing.push_back(names_->ColumnNameOf(table, column.column));
    row.intent.MutableRemark().missing.push_back(column.column.value);
  }
  if (missing.empty()) return absl::OkStatus();
  IntentRow::Remark& remark = row.Name();
  remark.sqlstate = "42703";
  remark.cause = absl::StrCat("table ", row.table.shape->name.ToString(), " has no column ",
                              absl::StrJoin(missing, ", "), " here; it is written by itself once the column is added");
  return absl::OkStatus();
}

}  // namespace assay
