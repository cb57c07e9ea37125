// A branch's database as `assay init` leaves it (publication, slot, role, progress), and what capture delivers of it as
// lines that a test can read.
//
//   BranchDatabase harness(*server);
//   harness.Enrol("t", "id int PRIMARY KEY, v text");
//   harness.Start();
//   harness.Sql("INSERT INTO t VALUES (1, 'a')");
//   EXPECT_THAT(harness.Captured(), ElementsAre("insert public.t (id=1 v=a)"));
//
// Lines of one transaction are joined by "; " in order; NULL and unchanged values read NULL and ~.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "adapters/postgres/capture.h"
#include "tests/support/postgres_server.h"

namespace assay::test {

// SQL that makes a projection's COMMIT into `table` sleep for 30 s before it has happened: a trigger that fires even
// for us, at the end, and that puts itself off once more when constraints are checked before COMMIT.
std::string SleepInCommit(const std::string& table);
// Undoes it.
std::string NoSleepInCommit(const std::string& table);

class BranchDatabase {
 public:
  // Makes a database, publication and slot of its own; the slot is dropped at the end.
  explicit BranchDatabase(PostgresServer& server);
  ~BranchDatabase();

  // `options`: what follows the columns, as PARTITION BY.
  void Enrol(const std::string& table, const std::string& columns, const std::string& options = "");
  static std::string EnrolSql(const std::string& table, const std::string& columns, const std::string& options);
  void Sql(const std::string& sql);
  std::string Value(const std::string& sql) { return SqlValue(url_, sql); }
  // (Re)starts the stream.
  void Start();
  // The transactions committed up to now that were not returned yet. Confirms nothing.
  std::vector<std::string> Captured();
  // Confirms all that was captured.
  void Confirm() { capture_->Confirm(end_); }

  PostgresCapture& capture() { return *capture_; }
  const std::string& url() const { return url_; }
  const std::string& slot() const { return slot_; }
  CaptureOptions options() const { return {.conninfo = url_, .slot = slot_}; }
  // Of the newest row captured.
  std::shared_ptr<const TableShape> shape() const { return shape_; }
  size_t largest_batch() const { return largest_batch_; }
  // By table, as the stream has described it last; and how often it has described one.
  const std::map<std::string, ReplicaIdentity>& identities() const { return identities_; }
  size_t descriptions() const { return descriptions_; }

 private:
  void Take(const CaptureItem& item);

  PostgresServer& server_;
  std::string url_, slot_;
  std::unique_ptr<PostgresCapture> capture_;
  std::vector<std::string> transactions_;
  std::string open_;
  bool in_transaction_ = false;
  std::string seen_fence_;
  Lsn end_;
  std::shared_ptr<const TableShape> shape_;
  size_t largest_batch_ = 0;
  std::map<std::string, ReplicaIdentity> identities_;
  size_t descriptions_ = 0;
};

}  // namespace assay::test
