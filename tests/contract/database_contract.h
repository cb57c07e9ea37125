// The promises of engine/database.h, as tests that run over every body of Database and CaptureSource, so that the
// simulated PostgreSQL keeps those of the real one.
//
// A body's test links database_contract.cc and says how to make one:
//
//   INSTANTIATE_TEST_SUITE_P(Simulated, DatabaseContract, testing::Values(DatabaseBody{"simulated", Make}), DatabaseBodyName);
//
// `make` gives a fresh PostgreSQL, its slot made and nothing written since, with these tables, both enrolled:
//   public.items (id integer PRIMARY KEY, name text NOT NULL, price text, sku character varying(8) UNIQUE, note text)
//   public.lines (invoice integer, line integer, quantity integer, PRIMARY KEY (invoice, line))
//   public.stock (shop integer, no integer, note text, PRIMARY KEY (shop, no)) PARTITION BY LIST (shop),
//     with a partition for shop 1 and one for shop 2
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/database.h"
#include "gtest/gtest.h"

namespace assay::test {

using Values = std::vector<ColumnText>;

// A transaction of the app. After an error only rolling back is left, which destroying does.
// ABORTED: a lock is held by another. FAILED_PRECONDITION: a constraint. NOT_FOUND: no such row.
class AppTransaction {
 public:
  virtual ~AppTransaction() = default;
  virtual absl::Status Insert(const TableName& table, const Values& values) = 0;
  virtual absl::Status Update(const TableName& table, const RowKey& key,
                              const std::map<std::string, ColumnText>& sets) = 0;
  virtual absl::Status Delete(const TableName& table, const RowKey& key) = 0;
  virtual absl::Status Truncate(const TableName& table) = 0;
  virtual absl::Status Message(const std::string& prefix, const std::string& content) = 0;
  virtual absl::Status Commit() = 0;
};

class DatabaseUnderTest {
 public:
  virtual ~DatabaseUnderTest() = default;
  virtual Database& database() = 0;
  virtual CaptureSource& capture() = 0;
  virtual std::unique_ptr<AppTransaction> Begin() = 0;
  // ALTER TABLE, in a session of its own. ABORTED: somebody works with the table. FAILED_PRECONDITION: a row does not
  // fit. Of public.items: a column added at its end, dropped, renamed; another primary key.
  virtual absl::Status AddColumn(const std::string& column, const std::string& type) = 0;
  virtual absl::Status DropColumn(const std::string& column) = 0;
  virtual absl::Status RenameColumn(const std::string& column, const std::string& to) = 0;
  virtual absl::Status SetKey(const std::vector<std::string>& columns) = 0;
  // USING a cast.
  virtual absl::Status AlterType(const TableName& table, const std::string& column, const std::string& type) = 0;
  // FULL or DEFAULT.
  virtual absl::Status SetReplicaIdentity(const TableName& table, ReplicaIdentity identity) = 0;
  // public.lines is dropped, and another one of the name is made and enrolled.
  virtual absl::Status MakeLinesAnew() = 0;
  // On public.items, BEFORE INSERT OR UPDATE, ENABLE ALWAYS: the name 'skip' skips the row, 'touch' sets note to
  // 'touched'.
  virtual void AddTrigger() = 0;
  // What the app sees in a table.
  virtual std::map<RowKey, Values> Rows(const TableName& table) = 0;
  // Projects, and the connection breaks at COMMIT, which arrived or did not.
  virtual ProjectReply ProjectLosingReply(const ProjectRequest& request, bool arrives) = 0;
  // The server stops as in a power cut, and is there again on return.
  virtual void Crash() = 0;
};

struct DatabaseBody {
  std::string name;
  // nullptr: cannot run here (no PostgreSQL), the tests are skipped.
  std::function<std::unique_ptr<DatabaseUnderTest>()> make;
};
inline void PrintTo(const DatabaseBody& body, std::ostream* out) { *out << body.name; }
inline std::string DatabaseBodyName(const testing::TestParamInfo<DatabaseBody>& info) { return info.param.name; }

// A captured transaction, each item as text: "UPDATE public.lines (1, 1, 5) -> (1, 1, 6)".
struct Captured {
  Lsn commit_lsn, end_lsn;
  std::vector<std::string> items;
};

// Reads the stream of one CaptureSource.
class StreamReader {
 public:
  // `shapes`: an item that is the first of another shape of its table is told with it.
  explicit StreamReader(DatabaseUnderTest* body, bool shapes = false) : body_(body), shapes_(shapes) {}
  // Everything up to the fence that this emits, fence transactions left out.
  absl::StatusOr<std::vector<Captured>> Drain();
  // The stream from where Start began, until the fence `nonce`.
  absl::StatusOr<std::vector<Captured>> ReadUntil(const std::string& nonce);

 private:
  std::string Show(const CaptureItem& item);

  DatabaseUnderTest* body_;
  const bool shapes_;
  std::map<std::string, std::string> shown_;  // Of each table, the last shape.
  std::optional<Captured> open_;
  uint64_t fences_ = 0;
};

// "public.lines (invoice integer #1 key, quantity integer null #3)".
std::string ShowShape(const TableShape& shape);

// What happened when a seeded schedule of app transactions, reads and projections ran on a body: statuses, replies,
// stream, rows. The same seed must give the same lines on every body.
std::vector<std::string> RunSchedule(DatabaseUnderTest& body, uint64_t seed, int steps);

class DatabaseContract : public testing::TestWithParam<DatabaseBody> {
 protected:
  void SetUp() override;
  // One statement of the app, committed.
  void Insert(const TableName& table, const Values& values);
  void Update(const TableName& table, const RowKey& key, const std::map<std::string, ColumnText>& sets);
  void Delete(const TableName& table, const RowKey& key);
  // Items of what is new in the stream, transaction by transaction.
  std::vector<std::vector<std::string>> Stream();
  // One row as Read gives it.
  ReadReply::Row ReadRow(const TableName& table, const RowKey& key);

  std::unique_ptr<DatabaseUnderTest> body_;
  std::unique_ptr<StreamReader> reader_;
};

}  // namespace assay::test
