#include "engine/projection_plan.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "log/annotate.h"
#include "log/merkle_tree.h"

namespace assay {
namespace {

uint64_t First8(const Hash& hash) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | hash[i];
  return value;
}

v1::ProjectionIntent::Row::Write IntentOf(RowWrite::Operation operation) {
  switch (operation) {
    case RowWrite::Operation::kInsert: return v1::ProjectionIntent::Row::INSERT;
    case RowWrite::Operation::kUpdate: return v1::ProjectionIntent::Row::UPDATE;
    case RowWrite::Operation::kDelete: return v1::ProjectionIntent::Row::DELETE;
  }
  return v1::ProjectionIntent::Row::NOTHING;
}

}  // namespace

void ValuesHash::Add(absl::string_view column, const ColumnText& value) {
  absl::StrAppend(&text_, column.size(), ":", column, value.has_value() ? "=" : "0");
  if (value.has_value()) absl::StrAppend(&text_, value->size(), ":", *value);
}

void ValuesHash::Add(absl::string_view column, const TupleValue& value) {
  absl::StrAppend(&text_, column.size(), ":", column, value.kind == TupleValue::Kind::kText ? "=" : "0");
  if (value.kind == TupleValue::Kind::kText) absl::StrAppend(&text_, value.text.size(), ":", value.text);
}

uint64_t ValuesHash::Finish() const { return First8(Sha256(text_)); }

// Stored with an intent, so the same in every build; nobody gains by a collision, so no cryptography.
uint64_t VersionsDigest(const RowVersions& versions) {
  uint64_t digest = 0;
  const auto add = [&digest](uint64_t word) {
    digest = (digest ^ word) * 0x9E3779B97F4A7C15;
    digest ^= digest >> 32;
  };
  const auto add_version = [&](const Version& version) {
    uint64_t origin[2];
    static_assert(sizeof(origin) == sizeof(version.origin.bytes));
    std::memcpy(origin, version.origin.bytes.data(), sizeof(origin));
    for (uint64_t word : {version.stamp.value, origin[0], origin[1], version.sequence.value}) add(word);
  };
  add_version(versions.written);
  add_version(versions.deleted);
  for (const ColumnVersion& column : versions.columns) {
    add(column.column.value);
    add_version(column.version);
  }
  return digest;
}

// The local table as this plan sees it.
struct ProjectionPlanner::Table {
  const TableShape* shape = nullptr;  // Null: not here.
  std::string refusal;
  std::map<ColumnId, size_t> columns;  // Non-key, not generated: to the index in the shape.
  std::map<ColumnId, size_t> renamed;  // The same columns by the names they had here before.
  bool renamed_elsewhere = false;      // Some branch has renamed one of the table's columns.

  // The column of that name that can be written.
  std::optional<size_t> Writable(absl::string_view name) const {
    for (const auto& [_, index] : columns) {
      if (shape->columns[index].name == name) return index;
    }
    return std::nullopt;
  }
};

ReadRequest ProjectionPlanner::Request(const std::vector<TargetRow>& targets) const {
  ReadRequest request;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (i == 0 || targets[i].ref.table != targets[i - 1].ref.table) {
      request.tables.push_back({names_->NameOf(targets[i].ref.table), {}});
    }
    request.tables.back().keys.push_back(targets[i].key);
  }
  return request;
}

