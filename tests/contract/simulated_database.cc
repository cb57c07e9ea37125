#include "tests/contract/simulated_database.h"

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "tests/simulation/random.h"
#include "tests/simulation/sim_capture.h"
#include "tests/simulation/sim_database.h"

namespace assay::test {
namespace {

class FixedClock : public Clock {
 public:
  absl::Time Now() override { return absl::FromUnixSeconds(1'700'000'000); }
};

class SimulatedTransaction : public AppTransaction {
 public:
  explicit SimulatedTransaction(SimDatabase* database) : transaction_(database) {}

  absl::Status Insert(const TableName& table, const Values& values) override {
    return transaction_.Insert(table, values);
  }
  absl::Status Update(const TableName& table, const RowKey& key,
                      const std::map<std::string, ColumnText>& sets) override {
    return transaction_.Update(table, key, sets);
  }
  absl::Status Delete(const TableName& table, const RowKey& key) override { return transaction_.Delete(table, key); }
  absl::Status Truncate(const TableName& table) override { return transaction_.Truncate(table); }
  absl::Status Message(const std::string& prefix, const std::string& content) override {
    transaction_.Message(prefix, content);
    return absl::OkStatus();
  }
  absl::Status Commit() override { return transaction_.Commit(); }

 private:
  SimTransaction transaction_;
};

class SimulatedDatabase : public DatabaseUnderTest {
 public:
  explicit SimulatedDatabase(uint64_t seed)
      : random_(seed), database_(&random_, &clock_), capture_(&database_, &random_) {
    database_.CreateTable({{"public", "items"},
                           {{"id", "integer", true},
                            {"name", "text", true},
                            {"price", "text"},
                            {"sku", "character varying(8)"},
                            {"note", "text"}},
                           {0}},
                          {3});
    CreateLines();
    database_.CreateTable({kStock, {{"shop", "integer", true}, {"no", "integer", true}, {"note", "text"}}, {1, 0}}, {});
    database_.PartitionBy(kStock, 0, {"1", "2"});
  }

  Database& database() override { return database_; }
  CaptureSource& capture() override { return capture_; }
  std::unique_ptr<AppTransaction> Begin() override { return std::make_unique<SimulatedTransaction>(&database_); }
  absl::Status AddColumn(const std::string& column, const std::string& type) override {
    return Altered(database_.AddColumn(kItems, {column, type}));
  }
  absl::Status DropColumn(const std::string& column) override { return Altered(database_.DropColumn(kItems, column)); }
  absl::Status RenameColumn(const std::string& column, const std::string& to) override {
    return Altered(database_.RenameColumn(kItems, column, to));
  }
  absl::Status SetKey(const std::vector<std::string>& columns) override { return database_.SetKey(kItems, columns); }
  absl::Status AlterType(const TableName& table, const std::string& column, const std::string& type) override {
    return database_.AlterType(table, column, type);
  }
  absl::Status SetReplicaIdentity(const TableName& table, ReplicaIdentity identity) override {
    return database_.SetReplicaIdentity(table, identity);
  }
  absl::Status MakeLinesAnew() override {
    const absl::Status dropped = database_.DropTable(kLines);
    if (dropped.ok()) CreateLines();
    return dropped;
  }
  void AddTrigger() override {
    database_.CreateTrigger(kItems, [](SimValues* row) {
      if (row->at(1) == "touch") row->at(4) = "touched";
      return row->at(1) != "skip";
    });
  }
  std::map<RowKey, Values> Rows(const TableName& table) override {
    std::map<RowKey, Values> rows;
    for (const auto& [key, row] : database_.Find(table)->rows) rows[key] = row.values;
    return rows;
  }
  ProjectReply ProjectLosingReply(const ProjectRequest& request, bool arrives) override {
    database_.set_fault(arrives ? DatabaseFault::kReplyLost : DatabaseFault::kCommitNotReached);
    return database_.Project(request);
  }
  void Crash() override { database_.Crash(); }

 private:
  inline static const TableName kItems{"public", "items"}, kLines{"public", "lines"}, kStock{"public", "stock"};
  void CreateLines() {
    database_.CreateTable(
        {kLines, {{"invoice", "integer", true}, {"line", "integer", true}, {"quantity", "integer"}}, {0, 1}}, {});
  }
  static absl::Status Altered(bool done) {
    return done ? absl::OkStatus() : absl::AbortedError("somebody works with the table");
  }

  SeededRandom random_;
  FixedClock clock_;
  SimDatabase database_;
  SimCapture capture_;
};

}  // namespace

std::unique_ptr<DatabaseUnderTest> MakeSimulatedDatabase(uint64_t seed) {
  return std::make_unique<SimulatedDatabase>(seed);
}

}  // namespace assay::test
