#include "engine/projection/plan.h"

#include <algorithm>
#include <list>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/fold/merge.h"
#include "engine/fold/type_fit.h"
#include "engine/projection/answer_rate.h"
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

// A key's texts in the order that the database has its columns in.
RowKey InOrder(const RowKey& key, const std::vector<size_t>& order) {
  if (order.size() != key.size()) return key;  // None, or it is the key of another table.
  RowKey ordered;
  for (const size_t place : order) ordered.push_back(key[place]);
  return ordered;
}

// A type, for people.
std::string Named(absl::string_view type, absl::string_view definition) {
  return definition.empty() ? std::string(type) : absl::StrCat(type, " (", definition, ")");
}

}  // namespace

// The local table as this plan sees it.
struct ProjectionPlanner::Table {
  static constexpr size_t kNowhere = SIZE_MAX;

  const TableShape* shape = nullptr;  // Null: not here.
  std::string refusal;
  std::string answers;
  std::vector<ColumnId> ids;  // Of the shape's columns, by their names.
  std::vector<size_t>
      writable;  // By ColumnId: the index in the shape, of a column that is no key and not generated; or kNowhere.
  std::map<ColumnId, size_t> renamed;  // Such columns, by the names they had here before and nobody has now.
  std::map<ColumnId, size_t> reused;   // Such columns, by the names they had here before and another one has now.
  bool renamed_elsewhere = false;      // Some branch has renamed one of the table's columns.
  ColumnHistory::Key key;
  // Of each of the shape's key columns its place in `key`; empty: they are in the same order, as they mostly are.
  KeyOrder key_order;
  // Whether the declaration that was asked about last names former names of columns.
  const ResolvedSchema* asked = nullptr;
  bool has_former = false;
  // Declarations whose rows are found here by their keys, and of the others why not.
  std::map<const ResolvedSchema*, std::string> key_refusals;
  // Where in the plan the writes of one operation and column list are collected.
  absl::flat_hash_map<std::string, size_t> groups;

