#include "adapters/postgres/row_statements.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "adapters/libpq/array_text.h"
#include "adapters/libpq/sqlstate.h"
#include "adapters/postgres/came_back.h"
#include "log/annotate.h"
#include "log/check.h"
#include "log/row_versions/row_ref.h"

namespace assay {
namespace {

// What stands before the table's own columns in an answer. Read by number: the table may have columns of any name.
constexpr Result::Column kNumber = Result::Column::At(0);  // k.n, of the row in the parameters, from 1.
constexpr Result::Column kXmin = Result::Column::At(1);

// Arrays as parameters, and the FROM item that makes rows of them: "unnest($1::text[], …) WITH ORDINALITY AS k (c1, …,
// n)".
class Rows {
 public:
  explicit Rows(size_t columns) : arrays_(columns) {}

  ArrayText& operator[](size_t column) { return arrays_[column]; }
  std::string From() const {
    std::string arrays, names;
    for (size_t i = 1; i <= arrays_.size(); ++i) {
      absl::StrAppend(&arrays, i == 1 ? "" : ", ", "$", i, "::pg_catalog.text[]");
      absl::StrAppend(&names, "c", i, ", ");
    }
    return absl::StrCat("unnest(", arrays, ") WITH ORDINALITY AS k (", names, "n)");
  }
  absl::StatusOr<Result> Execute(Connection& connection, const std::string& sql) {
    std::vector<Parameter> parameters;
    for (ArrayText& array : arrays_) parameters.emplace_back(array.text());
    return connection.ExecutePrepared(sql, parameters);
  }

 private:
  std::vector<ArrayText> arrays_;
};

// Column `number` (from 1) of k, as the type of the table's column.
std::string Cast(const LocalTable& table, size_t column, size_t number) {
  return absl::StrCat("k.c", number, "::", table.columns[column].cast);
}

// "t.a = k.c1::integer AND …" over the key, with the operator of the key's index so that it is used.
std::string KeyCondition(const LocalTable& table) {
  std::string condition;
  for (size_t i = 0; i < table.shape.key.size(); ++i) {
    const LocalTable::Column& column = table.columns[table.shape.key[i]];
    absl::StrAppend(&condition, i == 0 ? "" : " AND ", "t.", column.quoted, " ", column.equals, " ",
                    Cast(table, table.shape.key[i], i + 1));
  }
  return condition;
}

ReadReply::Row RowAt(const LocalTable& table, const Result& result, int row, int first_column) {
  ReadReply::Row found{.exists = true};
  int column = first_column;
  for (const TableColumn& shape : table.shape.columns) {
    found.values.push_back(shape.generated ? std::nullopt : result.Value(row, Result::Column::At(column++)));
  }
  return found;
}

// ", t.a, t.b": all but the generated ones, and never cast to text, which is not always the type's own text (boolean,
// character).
std::string SelectList(const LocalTable& table) {
  std::string list;
  for (size_t i = 0; i < table.columns.size(); ++i) {
    if (!table.shape.columns[i].generated) absl::StrAppend(&list, ", t.", table.columns[i].quoted);
  }
  return list;
}

template <typename Key>
void AddKey(const Key& key, const LocalTable& table, Rows* rows) {
  ASSAY_CHECK(key.size() == table.shape.key.size());
  for (size_t i = 0; i < key.size(); ++i) (*rows)[i].Add(absl::string_view(key[i]));
}

std::vector<uint32_t> Missing(absl::Span<const uint32_t> rows, const Result& matched) {
  std::vector<bool> seen(rows.size());
  for (int row = 0; row < matched.rows(); ++row) seen[matched.Int64(row, kNumber) - 1] = true;
  std::vector<uint32_t> missing;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!seen[i]) missing.push_back(rows[i]);
  }
  return missing;
}

