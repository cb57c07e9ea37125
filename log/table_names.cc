#include "log/table_names.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/bytes.h"
#include "log/check.h"
#include "log/merkle_tree.h"

namespace assay {
namespace {

const std::string& FirstName(const v1::TableSchema::Column& column) {
  return column.former().empty() ? column.name() : column.former(0);
}

absl::Status CheckSchema(const v1::TableSchema& schema) {
  if (schema.schema_name().empty() || schema.table_name().empty())
    return absl::InvalidArgumentError("a table without a name");
  std::set<absl::string_view> names;
  for (const auto& column : schema.columns()) {
    if (column.name().empty() || !names.insert(column.name()).second) {
      return absl::InvalidArgumentError(absl::StrCat("a column without a name of its own: \"", column.name(), "\""));
    }
  }
  std::set<uint32_t> key;
  for (const uint32_t ordinal : schema.key()) {
    if (ordinal >= static_cast<uint32_t>(schema.columns_size()) || !key.insert(ordinal).second) {
      return absl::InvalidArgumentError(absl::StrCat("a key column that is not there or twice: ", ordinal));
    }
  }
  if (key.empty()) return absl::InvalidArgumentError("a table without a primary key");
  for (int i = 1; i < schema.key_size(); ++i) {
    if (FirstName(schema.columns(static_cast<int>(schema.key(i - 1)))) >=
        FirstName(schema.columns(static_cast<int>(schema.key(i)))))
      return absl::InvalidArgumentError("a key whose columns are not in the order of their names");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::TableSchema> ReadSchema(absl::string_view bytes) {
  v1::Event event;
  if (!event.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || !event.has_schema())
    return absl::InvalidArgumentError("no table schema");
  ASSAY_RETURN_IF_ERROR(CheckSchema(event.schema()));
  return std::move(*event.mutable_schema());
}

uint64_t KeyColumns(absl::Span<const std::string> names) {
  std::string text;
  for (const std::string& name : names) PutSized(&text, name);
  const Hash hash = Sha256(text);
  uint64_t columns = 0;
  for (size_t i = 0; i < sizeof(columns); ++i) columns = columns << 8 | hash[i];
  return columns;
}

absl::StatusOr<std::unique_ptr<TableNames>> TableNames::Open(LogFile* file, EventLog* log) {
  std::unique_ptr<TableNames> names(new TableNames(file, log));
  ASSAY_RETURN_IF_ERROR(names->Load());
  TableNames* raw = names.get();
  raw->participation_ = file->AddParticipant([raw] { return raw->BeforeCommit(); }, [raw] { return raw->Load(); });
  return names;
}

absl::Status TableNames::Refresh() { return file_->read_only() ? Load() : absl::OkStatus(); }

absl::Status TableNames::Load() {
  tables_.clear();
  ids_.clear();
  schemas_.clear();
  unwritten_.clear();
  ASSAY_ASSIGN_OR_RETURN(Statement tables,
                         file_->Prepare("SELECT id, schema_name, table_name FROM table_name ORDER BY id"));
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool row, tables.Step());
    if (!row) break;
    if (tables.Int("id") != static_cast<int64_t>(tables_.size()))
      return absl::DataLossError("the log's tables are not numbered from 0");
    AddTable({std::string(tables.Blob("schema_name")), std::string(tables.Blob("table_name"))});
  }
  ASSAY_ASSIGN_OR_RETURN(Statement columns,
                         file_->Prepare("SELECT table_id, id, name FROM column_name ORDER BY table_id, id"));
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const bool row, columns.Step());
    if (!row) return absl::OkStatus();
    const uint64_t table = static_cast<uint64_t>(columns.Int("table_id"));
    if (table >= tables_.size() || columns.Int("id") != static_cast<int64_t>(tables_[table].columns.size())) {
      return absl::DataLossError("the log's columns are not numbered from 0");
    }
    AddColumn(tables_[table], columns.Blob("name"));
  }
}

