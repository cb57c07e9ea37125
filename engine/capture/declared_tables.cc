#include "engine/capture/declared_tables.h"

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/merkle_tree.h"

namespace assay {
namespace {

uint64_t Fingerprint(const TableShape& shape) {
  std::string text;
  for (const TableColumn& column : shape.columns) {
    absl::StrAppend(&text, column.name, " ", column.type);
    if (column.number != 0) absl::StrAppend(&text, " ", column.number);
    absl::StrAppend(&text, "\n");
  }
  for (uint32_t key : shape.key) absl::StrAppend(&text, key, ",");
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

}  // namespace

void DeclaredTables::Clear() {
  declared_.clear();
  history_.Clear();
  keyed_.clear();
  in_chain_.clear();
}

absl::StatusOr<const DeclaredTable*> DeclaredTables::Describe(const std::shared_ptr<const TableShape>& shape) {
  const auto known = declared_.find(shape.get());
  if (known != declared_.end()) return known->second.second.get();
  auto table = std::make_unique<DeclaredTable>();
  table->name = shape->name.ToString();
  table->fingerprint = Fingerprint(*shape);
  ASSAY_ASSIGN_OR_RETURN(table->table, names_->IdOf(shape->name));
  ASSAY_RETURN_IF_ERROR(history_.Note(table->table, *shape));
  table->is_key.resize(shape->columns.size());
  for (uint32_t key : shape->key) table->is_key[key] = true;
  for (const TableColumn& column : shape->columns) {
    ASSAY_ASSIGN_OR_RETURN(const ColumnId id, names_->ColumnIdOf(table->table, column.name));
    table->columns.push_back(id);
  }
  const auto policy = config_.policies.find(shape->name);
  table->moves_with =
      MovesWith(*shape, table->is_key, policy == config_.policies.end() ? TablePolicy{} : policy->second);
  return declared_.emplace(shape.get(), std::pair(shape, std::move(table))).first->second.second.get();
}

absl::StatusOr<DeclaredShape*> DeclaredTables::NewestOf(const std::string& table) {
  const auto known = in_chain_.find(table);
  if (known != in_chain_.end()) return &known->second;
  ASSAY_ASSIGN_OR_RETURN(const DeclaredShape stored, state_->Read(kShapeNote, table));
  return &in_chain_.emplace(table, stored).first->second;
}

// A table that was dropped before its rows were captured has no key in the catalog any more; this chain may remember
// it. When nobody knows it the rows are kept all the same, and nobody can write them.
absl::StatusOr<std::shared_ptr<const TableShape>> DeclaredTables::WithKnownKey(
    const std::shared_ptr<const TableShape>& shape) {
  auto [it, unknown] = keyed_.try_emplace(shape.get(), shape, shape);
  if (!unknown) return it->second.second;
  ASSAY_ASSIGN_OR_RETURN(const DeclaredShape* newest, NewestOf(shape->name.ToString()));
  if (newest->sequence.value == 0) return shape;
  ASSAY_ASSIGN_OR_RETURN(const auto declared, names_->Schema(own_, newest->sequence));
  TableShape keyed = *shape;
  for (uint32_t ordinal : declared->key) {
    for (uint32_t i = 0; i < keyed.columns.size(); ++i) {
      if (keyed.columns[i].name == declared->schema.columns(ordinal).name()) keyed.key.push_back(i);
    }
  }
  if (keyed.key.size() == declared->key.size())
    it->second.second = std::make_shared<const TableShape>(std::move(keyed));
  return it->second.second;
}

absl::StatusOr<Sequence> DeclaredTables::InChain(const DeclaredTable& table) {
  ASSAY_ASSIGN_OR_RETURN(const DeclaredShape* newest, NewestOf(table.name));
  return newest->fingerprint == table.fingerprint ? newest->sequence : Sequence{};
}

absl::Status DeclaredTables::Declare(const DeclaredTable& table, Sequence sequence) {
  ASSAY_ASSIGN_OR_RETURN(DeclaredShape * newest, NewestOf(table.name));
  *newest = {table.fingerprint, sequence};
  return state_->Write(kShapeNote, *newest, table.name);
}

void SetSchema(const TableShape& shape, uint64_t fingerprint, v1::TableSchema* schema) {
  schema->set_schema_name(shape.name.schema);
  schema->set_table_name(shape.name.table);
  for (const TableColumn& column : shape.columns) {
    v1::TableSchema::Column* added = schema->add_columns();
    added->set_name(column.name);
    added->set_type(column.type);
    added->set_not_null(column.not_null);
    added->set_number(column.number);
  }
  for (uint32_t key : shape.key) schema->add_key(key);
  schema->set_fingerprint(fingerprint);
}

}  // namespace assay
