// Projection: the Database of engine/database.h over libpq.
//
//   PostgresDatabase database({.conninfo = url, .interrupt = interrupt});
//   ASSAY_ASSIGN_OR_RETURN(ReadReply reply, database.Read(request));
//
// One session reads and writes, under the role `assay_projector` with triggers off (session_replication_role =
// replica), and holds an advisory lock while it lives. LastBatch opens a new one: once that has the lock, no earlier
// session can commit any more. A second session, opened when first needed, emits the fences of locking reads.
//
// Locks are waited for `lock_timeout` at most. A locking read takes rows FOR UPDATE, in key order. For rows that do not
// exist it keeps every writer off their table (SHARE ROW EXCLUSIVE), because nothing smaller holds a key that nobody
// has. A placeholder row would need a value for every NOT NULL, unique and checked column. Rolling it back would let go
// of the key before the real row is in. The engine asks for locks only after a batch has moved several times, and lets
// go within half a second when its fence does not come.
//
// How long an application's write can be held up by that: `lock_timeout` behind our own waiting for the tables (all of
// them together), and then while we hold them (figures in tests/bench/RESULTS.md). The fence's way through capture, and
// an fsync, come on top. Nothing is begun under locks that are older than `locked_max`, and no statement under them
// runs for longer than 1 s.
//
// Without locks of a read, a batch that is written gives way to whoever waits for it, after 3 ms and the statement that
// is under way.
//
// Which constraints hold for what is written: NOT NULL, CHECK, domains, immediate unique and exclusion
// constraints do. Foreign keys do not. Deferrable unique and exclusion constraints do only because enrolment enables
// their triggers ALWAYS; a table that has one without that is refused. A deferred rule is checked before COMMIT, so
// that the row it is about can be named.
//
// PostgreSQL may take keys to be equal that are not the same text: 'Ring' and 'RING' in citext or under a collation
// that is not deterministic, 1.0 and 1.00. They are two rows in the log, and can only be one here. The one that is
// there stays. The other one is refused by name (23505) and so parked, until the first is deleted or respelled. Nothing
// is lost; branches may differ in which one they show.
//
// Called from one thread at a time. Connections that are lost are opened again by the next call.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "adapters/libpq/connection.h"
#include "adapters/postgres/catalog.h"
#include "engine/database.h"

namespace assay {

class RowWriter;

struct ProjectionOptions {
  std::string conninfo;
  std::shared_ptr<Interrupt> interrupt;  // May be null.
  absl::Duration lock_timeout = absl::Milliseconds(200);
  // From the first lock of a locking read to its COMMIT. With lock_timeout less than PostgreSQL's deadlock_timeout (1
  // s): whoever has waited for so long, and is waited for, is the one whose transaction is ended.
  absl::Duration locked_max = absl::Milliseconds(700);
  // Both are told to the server, so that a daemon that hangs holds nobody up: how long one statement may take, and how
  // long the transaction of a locking read may wait for Project.
  absl::Duration statement_timeout = absl::Seconds(60);
  absl::Duration idle_timeout = absl::Seconds(5);
};

class PostgresDatabase final : public Database {
 public:
  explicit PostgresDatabase(ProjectionOptions options);
  ~PostgresDatabase() override;

  absl::StatusOr<ReadReply> Read(const ReadRequest& request) override;
  ProjectReply Project(const ProjectRequest& request) override;
  void Abandon() override;
  absl::StatusOr<uint64_t> LastBatch() override;

 private:
  enum class Role { kProjector, kFence };
  absl::StatusOr<std::unique_ptr<Connection>> OpenSession(Role role);
  absl::Status EnsureSession();
  absl::StatusOr<ReadReply> ReadTables(const ReadRequest& request);
  absl::Status ReadTable(const ReadRequest::Table& request, bool lock, ReadReply::Table* table);
  absl::StatusOr<std::vector<ReadReply::Row>> ReadRows(const LocalTable& local, absl::Span<const RowKey> keys,
                                                       bool lock);
  // Returns the tables that have such rows, now closed to everybody's writes.
  absl::StatusOr<std::set<TableName>> LockTablesOfAbsentRows(const ReadRequest& request);
  absl::Status EmitFence(const ReadRequest& request, ReadReply* reply);
  // The table is what the writes that nothing was read for took it to be.
  bool IsAsPlanned(const TableWrites& writes) const;
  absl::Status TakeSession(const ProjectRequest& request, bool unread);
  // OK also when the writer has rows to tell: then nothing may be committed.
  absl::Status Write(const ProjectRequest& request, RowWriter* writer);
  absl::Status WriteRows(const ProjectRequest& request, RowWriter* writer);
  ProjectReply Commit();
  void Rollback();

  const ProjectionOptions options_;
  LocalCatalog catalog_;
  std::unique_ptr<Connection> session_;
  std::unique_ptr<Connection> fence_session_;
  bool locked_ = false;  // A locking read's transaction is open.
  absl::Time locked_until_ = absl::InfiniteFuture();
  uint64_t session_number_ = 0;  // Which session_ this is: ReadReply::session.
  uint32_t written_xmin_ = 0;    // The open transaction's ProjectReply::xmin.
  int lock_timeouts_ = 0;        // Projections that gave up on a lock lately.
  absl::Time last_lock_timeout_ = absl::InfinitePast();
  absl::Time met_others_ = absl::InfinitePast();  // When a row had moved or was waited for.
};

}  // namespace assay
