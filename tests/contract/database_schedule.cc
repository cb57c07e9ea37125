// A schedule drawn from a seed, run on one body. Everything a body may choose freely (LSNs, xmin, when a keepalive
// comes) stays out of the lines; everything else must be the same on all.
#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/contract/database_contract.h"
#include "tests/simulation/random.h"
#include "tests/support/row_writes.h"

namespace assay::test {
namespace {

const TableName kItems{"public", "items"};
const TableName kLines{"public", "lines"};
const TableName kStock{"public", "stock"};
const std::array kTables{kItems, kLines, kStock};

std::string Show(const Values& values) {
  return absl::StrJoin(values, ",", [](std::string* out, const ColumnText& text) { *out += text ? *text : "NULL"; });
}

class Schedule {
 public:
  Schedule(DatabaseUnderTest* body, uint64_t seed) : body_(body), random_(seed), reader_(body, /*shapes=*/true) {}

  std::vector<std::string> Run(int steps) {
    answers_ = random_.Chance(30);
    if (answers_) body_->AddTrigger();
    Note("start", body_->capture().Start());
    for (int i = 0; i < steps; ++i) Step();
    for (auto& app : apps_) app.reset();
    body_->database().Abandon();
    Drain();
    for (const TableName& table : kTables) {
      for (const auto& [key, values] : body_->Rows(table))
        lines_.push_back(absl::StrCat(table.ToString(), " ", Show(values)));
    }
    return std::move(lines_);
  }

 private:
  void Note(absl::string_view what, const absl::Status& status) {
    lines_.push_back(absl::StrCat(what, " ", absl::StatusCodeToString(status.code())));
  }

  void Step() {
    switch (random_.Weighted({50, 15, 5, 15, 15, 5, 3, 4})) {
      case 0:
        return Statement();
      case 1:
        return Commit();
      case 2:
        return Rollback();
      case 3:
        return Read(/*lock=*/false);
      case 4:
        return Project();
      case 5:
        return Read(/*lock=*/true);
      case 6:
        return Drain();
      default:
        return Alter();
    }
  }

  std::string Number(uint64_t most) { return absl::StrCat(1 + random_.Below(most)); }
  std::string Name() { return absl::StrCat("n", random_.Below(6)); }
  RowKey Key(const TableName& table) {
    if (table == kLines) return {Number(2), Number(2)};
    if (table == kStock) return {Number(2), Number(random_.Chance(10) ? 3 : 2)};  // No, and shop.
    RowKey key;
    for (const std::string& column : items_key_) key.push_back(column == "id" ? Number(4) : Name());
    return key;
  }

  // A value for a column of public.items; sometimes one that a constraint refuses.
  ColumnText ItemValue(const std::string& column, const std::string& type) {
    if (random_.Chance(8)) return std::nullopt;
    if (answers_ && column == "name" && random_.Chance(30)) return random_.Chance(50) ? "skip" : "touch";
    if (column == "id") return Number(4);
    if (column == "name") return Name();
    if (column == "sku") return random_.Chance(8) ? "longer than eight" : absl::StrCat("S-", random_.Below(5));
    if (type == "integer" || random_.Chance(30)) return Count();
    return absl::StrCat("v", ++counter_);
  }
  // Sometimes in another spelling than PostgreSQL's.
  std::string Count() { return absl::StrCat(random_.Chance(8) ? "00" : "", ++counter_); }

  // Columns of a table that are not of its key.
  std::vector<std::string> NonKey(const TableName& table) {
    if (table == kLines) return {"quantity"};
    if (table == kStock) return {"note"};
    std::vector<std::string> columns;
    for (const auto& [column, type] : items_) {
      if (std::count(items_key_.begin(), items_key_.end(), column) == 0) columns.push_back(column);
    }
    return columns;
  }
  ColumnText ValueOf(const TableName& table, const std::string& column) {
    if (table != kItems) return Count();
    const auto at = std::find_if(items_.begin(), items_.end(), [&](const auto& each) { return each.first == column; });
    return ItemValue(column, at->second);
  }
  Values ValuesOf(const TableName& table, const std::vector<std::string>& columns) {
    Values values;
    for (const std::string& column : columns) values.push_back(ValueOf(table, column));
    return values;
  }
  // A whole row, in the order of the table's columns.
  Values Row(const TableName& table, const RowKey& key) {
    if (table == kLines) return {key[0], key[1], Count()};
    if (table == kStock) return {key[1], key[0], Count()};
    Values values;
    for (const auto& [column, type] : items_) {
      const auto in_key = std::find(items_key_.begin(), items_key_.end(), column);
      values.push_back(in_key == items_key_.end() ? ItemValue(column, type) : key[in_key - items_key_.begin()]);
    }
    return values;
  }