absl::StatusOr<ProjectionPlan> ProjectionPlanner::Plan(const std::vector<TargetRow>& targets, const ReadReply& reply,
                                                       const std::map<RowRef, Refusal>& refused) {
  ProjectionPlan plan;
  groups_.clear();
  size_t target = 0;
  for (const ReadReply::Table& read : reply.tables) {
    if (target >= targets.size()) break;
    const TableId id = targets[target].ref.table;
    Table table;
    table.refusal = read.refusal;
    if (read.shape.has_value()) {
      table.shape = &*read.shape;
      for (size_t i = 0; i < read.shape->columns.size(); ++i) {
        const bool is_key = std::count(read.shape->key.begin(), read.shape->key.end(), i) > 0;
        if (is_key || read.shape->columns[i].generated) continue;
        ASSAY_ASSIGN_OR_RETURN(const ColumnId column, names_->ColumnIdOf(id, read.shape->columns[i].name));
        table.columns[column] = i;
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
    for (size_t row = 0; target < targets.size() && targets[target].ref.table == id; ++row, ++target) {
      ASSAY_RETURN_IF_ERROR(
          PlanRow(targets[target], table, row < read.rows.size() ? read.rows[row] : kNoRow, refused, &plan));
    }
  }
  if (target != targets.size()) return absl::InternalError("the database's reply has fewer tables than were asked for");
  return plan;
}

absl::StatusOr<std::optional<ProjectionPlanner::Desired>> ProjectionPlanner::DesiredValue(const TargetRow& target,
                                                                                          const ColumnVersion& column) {
  if (target.pending != nullptr) {
    const auto& values = target.pending->values;
    auto at = std::lower_bound(values.begin(), values.end(), column.column,
                               [](const PendingRow::Value& value, ColumnId c) { return value.column < c; });
    if (at != values.end() && at->column == column.column && at->version == column.version) {
      return Desired{at->text, at->declared->type(), at->declared->number()};
    }
  }
  absl::StatusOr<const ResolvedChange*> change = values_->Change(column.version);
  // Masked here, or a column that its event names without a value: there is nothing this branch could write.
  if (absl::IsPermissionDenied(change.status())) return std::nullopt;
  if (!change.ok()) return change.status();
  absl::StatusOr<ColumnText> text = values_->Value(column.version, column.column);
  if (absl::IsNotFound(text.status())) return std::nullopt;
  if (!text.ok()) return text.status();
  Desired desired{*std::move(text)};
  for (const v1::TableSchema::Column& declared : (*change)->schema->schema.columns()) {
    if (declared.name() != names_->ColumnNameOf(target.ref.table, column.column)) continue;
    desired.type = declared.type();
    desired.number = declared.number();
  }
  return desired;
}

// Of a column that is not here under its name. `held`: PostgreSQL had its value once.
absl::StatusOr<ProjectionPlanner::Place> ProjectionPlanner::PlaceOf(const TargetRow& target, const Table& table,
                                                                    const ColumnVersion& column, bool held) {
  // ALTER TABLE … RENAME here: the others go on under the old name until they have renamed, too.
  if (auto it = table.renamed.find(column.column); it != table.renamed.end()) return Place{Place::Kind::kHere, it->second};
  const std::string& name = names_->ColumnNameOf(target.ref.table, column.column);
  for (const TableColumn& local : table.shape->columns) {
    if (local.name == name) return Place{Place::Kind::kNowhere};  // Generated, or part of the key.
  }
  // What it has become elsewhere is a look into the log, and matters to a value that was written only for what it may have beaten.
  if (held && !table.renamed_elsewhere) return Place{Place::Kind::kNowhere};
  ASSAY_ASSIGN_OR_RETURN(const std::optional<Desired> desired, DesiredValue(target, column));
  if (!desired.has_value()) return Place{Place::Kind::kNowhere};
  ASSAY_ASSIGN_OR_RETURN(const ColumnHistory::Fate fate,
                         history_->FateOf(column.version, target.ref.table, name, desired->number, *table.shape));
  if (!fate.known) return Place{Place::Kind::kMissing};
  if (!fate.name.has_value()) return Place{Place::Kind::kNowhere};
  const std::optional<size_t> index = table.Writable(*fate.name);
  return index.has_value() ? Place{Place::Kind::kHere, *index} : Place{Place::Kind::kMissing};
}

void ProjectionPlanner::AddWrite(const TargetRow& target, RowWrite::Operation operation, TableWrites columns,
                                 std::vector<ColumnText> values, uint32_t xmin, ProjectionPlan* plan) {
  auto [it, is_new] =
      groups_.try_emplace({target.ref.table, operation, columns.columns, columns.written_as}, plan->writes.size());
  if (is_new) {
    columns.name = names_->NameOf(target.ref.table);
    plan->writes.push_back(std::move(columns));
    plan->write_refs.emplace_back();
  }
  plan->writes[it->second].rows.push_back({operation, target.key, std::move(values), xmin});
  plan->write_refs[it->second].push_back(target.ref);
}

absl::Status ProjectionPlanner::PlanRow(const TargetRow& target, const Table& table, const ReadReply::Row& read,
                                        const std::map<RowRef, Refusal>& refused, ProjectionPlan* plan) {
  ASSAY_ASSIGN_OR_RETURN(const RowVersions* stored, rows_->Get(target.ref));
  const RowVersions current = stored == nullptr ? RowVersions{} : *stored;
  RowVersions merged = current;
  if (target.pending != nullptr) Merge(target.pending->incoming, &merged);

  v1::ProjectionIntent::Row intent;
  intent.set_table(target.ref.table.value);
  intent.set_key_hash(target.ref.key.data(), target.ref.key.size());
  intent.set_key(EncodeKey(target.key));
  const uint64_t versions = VersionsDigest(current);
  intent.set_versions(versions);
  // The event to name when PostgreSQL refuses the row.
  const bool named_before = target.unsettled.has_value() && target.unsettled->origin != OriginId{};
  const Version named = target.pending != nullptr ? target.pending->newest
                        : named_before            ? Version{{}, target.unsettled->origin, target.unsettled->sequence}
                                                  : Newest(current);
  intent.set_origin(named.origin.bytes.data(), named.origin.bytes.size());
  intent.set_sequence(named.sequence.value);
  const auto refuse = [&](absl::string_view sqlstate, absl::string_view cause) {
    intent.set_refused(true);
    intent.set_sqlstate(std::string(sqlstate));
    intent.set_cause(std::string(cause));
    plan->rows.push_back(intent);
    return absl::OkStatus();
  };
  if (auto it = refused.find(target.ref); it != refused.end()) return refuse(it->second.sqlstate, it->second.cause);
  if (table.shape == nullptr) return refuse("42P01", table.refusal);

  if (!merged.IsLive()) {
    if (read.exists) {
      intent.set_write(v1::ProjectionIntent::Row::DELETE);
      AddWrite(target, RowWrite::Operation::kDelete, TableWrites{}, {}, read.xmin, plan);
    } else {
      intent.set_versions(target.versions_at_read);
    }
    plan->rows.push_back(std::move(intent));
    return absl::OkStatus();
  }

  // What PostgreSQL holds is known by version, except for a row that moved unseen: then every value is compared.
  const bool compare_all = !read.exists || (target.unsettled.has_value() && !target.unsettled->held_known);
  const RowVersions held = target.unsettled.has_value() ? target.unsettled->held.value_or(RowVersions{}) : current;
  const auto is_held = [&](const ColumnVersion& column) {
    const Version* version = compare_all ? nullptr : held.Find(column.column);
    return version != nullptr && *version == column.version;
  };
  // Two names may mean one column, while a rename has not been made everywhere: the newest write under any of them wins.
  std::vector<const ColumnVersion*> winners(table.shape->columns.size());
  std::vector<const ColumnVersion*> not_here;
  for (const ColumnVersion& column : merged.columns) {
    Place place{Place::Kind::kHere};
    if (auto local = table.columns.find(column.column); local != table.columns.end()) {
      place.index = local->second;
    } else {
      ASSAY_ASSIGN_OR_RETURN(place, PlaceOf(target, table, column, is_held(column)));
    }
    if (place.kind == Place::Kind::kMissing && !is_held(column)) not_here.push_back(&column);
    if (place.kind != Place::Kind::kHere) continue;
    const ColumnVersion*& winner = winners[place.index];
    if (winner == nullptr || winner->version < column.version) winner = &column;
  }
  ValuesHash hash;
  TableWrites columns;
  std::vector<std::string> missing;
  std::vector<ColumnText> values;
  for (size_t index = 0; index < winners.size(); ++index) {
    const ColumnVersion* column = winners[index];
    if (column == nullptr || is_held(*column)) continue;
    const TableColumn& local = table.shape->columns[index];
    ASSAY_ASSIGN_OR_RETURN(std::optional<Desired> desired, DesiredValue(target, *column));
    if (!desired.has_value()) continue;
    if (read.exists && index < read.values.size() && read.values[index] == desired->text) continue;
    const bool same_type = desired->type.empty() || desired->type == local.type;
    bool checked = !same_type;
    if (checked) {
      // Once its writer's column has the type it has here, the value was converted there, too.
      ASSAY_ASSIGN_OR_RETURN(const ColumnHistory::Fate fate,
                             history_->FateOf(column->version, target.ref.table, names_->ColumnNameOf(target.ref.table, column->column),
                                              desired->number, *table.shape));
      checked = !fate.known || fate.type != local.type;
    }
    if (same_type) {
      ASSAY_ASSIGN_OR_RETURN(const ColumnId id, names_->ColumnIdOf(target.ref.table, local.name));
      hash.Add(local.name, desired->text);
      intent.add_columns(id.value);
    }
    columns.columns.push_back(local.name);
    columns.written_as.push_back(checked ? desired->type : "");
    values.push_back(std::move(desired->text));
  }
  for (const ColumnVersion* column : not_here) {
    ASSAY_ASSIGN_OR_RETURN(const std::optional<Desired> desired, DesiredValue(target, *column));
    if (!desired.has_value()) continue;
    if (!desired->text.has_value()) {
      // No loss yet; but should the column appear with another default, the row is looked at again.
      ASSAY_RETURN_IF_ERROR(history_->NoteNull(target.ref.table, column->column, column->version.stamp));
      continue;
    }
    missing.push_back(names_->ColumnNameOf(target.ref.table, column->column));
    intent.add_missing(column->column.value);
  }
  if (!missing.empty()) {
    intent.set_sqlstate("42703");
    intent.set_cause(absl::StrCat("table ", table.shape->name.ToString(), " has no column ", absl::StrJoin(missing, ", "),
                                  " here; it is written by itself once the column is added"));
  }
  if (!read.exists || !columns.columns.empty()) {
    const auto operation = read.exists ? RowWrite::Operation::kUpdate : RowWrite::Operation::kInsert;
    intent.set_write(IntentOf(operation));
    intent.set_values(hash.Finish());
    AddWrite(target, operation, std::move(columns), std::move(values), read.xmin, plan);
    plan->outdated |= !read.exists && versions != target.versions_at_read;
  } else {
    // Nothing stands guard over a row that is not written: what was read is true of the versions of that moment, and the echo
    // compares with those.
    intent.set_versions(target.versions_at_read);
  }
  plan->rows.push_back(std::move(intent));
  return absl::OkStatus();
}

}  // namespace assay