  std::optional<size_t> Writable(ColumnId column) const {
    if (column.value >= writable.size() || writable[column.value] == kNowhere) return std::nullopt;
    return writable[column.value];
  }
  bool HasFormer(const ResolvedSchema& schema) {
    if (std::exchange(asked, &schema) != &schema) {
      const auto& columns = schema.schema.columns();
      has_former =
          std::any_of(columns.begin(), columns.end(), [](const auto& column) { return column.former_size() > 0; });
    }
    return has_former;
  }
  // A column has that name here, or has had it.
  bool Knows(absl::string_view name, const TableNames& names, TableId table) const {
    const auto named = [name](const TableColumn& column) { return column.name == name; };
    const auto was_named = [&](const auto& column) { return names.ColumnNameOf(table, column.first) == name; };
    return std::any_of(shape->columns.begin(), shape->columns.end(), named) ||
           std::any_of(renamed.begin(), renamed.end(), was_named);
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
  bool IsToBeThere() const {
    const bool settled = target.unsettled == nullptr || target.unsettled->revision == 0;  // Perhaps since it was read.
    return settled ? stored.IsLive() : target.unsettled->IsThere();
  }

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
  // Likewise, those whose values wait for another reason, with it. A new row is not made without them.
  std::vector<std::pair<size_t, std::string>> waiting;
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
    const auto order = key_orders_.find(targets[i].ref.table);
    request.tables.back().keys.push_back(order == key_orders_.end() ? std::move(key) : InOrder(key, order->second));
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
    ASSAY_ASSIGN_OR_RETURN(Table table, Describe(id, read));
    if (table.shape != nullptr && std::exchange(key_orders_[id], table.key_order) != table.key_order)
      plan.outdated = true;  // Other rows were read than were meant.
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

absl::StatusOr<ProjectionPlanner::Table> ProjectionPlanner::Describe(TableId id, const ReadReply::Table& read) {
  Table table;
  table.refusal = read.refusal;
  table.answers = read.answers;
  if (!read.shape.has_value()) return table;
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
    const bool is_here = std::any_of(read.shape->columns.begin(), read.shape->columns.end(),
                                     [&name = before](const TableColumn& each) { return each.name == name; });
    (is_here ? table.reused : table.renamed)[column] = *index;
  }
  ASSAY_ASSIGN_OR_RETURN(table.renamed_elsewhere, history_->RenamedElsewhere(id));
  ASSAY_ASSIGN_OR_RETURN(const ColumnHistory::FormerNames former, history_->Former(id, *read.shape));
  table.key = ColumnHistory::KeyOf(*read.shape, former);
  if (table.key.ordinals == read.shape->key) return table;
  for (const uint32_t ordinal : read.shape->key) {
    const auto at = std::find(table.key.ordinals.begin(), table.key.ordinals.end(), ordinal);
    table.key_order.push_back(static_cast<size_t>(at - table.key.ordinals.begin()));
  }
  return table;
}

absl::StatusOr<std::string> ProjectionPlanner::KeyRefusal(const TargetRow& target, const RowVersions& merged,
                                                          Table& table) {
  const ResolvedSchema* there = nullptr;
  const Version newest = target.pending != nullptr ? target.pending->newest() : Newest(merged);
  if (target.pending != nullptr) {
    there = &target.pending->declared();
  } else {
    if (newest.IsNone()) return std::string();
    const absl::StatusOr<const ResolvedChange*> change = values_->Change(newest);
    if (absl::IsPermissionDenied(change.status())) return std::string();  // Masked here: nothing will be written.
    if (!change.ok()) return change.status();
    there = (*change)->schema.get();  // The schema stays cached.
  }
  const auto [known, is_new] = table.key_refusals.try_emplace(there);
  if (!is_new) return known->second;
  std::vector<std::string> here, its_own;
  for (const uint32_t ordinal : table.key.ordinals) here.push_back(table.shape->columns[ordinal].name);
  for (const uint32_t ordinal : there->key) its_own.push_back(there->schema.columns(static_cast<int>(ordinal)).name());
  std::string& refusal = known->second;
  if (there->key_columns != table.key.columns) {
    refusal = absl::StrCat("the primary key of table ", table.shape->name.ToString(), " is (",
                           absl::StrJoin(its_own, ", "), ") there and (", absl::StrJoin(here, ", "), ") here");
    return refusal;
  }
  for (size_t i = 0; i < here.size(); ++i) {
    const v1::TableSchema::Column& theirs = there->schema.columns(static_cast<int>(there->key[i]));
    const TableColumn& ours = table.shape->columns[table.key.ordinals[i]];
    const TypeText from{theirs.type(), theirs.definition()}, to{ours.type, ours.definition};
    if (IsSameKeyType(from, to)) continue;
    // The type that is here by now? Then its text became there what it becomes here.
    ASSAY_ASSIGN_OR_RETURN(const ColumnHistory::Fate fate,
                           history_->FateOf(newest, target.ref.table, theirs.name(), theirs.number(), *table.shape));
    const bool is_ours = fate.known && fate.name.has_value() && IsSameKeyType({fate.type, fate.definition}, to);
    if (is_ours && KeepsKeyText(from, to)) continue;
    refusal = absl::StrCat("key column ", here[i], " of table ", table.shape->name.ToString(), " is ",
                           Named(theirs.type(), theirs.definition()), " there and ", Named(ours.type, ours.definition),
                           " here, where the same text may be another row");
  }
  return refusal;
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
      desired->declared = value.declared;
      desired->schema = value.schema;
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
  desired->schema = (*change)->schema.get();  // The schema stays cached.
  const auto at = std::find(desired->schema->columns.begin(), desired->schema->columns.end(), column.column);
  ASSAY_CHECK(at != desired->schema->columns.end());  // It has a value.
  desired->declared = &desired->schema->schema.columns(static_cast<int>(at - desired->schema->columns.begin()));
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
  ASSAY_ASSIGN_OR_RETURN(const ColumnHistory::Fate fate, history_->FateOf(column.version, target.ref.table, name,
                                                                          desired.declared->number(), *table.shape));
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
  const bool pending = target.pending != nullptr && table.key_order.empty() &&
                       std::all_of(written.begin(), written.end(),
                                   [](const Written& each) { return each.pending != Desired::kFromLog; });
  if (pending) {
    for (const Written& each : written) order.push_back(static_cast<uint32_t>(each.pending));
    writes.rows.push_back({operation, xmin, target.pending->texts(), NumberOf(order, &writes.orders)});
  } else {
    ASSAY_ASSIGN_OR_RETURN(const RowKey key, DecodeKey(target.key()));  // It may have come from the disk.
    PackedRow row(EncodeKey(InOrder(key, table.key_order)));
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
  } else if (answering_aside_ && !table.answers.empty()) {
    row.Refuse("27000", absl::StrCat("what is written to table ", table.shape->name.ToString(),
                                     " makes others write more, again and again. This runs for rows of other branches, "
                                     "too: ",
                                     table.answers,
                                     ". Let it run for the application only (ENABLE TRIGGER, ENABLE "
                                     "RULE) or drop it; it is tried again when it has been quiet for ",
                                     absl::ToInt64Minutes(AnswerRate::kWithin), " minutes"));
  } else {
    ASSAY_ASSIGN_OR_RETURN(const std::string key_refusal, KeyRefusal(target, *merged, table));
    if (key_refusal.empty()) return PlanFoundRow(row, plan);
    row.Refuse("42P16", key_refusal);
  }
  return absl::OkStatus();
}

absl::Status ProjectionPlanner::PlanFoundRow(PlannedRow& row, ProjectionPlan* plan) {
  // Nothing can stand guard over a row that is not there: the log must say so, too. What comes after that, the echo
  // finds.
  plan->outdated |= !row.read.exists && row.IsToBeThere();
  if (row.merged.IsLive()) return PlanLiveRow(row, plan);
  if (!row.read.exists) return absl::OkStatus();
  row.intent.write = IntentRow::Write::kDelete;
  return AddWrite(row.target, row.table, RowWrite::Operation::kDelete, {}, row.read.xmin, plan);
}

absl::Status ProjectionPlanner::PlanLiveRow(PlannedRow& row, ProjectionPlan* plan) {
  const bool exists = row.read.exists;
  if (!exists && !row.merged.whole) {
    row.Refuse("02000", absl::StrCat("the beginning of this row of table ", row.table.shape->name.ToString(),
                                     " is not known to this branch: only what was changed of it later has come, and "
                                     "no row is made of that"));
    return absl::OkStatus();
  }
  ASSAY_RETURN_IF_ERROR(ChoosePlaces(row));
  ASSAY_RETURN_IF_ERROR(ChooseValues(row, plan));
  ASSAY_RETURN_IF_ERROR(NameWhatIsMissing(row));
  if (!exists && !row.waiting.empty()) {  // NULL is what nobody meant.
    row.intent.MutableRemark().missing.clear();
    row.intent.refused = true;
    return absl::OkStatus();
  }
  if (exists && row.written.empty()) {
    return AddWrite(row.target, row.table, RowWrite::Operation::kKeep, {}, row.read.xmin, plan);
  }
  row.intent.write = exists ? IntentRow::Write::kUpdate : IntentRow::Write::kInsert;
  return AddWrite(row.target, row.table, exists ? RowWrite::Operation::kUpdate : RowWrite::Operation::kInsert,
                  row.written, row.read.xmin, plan);
}

// A name may be another column's here than it was: then a value goes to the column that it was the name of, unless its
// writer has both, too.
absl::StatusOr<size_t> ProjectionPlanner::PlaceOfReused(const PlannedRow& row, const ColumnVersion& column,
                                                        size_t local) {
  const auto reused = row.table.reused.find(column.column);
  if (reused == row.table.reused.end()) return local;
  Desired desired;
  ASSAY_ASSIGN_OR_RETURN(const bool is_known, DesiredValue(row.target, column, &desired));
  if (!is_known) return local;
  const bool has_both =
      std::count(desired.schema->columns.begin(), desired.schema->columns.end(), row.table.ids[reused->second]) > 0;
  return has_both ? local : reused->second;
}

absl::Status ProjectionPlanner::ChoosePlaces(PlannedRow& row) {
  row.winners.assign(row.table.shape->columns.size(), PlannedRow::kNone);
  for (size_t i = 0; i < row.merged.columns.size(); ++i) {
    const ColumnVersion column = row.merged.columns[i];
    Place place{Place::Kind::kHere};
    if (const std::optional<size_t> local = row.table.Writable(column.column); local.has_value()) {
      ASSAY_ASSIGN_OR_RETURN(place.index, PlaceOfReused(row, column, *local));
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
    const TableColumn& local = row.table.shape->columns[index];
    std::string why;
    ASSAY_ASSIGN_OR_RETURN(const Fit fit, FitOf(row, column, desired, local, &why));
    if (fit == Fit::kWaits) row.waiting.push_back({row.winners[index], std::move(why)});
    if (fit == Fit::kWaits || fit == Fit::kNowhere) continue;
    if (row.read.exists && index < row.read.values.size() && row.read.values[index].has_value() != desired.is_null &&
        (desired.is_null || *row.read.values[index] == desired.text)) {
      continue;
    }
    if (desired.pending == Desired::kFromLog) desired.text = row.from_log.emplace_back(std::move(desired.from_log));
    absl::string_view written_as;
    if (fit == Fit::kConverted)
      written_as = kConvertedWhereItWasWritten;
    else if (!desired.is_null && desired.declared->type() != local.type)
      written_as = desired.declared->type();
    Written& written = row.written.emplace_back(Written{index, desired.pending, std::nullopt, written_as});
    if (!desired.is_null) written.text = desired.text;
    if (fit == Fit::kConverted) continue;
    hash.Add(local.name, written.text);
    hashed.push_back(row.table.ids[index].value);
  }
  row.intent.columns = NumberOf(hashed, &plan->columns);
  row.intent.values = hash.Finish();
  return absl::OkStatus();
}

absl::StatusOr<ProjectionPlanner::Fit> ProjectionPlanner::FitOf(const PlannedRow& row, const ColumnVersion& column,
                                                                const Desired& desired, const TableColumn& local,
                                                                std::string* why) {
  const v1::TableSchema::Column& written = *desired.declared;
  const TableId table = row.target.ref.table;
  // Its writer's former column of that name has another one there. While that one is not here, this is it.
  const bool may_be_another = local.name == written.name() && row.table.HasFormer(*desired.schema);
  for (const v1::TableSchema::Column& other : desired.schema->schema.columns()) {
    if (!may_be_another) break;
    const bool was_named_so =
        &other != &written && std::count(other.former().begin(), other.former().end(), written.name()) > 0;
    if (!was_named_so || row.table.Knows(other.name(), *names_, table)) continue;
    *why = absl::StrCat("column ", written.name(), " is another one there by now: the one that is here is called ",
                        other.name(), " there");
    return Fit::kWaits;
  }
  const TypeText from{written.type(), written.definition()}, to{local.type, local.definition};
  if (desired.is_null || from == to || IsWidening(from, to)) return Fit::kFits;
  ASSAY_ASSIGN_OR_RETURN(const ColumnHistory::Fate fate,
                         history_->FateOf(column.version, table, written.name(), written.number(), *row.table.shape));
  if (fate.known && !fate.name.has_value()) return Fit::kNowhere;
  if (fate.known && TypeText{fate.type, fate.definition} == to) return Fit::kConverted;
  *why = absl::StrCat("column ", local.name, " was written as ", Named(from.type, from.definition), " and is ",
                      Named(to.type, to.definition), " here");
  return Fit::kWaits;
}

// A NULL is none, where there is no column; nor is what a comparison has found in a row that was known, as a default
// computed it there. A row that was found with its values is somebody's.
absl::StatusOr<bool> ProjectionPlanner::IsLoss(const Version& version, const Desired& desired) {
  if (desired.is_null || IsEdit(version)) return !desired.is_null;
  ASSAY_ASSIGN_OR_RETURN(const ResolvedChange* change, values_->Change(version));
  return change->row().operation() != v1::RowChange::UPDATE;
}

absl::Status ProjectionPlanner::NameWhatIsMissing(PlannedRow& row) {
  const TableId table = row.target.ref.table;
  std::vector<std::string> missing;
  Desired desired;
  for (const size_t i : row.not_here) {
    const ColumnVersion column = row.merged.columns[i];
    ASSAY_ASSIGN_OR_RETURN(const bool is_known, DesiredValue(row.target, column, &desired));
    if (!is_known) continue;
    ASSAY_ASSIGN_OR_RETURN(const bool is_loss, IsLoss(column.version, desired));
    if (!is_loss) {
      // Should the column appear with another default, the row is looked at again.
      ASSAY_RETURN_IF_ERROR(history_->NoteNull(table, column.column, column.version.stamp));
      continue;
    }
    missing.push_back(names_->ColumnNameOf(table, column.column));
    row.intent.MutableRemark().missing.push_back(column.column.value);
  }
  for (const auto& [i, _] : row.waiting)
    row.intent.MutableRemark().missing.push_back(row.merged.columns[i].column.value);
  if (missing.empty() && row.waiting.empty()) return absl::OkStatus();
  IntentRow::Remark& remark = row.Name();
  remark.sqlstate = missing.empty() ? "42804" : "42703";
  std::vector<std::string> causes;
  if (!missing.empty()) {
    causes.push_back(absl::StrCat("table ", row.table.shape->name.ToString(), " has no column ",
                                  absl::StrJoin(missing, ", "),
                                  " here; it is written by itself once the column is added"));
  }
  for (const auto& [_, why] : row.waiting)
    causes.push_back(absl::StrCat(why, "; it is written by itself once they are the same"));
  remark.cause = absl::StrJoin(causes, "; ");
  return absl::OkStatus();
}

}  // namespace assay
