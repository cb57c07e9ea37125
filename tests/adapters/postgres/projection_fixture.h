// A branch's database with table t, and projections into it in few words: what the tests of the projection have in
// common.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "adapters/postgres/projection.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/adapters/postgres/branch_database.h"
#include "tests/support/row_writes.h"

namespace assay {

class ProjectionTest : public ::testing::Test {
 protected:
  using Outcome = ProjectReply::Outcome;
  inline static const TableName kT{"public", "t"};

  static RowWrite Insert(const RowKey& key, const std::vector<ColumnText>& values) {
    return test::InsertOf(key, values);
  }
  static RowWrite Update(const RowKey& key, const std::vector<ColumnText>& values, uint32_t xmin) {
    return test::UpdateOf(key, values, xmin);
  }
  static RowWrite Delete(const RowKey& key, uint32_t xmin) { return test::DeleteOf(key, xmin); }

  static RowWrite Keep(const RowKey& key, uint32_t xmin) { return test::KeepOf(key, xmin); }

  static std::string Show(const ReadReply::Row& row) {
    if (!row.exists) return "-";
    return absl::StrJoin(row.values, ",",
                         [](std::string* out, const ColumnText& v) { absl::StrAppend(out, v.value_or("NULL")); });
  }

  static void SetUpTestSuite() {
    auto server = test::PostgresServer::Create({.settings = {{"max_replication_slots", "20"}}});
    if (!test::MaySkipWithoutPostgres(server.status())) server_ = std::move(server).value().release();
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  void SetUp() override {
    if (server_ == nullptr) GTEST_SKIP() << "no PostgreSQL";
    branch_ = std::make_unique<test::BranchDatabase>(*server_);
    database_ = std::make_unique<PostgresDatabase>(ProjectionOptions{.conninfo = branch_->url()});
  }
  void TearDown() override {
    database_.reset();
    branch_.reset();
  }

  void Enrol(const std::string& columns) { branch_->Enrol("t", columns); }
  void Sql(const std::string& sql) { branch_->Sql(sql); }
  std::string Value(const std::string& sql) { return branch_->Value(sql); }
  // All rows of t, "1,a;2,b".
  std::string Rows(const std::string& table = "t") {
    const auto rows = test::Sql(branch_->url(), absl::StrCat("SELECT * FROM ", table, " ORDER BY 1"));
    EXPECT_TRUE(rows.ok()) << rows.status();
    return absl::StrJoin(*rows, ";",
                         [](std::string* out, const auto& row) { absl::StrAppend(out, absl::StrJoin(row, ",")); });
  }
  std::unique_ptr<test::SqlSession> Session() { return test::SqlSession::Connect(branch_->url()).value(); }

  ReadReply::Table Read(const std::vector<RowKey>& keys, const TableName& name = kT) {
    auto reply = database_->Read({.tables = {{name, keys}}, .fence = "f"});
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? reply->tables[0] : ReadReply::Table{.rows = std::vector<ReadReply::Row>(keys.size())};
  }
  uint32_t Xmin(const std::string& key) { return Read({{key}}).rows[0].xmin; }
  ProjectReply Project(std::vector<TableWrites> writes, bool locked = false) {
    return database_->Project({++batch_, absl::StrCat("tag ", batch_), std::move(writes), locked});
  }
  ProjectReply Project(std::vector<std::string> columns, std::deque<RowWrite> rows, bool locked = false) {
    return Project({{kT, std::move(columns), std::move(rows)}}, locked);
  }
  // Rows of a reply as "row:sqlstate", in order.
  static std::vector<std::string> Refused(const ProjectReply& reply) {
    EXPECT_EQ(reply.outcome, Outcome::kRefused) << reply.status;
    std::vector<std::string> rows;
    for (const auto& row : reply.rows) {
      rows.push_back(absl::StrCat(row.row, ":", row.sqlstate));
      EXPECT_NE(row.cause, "");
    }
    std::sort(rows.begin(), rows.end());
    return rows;
  }
  static std::vector<uint32_t> Moved(const ProjectReply& reply) {
    EXPECT_EQ(reply.outcome, Outcome::kMoved) << reply.status;
    std::vector<uint32_t> rows;
    for (const auto& row : reply.rows) rows.push_back(row.row);
    std::sort(rows.begin(), rows.end());
    return rows;
  }

  inline static test::PostgresServer* server_ = nullptr;
  std::unique_ptr<test::BranchDatabase> branch_;
  std::unique_ptr<PostgresDatabase> database_;
  uint64_t batch_ = 0;
};

}  // namespace assay
