#include "tests/simulation/workload.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

namespace assay {
namespace {

const TableName kStock{"public", "stock"};
const TableName kInvoices{"public", "invoices"};
const TableName kLines{"public", "lines"};
const TableName kPeople{"public", "people"};
const TableName kSettings{"public", "settings"};
const TableColumn kGrade{kLateColumn, "text"};

constexpr size_t kSessionsMax = 3;

}  // namespace

void CreateShopTables(SimDatabase* database, bool late_column, int email_width) {
  const auto text = [](const char* name, bool not_null = false) { return TableColumn{name, "text", not_null}; };
  std::vector<TableColumn> products = {text("id", true), text("name", true), text("weight"),
                                       text("purity"),   text("rate"),       text("note")};
  if (late_column) products.push_back(kGrade);
  database->CreateTable({kShopProducts, products, {0}}, {});
  database->CreateTable({kStock, {text("quantity"), text("product", true)}, {1}}, {});
  database->CreateTable({kInvoices, {text("id", true), text("customer", true), text("total")}, {0}}, {});
  database->CreateTable({kLines, {text("invoice", true), text("line", true), text("product"), text("amount")}, {0, 1}},
                        {});
  database->CreateTable(
      {kPeople,
       {text("id", true), text("name", true), {"email", absl::StrCat("character varying(", email_width, ")")}},
       {0}},
      {2});
  database->CreateTable({kSettings, {text("id", true), text("a"), text("b"), text("c")}, {0}}, {});
  database->CreateTable({kShopSecrets, {text("id", true), text("secret")}, {0}}, {});
}

std::map<TableName, TablePolicy> ShopPolicies() {
  return {{kShopProducts, {false, {{"weight", "purity", "rate"}}}}, {kSettings, {true, {}}}};
}

bool AddLateColumn(SimDatabase* database, bool filled) {
  return database->Find(kShopProducts)->shape->columns.back().name == kLateColumn ||
         database->AddColumn(kShopProducts, kGrade, filled ? ColumnText(kLateFill) : std::nullopt);
}

void AddUnheardRows(SimDatabase* database) {
  for (int i = 0; i < 4; ++i) {
    const std::string id = absl::StrCat("unheard-", i);
    database->PutUnheard(kInvoices, {id, absl::StrCat(id, "-customer"), absl::StrCat(id, "-total")});
  }
}

void AddAsideTrigger(SimDatabase* database) { database->WriteAside(kStock); }

void AddAnsweringTrigger(SimDatabase* database) {
  database->CreateTrigger(kSettings, [](SimValues* row) {
    if (row->at(1) == "same-0") row->at(3) = "touched";
    return row->at(1) != "same-1";
  });
}

const SimTable& Workload::AnyTable() {
  auto it = database_->tables().begin();
  std::advance(it, random_->Below(database_->tables().size()));
  return it->second;
}

ColumnText Workload::NewPrice(const TableColumn& column) {
  if (column.name == "id") return absl::StrCat(random_->Below(options_.rows));
  if (column.name == "uid") return absl::StrCat("u-", branch_, "-", ++counter_);
  const bool is_note = column.name != "amount";
  if (is_note && column.type != "integer") return NewValue(TableColumn{column.name, "text"});
  if (random_->Chance(5)) return std::nullopt;
  if (random_->Chance(options_.equal_percent)) return absl::StrCat(random_->Below(3));
  return absl::StrCat(branch_.substr(1), absl::Dec(++counter_, absl::kZeroPad8));
}

RowKey Workload::AnyPrice(const SimTable& table) {
  const TableColumn& key = table.shape->columns[table.shape->key[0]];
  if (key.name == "uid" && !table.rows.empty() && random_->Chance(80)) {
    auto it = table.rows.begin();
    std::advance(it, random_->Below(table.rows.size()));
    return it->first;
  }
  return {*NewPrice(key)};
}

RowKey Workload::AnyKey(const SimTable& table) {
  if (table.shape->name == kShopPrices) return AnyPrice(table);
  if (!table.rows.empty() && random_->Chance(options_.existing_percent)) {
    auto it = table.rows.begin();
    std::advance(it, random_->Below(table.rows.size()));
    return it->first;
  }
  const std::string id = absl::StrCat("k", random_->Below(options_.rows));
  if (table.shape->key.size() == 1) return {id};
  return {id, absl::StrCat(1 + random_->Below(3))};
}

ColumnText Workload::NewValue(const TableColumn& column) {
  if (column.type != "text") {
    if (random_->Chance(15)) return std::nullopt;
    return absl::StrCat(random_->Below(options_.rows), random_->Chance(10) ? "@long" : "@x");
  }
  if (!column.not_null && random_->Chance(5)) return std::nullopt;
  // Two shops write the same now and then, and a shop what is there already.
  if (random_->Chance(options_.equal_percent)) return absl::StrCat("same-", random_->Below(3));
  std::string value = absl::StrCat(branch_, "-", ++counter_);
  if (options_.long_values && random_->Chance(8)) absl::StrAppend(&value, " ", std::string(60, 'x'));
  return value;
}

SimValues Workload::NewRow(const SimTable& table, const RowKey& key) {
  SimValues values;
  for (const TableColumn& column : table.shape->columns) values.push_back(NewValue(*table.shape, column));
  for (size_t i = 0; i < key.size(); ++i) values[table.shape->key[i]] = key[i];
  return values;
}

// An invoice with lines, and the stock of what was sold, as one transaction.
absl::Status Workload::Sale(SimTransaction& transaction) {
  const std::string invoice = absl::StrCat(branch_, "-invoice-", ++counter_);
  absl::Status status =
      transaction.Insert(kInvoices, {invoice, absl::StrCat(branch_, "-c", counter_), absl::StrCat(counter_)});
  const uint64_t lines = 1 + random_->Below(random_->Chance(10) ? 12 : 3);
  for (uint64_t line = 1; status.ok() && line <= lines; ++line) {
    const std::string product = absl::StrCat("k", random_->Below(options_.rows));
    status = transaction.Insert(kLines, {invoice, absl::StrCat(line), product, NewValue({"amount", "text", true})});
    if (!status.ok()) break;
    status = transaction.Update(kStock, {product}, {{"quantity", NewValue({"quantity", "text", true})}});
    if (absl::IsNotFound(status)) status = absl::OkStatus();
  }
  return status;
}

absl::Status Workload::Edit(SimTransaction& transaction, const TableShape& shape, const RowKey& key,
                            uint64_t columns_max) {
  std::map<std::string, ColumnText> sets;
  const std::optional<SimValues> row = transaction.Get(shape.name, key);
  const uint64_t count = 1 + random_->Below(columns_max);
  for (uint64_t i = 0; i < count; ++i) {
    const uint32_t column = random_->Below(shape.columns.size());
    if (std::count(shape.key.begin(), shape.key.end(), column) > 0) continue;
    const std::string& name = shape.columns[column].name;
    if (shape.name == kShopPrices && name == "uid") continue;  // It is to be the key.
    if (row && edited_ != SimRowName(shape.name, key)) {
      edited_ = {shape.name, key};
      before_.clear();
    }
    if (row) before_[name] = (*row)[column];
    // Now and then an update that changes nothing: applications do that.
    sets[name] = row && random_->Chance(5) ? (*row)[column] : NewValue(shape, shape.columns[column]);
  }
  return transaction.Update(shape.name, key, sets);
}

absl::Status Workload::Statement(SimTransaction& transaction, bool at_once) {
  const SimRowName* near = near_.empty() || random_->Chance(30) ? nullptr : &near_[random_->Below(near_.size())];
  const SimTable& table = near == nullptr ? AnyTable() : *database_->Find(near->first);
  const TableShape& shape = *table.shape;
  const RowKey key = near == nullptr ? AnyKey(table) : near->second;
  const uint32_t elsewhere = near == nullptr ? 1 : 0;
  switch (random_->Weighted({options_.sale * elsewhere, options_.edit, options_.insert, options_.erase, options_.rename,
                             at_once ? options_.truncate * elsewhere : 0, options_.entry * elsewhere,
                             options_.unreadable, before_.empty() ? 0 : options_.undo})) {
    case 0:
      return Sale(transaction);
    case 1: {
      absl::Status status = Edit(transaction, shape, key, 2);
      if (!absl::IsNotFound(status)) return status;
      return transaction.Insert(shape.name, NewRow(table, key));
    }
    case 2:
      return transaction.Insert(shape.name, NewRow(table, key));
    case 3:
      return transaction.Delete(shape.name, key);
    case 4: {
      if (options_.keeps_prices && shape.name == kShopPrices) return Edit(transaction, shape, key, 1);
      const RowKey other = AnyKey(table);
      const uint32_t part = random_->Below(key.size());
      return transaction.Update(shape.name, key, {{shape.columns[shape.key[part]].name, other[part]}});
    }
    case 5: {
      // Mostly where a row of another branch was refused: it is in the log, and the statement does not see it.
      const std::set<SimRowName>& refused = database_->refused();
      if (refused.empty() || random_->Chance(30)) return transaction.Truncate(shape.name);
      auto row = refused.begin();
      std::advance(row, random_->Below(refused.size()));
      return transaction.Truncate(row->first);
    }
    case 7:
      return transaction.WriteUnreadable(shape.name);
    case 8: {
      const std::map<std::string, ColumnText> before = std::exchange(before_, {});
      return transaction.Update(edited_.first, edited_.second, before);
    }
    default: {
      const std::string invoice = absl::StrCat(branch_, "-invoice-", ++counter_);
      return transaction.Insert(kInvoices, {invoice, absl::StrCat(branch_, "-c", counter_), absl::StrCat(counter_)});
    }
  }
}

std::unique_ptr<SimTransaction> Workload::Begin() {
  auto transaction = std::make_unique<SimTransaction>(database_);
  if (random_->Chance(options_.forged_tag_percent)) {
    std::string tag = "forged";
    for (const WalTransaction& past : database_->wal()) {
      if (past.projected && random_->Chance(10)) tag = past.items[0].content;
    }
    transaction->Message(kProjectionPrefix, tag);
  }
  if (random_->Chance(options_.attributed_percent)) {
    transaction->Message(kAttributionPrefix, random_->Chance(90) ? "{\"databaseUser\":\"clerk\"}" : "not JSON");
  }
  return transaction;
}

int Workload::ActAtOnce(std::vector<SimRowName> near) {
  std::erase_if(near, [this](const SimRowName& row) {
    const SimTable* table = database_->Find(row.first);
    return table == nullptr || table->shape->key.size() != row.second.size();
  });
  near_ = std::move(near);
  const int commits = ActAtOnce();
  near_.clear();
  return commits;
}

int Workload::ComeAndGo(const SimRowName& row) {
  const SimTable* table = database_->Find(row.first);
  if (table == nullptr || table->shape->key.size() != row.second.size() || table->rows.contains(row.second)) return 0;
  for (const bool comes : {true, false}) {
    std::unique_ptr<SimTransaction> transaction = Begin();
    const absl::Status status =
        comes ? transaction->Insert(row.first, NewRow(*table, row.second)) : transaction->Delete(row.first, row.second);
    if (!status.ok() || !transaction->Commit().ok()) return 0;
  }
  return 1;
}

int Workload::CommitUnseen(const std::vector<SimRowName>& rows) {
  if (rows.empty() || sessions_.size() > kSessionsMax) return 0;
  const size_t first = random_->Below(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto& [name, key] = rows[(first + i) % rows.size()];
    const SimTable* table = database_->Find(name);
    if (table == nullptr || table->shape->key.size() != key.size()) continue;
    std::unique_ptr<SimTransaction> transaction = Begin();
    const absl::Status written = table->rows.contains(key) ? Edit(*transaction, *table->shape, key, 6)
                                                           : transaction->Insert(name, NewRow(*table, key));
    if (!written.ok() || !transaction->CommitRecord().ok()) continue;
    sessions_.push_back({std::move(transaction), 0, /*committed=*/true});
    return 1;
  }
  return 0;
}

int Workload::ActAtOnce() {
  std::unique_ptr<SimTransaction> transaction = Begin();
  const uint64_t statements = 1 + random_->Below(near_.empty() ? 2 : 1);
  for (uint64_t i = 0; i < statements; ++i) {
    if (!Statement(*transaction, /*at_once=*/true).ok()) return 0;
  }
  return transaction->Commit().ok() ? 1 : 0;
}

int Workload::Act() {
  if (sessions_.empty() || (sessions_.size() < kSessionsMax && random_->Chance(50))) {
    if (!random_->Chance(options_.open_percent)) return ActAtOnce();
    sessions_.push_back({Begin(), static_cast<int>(1 + random_->Below(4))});
  }
  const size_t index = random_->Below(sessions_.size());
  Session& session = sessions_[index];
  int commits = 0;
  bool ended = false;
  if (session.committed) {
    session.transaction->BecomeVisible();
    ended = true;
  } else if (session.statements_left-- > 0) {
    ended = !Statement(*session.transaction, /*at_once=*/false).ok();  // Rolled back, as after any error.
  } else if (session.transaction->CommitRecord().ok()) {
    session.committed = true;
    commits = 1;
  } else {
    ended = true;
  }
  if (ended) sessions_.erase(sessions_.begin() + static_cast<ptrdiff_t>(index));
  return commits;
}

absl::Status Workload::MakePrice() {
  const SimTable& table = *database_->Find(kShopPrices);
  RowKey key;
  do {
    key = table.shape->columns[table.shape->key[0]].name == "uid" ? AnyPrice(table)
                                                                  : RowKey{absl::StrCat(options_.rows + ++counter_)};
  } while (table.rows.contains(key));
  std::unique_ptr<SimTransaction> transaction = Begin();
  if (absl::Status status = transaction->Insert(kShopPrices, NewRow(table, key)); !status.ok()) return status;
  return transaction->Commit();
}

void Workload::EndAll() { sessions_.clear(); }

}  // namespace assay
