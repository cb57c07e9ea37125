// A branch without its daemon: a database, a log, and what init, leave, capture and a reader of the log make of them.
//
//   TestBranch branch(*server, "mumbai", 1);
//   branch.Sql("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')");
//   ASSERT_TRUE(branch.Init().ok());
//   EXPECT_THAT(branch.Changes(), ElementsAre("baseline insert public.t (1) v=a"));
//
// The slot `assay` is one to a server, so each branch needs a server of its own. BranchTest has one branch after the
// other on the server of its suite.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "gtest/gtest.h"
#include "tests/support/postgres_server.h"
#include "tools/setup/enrolment.h"

namespace assay::test {

class TestClock : public Clock {
 public:
  absl::Time Now() override;
};

class TestRandom : public Random {
 public:
  uint64_t Next() override;
};

class TestBranch {
 public:
  // Makes the database `name` on `server`, empty or as a copy of the database `copy_of` on `from`.
  TestBranch(PostgresServer& server, const std::string& name, uint32_t number);
  ~TestBranch();

  void Sql(const std::string& sql) { MustSql(url_, sql); }
  std::string Value(const std::string& sql) { return SqlValue(url_, sql); }
  // Fills the empty database with what pg_dump says of another's.
  void Restore(const std::string& dump);
  std::string Dump(bool schema_only = false);

  absl::StatusOr<InitReport> Init(Hub* hub = nullptr) { return assay::Init(options, hub, &clock_, &random_); }
  absl::StatusOr<LeaveReport> Leave() { return assay::Leave({.admin_url = url_, .log_path = log_path()}); }
  // Captures into the log everything committed up to now, and records `found` after that, if there is something.
  absl::Status CatchUp();

  // The own chain's row changes in order, "SOURCE OPERATION TABLE (KEY) COLUMN=VALUE …".
  std::vector<std::string> Changes();
  // The same changes by transaction: how many rows each has.
  std::vector<size_t> TransactionSizes();
  // Who wrote each transaction, as the attribution's text form; "" when nobody said.
  std::vector<std::string> Attributions();

  const std::string& url() const { return url_; }
  std::string url_as(const std::string& user) const { return server_.Url(database_, user); }
  std::string log_path() const { return directory_.path() + "/log.db"; }
  const std::string& state_dir() const { return directory_.path(); }
  Clock& clock() { return clock_; }
  PostgresServer& server() { return server_; }

  InitOptions options;
  std::optional<FoundRows> found;

 private:
  PostgresServer& server_;
  std::string database_, url_;
  TempDirectory directory_{"branch"};
  TestClock clock_;
  TestRandom random_;
};

// Each test has a branch of its own, number 3, which is taken out again at its end. Skips where no PostgreSQL can run.
class BranchTest : public testing::Test {
 protected:
  static void SetUpTestSuite();
  static void TearDownTestSuite() { server_.reset(); }
  // After it `branch_` is null where the test is skipped.
  void SetUp() override;
  void TearDown() override;

  InitReport MustInit();

  inline static std::unique_ptr<PostgresServer> server_;
  std::unique_ptr<TestBranch> branch_;
};

// A hub that has what some logs have, own chains and others' alike. What is pushed to it is counted, and given to
// nobody.
class LogHub : public Hub {
 public:
  explicit LogHub(std::vector<std::string> log_paths) : log_paths_(std::move(log_paths)) {}
  absl::StatusOr<HubHeads> Heads() override;
  absl::StatusOr<PushReply> Push(const PushRequest& request) override;
  absl::StatusOr<PullReply> Pull(const PullRequest& request) override;
  absl::StatusOr<SessionReply> OpenSession(const SessionRequest&) override {
    return SessionReply{SessionAnswer::kOpened, 1};
  }
  absl::StatusOr<HeartbeatReply> Heartbeat(const BranchReport&, absl::Time) override { return HeartbeatReply{}; }

  absl::Status error;               // When not OK, every call fails with it.
  absl::Duration ahead;             // Of its clock.
  std::optional<OriginId> garbled;  // The chain of which it changes a bit of all it gives.
  absl::Status push_error;          // When not OK, pushes fail with it.
  std::map<OriginId, Sequence> pushed;

 private:
  std::vector<std::string> log_paths_;
};

}  // namespace assay::test