absl::StatusOr<std::vector<uint32_t>> InsertRows(Connection& connection, const LocalTable& table,
                                                 const TableWrites& writes, absl::Span<const uint32_t> rows) {
  const size_t keys = table.shape.key.size();
  Rows k(keys + writes.columns.size());
  for (uint32_t row : rows) {
    const RowWrite& write = writes.rows[row];
    AddKey(write.row.KeyParts(), table, &k);
    for (size_t i = 0; i < writes.columns.size(); ++i) k[keys + i].Add(writes.Value(write, i));
  }
  const CameBack came_back(table, writes, rows);
  std::string names, values, key_names, returned_keys;
  for (size_t i = 0; i < keys; ++i) {
    const LocalTable::Column& column = table.columns[table.shape.key[i]];
    absl::StrAppend(&key_names, i == 0 ? "" : ", ", column.quoted);
    absl::StrAppend(&returned_keys, i == 0 ? "" : ", ", "t.", column.quoted);
    absl::StrAppend(&values, i == 0 ? "" : ", ", Cast(table, table.shape.key[i], i + 1));
  }
  for (size_t i = 0; i < writes.columns.size(); ++i) {
    const int column = table.FindWritable(writes.columns[i]);
    ASSAY_CHECK(column >= 0);
    absl::StrAppend(&names, ", ", table.columns[column].quoted);
    absl::StrAppend(&values, ", ", Cast(table, column, keys + i + 1));
  }
  // A key that is there already, or comes to be there while this runs, is left alone and told: nothing of the batch may
  // be kept.
  ASSAY_ASSIGN_OR_RETURN(
      const Result inserted,
      k.Execute(connection, absl::StrCat("INSERT INTO ", table.quoted, " AS t (", key_names, names,
                                         ") OVERRIDING SYSTEM VALUE SELECT ", values, " FROM ", k.From(),
                                         " ORDER BY k.n ON CONFLICT (", key_names, ") DO NOTHING RETURNING ",
                                         returned_keys, came_back.returning())));
  absl::flat_hash_map<std::string, int> done;  // By EncodeKey, to the row of the result.
  for (int row = 0; row < inserted.rows(); ++row) {
    RowKey key;
    for (size_t i = 0; i < keys; ++i) key.push_back(inserted.String(row, Result::Column::At(static_cast<int>(i))));
    done[EncodeKey(key)] = row;
  }
  std::vector<uint32_t> not_done;
  for (uint32_t row : rows) {
    const auto at = done.find(writes.rows[row].row.key());
    if (at == done.end()) {
      not_done.push_back(row);
    } else {
      ASSAY_RETURN_IF_ERROR(came_back.Check(writes.rows[row], inserted, at->second, static_cast<int>(keys)));
    }
  }
  return not_done;
}

bool HasKey(const LocalTable& table, const RowKey& key, const ReadReply::Row& row) {
  for (size_t i = 0; i < key.size(); ++i) {
    if (row.values[table.shape.key[i]] != key[i]) return false;
  }
  return true;
}

// Rows with a key that PostgreSQL takes for one of `keys`.
absl::StatusOr<std::vector<FoundRow>> SelectEqual(Connection& connection, const LocalTable& table,
                                                  absl::Span<const RowKey> keys, bool lock) {
  std::vector<FoundRow> found;
  if (keys.empty()) return found;
  Rows k(table.shape.key.size());
  for (const RowKey& key : keys) AddKey(key, table, &k);
  std::string sql = absl::StrCat("SELECT k.n, t.xmin", SelectList(table), " FROM ", k.From(), " JOIN ", table.only,
                                 " AS t ON ", KeyCondition(table));
  if (lock) {
    absl::StrAppend(&sql, " ORDER BY ");
    for (size_t i = 0; i < table.shape.key.size(); ++i) {
      absl::StrAppend(&sql, i == 0 ? "" : ", ", Cast(table, table.shape.key[i], i + 1));
    }
    absl::StrAppend(&sql, " FOR UPDATE OF t");
  }
  ASSAY_ASSIGN_OR_RETURN(const Result result, k.Execute(connection, sql));
  for (int row = 0; row < result.rows(); ++row) {
    FoundRow one{static_cast<size_t>(result.Int64(row, kNumber) - 1), RowAt(table, result, row, kXmin.number() + 1)};
    one.row.xmin = static_cast<uint32_t>(result.Int64(row, kXmin));
    found.push_back(std::move(one));
  }
  return found;
}

}  // namespace

absl::StatusOr<std::vector<FoundRow>> SelectRows(Connection& connection, const LocalTable& table,
                                                 absl::Span<const RowKey> keys, bool lock) {
  ASSAY_ASSIGN_OR_RETURN(std::vector<FoundRow> found, SelectEqual(connection, table, keys, lock));
  std::erase_if(found, [&](const FoundRow& one) { return !HasKey(table, keys[one.key], one.row); });
  return found;
}

absl::StatusOr<std::vector<KeyFound>> FindKeys(Connection& connection, const LocalTable& table,
                                               const TableWrites& writes, absl::Span<const uint32_t> rows) {
  std::vector<RowKey> keys;
  for (uint32_t row : rows) {
    const PackedRow::KeyTexts key = writes.rows[row].row.KeyParts();
    keys.emplace_back(key.begin(), key.end());
  }
  ASSAY_ASSIGN_OR_RETURN(const std::vector<FoundRow> found, SelectEqual(connection, table, keys, /*lock=*/false));
  std::vector<KeyFound> result(rows.size(), KeyFound::kNot);
  for (const FoundRow& one : found)
    result[one.key] = HasKey(table, keys[one.key], one.row) ? KeyFound::kThere : KeyFound::kOtherSpelling;
  return result;
}

