#include "engine/fold/column_history.h"

#include <algorithm>

#include "log/annotate.h"

namespace assay {
namespace {

// The newest number of the columns that had this name; 0: none had.
uint32_t NewestNumber(const ColumnNumbers& numbers, absl::string_view name) {
  uint32_t newest = 0;
  for (const auto& [known, number] : numbers) newest = known == name ? number : newest;
  return newest;
}

bool IsNamed(const ColumnNumbers& numbers, absl::string_view name) {
  return std::any_of(numbers.begin(), numbers.end(), [name](const auto& known) { return known.first == name; });
}

bool IsKnown(const ColumnNumbers& numbers, const TableColumn& column) {
  return std::count(numbers.begin(), numbers.end(), std::pair(column.name, column.number)) > 0;
}

// A table made anew, as by a restored dump, numbers its columns from 1 without a gap, and so some of them lower than
// before. Where a column was dropped there is a gap for good, and one that is added has a higher number than all.
bool IsMadeAnew(const ColumnNumbers& numbers, const TableShape& shape) {
  uint32_t next = 0;
  bool renumbered = false;
  for (const TableColumn& column : shape.columns) {
    if (column.number != ++next) return false;
    renumbered |= !IsKnown(numbers, column) && column.number < NewestNumber(numbers, column.name);
  }
  return renumbered;
}

// The names of a table that was made anew, each column's under its new number.
ColumnNumbers Renumbered(const ColumnNumbers& numbers, const TableShape& shape) {
  ColumnNumbers renumbered;
  for (const TableColumn& column : shape.columns) {
    const uint32_t before = NewestNumber(numbers, column.name);
    for (const auto& [name, number] : numbers) {
      if (name == column.name) break;
      if (number == before) renumbered.emplace_back(name, column.number);
    }
    renumbered.emplace_back(column.name, column.number);
  }
  return renumbered;
}

}  // namespace

void ColumnHistory::Clear() {
  noted_.clear();
  nulls_.reset();
}

absl::Status ColumnHistory::Note(TableId table, const TableShape& shape) {
  std::vector<TableColumn>& noted = noted_[table];
  if (noted == shape.columns) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(ColumnNumbers numbers, state_->Read(kColumnNumbersNote, table));
  noted = shape.columns;
  // Who made it anew compares its rows: `assay repair`.
  if (IsMadeAnew(numbers, shape)) return state_->Write(kColumnNumbersNote, Renumbered(numbers, shape), table);
  ColumnNulls remade;
  bool changed = false;
  for (const TableColumn& column : shape.columns) {
    if (column.number == 0 || IsKnown(numbers, column)) continue;
    // PostgreSQL does not hold under this name what the log has for it.
    if (IsNamed(numbers, column.name)) {
      ASSAY_ASSIGN_OR_RETURN(const ColumnId id, names_->ColumnIdOf(table, column.name));
      remade[{table, id}] = HlcStamp{};
    }
    numbers.emplace_back(column.name, column.number);
    changed = true;
  }
  if (!changed) return absl::OkStatus();
  ASSAY_RETURN_IF_ERROR(AddRemade(std::move(remade)));
  return state_->Write(kColumnNumbersNote, numbers, table);
}

absl::Status ColumnHistory::AddRemade(ColumnNulls remade) {
  if (remade.empty()) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(const ColumnNulls before, state_->Read(kRemadeNote));
  remade.insert(before.begin(), before.end());
  return state_->Write(kRemadeNote, remade);
}

absl::StatusOr<std::set<ColumnId>> ColumnHistory::TakeRemade(TableId table) {
  ASSAY_ASSIGN_OR_RETURN(ColumnNulls remade, state_->Read(kRemadeNote));
  std::set<ColumnId> columns;
  for (const auto& [column, _] : remade) {
    if (column.first == table) columns.insert(column.second);
  }
  if (columns.empty()) return columns;
  std::erase_if(remade, [&](const auto& each) { return each.first.first == table; });
  ASSAY_RETURN_IF_ERROR(state_->Write(kRemadeNote, remade));
  return columns;
}

absl::StatusOr<std::map<std::string, std::string>> ColumnHistory::RenamedHere(TableId table, const TableShape& shape) {
  ASSAY_ASSIGN_OR_RETURN(const ColumnNumbers numbers, state_->Read(kColumnNumbersNote, table));
  std::map<std::string, std::string> renamed;
  for (auto at = numbers.begin(); at != numbers.end(); ++at) {
    const auto named_so = [at](const auto& each) { return each.first == at->first; };
    const bool is_here = std::any_of(shape.columns.begin(), shape.columns.end(),
                                     [at](const TableColumn& column) { return column.name == at->first; });
    // A name that nobody has was in the end that of its last column.
    if (!is_here && std::any_of(at + 1, numbers.end(), named_so)) continue;
    for (const TableColumn& column : shape.columns) {
      if (column.number == at->second && column.name != at->first) renamed[at->first] = column.name;
    }
  }
  return renamed;
}

absl::StatusOr<ColumnHistory::FormerNames> ColumnHistory::Former(TableId table, const TableShape& shape) {
  ASSAY_ASSIGN_OR_RETURN(const ColumnNumbers numbers, state_->Read(kColumnNumbersNote, table));
  FormerNames former;
  for (const TableColumn& column : shape.columns) {
    uint32_t its_number = column.number;
    for (const auto& [name, number] : numbers) {  // Dropped before it was captured: the last column of that name.
      if (column.number == 0 && name == column.name) its_number = number;
    }
    std::vector<std::string>& names = former.emplace_back();
    for (const auto& [name, number] : numbers) {
      if (number != its_number) continue;
      if (name == column.name) break;
      names.push_back(name);
    }
  }
  return former;
}

ColumnHistory::Key ColumnHistory::KeyOf(const TableShape& shape, const FormerNames& former) {
  Key key{shape.key, {}, 0};
  const auto first_name = [&](uint32_t ordinal) -> const std::string& {
    return former[ordinal].empty() ? shape.columns[ordinal].name : former[ordinal].front();
  };
  std::sort(key.ordinals.begin(), key.ordinals.end(),
            [&](uint32_t a, uint32_t b) { return first_name(a) < first_name(b); });
  for (const uint32_t ordinal : key.ordinals) key.names.push_back(first_name(ordinal));
  key.columns = KeyColumns(key.names);
  return key;
}

absl::StatusOr<std::optional<Sequence>> ColumnHistory::NewestDeclared(const OriginId& origin, TableId table) {
  ASSAY_ASSIGN_OR_RETURN(const Sequence sequence, state_->Read(kDeclaredNote, origin, table));
  if (sequence.value == 0) return std::nullopt;
  return sequence;
}

absl::Status ColumnHistory::NoteDeclared(const OriginId& origin, TableId table, Sequence sequence) {
  ASSAY_ASSIGN_OR_RETURN(const auto declared, names_->Schema(origin, sequence));
  for (const v1::TableSchema::Column& column : declared->schema.columns()) {
    for (const std::string& name : column.former()) {
      ASSAY_RETURN_IF_ERROR(state_->Write(kRenamesNote, true, table));
      // A NULL that was passed over under the old name may be of a column that is here under the new one.
      ASSAY_ASSIGN_OR_RETURN(const ColumnId id, names_->ColumnIdOf(table, name));
      ASSAY_ASSIGN_OR_RETURN(ColumnNulls * nulls, LoadNulls());
      if (nulls->erase({table, id}) == 0) continue;
      ASSAY_RETURN_IF_ERROR(StoreNulls());
      ASSAY_RETURN_IF_ERROR(AddRemade({{{table, id}, HlcStamp{}}}));
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
      columns.push_back({column.name(), column.type(), column.not_null(), false, column.number(), column.definition()});
    }
  }
  Fate fate{true};
  for (const TableColumn& column : columns) {
    // A column that was dropped before its change was captured has no number: it may be any. So may those of events
    // from before numbers were recorded, which have their names to go by, and whose absence says nothing.
    if (number == 0 || column.number == 0) fate.known = false;
    if (number == 0 ? column.name != name : column.number != number) continue;
    return Fate{true, column.name, column.type, column.definition};
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
  ASSAY_ASSIGN_OR_RETURN(const ColumnNulls remade, state_->Read(kRemadeNote));
  for (const auto& [column, _] : remade) tables.insert(column.first);
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
