// What the app does in a SimDatabase.
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "log/check.h"
#include "tests/simulation/sim_database.h"

namespace assay {

SimTransaction::SimTransaction(SimDatabase* database)
    : database_(database), crashes_(database->crashes_), open_(database->Begin()) {}

absl::Status SimTransaction::Check() const {
  if (crashes_ != database_->crashes_) return absl::UnavailableError("the server crashed");
  ASSAY_CHECK(open_ != nullptr && !open_->recorded);
  return absl::OkStatus();
}

absl::Status SimTransaction::ToStatus(const SimDatabase::Result& result) const {
  if (!result) return absl::OkStatus();
  if (result->IsLock()) return absl::AbortedError(result->cause);
  if (result->IsMoved()) return absl::NotFoundError(result->cause);
  return absl::FailedPreconditionError(result->cause);
}

absl::Status SimTransaction::Insert(const TableName& table, SimValues values) {
  if (absl::Status status = Check(); !status.ok()) return status;
  if (database_->Find(table) == nullptr) return absl::NotFoundError("no such table");
  values.resize(database_->Find(table)->shape->columns.size());
  if (absl::Status status = ToStatus(database_->Touch(*open_, table)); !status.ok()) return status;
  SimDatabase::Result result = database_->InsertRow(*open_, table, std::move(values));
  if (result && result->IsMoved()) return absl::FailedPreconditionError("duplicate key value violates the primary key");
  return ToStatus(result);
}

absl::Status SimTransaction::Update(const TableName& table, const RowKey& key,
                                    const std::map<std::string, ColumnText>& sets) {
  if (absl::Status status = Check(); !status.ok()) return status;
  if (database_->Find(table) == nullptr) return absl::NotFoundError("no such table");
  const SimRowName row{table, key};
  const SimTable& there = *database_->Find(table);
  const std::vector<TableColumn>& columns = there.shape->columns;
  const auto set = [&](SimValues* values) {
    values->resize(columns.size());
    for (size_t i = 0; i < columns.size(); ++i) {
      if (auto it = sets.find(columns[i].name); it != sets.end()) (*values)[i] = it->second;
    }
  };
  if (absl::Status status = ToStatus(database_->Touch(*open_, table)); !status.ok()) return status;
  // Constants are looked at before any row is.
  SimValues values;
  set(&values);
  if (absl::Status status = ToStatus(database_->CheckTypes(there, values)); !status.ok()) return status;
  if (std::optional<SimValues> current = database_->Current(*open_, row); current && there.trigger == nullptr) {
    set(&*current);
    if (absl::Status status = ToStatus(database_->CheckTexts(there, *current)); !status.ok()) return status;
  }
  if (absl::Status status = ToStatus(database_->LockExisting(*open_, row, &values)); !status.ok()) return status;
  set(&values);
  return ToStatus(database_->UpdateRow(*open_, table, key, std::move(values)));
}

absl::Status SimTransaction::Delete(const TableName& table, const RowKey& key) {
  if (absl::Status status = Check(); !status.ok()) return status;
  if (database_->Find(table) == nullptr) return absl::NotFoundError("no such table");
  if (absl::Status status = ToStatus(database_->Touch(*open_, table)); !status.ok()) return status;
  return ToStatus(database_->DeleteRow(*open_, table, key));
}

absl::Status SimTransaction::Truncate(const TableName& name) {
  if (absl::Status status = Check(); !status.ok()) return status;
  const SimTable* table = database_->Find(name);
  if (table == nullptr) return absl::NotFoundError("no such table");
  // ACCESS EXCLUSIVE: nobody else may have touched the table.
  if (!database_->LockTable(*open_, name)) return absl::AbortedError("the table is in use");
  for (const auto& [key, row] : table->rows) open_->written[{name, key}] = std::nullopt;
  for (auto& [row, values] : open_->written) {
    if (row.first != name) continue;
    if (absl::Status status = ToStatus(database_->Lock(*open_, row)); !status.ok()) return status;
    values = std::nullopt;
  }
  open_->items.push_back(SimDatabase::ItemOf(*table, CaptureItem::Kind::kTruncate, {}, {}));
  return absl::OkStatus();
}

absl::Status SimTransaction::WriteUnreadable(const TableName& table) {
  if (absl::Status status = Check(); !status.ok()) return status;
  open_->items.push_back(SimDatabase::ItemOf(*database_->Find(table), CaptureItem::Kind::kUnreadable, {}, {}));
  return absl::OkStatus();
}

void SimTransaction::Message(absl::string_view prefix, absl::string_view content) {
  if (!Check().ok() || !absl::StartsWith(prefix, "assay.")) return;
  open_->items.push_back({CaptureItem::Kind::kMessage, nullptr, {}, {}, std::string(prefix), std::string(content)});
}

std::optional<SimValues> SimTransaction::Get(const TableName& table, const RowKey& key) const {
  if (!Check().ok()) return std::nullopt;
  return database_->Current(*open_, {table, key});
}

absl::Status SimTransaction::CommitRecord() {
  if (absl::Status status = Check(); !status.ok()) return status;
  database_->Record(*open_);
  return absl::OkStatus();
}

void SimTransaction::BecomeVisible() {
  // Somebody who waited for one of its locks, or a crash, may have published it already.
  if (open_ != nullptr && database_->open_.contains(open_->xid)) database_->Publish(*open_);
  open_ = nullptr;
}

absl::Status SimTransaction::Commit() {
  if (absl::Status status = CommitRecord(); !status.ok()) return status;
  BecomeVisible();
  return absl::OkStatus();
}

void SimTransaction::Rollback() {
  if (open_ == nullptr) return;
  if (database_->open_.contains(open_->xid)) open_->recorded ? database_->Publish(*open_) : database_->End(*open_);
  open_ = nullptr;
}

}  // namespace assay
