#include "tests/adapters/postgres/real_database.h"

#include <algorithm>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "adapters/postgres/projection.h"
#include "tests/adapters/postgres/branch_database.h"

namespace assay::test {
namespace {

class RealTransaction : public AppTransaction {
 public:
  // `keys`: the columns of each table's key, in the order of their names.
  RealTransaction(const std::string& url, const std::map<TableName, std::vector<std::string>>* keys)
      : session_(SqlSession::Connect(url).value()), keys_(keys) {
    Do("SET lock_timeout = '100ms'").IgnoreError();
    Do("BEGIN").IgnoreError();
  }

  absl::Status Insert(const TableName& table, const Values& values) override {
    std::vector<std::string> items;
    for (const ColumnText& value : values) items.push_back(Literal(value));
    return Do(absl::StrCat("INSERT INTO ", table.ToString(), " VALUES (", absl::StrJoin(items, ", "), ")"));
  }
  absl::Status Update(const TableName& table, const RowKey& key,
                      const std::map<std::string, ColumnText>& sets) override {
    std::vector<std::string> items;
    for (const auto& [column, value] : sets) items.push_back(absl::StrCat(column, " = ", Literal(value)));
    return DoToRow(absl::StrCat("UPDATE ", table.ToString(), " SET ", absl::StrJoin(items, ", "), Where(table, key)));
  }
  absl::Status Delete(const TableName& table, const RowKey& key) override {
    return DoToRow(absl::StrCat("DELETE FROM ", table.ToString(), Where(table, key)));
  }
  absl::Status Truncate(const TableName& table) override { return Do(absl::StrCat("TRUNCATE ", table.ToString())); }
  absl::Status Message(const std::string& prefix, const std::string& content) override {
    return Do(absl::StrCat("SELECT pg_logical_emit_message(true, ", Literal(prefix), ", ", Literal(content), ")"));
  }
  absl::Status Commit() override { return Do("COMMIT"); }

 private:
  static std::string Literal(const ColumnText& value) {
    return value ? absl::StrCat("'", absl::StrJoin(absl::StrSplit(*value, '\''), "''"), "'") : "NULL";
  }
  std::string Where(const TableName& table, const RowKey& key) const {
    std::vector<std::string> equal;
    for (size_t i = 0; i < key.size(); ++i) equal.push_back(absl::StrCat(keys_->at(table)[i], " = ", Literal(key[i])));
    return absl::StrCat(" WHERE ", absl::StrJoin(equal, " AND "), " RETURNING 1");
  }
  absl::Status Do(const std::string& sql, Rows* rows = nullptr) {
    auto done = session_->Run(sql);
    if (done.ok()) {
      if (rows != nullptr) *rows = *std::move(done);
      return absl::OkStatus();
    }
    const std::string state = SqlState(done.status());
    if (state == "55P03" || state == "40P01") return absl::AbortedError(done.status().message());
    if (absl::StartsWith(state, "22") || absl::StartsWith(state, "23")) {
      return absl::FailedPreconditionError(done.status().message());
    }
    return absl::UnavailableError(done.status().message());
  }
  absl::Status DoToRow(const std::string& sql) {
    Rows rows;
    absl::Status status = Do(sql, &rows);
    return status.ok() && rows.empty() ? absl::NotFoundError("no such row") : status;
  }

  std::unique_ptr<SqlSession> session_;
  const std::map<TableName, std::vector<std::string>>* keys_;
};

const TableName kItems{"public", "items"}, kLines{"public", "lines"}, kStock{"public", "stock"};
constexpr char kLinesColumns[] = "invoice integer, line integer, quantity integer, PRIMARY KEY (invoice, line)";

class RealDatabase : public DatabaseUnderTest {
 public:
  explicit RealDatabase(PostgresServer& server) : server_(server), branch_(server) {
    branch_.Enrol("items",
                  "id integer PRIMARY KEY, name text NOT NULL, price text, sku character varying(8) UNIQUE, note text");
    branch_.Enrol("lines", kLinesColumns);
    branch_.Enrol("stock", "shop integer, no integer, note text, PRIMARY KEY (shop, no)", "PARTITION BY LIST (shop)");
    branch_.Sql(
        "CREATE TABLE stock_1 PARTITION OF stock FOR VALUES IN (1); ALTER TABLE stock_1 REPLICA IDENTITY FULL;"
        "CREATE TABLE stock_2 PARTITION OF stock FOR VALUES IN (2); ALTER TABLE stock_2 REPLICA IDENTITY FULL");
    database_ = std::make_unique<PostgresDatabase>(
        ProjectionOptions{.conninfo = branch_.url(),
                          .locked_max = absl::Minutes(5),
                          .idle_timeout = absl::Minutes(5)});  // A schedule may dawdle.
  }

  Database& database() override { return *database_; }
  CaptureSource& capture() override { return branch_.capture(); }
  std::unique_ptr<AppTransaction> Begin() override { return std::make_unique<RealTransaction>(branch_.url(), &keys_); }

