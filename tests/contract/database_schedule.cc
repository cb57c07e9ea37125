// A schedule drawn from a seed, run on one body. Everything a body may choose freely (LSNs, xmin, when a keepalive
// comes) stays out of the lines; everything else must be the same on all.
#include <array>
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

std::string Show(const Values& values) {
  return absl::StrJoin(values, ",", [](std::string* out, const ColumnText& text) { *out += text ? *text : "NULL"; });
}

class Schedule {
 public:
  Schedule(DatabaseUnderTest* body, uint64_t seed) : body_(body), random_(seed), reader_(body) {}

  std::vector<std::string> Run(int steps) {
    answers_ = random_.Chance(30);
    if (answers_) body_->AddTrigger();
    Note("start", body_->capture().Start());
    for (int i = 0; i < steps; ++i) Step();
    for (auto& app : apps_) app.reset();
    body_->database().Abandon();
    Drain();
    for (const TableName& table : {kItems, kLines}) {
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
    switch (random_.Weighted({50, 15, 5, 15, 15, 5, 3, 3})) {
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

  RowKey Key(const TableName& table) {
    if (table == kItems) return {absl::StrCat(1 + random_.Below(4))};
    return {absl::StrCat(1 + random_.Below(2)), absl::StrCat(1 + random_.Below(2))};
  }

  // A value for a column of public.items; sometimes one that a constraint refuses.
  ColumnText ItemValue(const std::string& column) {
    if (random_.Chance(8)) return std::nullopt;
    if (answers_ && column == "name" && random_.Chance(30)) return random_.Chance(50) ? "skip" : "touch";
    if (column != "sku") return absl::StrCat(column, " ", ++counter_);
    return random_.Chance(8) ? "longer than eight" : absl::StrCat("S-", random_.Below(5));
  }

  Values NonKey(const TableName& table) {
    if (table == kLines) return {absl::StrCat(++counter_)};
    return {ItemValue("name"), ItemValue("price"), ItemValue("sku"), ItemValue("note")};
  }

  std::map<std::string, ColumnText> Sets(const TableName& table) {
    std::map<std::string, ColumnText> sets;
    if (table == kLines) {
      if (random_.Chance(20)) sets["line"] = absl::StrCat(1 + random_.Below(2));
      sets["quantity"] = absl::StrCat(++counter_);
    } else {
      const char* column = std::array{"name", "price", "sku", "note"}[random_.Below(4)];
      sets[column] = ItemValue(column);
    }
    return sets;
  }

  void Statement() {
    auto& app = apps_[random_.Below(apps_.size())];
    if (app == nullptr) app = body_->Begin();
    const TableName& table = random_.Chance(50) ? kItems : kLines;
    const RowKey key = Key(table);
    absl::Status status;
    switch (random_.Weighted({35, 40, 15, 3, 7})) {
      case 0: {
        Values values(key.begin(), key.end());
        for (ColumnText& value : NonKey(table)) values.push_back(std::move(value));
        if (table == kItems) values.resize(values.size() + added_.size());
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
    request.tables = {{kItems, {Key(kItems)}}, {kLines, {Key(kLines)}}};
    request.lock = lock;
    if (lock) request.tag = absl::StrCat("tag ", counter_);
    absl::StatusOr<ReadReply> reply = body_->database().Read(request);
    Note(lock ? "read and lock" : "read", reply.status());
    locked_ = false;
    read_.clear();
    if (!reply.ok()) return;
    locked_ = lock;
    for (int t = 0; t < 2; ++t) {
      const ReadReply::Row& row = reply->tables[t].rows[0];
      lines_.push_back(row.exists ? Show(row.values) : "absent");
      read_.push_back({request.tables[t].name, request.tables[t].keys[0], row});
    }
  }

  // Writes one of the rows read last, or both when they were read under locks.
  void Project() {
    if (read_.empty()) return;
    ProjectRequest request;
    request.batch = ++batch_;
    request.tag = absl::StrCat("batch ", batch_);
    request.locked = locked_;
    std::vector<Remembered> rows = read_;
    if (!locked_) rows = {read_[random_.Below(2)]};
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
      writes.columns = row.table == kItems ? std::vector<std::string>{"name", "price", "sku", "note"}
                                           : std::vector<std::string>{"quantity"};
      writes.rows.push_back(WriteOf(operation, row.key, NonKey(row.table), row.row.xmin));
    }
    const ProjectReply reply = body_->database().Project(request);
    const char* outcomes[] = {"committed", "moved", "gave way", "refused", "in doubt", "unavailable"};
    lines_.push_back(absl::StrCat("project ", outcomes[static_cast<int>(reply.outcome)]));
    for (const ProjectReply::Row& row : reply.rows)
      lines_.push_back(absl::StrCat(row.table, " ", row.row, " ", row.sqlstate));
    if (locked_) read_.clear();
    locked_ = false;
  }

  // Columns of public.items behind those that are named above.
  void Alter() {
    if (!locked_) read_.clear();  // How soon a body sees the change is its own affair: it reads first.
    const std::string column = absl::StrCat("c", ++counter_);
    if (added_.empty() || random_.Chance(50)) {
      const absl::Status status = body_->AddColumn(column);
      if (status.ok()) added_.push_back(column);
      return Note("add column", status);
    }
    std::string& changed = added_[random_.Below(added_.size())];
    if (random_.Chance(50)) {
      const absl::Status status = body_->RenameColumn(changed, column);
      if (status.ok()) changed = column;
      return Note("rename column", status);
    }
    const absl::Status status = body_->DropColumn(changed);
    if (status.ok()) added_.erase(added_.begin() + (&changed - added_.data()));
    Note("drop column", status);
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
  std::vector<std::string> added_;
  uint64_t batch_ = 0;
  uint64_t counter_ = 0;
  std::vector<std::string> lines_;
};

}  // namespace

std::vector<std::string> RunSchedule(DatabaseUnderTest& body, uint64_t seed, int steps) {
  return Schedule(&body, seed).Run(steps);
}

}  // namespace assay::test
