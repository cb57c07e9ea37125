#include "adapters/postgres/answer_check.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/libpq/sqlstate.h"
#include "adapters/postgres/came_back.h"
#include "adapters/postgres/savepoint.h"
#include "log/annotate.h"

namespace assay {

namespace {

bool Has(const std::vector<ProjectReply::Row>& rows, uint32_t table, uint32_t row) {
  return std::any_of(rows.begin(), rows.end(),
                     [&](const ProjectReply::Row& other) { return other.table == table && other.row == row; });
}

}  // namespace

absl::Status AnswerCheck::Lock(Table& table, size_t first, size_t count) {
  const LocalTable& local = catalog_->Find(request_->writes[table.table].name);
  ASSAY_ASSIGN_OR_RETURN(
      std::vector<FoundRow> found,
      SelectRows(*connection_, local, absl::MakeConstSpan(table.keys).subspan(first, count), /*lock=*/true));
  for (FoundRow& one : found) table.before[first + one.key] = std::move(one.row);
  return absl::OkStatus();
}

absl::Status AnswerCheck::LockWithCare(Table& table, size_t first, size_t count,
                                       std::vector<ProjectReply::Row>* refused) {
  absl::Status failure;
  ASSAY_RETURN_IF_ERROR(UnderSavepoint(
      *connection_, [&] { return Lock(table, first, count); }, &failure));
  if (failure.ok()) return absl::OkStatus();
  if (count == 1) {
    refused->push_back(
        {table.table, static_cast<uint32_t>(first), SqlstateOf(failure), std::string(failure.message())});
    return absl::OkStatus();
  }
  ASSAY_RETURN_IF_ERROR(LockWithCare(table, first, count / 2, refused));
  return LockWithCare(table, first + count / 2, count - count / 2, refused);
}

absl::Status AnswerCheck::Before(bool with_care, std::vector<ProjectReply::Row>* moved,
                                 std::vector<ProjectReply::Row>* refused) {
  tables_.clear();
  for (uint32_t number = 0; number < request_->writes.size(); ++number) {
    const TableWrites& writes = request_->writes[number];
    if (catalog_->Find(writes.name).answers.empty()) continue;
    Table& table = tables_.emplace_back(Table{.table = number});
    for (const RowWrite& write : writes.rows) {
      const PackedRow::KeyTexts key = write.row.KeyParts();
      table.keys.emplace_back(key.begin(), key.end());
    }
    table.before.resize(table.keys.size());
    ASSAY_RETURN_IF_ERROR(with_care ? LockWithCare(table, 0, table.keys.size(), refused)
                                    : Lock(table, 0, table.keys.size()));
    for (uint32_t row = 0; row < writes.rows.size(); ++row) {
      const RowWrite& write = writes.rows[row];
      const bool is_insert = write.operation == RowWrite::Operation::kInsert;
      const ReadReply::Row& before = table.before[row];
      const bool as_read =
          is_insert ? !before.exists : before.exists && (request_->locked || before.xmin == write.xmin);
      if (!as_read && !Has(*refused, number, row)) moved->push_back({.table = number, .row = row});
    }
  }
  return absl::OkStatus();
}

absl::Status AnswerCheck::After(std::vector<ProjectReply::Row>* refused) {
  for (const Table& table : tables_) {
    const TableWrites& writes = request_->writes[table.table];
    const LocalTable& local = catalog_->Find(writes.name);
    std::vector<RowKey> keys;
    std::vector<uint32_t> rows;
    for (uint32_t row = 0; row < writes.rows.size(); ++row) {
      if (Has(*refused, table.table, row)) continue;
      keys.push_back(table.keys[row]);
      rows.push_back(row);
    }
    ASSAY_ASSIGN_OR_RETURN(std::vector<FoundRow> found, SelectRows(*connection_, local, keys, /*lock=*/false));
    std::vector<ReadReply::Row> after(keys.size());
    for (FoundRow& one : found) after[one.key] = std::move(one.row);
    for (size_t i = 0; i < rows.size(); ++i) {
      const std::string complaint = Complaint(local, writes, writes.rows[rows[i]], table.before[rows[i]], after[i]);
      if (complaint.empty()) continue;
      refused->push_back(
          {table.table, rows[i], "27000",
           absl::StrCat("table ", writes.name.ToString(), " does not keep the row as it is written: ", complaint,
                        ". This runs for rows of other branches, too: ", local.answers,
                        ". Let it run for the application only (ENABLE TRIGGER, ENABLE RULE) or drop it")});
    }
  }
  return absl::OkStatus();
}

std::string AnswerCheck::Complaint(const LocalTable& local, const TableWrites& writes, const RowWrite& write,
                                   const ReadReply::Row& before, const ReadReply::Row& after) const {
  using Operation = RowWrite::Operation;
  const bool is_to_be_there = write.operation != Operation::kDelete;
  if (!after.exists && is_to_be_there) return "the row is not there";
  if (!is_to_be_there) return after.exists ? "the row is still there" : "";
  for (size_t i = 0; i < local.columns.size(); ++i) {
    const TableColumn& column = local.shape.columns[i];
    if (column.generated) continue;
    const auto written = std::find(writes.columns.begin(), writes.columns.end(), column.name);
    ColumnText meant;
    if (written != writes.columns.end()) {
      const size_t of = written - writes.columns.begin();
      if (of < writes.written_as.size() && !writes.written_as[of].empty()) continue;  // CameBack has looked.
      meant = ColumnText(writes.Value(write, of));
    } else if (write.operation == Operation::kInsert) {
      continue;  // Part of the key, by which the row was found; or what the column's default says.
    } else {
      meant = before.values[i];
    }
    if (after.values[i] == meant) continue;
    return absl::StrCat("its column \"", column.name, "\" holds ", Shown(after.values[i]), " instead of ",
                        Shown(meant));
  }
  return "";
}

}  // namespace assay
