#include "engine/fold/column_history.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/row_versions/row_ref.h"

namespace assay {
namespace {

constexpr char kNulls[] = "nulls";

std::string NumbersName(TableId table) { return absl::StrCat("columns:", table.value); }
std::string RenamesName(TableId table) { return absl::StrCat("renames:", table.value); }
std::string DeclaredName(const OriginId& origin, TableId table) {
  return absl::StrCat("declared:", origin.Hex(), ":", table.value);
}

absl::Status Damaged() {
  return absl::DataLossError("the log's notes of columns are damaged: put the newest copy of the log file back");
}

}  // namespace

void ColumnHistory::Clear() {
  noted_.clear();
  nulls_.reset();
}

absl::StatusOr<std::map<std::string, uint32_t>> ColumnHistory::Numbers(TableId table) {
  std::map<std::string, uint32_t> numbers;
  ASSAY_ASSIGN_OR_RETURN(const std::optional<std::string> stored, state_->Get(NumbersName(table)));
  ASSAY_ASSIGN_OR_RETURN(const std::vector<std::string> texts, DecodeKey(stored.value_or("")));
  for (size_t i = 0; i + 2 <= texts.size(); i += 2) {
    if (!absl::SimpleAtoi(texts[i + 1], &numbers[texts[i]])) return Damaged();
  }
  return numbers;
}

absl::Status ColumnHistory::Note(TableId table, const TableShape& shape) {
  std::vector<TableColumn>& noted = noted_[table];
  if (noted == shape.columns) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(auto numbers, Numbers(table));
  bool changed = false;
  for (const TableColumn& column : shape.columns) {
    if (column.number == 0) continue;
    uint32_t& number = numbers[column.name];
    changed |= number != column.number;
    number = column.number;
  }
  noted = shape.columns;
  if (!changed) return absl::OkStatus();
  std::vector<std::string> texts;
  for (const auto& [name, number] : numbers) texts.insert(texts.end(), {name, absl::StrCat(number)});
  return state_->Set(NumbersName(table), EncodeKey(texts));
}

absl::StatusOr<std::map<std::string, std::string>> ColumnHistory::RenamedHere(TableId table, const TableShape& shape) {
  ASSAY_ASSIGN_OR_RETURN(const auto numbers, Numbers(table));
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
  ASSAY_ASSIGN_OR_RETURN(const uint64_t sequence, state_->GetNumber(DeclaredName(origin, table), 0));
  if (sequence == 0) return std::nullopt;
  return Sequence{sequence};
}

absl::Status ColumnHistory::NoteDeclared(const OriginId& origin, TableId table, Sequence sequence) {
  ASSAY_ASSIGN_OR_RETURN(const std::optional<Sequence> before, NewestDeclared(origin, table));
  if (before.has_value() && *before != sequence) {
    ASSAY_ASSIGN_OR_RETURN(const auto old_schema, names_->Schema(origin, *before));
    ASSAY_ASSIGN_OR_RETURN(const auto new_schema, names_->Schema(origin, sequence));
    for (const auto& was : old_schema->schema.columns()) {
      for (const auto& is : new_schema->schema.columns()) {
        if (was.number() == 0 || was.number() != is.number() || was.name() == is.name()) continue;
        ASSAY_RETURN_IF_ERROR(state_->SetNumber(RenamesName(table), 1));
      }
    }
  }
  return state_->SetNumber(DeclaredName(origin, table), sequence.value);
}

absl::StatusOr<bool> ColumnHistory::RenamedElsewhere(TableId table) {
  ASSAY_ASSIGN_OR_RETURN(const uint64_t renames, state_->GetNumber(RenamesName(table), 0));
  return renames != 0;
}

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

absl::StatusOr<ColumnHistory::Nulls*> ColumnHistory::LoadNulls() {
  if (nulls_.has_value()) return &*nulls_;
  Nulls nulls;
  ASSAY_ASSIGN_OR_RETURN(const std::optional<std::string> stored, state_->Get(kNulls));
  ASSAY_ASSIGN_OR_RETURN(const std::vector<std::string> texts, DecodeKey(stored.value_or("")));
  for (size_t i = 0; i + 3 <= texts.size(); i += 3) {
    TableId table;
    ColumnId column;
    HlcStamp stamp;
    if (!absl::SimpleAtoi(texts[i], &table.value) || !absl::SimpleAtoi(texts[i + 1], &column.value) ||
        !absl::SimpleAtoi(texts[i + 2], &stamp.value)) {
      return Damaged();
    }
    nulls[{table, column}] = stamp;
  }
  nulls_ = std::move(nulls);
  return &*nulls_;
}

absl::Status ColumnHistory::StoreNulls() {
  std::vector<std::string> texts;
  for (const auto& [column, stamp] : *nulls_) {
    texts.insert(texts.end(),
                 {absl::StrCat(column.first.value), absl::StrCat(column.second.value), absl::StrCat(stamp.value)});
  }
  return state_->Set(kNulls, EncodeKey(texts));
}

absl::Status ColumnHistory::NoteNull(TableId table, ColumnId column, HlcStamp stamp) {
  ASSAY_ASSIGN_OR_RETURN(Nulls * nulls, LoadNulls());
  const auto [it, is_new] = nulls->try_emplace({table, column}, stamp);
  if (!is_new && it->second <= stamp) return absl::OkStatus();
  it->second = stamp;
  return StoreNulls();
}

absl::StatusOr<std::set<TableId>> ColumnHistory::TablesWithNulls() {
  ASSAY_ASSIGN_OR_RETURN(const Nulls* nulls, LoadNulls());
  std::set<TableId> tables;
  for (const auto& [column, _] : *nulls) tables.insert(column.first);
  return tables;
}

absl::StatusOr<std::map<ColumnId, HlcStamp>> ColumnHistory::TakeAppeared(TableId table, const TableShape& shape) {
  ASSAY_ASSIGN_OR_RETURN(Nulls * nulls, LoadNulls());
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
