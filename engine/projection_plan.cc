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
                                                                                          const ColumnVersion& column,
                                                                                          const std::string& type) {
  if (target.pending != nullptr) {
    const auto& values = target.pending->values;
    auto at = std::lower_bound(values.begin(), values.end(), column.column,
                               [](const PendingRow::Value& value, ColumnId c) { return value.column < c; });
    if (at != values.end() && at->column == column.column && at->version == column.version) {
      return Desired{at->text, at->declared->type() == type};
    }
  }
  absl::StatusOr<const ResolvedChange*> change = values_->Change(column.version);
  // Masked here, or a column that its event names without a value: there is nothing this branch could write.
  if (absl::IsPermissionDenied(change.status())) return std::nullopt;
  if (!change.ok()) return change.status();
  absl::StatusOr<ColumnText> text = values_->Value(column.version, column.column);
  if (absl::IsNotFound(text.status())) return std::nullopt;
  if (!text.ok()) return text.status();
  bool same_type = true;
  for (const v1::TableSchema::Column& declared : (*change)->schema->schema.columns()) {
    if (declared.name() == names_->ColumnNameOf(target.ref.table, column.column)) same_type = declared.type() == type;
  }
  return Desired{*std::move(text), same_type};
}

void ProjectionPlanner::AddWrite(const TargetRow& target, RowWrite::Operation operation,
                                 std::vector<std::string> columns, std::vector<ColumnText> values, uint32_t xmin,
                                 ProjectionPlan* plan) {
  auto [it, is_new] = groups_.try_emplace({target.ref.table, operation, columns}, plan->writes.size());
  if (is_new) {
    plan->writes.push_back({names_->NameOf(target.ref.table), std::move(columns), {}});
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
      AddWrite(target, RowWrite::Operation::kDelete, {}, {}, read.xmin, plan);
    } else {
      intent.set_versions(target.versions_at_read);
    }
    plan->rows.push_back(std::move(intent));
    return absl::OkStatus();
  }

  // What PostgreSQL holds is known by version, except for a row that moved unseen: then every value is compared.
  const bool compare_all = !read.exists || (target.unsettled.has_value() && !target.unsettled->held_known);
  const RowVersions held = target.unsettled.has_value() ? target.unsettled->held.value_or(RowVersions{}) : current;
  ValuesHash hash;
  std::vector<std::string> columns, missing;
  std::vector<ColumnText> values;
  for (const ColumnVersion& column : merged.columns) {
    if (!compare_all) {
      const Version* version = held.Find(column.column);
      if (version != nullptr && *version == column.version) continue;
    }
    auto local = table.columns.find(column.column);
    const std::string& name = names_->ColumnNameOf(target.ref.table, column.column);
    const std::string& type = local == table.columns.end() ? name : table.shape->columns[local->second].type;
    ASSAY_ASSIGN_OR_RETURN(std::optional<Desired> desired, DesiredValue(target, column, type));
    if (!desired.has_value()) continue;
    if (local == table.columns.end()) {
      const bool generated = std::any_of(table.shape->columns.begin(), table.shape->columns.end(),
                                         [&](const TableColumn& c) { return c.name == name; });
      // A NULL for a column that is not here is no loss yet; it is written should the column appear with another default.
      if (generated || !desired->text.has_value()) continue;
      missing.push_back(name);
      intent.add_missing(column.column.value);
      continue;
    }
    if (read.exists && local->second < read.values.size() && read.values[local->second] == desired->text) continue;
    if (desired->same_type) {
      hash.Add(name, desired->text);
      intent.add_columns(column.column.value);
    }
    columns.push_back(name);
    values.push_back(std::move(desired->text));
  }
  if (!missing.empty()) {
    intent.set_sqlstate("42703");
    intent.set_cause(absl::StrCat("table ", table.shape->name.ToString(), " has no column ", absl::StrJoin(missing, ", "),
                                  " here; it is written by itself once the column is added"));
  }
  if (!read.exists || !columns.empty()) {
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