namespace {

// Locked, so that whoever is writing such a row is waited for, and nobody does before the commit. FOR KEY SHARE would
// let an update pass.
absl::StatusOr<std::vector<uint32_t>> KeepRows(Connection& connection, const LocalTable& table,
                                               const TableWrites& writes, absl::Span<const uint32_t> rows) {
  const size_t keys = table.shape.key.size();
  Rows k(keys + 1);
  for (uint32_t row : rows) {
    AddKey(writes.rows[row].row.KeyParts(), table, &k);
    k[keys].Add(absl::string_view(absl::StrCat(writes.rows[row].xmin)));
  }
  ASSAY_ASSIGN_OR_RETURN(const Result kept,
                         k.Execute(connection, absl::StrCat("SELECT k.n FROM ", k.From(), " JOIN ", table.only,
                                                            " AS t ON ", KeyCondition(table), " AND t.xmin = k.c",
                                                            keys + 1, "::pg_catalog.xid FOR SHARE OF t")));
  return Missing(rows, kept);
}

}  // namespace

absl::StatusOr<std::vector<uint32_t>> ApplyRows(Connection& connection, const LocalTable& table,
                                                const TableWrites& writes, absl::Span<const uint32_t> rows,
                                                bool compare_xmin) {
  const RowWrite::Operation operation = writes.rows[rows[0]].operation;
  if (operation == RowWrite::Operation::kInsert) return InsertRows(connection, table, writes, rows);
  if (operation == RowWrite::Operation::kKeep) {
    if (!compare_xmin) return std::vector<uint32_t>();  // Locked since they were read.
    return KeepRows(connection, table, writes, rows);
  }
  const bool update = operation == RowWrite::Operation::kUpdate;
  const size_t keys = table.shape.key.size();
  const size_t first_value = keys + (compare_xmin ? 1 : 0);
  Rows k(first_value + (update ? writes.columns.size() : 0));
  for (uint32_t row : rows) {
    const RowWrite& write = writes.rows[row];
    ASSAY_CHECK(write.operation == operation);
    AddKey(write.row.KeyParts(), table, &k);
    if (compare_xmin) k[keys].Add(absl::string_view(absl::StrCat(write.xmin)));
    for (size_t i = 0; update && i < writes.columns.size(); ++i) k[first_value + i].Add(writes.Value(write, i));
  }
  std::string sql;
  if (update) {
    sql = absl::StrCat("UPDATE ", table.only, " AS t SET ");
    for (size_t i = 0; i < writes.columns.size(); ++i) {
      const int column = table.FindWritable(writes.columns[i]);
      ASSAY_CHECK(column >= 0);
      absl::StrAppend(&sql, i == 0 ? "" : ", ", table.columns[column].quoted, " = ",
                      Cast(table, column, first_value + i + 1));
    }
    // Nothing to set is still a write: it takes the row, and is seen in capture.
    const std::string& key = table.columns[table.shape.key[0]].quoted;
    if (writes.columns.empty()) absl::StrAppend(&sql, key, " = t.", key);
    absl::StrAppend(&sql, " FROM ");
  } else {
    sql = absl::StrCat("DELETE FROM ", table.only, " AS t USING ");
  }
  absl::StrAppend(&sql, k.From(), " WHERE ", KeyCondition(table));
  // If another session's write of the row is waited for here, the condition is checked again on what it left.
  if (compare_xmin) absl::StrAppend(&sql, " AND t.xmin = k.c", keys + 1, "::pg_catalog.xid");
  const CameBack came_back(table, writes, update ? rows : absl::Span<const uint32_t>());
  absl::StrAppend(&sql, " RETURNING k.n", came_back.returning());
  ASSAY_ASSIGN_OR_RETURN(const Result matched, k.Execute(connection, sql));
  for (int row = 0; row < matched.rows() && !came_back.Sure(); ++row) {
    ASSAY_RETURN_IF_ERROR(
        came_back.Check(writes.rows[rows[matched.Int64(row, kNumber) - 1]], matched, row, kNumber.number() + 1));
  }
  return Missing(rows, matched);
}

absl::StatusOr<std::vector<ColumnText>> TakeRow(Connection& connection, const LocalTable& table, const RowWrite& write,
                                                bool compare_xmin) {
  const size_t keys = table.shape.key.size();
  Rows k(keys + 1);
  AddKey(write.row.KeyParts(), table, &k);
  k[keys].Add(absl::string_view(absl::StrCat(write.xmin)));
  ASSAY_ASSIGN_OR_RETURN(
      const Result result,
      k.Execute(connection,
                absl::StrCat("DELETE FROM ", table.only, " AS t USING ", k.From(), " WHERE ", KeyCondition(table),
                             compare_xmin ? absl::StrCat(" AND t.xmin = k.c", keys + 1, "::pg_catalog.xid") : "",
                             " RETURNING k.n", SelectList(table))));
  if (result.rows() != 1) return absl::NotFoundError("the row is not the version that was read");
  return RowAt(table, result, 0, kNumber.number() + 1).values;
}

}  // namespace assay