TableId TableNames::AddTable(const TableName& name) {
  const TableId id{static_cast<uint32_t>(tables_.size())};
  tables_.push_back({name, {}, {}});
  ids_[name] = id;
  return id;
}

ColumnId TableNames::AddColumn(Table& table, absl::string_view column) {
  const ColumnId id{static_cast<uint32_t>(table.columns.size())};
  table.columns.emplace_back(column);
  table.column_ids[std::string(column)] = id;
  return id;
}

absl::StatusOr<TableId> TableNames::IdOf(const TableName& name) {
  if (const auto found = ids_.find(name); found != ids_.end()) return found->second;
  const TableId id = AddTable(name);
  unwritten_.push_back({id, std::nullopt});
  return id;
}

absl::StatusOr<ColumnId> TableNames::ColumnIdOf(TableId table, absl::string_view column) {
  ASSAY_CHECK(table.value < tables_.size());
  Table& entry = tables_[table.value];
  if (const auto found = entry.column_ids.find(column); found != entry.column_ids.end()) return found->second;
  const ColumnId id = AddColumn(entry, column);
  unwritten_.push_back({table, id});
  return id;
}

const TableName& TableNames::NameOf(TableId table) const {
  ASSAY_CHECK(table.value < tables_.size());
  return tables_[table.value].name;
}

const std::string& TableNames::ColumnNameOf(TableId table, ColumnId column) const {
  ASSAY_CHECK(table.value < tables_.size() && column.value < tables_[table.value].columns.size());
  return tables_[table.value].columns[column.value];
}

absl::Status TableNames::BeforeCommit() {
  if (unwritten_.empty()) return absl::OkStatus();
  ASSAY_ASSIGN_OR_RETURN(Statement add_table, file_->Prepare("INSERT INTO table_name VALUES (?1, ?2, ?3)"));
  ASSAY_ASSIGN_OR_RETURN(Statement add_column, file_->Prepare("INSERT INTO column_name VALUES (?1, ?2, ?3)"));
  for (const auto& [id, column] : unwritten_) {
    const Table& table = tables_[id.value];
    if (column) {
      const std::string& name = table.columns[column->value];
      ASSAY_RETURN_IF_ERROR(add_column.BindInt(1, id.value).BindInt(2, column->value).BindText(3, name).Run());
    } else {
      ASSAY_RETURN_IF_ERROR(
          add_table.BindInt(1, id.value).BindText(2, table.name.schema).BindText(3, table.name.table).Run());
    }
  }
  unwritten_.clear();
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const ResolvedSchema>> TableNames::Schema(const OriginId& origin, Sequence sequence) {
  const std::pair<OriginId, Sequence> place{origin, sequence};
  if (const auto found = schemas_.find(place); found != schemas_.end()) return found->second;
  ASSAY_ASSIGN_OR_RETURN(const std::string bytes, log_->ReadEvent(origin, sequence));
  absl::StatusOr<v1::TableSchema> schema = ReadSchema(bytes);
  if (!schema.ok()) return Annotate(schema.status(), EventName(origin, sequence));

  auto resolved = std::make_shared<ResolvedSchema>();
  resolved->schema = *std::move(schema);
  resolved->name = {resolved->schema.schema_name(), resolved->schema.table_name()};
  ASSAY_ASSIGN_OR_RETURN(resolved->table, IdOf(resolved->name));
  for (const auto& column : resolved->schema.columns()) {
    ASSAY_ASSIGN_OR_RETURN(const ColumnId id, ColumnIdOf(resolved->table, column.name()));
    resolved->columns.push_back(id);
  }
  resolved->key.assign(resolved->schema.key().begin(), resolved->schema.key().end());
  for (const uint32_t ordinal : resolved->key)
    resolved->key_names.push_back(FirstName(resolved->schema.columns(static_cast<int>(ordinal))));
  resolved->key_columns = KeyColumns(resolved->key_names);
  schemas_[place] = resolved;
  return resolved;
}

}  // namespace assay