  absl::Status AddColumn(const std::string& column, const std::string& type) override {
    return Alter(kItems, absl::StrCat("ADD ", column, " ", type));
  }
  absl::Status DropColumn(const std::string& column) override { return Alter(kItems, absl::StrCat("DROP ", column)); }
  absl::Status RenameColumn(const std::string& column, const std::string& to) override {
    return Alter(kItems, absl::StrCat("RENAME ", column, " TO ", to));
  }
  absl::Status SetKey(const std::vector<std::string>& columns) override {
    const absl::Status set =
        Alter(kItems, absl::StrCat("DROP CONSTRAINT items_pkey, ADD CONSTRAINT items_pkey PRIMARY KEY (",
                                   absl::StrJoin(columns, ", "), ")"));
    if (!set.ok()) return set;
    std::vector<std::string>& key = keys_[kItems] = columns;
    std::sort(key.begin(), key.end());
    return set;
  }
  absl::Status AlterType(const TableName& table, const std::string& column, const std::string& type) override {
    return Alter(table, absl::StrCat("ALTER ", column, " TYPE ", type, " USING ", column, "::", type));
  }
  absl::Status SetReplicaIdentity(const TableName& table, ReplicaIdentity identity) override {
    return Alter(table, absl::StrCat("REPLICA IDENTITY ", identity == ReplicaIdentity::kFull ? "FULL" : "DEFAULT"));
  }
  absl::Status MakeLinesAnew() override {
    return Do(absl::StrCat("DROP TABLE lines; ", BranchDatabase::EnrolSql("lines", kLinesColumns, "")));
  }
  void AddTrigger() override {
    branch_.Sql(
        "CREATE FUNCTION answer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.name = 'touch' THEN NEW.note = 'touched'; END IF;"
        "IF NEW.name = 'skip' THEN RETURN NULL; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER answer BEFORE INSERT OR UPDATE ON items FOR EACH ROW EXECUTE FUNCTION answer();"
        "ALTER TABLE items ENABLE ALWAYS TRIGGER answer");
  }
  std::map<RowKey, Values> Rows(const TableName& table) override {
    std::map<RowKey, Values> result;
    const std::vector<std::string>& key = keys_.at(table);
    const auto rows =
        Sql(branch_.url(), absl::StrCat("SELECT ", absl::StrJoin(key, ", "), ", * FROM ", table.ToString()));
    EXPECT_TRUE(rows.ok()) << rows.status();
    for (const auto& row : *rows) {
      Values values;
      for (size_t i = key.size(); i < row.size(); ++i)
        values.push_back(row[i] == "NULL" ? std::nullopt : ColumnText(row[i]));
      result[RowKey(row.begin(), row.begin() + static_cast<ptrdiff_t>(key.size()))] = std::move(values);
    }
    return result;
  }

  // COMMIT takes long because a standby that does not exist is waited for (then it has happened), or because a trigger
  // sleeps (then it has not); meanwhile the session is ended.
  ProjectReply ProjectLosingReply(const ProjectRequest& request, bool arrives) override {
    if (arrives) {
      server_.Configure("synchronous_standby_names", "nobody");
      EXPECT_TRUE(server_.Reload().ok());
      absl::SleepFor(absl::Milliseconds(300));
    } else {
      branch_.Sql(SleepInCommit("lines"));
    }
    std::thread ending([this] {
      const std::string sessions =
          "FROM pg_stat_activity WHERE application_name = 'assay projection' AND query = 'COMMIT' "
          "AND state = 'active' AND datname = current_database()";
      const absl::Time limit = absl::Now() + absl::Seconds(20);
      while (absl::Now() < limit && branch_.Value("SELECT count(*) " + sessions) != "1")
        absl::SleepFor(absl::Milliseconds(20));
      branch_.Value("SELECT count(pg_terminate_backend(pid)) " + sessions);
    });
    const ProjectReply reply = database_->Project(request);
    ending.join();
    if (arrives) {
      server_.Configure("synchronous_standby_names", "");
      EXPECT_TRUE(server_.Reload().ok());
    } else {
      branch_.Sql(NoSleepInCommit("lines"));
    }
    return reply;
  }

  void Crash() override {
    EXPECT_TRUE(server_.Kill().ok());
    server_.Start().IgnoreError();  // On a busy machine recovery may take longer than it waits.
    for (int i = 0; i < 600 && !Sql(server_.Url(), "SELECT 1").ok(); ++i) absl::SleepFor(absl::Milliseconds(100));
  }

 private:
  absl::Status Alter(const TableName& table, const std::string& how) {
    return Do(absl::StrCat("ALTER TABLE ", table.table, " ", how));
  }
  absl::Status Do(const std::string& sql) {
    const auto session = SqlSession::Connect(branch_.url());
    if (!session.ok()) return session.status();
    const auto done = (*session)->Run(absl::StrCat("SET lock_timeout = '100ms'; ", sql));
    const std::string state = SqlState(done.status());
    if (state == "55P03") return absl::AbortedError("somebody works with the table");
    // What is known of a table is looked at anew by then.
    if (done.ok()) absl::SleepFor(absl::Milliseconds(250));
    const bool unfit = absl::StartsWith(state, "22") || absl::StartsWith(state, "23");
    return unfit ? absl::FailedPreconditionError(done.status().message()) : done.status();
  }

  std::map<TableName, std::vector<std::string>> keys_{
      {kItems, {"id"}}, {kLines, {"invoice", "line"}}, {kStock, {"no", "shop"}}};
  PostgresServer& server_;
  BranchDatabase branch_;
  std::unique_ptr<PostgresDatabase> database_;
};

}  // namespace

std::unique_ptr<DatabaseUnderTest> MakeRealDatabase(PostgresServer& server) {
  return std::make_unique<RealDatabase>(server);
}

}  // namespace assay::test