  std::map<std::string, ColumnText> Sets(const TableName& table) {
    std::map<std::string, ColumnText> sets;
    if (table == kLines) {
      if (random_.Chance(20)) sets["line"] = Number(2);
      sets["quantity"] = Count();
    } else if (table == kStock) {
      if (random_.Chance(30)) sets["shop"] = Number(random_.Chance(10) ? 3 : 2);  // To another partition.
      sets["note"] = Count();
    } else {
      const auto& [column, type] = items_[1 + random_.Below(items_.size() - 1)];
      sets[column] = ItemValue(column, type);
    }
    return sets;
  }

  void Statement() {
    auto& app = apps_[random_.Below(apps_.size())];
    if (app == nullptr) app = body_->Begin();
    const TableName& table = kTables[random_.Weighted({45, 40, 15})];
    const RowKey key = Key(table);
    absl::Status status;
    switch (random_.Weighted({35, 40, 15, 3, 7})) {
      case 0: {
        const Values values = Row(table, key);
        Note(absl::StrCat("insert ", table.table, " ", Show(values)), status = app->Insert(table, values));
        break;
      }
      case 1:
        Note(absl::StrCat("update ", table.table, " ", absl::StrJoin(key, ",")),
             status = app->Update(table, key, Sets(table)));
        break;
      case 2:
        Note(absl::StrCat("delete ", table.table, " ", absl::StrJoin(key, ",")), status = app->Delete(table, key));
        break;
      case 3:
        Note(absl::StrCat("truncate ", table.table), status = app->Truncate(table));
        // What comes after a TRUNCATE in its transaction would wait for its table lock: end it here.
        if (status.ok()) Note("commit", app->Commit());
        app.reset();
        break;
      default:
        Note("message", status = app->Message("assay.schedule", absl::StrCat("message ", ++counter_)));
    }
    if (!status.ok()) app.reset();
  }

  void Commit() {
    auto& app = apps_[random_.Below(apps_.size())];
    if (app == nullptr) return;
    Note("commit", app->Commit());
    app.reset();
  }

  void Rollback() { apps_[random_.Below(apps_.size())].reset(); }

  void Read(bool lock) {
    ReadRequest request;
    request.fence = absl::StrCat("schedule ", ++counter_);
    for (const TableName& table : kTables) request.tables.push_back({table, {Key(table)}});
    request.lock = lock;
    if (lock) request.tag = absl::StrCat("tag ", counter_);
    absl::StatusOr<ReadReply> reply = body_->database().Read(request);
    // A body may stumble once over a table that has changed.
    if (absl::IsFailedPrecondition(reply.status())) reply = body_->database().Read(request);
    Note(lock ? "read and lock" : "read", reply.status());
    locked_ = false;
    read_.clear();
    if (!reply.ok()) return;
    locked_ = lock;
    for (size_t t = 0; t < kTables.size(); ++t) {
      if (!reply->tables[t].shape.has_value()) return lines_.push_back("refused");
      lines_.push_back(ShowShape(*reply->tables[t].shape));
      const ReadReply::Row& row = reply->tables[t].rows[0];
      lines_.push_back(row.exists ? Show(row.values) : "absent");
      read_.push_back({request.tables[t].name, request.tables[t].keys[0], row});
    }
  }

  // Writes one of the rows read last, or all of them when they were read under locks.
  void Project() {
    if (read_.empty()) return;
    ProjectRequest request;
    request.batch = ++batch_;
    request.tag = absl::StrCat("batch ", batch_);
    request.locked = locked_;
    std::vector<Remembered> rows = read_;
    if (!locked_) rows = {read_[random_.Below(read_.size())]};
    for (const Remembered& row : rows) {
      TableWrites& writes = request.writes.emplace_back();
      writes.name = row.table;
      if (row.row.exists && random_.Chance(20)) {
        writes.rows.push_back(KeepOf(row.key, row.row.xmin));
        continue;
      }
      if (row.row.exists && random_.Chance(30)) {
        writes.rows.push_back(DeleteOf(row.key, row.row.xmin));
        continue;
      }
      const auto operation = row.row.exists ? RowWrite::Operation::kUpdate : RowWrite::Operation::kInsert;
      writes.columns = NonKey(row.table);
      writes.rows.push_back(WriteOf(operation, row.key, ValuesOf(row.table, writes.columns), row.row.xmin));
    }
    const ProjectReply reply = body_->database().Project(request);
    const char* outcomes[] = {"committed", "moved", "gave way", "refused", "in doubt", "unavailable"};
    lines_.push_back(absl::StrCat("project ", outcomes[static_cast<int>(reply.outcome)]));
    std::vector<std::string> told;  // In any order.
    for (const ProjectReply::Row& row : reply.rows)
      told.push_back(absl::StrCat(row.table, " ", row.row, " ", row.sqlstate));
    std::sort(told.begin(), told.end());
    std::move(told.begin(), told.end(), std::back_inserter(lines_));
    if (locked_) read_.clear();
    locked_ = false;
  }

