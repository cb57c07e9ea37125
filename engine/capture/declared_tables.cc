#include "engine/capture/declared_tables.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/bytes.h"
#include "log/merkle_tree.h"

namespace assay {
namespace {

uint64_t Fingerprint(const TableShape& shape, const DeclaredTable& table) {
  std::string text;
  for (size_t i = 0; i < shape.columns.size(); ++i) {
    const TableColumn& column = shape.columns[i];
    for (const std::string& part : {column.name, column.type, column.definition, absl::StrCat(column.number)})
      PutSized(&text, part);
    for (const std::string& former : table.former[i]) PutSized(&text, former);
    text += '\n';
  }
  for (const uint32_t ordinal : table.key.ordinals) absl::StrAppend(&text, ordinal, ",");
  const Hash hash = Sha256(text);
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | hash[i];
  return value;
}

// Per column of `shape`, the ordinals that `policy` writes along with it.
std::vector<std::vector<uint32_t>> MovesWith(const TableShape& shape, const std::vector<bool>& is_key,
                                             const TablePolicy& policy) {
  std::map<std::string, uint32_t> ordinals;
  for (size_t i = 0; i < shape.columns.size(); ++i) {
    if (!is_key[i]) ordinals[shape.columns[i].name] = i;
  }
  std::vector<std::vector<uint32_t>> groups;
  if (policy.whole_row) {
    groups.emplace_back();
    for (const auto& [_, ordinal] : ordinals) groups.back().push_back(ordinal);
  }
  for (const std::vector<std::string>& group : policy.column_groups) {
    groups.emplace_back();
    for (const std::string& column : group) {
      if (auto at = ordinals.find(column); at != ordinals.end()) groups.back().push_back(at->second);
    }
  }
  std::vector<std::vector<uint32_t>> moves_with(shape.columns.size());
  for (const std::vector<uint32_t>& group : groups) {
    for (uint32_t member : group) moves_with[member].insert(moves_with[member].end(), group.begin(), group.end());
  }
  return moves_with;
}

// The same column of two descriptions: its number tells, and else its name.
bool IsColumn(const v1::TableSchema::Column& declared, const TableColumn& column) {
  if (declared.number() != 0 && column.number != 0) return declared.number() == column.number;
  return declared.name() == column.name;
}

bool HasKey(const TableShape& shape, absl::Span<const TupleValue> tuple) {
  return tuple.empty() || std::none_of(shape.key.begin(), shape.key.end(), [&](uint32_t ordinal) {
           return ordinal >= tuple.size() || tuple[ordinal].kind == TupleValue::Kind::kNull;
         });
}

}  // namespace

void DeclaredTables::Clear() {
  declared_.clear();
  history_.Clear();
  keyed_.clear();
  unfilled_.clear();
  in_chain_.clear();
}

absl::StatusOr<const DeclaredTable*> DeclaredTables::Describe(const std::shared_ptr<const TableShape>& shape) {
  const auto known = declared_.find(shape.get());
  if (known != declared_.end()) return known->second.second.get();
  auto table = std::make_unique<DeclaredTable>();
  table->shape = shape;
  table->name = shape->name.ToString();
  ASSAY_ASSIGN_OR_RETURN(table->newest, NewestOf(table->name));
  const auto check = [&table, &shape] {
    v1::Event declaration;
    SetSchema(*shape, *table, declaration.mutable_schema());
    table->refusal = ReadSchema(declaration.SerializeAsString()).status();
    return table->refusal.ok();
  };
  const auto done = [&] {
    return declared_.emplace(shape.get(), std::pair(shape, std::move(table))).first->second.second.get();
  };
  table->former.resize(shape->columns.size());
  table->key.ordinals = shape->key;
  const bool names_columns = std::all_of(shape->key.begin(), shape->key.end(),
                                         [&](uint32_t ordinal) { return ordinal < shape->columns.size(); });
  if (names_columns) table->key = ColumnHistory::KeyOf(*shape, table->former);
  if (!check()) return done();
  ASSAY_ASSIGN_OR_RETURN(table->table, names_->IdOf(shape->name));
  ASSAY_RETURN_IF_ERROR(history_.Note(table->table, *shape));
  ASSAY_ASSIGN_OR_RETURN(table->former, history_.Former(table->table, *shape));
  table->key = ColumnHistory::KeyOf(*shape, table->former);
  table->fingerprint = Fingerprint(*shape, *table);
  if (!check()) return done();
  table->is_key.resize(shape->columns.size());
  for (uint32_t key : shape->key) table->is_key[key] = true;
  for (const TableColumn& column : shape->columns) {
    ASSAY_ASSIGN_OR_RETURN(const ColumnId id, names_->ColumnIdOf(table->table, column.name));
    table->columns.push_back(id);
  }
  const auto policy = config_.policies.find(shape->name);
  table->moves_with =
      MovesWith(*shape, table->is_key, policy == config_.policies.end() ? TablePolicy{} : policy->second);
  return done();
}

absl::StatusOr<DeclaredShape*> DeclaredTables::NewestOf(const std::string& table) {
  const auto known = in_chain_.find(table);
  if (known != in_chain_.end()) return &known->second;
  ASSAY_ASSIGN_OR_RETURN(const DeclaredShape stored, state_->Read(kShapeNote, table));
  return &in_chain_.emplace(table, stored).first->second;
}

absl::StatusOr<std::shared_ptr<const TableShape>> DeclaredTables::WithDeclaredKey(
    const std::shared_ptr<const TableShape>& shape) {
  auto [it, unknown] = keyed_.try_emplace(shape.get(), shape, nullptr);
  if (!unknown) return it->second.second;
  ASSAY_ASSIGN_OR_RETURN(const DeclaredShape* newest, NewestOf(shape->name.ToString()));
  if (newest->sequence.value == 0) return nullptr;
  ASSAY_ASSIGN_OR_RETURN(const auto declared, names_->Schema(own_, newest->sequence));
  TableShape keyed = *shape;
  keyed.key.clear();
  for (uint32_t ordinal : declared->key) {
    for (uint32_t i = 0; i < keyed.columns.size(); ++i) {
      if (IsColumn(declared->schema.columns(static_cast<int>(ordinal)), keyed.columns[i])) keyed.key.push_back(i);
    }
  }
  if (keyed.key.size() != declared->key.size()) return nullptr;
  keyed.OrderKey();
  it->second.second = keyed.key == shape->key ? shape : std::make_shared<const TableShape>(std::move(keyed));
  return it->second.second;
}

absl::StatusOr<DeclaredTables::InForce> DeclaredTables::OfRow(const std::shared_ptr<const TableShape>& shape,
                                                              absl::Span<const TupleValue> before,
                                                              absl::Span<const TupleValue> after) {
  ASSAY_ASSIGN_OR_RETURN(const DeclaredTable* table, Describe(shape));
  if (table->newest->sequence.value == 0 || table->newest->fingerprint == table->fingerprint) return InForce{table};
  ASSAY_ASSIGN_OR_RETURN(const auto known, WithDeclaredKey(shape));
  if (known == shape) return InForce{table};
  const bool filled = !shape->key.empty() && HasKey(*shape, before) && HasKey(*shape, after);
  if (!filled) unfilled_.insert(table->name);
  if (known == nullptr || !unfilled_.contains(table->name)) return InForce{table, /*key_moves=*/true};
  ASSAY_ASSIGN_OR_RETURN(table, Describe(known));
  return InForce{table};
}

absl::StatusOr<const DeclaredTable*> DeclaredTables::OfRowsInChain(const std::shared_ptr<const TableShape>& shape) {
  ASSAY_ASSIGN_OR_RETURN(const auto known, WithDeclaredKey(shape));
  return Describe(known == nullptr ? shape : known);
}

absl::StatusOr<Sequence> DeclaredTables::InChain(const DeclaredTable& table) {
  ASSAY_ASSIGN_OR_RETURN(const DeclaredShape* newest, NewestOf(table.name));
  return newest->fingerprint == table.fingerprint ? newest->sequence : Sequence{};
}

absl::Status DeclaredTables::Declare(const DeclaredTable& table, Sequence sequence) {
  ASSAY_ASSIGN_OR_RETURN(DeclaredShape * newest, NewestOf(table.name));
  *newest = {table.fingerprint, sequence};
  keyed_.clear();
  return state_->Write(kShapeNote, *newest, table.name);
}

void SetSchema(const TableShape& shape, const DeclaredTable& table, v1::TableSchema* schema) {
  schema->set_schema_name(shape.name.schema);
  schema->set_table_name(shape.name.table);
  for (size_t i = 0; i < shape.columns.size(); ++i) {
    const TableColumn& column = shape.columns[i];
    v1::TableSchema::Column* added = schema->add_columns();
    added->set_name(column.name);
    added->set_type(column.type);
    added->set_not_null(column.not_null);
    added->set_number(column.number);
    if (!column.definition.empty()) added->set_definition(column.definition);
    for (const std::string& former : table.former[i]) added->add_former(former);
  }
  for (const uint32_t ordinal : table.key.ordinals) schema->add_key(ordinal);
  schema->set_fingerprint(table.fingerprint);
}

}  // namespace assay
