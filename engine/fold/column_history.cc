#include "engine/fold/column_history.h"

#include <algorithm>

#include "log/annotate.h"

namespace assay {

void ColumnHistory::Clear() {
  noted_.clear();
  nulls_.reset();
}

absl::Status ColumnHistory::Note(TableId table, const TableShape& shape) {
  std::vector<TableColumn>& noted = noted_[table];
  if (noted == shape.columns) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(ColumnNumbers numbers, state_->Read(kColumnNumbersNote, table));
  bool changed = false;
  for (const TableColumn& column : shape.columns) {
    if (column.number == 0) continue;
    uint32_t& number = numbers[column.name];
    changed |= number != column.number;
    number = column.number;
  }
  noted = shape.columns;
  if (!changed) return absl::OkStatus();
  return state_->Write(kColumnNumbersNote, numbers, table);
}

absl::StatusOr<std::map<std::string, std::string>> ColumnHistory::RenamedHere(TableId table, const TableShape& shape) {
  ASSAY_ASSIGN_OR_RETURN(const ColumnNumbers numbers, state_->Read(kColumnNumbersNote, table));
  std::map<std::string, std::string> renamed;
  for (const auto& [name, number] : numbers) {
    const bool here = std::any_of(shape.columns.begin(), shape.columns.end(),
                                  [&name = name](const TableColumn& c) { return c.name == name; });
    for (const TableColumn& column : shape.columns) {
      if (!here && column.number == number) renamed[name] = column.name;
    }
  }
  return renamed;
}

absl::StatusOr<std::optional<Sequence>> ColumnHistory::NewestDeclared(const OriginId& origin, TableId table) {
  ASSAY_ASSIGN_OR_RETURN(const Sequence sequence, state_->Read(kDeclaredNote, origin, table));
  if (sequence.value == 0) return std::nullopt;
  return sequence;
}

absl::Status ColumnHistory::NoteDeclared(const OriginId& origin, TableId table, Sequence sequence) {
  ASSAY_ASSIGN_OR_RETURN(const std::optional<Sequence> before, NewestDeclared(origin, table));
  if (before.has_value() && *before != sequence) {
    ASSAY_ASSIGN_OR_RETURN(const auto old_schema, names_->Schema(origin, *before));
    ASSAY_ASSIGN_OR_RETURN(const auto new_schema, names_->Schema(origin, sequence));
    for (const auto& was : old_schema->schema.columns()) {
      for (const auto& is : new_schema->schema.columns()) {
        if (was.number() == 0 || was.number() != is.number() || was.name() == is.name()) continue;
        ASSAY_RETURN_IF_ERROR(state_->Write(kRenamesNote, true, table));
      }
    }
  }
  return state_->Write(kDeclaredNote, sequence, origin, table);
}

absl::StatusOr<bool> ColumnHistory::RenamedElsewhere(TableId table) { return state_->Read(kRenamesNote, table); }

absl::StatusOr<ColumnHistory::Fate> ColumnHistory::FateOf(const Version& version, TableId table, absl::string_view name,
                                                          uint32_t number, const TableShape& shape) {
  std::vector<TableColumn> columns;
  if (version.origin == own_) {
    columns = shape.columns;
  } else {
    ASSAY_ASSIGN_OR_RETURN(const std::optional<Sequence> newest, NewestDeclared(version.origin, table));
    // What was written after that was written under a declaration which is not noted yet.
    if (!newest.has_value() || *newest < version.sequence) return Fate{};
    ASSAY_ASSIGN_OR_RETURN(const auto declared, names_->Schema(version.origin, *newest));
    for (const v1::TableSchema::Column& column : declared->schema.columns()) {
      columns.push_back({column.name(), column.type(), column.not_null(), false, column.number()});
    }
  }
  Fate fate{true};
  for (const TableColumn& column : columns) {
    // A column that was dropped before its change was captured has no number: it may be any. So may those of events
    // from before numbers were recorded, which have their names to go by, and whose absence says nothing.
    if (number == 0 || column.number == 0) fate.known = false;
    if (number == 0 ? column.name != name : column.number != number) continue;
    return Fate{true, column.name, column.type};
  }
  return fate;
}

absl::StatusOr<ColumnNulls*> ColumnHistory::LoadNulls() {
  if (nulls_.has_value()) return &*nulls_;
  ASSAY_ASSIGN_OR_RETURN(nulls_, state_->Read(kNullsNote));
  return &*nulls_;
}

absl::Status ColumnHistory::StoreNulls() { return state_->Write(kNullsNote, *nulls_); }

absl::Status ColumnHistory::NoteNull(TableId table, ColumnId column, HlcStamp stamp) {
  ASSAY_ASSIGN_OR_RETURN(ColumnNulls * nulls, LoadNulls());
  const auto [it, is_new] = nulls->try_emplace({table, column}, stamp);
  if (!is_new && it->second <= stamp) return absl::OkStatus();
  it->second = stamp;
  return StoreNulls();
}

absl::StatusOr<std::set<TableId>> ColumnHistory::TablesWithNulls() {
  ASSAY_ASSIGN_OR_RETURN(const ColumnNulls* nulls, LoadNulls());
  std::set<TableId> tables;
  for (const auto& [column, _] : *nulls) tables.insert(column.first);
  return tables;
}

absl::StatusOr<std::map<ColumnId, HlcStamp>> ColumnHistory::TakeAppeared(TableId table, const TableShape& shape) {
  ASSAY_ASSIGN_OR_RETURN(ColumnNulls * nulls, LoadNulls());
  std::map<ColumnId, HlcStamp> appeared;
  for (auto it = nulls->begin(); it != nulls->end();) {
    const auto [of, column] = it->first;
    const std::string& name = of == table ? names_->ColumnNameOf(table, column) : "";
    const bool here = of == table && std::any_of(shape.columns.begin(), shape.columns.end(),
                                                 [&name](const TableColumn& c) { return c.name == name; });
    if (here) appeared[column] = it->second;
    it = here ? nulls->erase(it) : std::next(it);
  }
  if (!appeared.empty()) ASSAY_RETURN_IF_ERROR(StoreNulls());
  return appeared;
}

}  // namespace assay