  // What a migration does. What was written before is captured first where the catalog tells of it what the stream does
  // not, but for a key: of that the catalog is ahead.
  void Alter() {
    const size_t which = random_.Weighted({25, 15, 15, 15, 15, 10, 5});
    if (!locked_) read_.clear();  // How soon a body sees the change is its own affair: it reads first.
    if (!locked_ && which != 3) Drain();
    // Behind those that a table begins with: their names are used again.
    const size_t added = items_.size() - kItemColumns;
    const std::string name = absl::StrCat("c", random_.Below(4));
    const bool taken = std::any_of(items_.begin(), items_.end(), [&](const auto& each) { return each.first == name; });
    const size_t changed = added == 0 ? 0 : kItemColumns + random_.Below(added);
    const std::string type = std::array{"integer", "bigint", "text", "character varying(8)"}[random_.Below(4)];
    switch (which) {
      case 0:
        if (!taken) AddColumn(name, type);
        return;
      case 1:
        if (added > 0 && !taken) RenameColumn(changed, name);
        return;
      case 2:
        if (added > 0) DropColumn(changed);
        return;
      case 3:
        return SetKey();
      case 4:
        return AlterType(added > 0 ? changed : 2, type);
      case 5: {
        const bool full = random_.Chance(60);
        return Note(full ? "identity full" : "identity default",
                    body_->SetReplicaIdentity(random_.Chance(50) ? kItems : kLines,
                                              full ? ReplicaIdentity::kFull : ReplicaIdentity::kDefault));
      }
      default:
        return Note("lines anew", body_->MakeLinesAnew());
    }
  }
  void AddColumn(const std::string& name, const std::string& type) {
    const absl::Status status = body_->AddColumn(name, type);
    if (status.ok()) items_.push_back({name, type});
    Note(absl::StrCat("add column ", name), status);
  }
  void RenameColumn(size_t column, const std::string& to) {
    const absl::Status status = body_->RenameColumn(items_[column].first, to);
    if (status.ok()) items_[column].first = to;
    Note(absl::StrCat("rename column ", to), status);
  }
  void DropColumn(size_t column) {
    const absl::Status status = body_->DropColumn(items_[column].first);
    if (status.ok()) items_.erase(items_.begin() + static_cast<ptrdiff_t>(column));
    Note("drop column", status);
  }
  void SetKey() {
    const std::vector<std::string> key = std::array<std::vector<std::string>, 3>{
        std::vector<std::string>{"id"}, {"name"}, {"id", "name"}}[random_.Below(3)];
    const absl::Status status = body_->SetKey(key);
    if (status.ok()) items_key_ = key;
    Note(absl::StrCat("key ", absl::StrJoin(key, ",")), status);
  }
  // Of a column of public.items, or of public.lines and its key.
  void AlterType(size_t column, const std::string& type) {
    if (random_.Chance(50)) {
      const std::string name = items_[column].first;
      const absl::Status status = body_->AlterType(kItems, name, type);
      if (status.ok()) items_[column].second = type;
      return Note(absl::StrCat("type ", name, " ", type), status);
    }
    const std::string name = random_.Chance(50) ? "line" : "quantity";
    Note(absl::StrCat("type ", name, " ", type), body_->AlterType(kLines, name, type));
  }

  void Drain() {
    absl::StatusOr<std::vector<Captured>> transactions = reader_.Drain();
    Note("stream", transactions.status());
    if (!transactions.ok()) return;
    for (const Captured& transaction : *transactions) lines_.push_back(absl::StrJoin(transaction.items, "; "));
  }

  struct Remembered {
    TableName table;
    RowKey key;
    ReadReply::Row row;
  };

  DatabaseUnderTest* body_;
  SeededRandom random_;
  StreamReader reader_;
  std::array<std::unique_ptr<AppTransaction>, 3> apps_;
  std::vector<Remembered> read_;
  bool locked_ = false;
  bool answers_ = false;  // public.items has a trigger.
  static constexpr size_t kItemColumns = 5;
  std::vector<std::pair<std::string, std::string>> items_ = {
      {"id", "integer"}, {"name", "text"}, {"price", "text"}, {"sku", "character varying(8)"}, {"note", "text"}};
  std::vector<std::string> items_key_ = {"id"};
  uint64_t batch_ = 0;
  uint64_t counter_ = 0;
  std::vector<std::string> lines_;
};

}  // namespace

std::vector<std::string> RunSchedule(DatabaseUnderTest& body, uint64_t seed, int steps) {
  return Schedule(&body, seed).Run(steps);
}

}  // namespace assay::test
