#include "adapters/postgres/projection.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "adapters/libpq/sqlstate.h"
#include "adapters/libpq/steady_time.h"
#include "adapters/postgres/row_statements.h"
#include "adapters/postgres/row_writer.h"
#include "adapters/postgres/savepoint.h"
#include "log/annotate.h"

namespace assay {
namespace {

constexpr char kAdvisoryLock[] = "7022083106487169642";  // 'assayprj' as a bigint. Such locks are per database.
// So many keys a statement: a large transaction's rows may be cold on a slow disk, and each statement has its time.
constexpr size_t kKeysAtOnce = 4096;
constexpr absl::Duration kCatalogAgeMax = absl::Milliseconds(200);
constexpr absl::Duration kLockedStatementMax = absl::Seconds(1);
// A lock that the application holds for a moment is worth trying again. From the third time in a minute on, the rows
// that are locked are refused by name, so that the others flow on.
constexpr int kLockTimeoutsBeforeRefusing = 2;
constexpr absl::Duration kLockTimeoutsRemembered = absl::Minutes(1);
// Since somebody else was met: a row had moved, or was waited for.
constexpr absl::Duration kGentlyFor = absl::Seconds(10);

std::string Milliseconds(absl::Duration duration) { return absl::StrCat(absl::ToInt64Milliseconds(duration), "ms"); }

bool IsLockTimeout(const absl::Status& status) { return SqlstateOf(status) == "55P03"; }

std::vector<TableName> NamesIn(const ReadRequest& request) {
  std::vector<TableName> names;
  for (const ReadRequest::Table& table : request.tables) names.push_back(table.name);
  return names;
}

size_t BytesIn(const ProjectRequest& request) {
  size_t bytes = 0;
  for (const TableWrites& writes : request.writes) {
    for (const RowWrite& row : writes.rows) bytes += writes.ByteSize(row);
  }
  return bytes;
}

bool HasAbsent(const std::vector<ReadReply::Row>& rows) {
  return std::any_of(rows.begin(), rows.end(), [](const ReadReply::Row& row) { return !row.exists; });
}

}  // namespace

PostgresDatabase::PostgresDatabase(ProjectionOptions options) : options_(std::move(options)) {}

PostgresDatabase::~PostgresDatabase() = default;

absl::StatusOr<std::unique_ptr<Connection>> PostgresDatabase::OpenSession(Role role) {
  ConnectionOptions options;
  options.application_name = role == Role::kProjector ? "assay projection" : "assay fence";
  options.interrupt = options_.interrupt;
  // Only a server that stands still answers later than this: what was asked is then in doubt.
  options.call_timeout = options_.statement_timeout + absl::Seconds(30);
  options.settings = {
      {"statement_timeout", Milliseconds(options_.statement_timeout)},
      {"idle_in_transaction_session_timeout", Milliseconds(options_.idle_timeout)},
      // A predecessor's backend may need a moment to see that its client is gone.
      {"lock_timeout", "2s"},
      // Rows that a policy hides must be an error, or they would look deleted.
      {"row_security", "off"},
      // Rows are found by their keys, a batch at a time. Left to itself, the planner hashes the whole table for a batch
      // of some thousand keys, which costs the more the larger the table is; and compiles the statement where there is
      // an LLVM.
      {"enable_hashjoin", "off"},
      {"enable_mergejoin", "off"},
      {"enable_seqscan", "off"},
      {"jit", "off"},
      // What the catalog says of a table is asked before most batches, and takes 3 ms to plan and half of one to run.
      {"plan_cache_mode", "force_generic_plan"},
      {"session_replication_role", "replica"},
      {"role", "assay_projector"}};
  auto session = Connection::Open(options_.conninfo, options);
  if (!session.ok()) {
    const std::string sqlstate = SqlstateOf(session.status());
    if (sqlstate == "42501" || sqlstate == "22023") {
      return absl::FailedPreconditionError(
          absl::StrCat(session.status().message(), ": `assay doctor` shows what the projection's role needs"));
    }
    return session.status();
  }
  if (role == Role::kProjector) {
    const auto lock = (*session)->Execute("SELECT pg_catalog.pg_advisory_lock($1)", {kAdvisoryLock});
    if (IsLockTimeout(lock.status())) {
      return absl::UnavailableError(
          "another session is projecting into this database: another daemon, or one that has just ended");
    }
    if (!lock.ok()) return lock.status();
  }
  ASSAY_RETURN_IF_ERROR(
      (*session)
          ->ExecuteScript(absl::StrCat("SET lock_timeout = '", Milliseconds(options_.lock_timeout), "'"))
          .status());
  return session;
}

absl::Status PostgresDatabase::EnsureSession() {
  if (session_ != nullptr && session_->StillOpen()) return absl::OkStatus();
  session_.reset();
  locked_ = false;
  ASSAY_ASSIGN_OR_RETURN(session_, OpenSession(Role::kProjector));
  ++session_number_;
  return absl::OkStatus();
}

void PostgresDatabase::Rollback() {
  locked_ = false;
  if (session_ == nullptr) return;
  if (session_->usable() && session_->transaction_status() != PQTRANS_IDLE) (void)session_->ExecuteScript("ROLLBACK");
  if (!session_->usable() || session_->transaction_status() != PQTRANS_IDLE) session_.reset();
}

void PostgresDatabase::Abandon() { Rollback(); }

// ---- Reading ----

absl::StatusOr<ReadReply> PostgresDatabase::Read(const ReadRequest& request) {
  Rollback();
  ASSAY_RETURN_IF_ERROR(EnsureSession());
  // Before there are locks that others would wait for.
  if (request.lock && (fence_session_ == nullptr || !fence_session_->StillOpen())) {
    ASSAY_ASSIGN_OR_RETURN(fence_session_, OpenSession(Role::kFence));
  }
  absl::StatusOr<ReadReply> reply = ReadTables(request);
  if (reply.ok()) {
    if (absl::Status status = EmitFence(request, &*reply); !status.ok()) reply = AnnotateSql(status, "emit a fence");
  }
  if (!reply.ok()) {
    Rollback();
    catalog_.Forget();
  }
  return reply;
}

absl::StatusOr<ReadReply> PostgresDatabase::ReadTables(const ReadRequest& request) {
  ASSAY_RETURN_IF_ERROR(catalog_.Load(*session_, NamesIn(request), kCatalogAgeMax));
  std::set<TableName> closed;  // To everybody's writes.
  if (request.lock) {
    ASSAY_RETURN_IF_ERROR(session_
                              ->ExecuteScript(absl::StrCat("BEGIN; SELECT pg_catalog.pg_logical_emit_message(true, ",
                                                           session_->QuoteLiteral(kProjectionPrefix), ", ",
                                                           session_->QuoteLiteral(request.tag), ")"))
                              .status());
    locked_ = true;
    locked_until_ = absl::InfiniteFuture();
    ASSAY_ASSIGN_OR_RETURN(closed, LockTablesOfAbsentRows(request));
  }
  ReadReply reply;
  for (const ReadRequest::Table& table : request.tables) {
    if (request.lock && SteadyNow() > locked_until_)
      return absl::AbortedError("the rows took longer to lock than they may be locked");
    ReadReply::Table& answer = reply.tables.emplace_back();
    absl::Status status = ReadTable(table, request.lock, &answer);
    if (IsAboutRows(status) && !request.lock) {
      // The table may have changed its shape since the catalog was read. If that is not it, this table is refused, and
      // the others go on.
      catalog_.Forget();
      ASSAY_RETURN_IF_ERROR(catalog_.Load(*session_, NamesIn(request), kCatalogAgeMax));
      status = ReadTable(table, request.lock, &answer);
      if (IsAboutRows(status)) {
        answer = {.refusal = absl::StrCat("table ", table.name.ToString(), " cannot be read: ", status.message())};
        continue;
      }
    }
    if (!status.ok()) return AnnotateSql(status, absl::StrCat("read ", table.name.ToString()));
    if (request.lock && !closed.contains(table.name) && HasAbsent(answer.rows)) {
      return absl::AbortedError(
          absl::StrCat("a row of ", table.name.ToString(), " was deleted while the batch was being locked"));
    }
  }
  return reply;
}

absl::Status PostgresDatabase::ReadTable(const ReadRequest::Table& request, bool lock, ReadReply::Table* table) {
  const LocalTable& local = catalog_.Find(request.name);
  *table = {};
  if (!local.refusal.empty()) {
    table->refusal = local.refusal;
    return absl::OkStatus();
  }
  table->shape = local.shape;
  table->answers = local.answers;
  ASSAY_ASSIGN_OR_RETURN(table->rows, ReadRows(local, request.keys, lock));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ReadReply::Row>> PostgresDatabase::ReadRows(const LocalTable& local,
                                                                       absl::Span<const RowKey> keys, bool lock) {
  std::vector<ReadReply::Row> rows(keys.size());
  // A key of another form than this table's cannot be here. Locks are taken together, or others could come in between.
  const bool at_once =
      (lock || keys.size() <= kKeysAtOnce) &&
      std::all_of(keys.begin(), keys.end(), [&](const RowKey& key) { return key.size() == local.shape.key.size(); });
  if (at_once) {
    if (locked_) ASSAY_RETURN_IF_ERROR(session_->ExecuteScript("SAVEPOINT assay_read").status());
    auto found = SelectRows(*session_, local, keys, lock);
    if (locked_ && found.ok()) ASSAY_RETURN_IF_ERROR(session_->ExecuteScript("RELEASE assay_read").status());
    if (found.ok()) {
      for (FoundRow& one : *found) rows[one.key] = std::move(one.row);
      return rows;
    }
    // "abc" is no integer: then no row has it as its key, and the others are read without it.
    const std::string sqlstate = SqlstateOf(found.status());
    if (!absl::StartsWith(sqlstate, "22") && !absl::StartsWith(sqlstate, "23")) return found.status();
    if (locked_) ASSAY_RETURN_IF_ERROR(session_->ExecuteScript("ROLLBACK TO assay_read; RELEASE assay_read").status());
  }
  if (keys.size() == 1) return rows;
  const size_t half = keys.size() / 2;
  for (const auto& [from, count] : {std::pair<size_t, size_t>{0, half}, {half, keys.size() - half}}) {
    ASSAY_ASSIGN_OR_RETURN(std::vector<ReadReply::Row> part, ReadRows(local, keys.subspan(from, count), lock));
    std::move(part.begin(), part.end(), rows.begin() + from);
  }
  return rows;
}

absl::StatusOr<std::set<TableName>> PostgresDatabase::LockTablesOfAbsentRows(const ReadRequest& request) {
  std::set<TableName> closed;
  std::vector<std::string> quoted;
  for (const ReadRequest::Table& table : request.tables) {
    const LocalTable& local = catalog_.Find(table.name);
    if (!local.refusal.empty()) continue;
    ASSAY_ASSIGN_OR_RETURN(const std::vector<ReadReply::Row> rows, ReadRows(local, table.keys, /*lock=*/false));
    if (!HasAbsent(rows)) continue;
    closed.insert(table.name);
    quoted.push_back(local.quoted);
  }
  // Before any row is locked: an application that holds a table and waits for a row of ours would be waited for in
  // turn. Who writes after us queues up behind our wait: so all of it together takes no longer than one lock may
  // (lock_timeout is for each).
  if (!closed.empty()) {
    ASSAY_RETURN_IF_ERROR(
        session_
            ->ExecuteScript(absl::StrCat("SET LOCAL statement_timeout = '", Milliseconds(options_.lock_timeout),
                                         "'; LOCK TABLE ", absl::StrJoin(quoted, ", "), " IN SHARE ROW EXCLUSIVE MODE"))
            .status());
  }
  locked_until_ = SteadyNow() + options_.locked_max;
  ASSAY_RETURN_IF_ERROR(
      session_->ExecuteScript(absl::StrCat("SET LOCAL statement_timeout = '", Milliseconds(kLockedStatementMax), "'"))
          .status());
  return closed;
}

absl::Status PostgresDatabase::EmitFence(const ReadRequest& request, ReadReply* reply) {
  Connection& session = request.lock ? *fence_session_ : *session_;
  // What the snapshot takes for ended had written its commit record before it was taken. Of an xid8, the xid is the
  // lower half.
  ASSAY_ASSIGN_OR_RETURN(
      const Result result,
      session.ExecutePrepared(
          "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) AS ended_before, pg_catalog.pg_logical_emit_message(true, $1, $2)",
          {kFencePrefix, request.fence}));
  reply->ended_before = static_cast<uint32_t>(result.Int64(0, "ended_before"));
  reply->session = session_number_;
  return absl::OkStatus();
}

// ---- Writing ----

bool PostgresDatabase::IsAsPlanned(const TableWrites& writes) const {
  const LocalTable& table = catalog_.Find(writes.name);
  if (writes.planned_on == nullptr) return true;
  // A refusal that came since is told by name.
  return table.refusal.empty() ? table.shape == *writes.planned_on : !writes.unread;
}

// What the request was planned on may only be written in the session that it was read in.
absl::Status PostgresDatabase::TakeSession(const ProjectRequest& request, bool unread) {
  if (request.locked) {
    const bool there = locked_ && session_->usable();
    return there ? absl::OkStatus() : absl::UnavailableError("the locks of the read are gone with its session");
  }
  // A server that was stopped since the read may have come back as an older copy of itself: look at the rows again.
  const bool gone = session_ == nullptr ? unread : !session_->StillOpen();
  if (gone) return absl::UnavailableError("the session of the read is gone");
  Rollback();
  return EnsureSession();
}

ProjectReply PostgresDatabase::Project(const ProjectRequest& request) {
  const bool unread = std::any_of(request.writes.begin(), request.writes.end(),
                                  [](const TableWrites& writes) { return writes.unread; });
  absl::Status status = TakeSession(request, unread);
  if (status.ok()) {
    std::vector<TableName> names;
    for (const TableWrites& writes : request.writes) names.push_back(writes.name);
    status = catalog_.Load(*session_, names, unread ? kCatalogAgeMax : absl::InfiniteDuration());
  }
  ProjectReply reply;
  if (status.ok() && !std::all_of(request.writes.begin(), request.writes.end(),
                                  [this](const TableWrites& writes) { return IsAsPlanned(writes); })) {
    reply.outcome = ProjectReply::Outcome::kMoved;
    return reply;
  }
  if (status.ok()) {
    RowWriter writer(session_.get(), &catalog_, &request, request.locked ? locked_until_ : absl::InfiniteFuture(),
                     /*gently=*/SteadyNow() < met_others_ + kGentlyFor);
    status = writer.RefuseUnknown() ? absl::OkStatus() : Write(request, &writer);
    if (writer.gave_way()) {
      Rollback();
      reply.outcome = ProjectReply::Outcome::kGaveWay;
      return reply;
    }
    if (status.ok() && writer.refused().empty() && writer.moved().empty()) return Commit();
    const bool refused = !writer.refused().empty();
    reply.outcome = refused ? ProjectReply::Outcome::kRefused : ProjectReply::Outcome::kMoved;
    if (status.ok()) reply.rows = refused ? writer.refused() : writer.moved();
  }
  if (!status.ok()) {
    reply.outcome = ProjectReply::Outcome::kUnavailable;
    reply.status = status;
  }
  // The next read should look at the catalog, too: it may be what changed.
  catalog_.Forget();
  Rollback();
  return reply;
}

absl::Status PostgresDatabase::Write(const ProjectRequest& request, RowWriter* writer) {
  absl::Status status = writer->AwaitsGateFirst() ? writer->AwaitGate() : absl::OkStatus();
  if (status.ok()) status = WriteRows(request, writer);
  if (status.ok() && writer->refused().empty() && writer->moved().empty()) status = writer->AwaitGate();
  if (IsLockTimeout(status)) {
    ++lock_timeouts_;
    last_lock_timeout_ = SteadyNow();
  }
  if (writer->gave_way() || !writer->moved().empty()) met_others_ = SteadyNow();
  return status;
}

absl::Status PostgresDatabase::WriteRows(const ProjectRequest& request, RowWriter* writer) {
  std::string begin;
  if (!request.locked) {
    // The time that a large value takes to arrive counts as idle.
    const absl::Duration idle = options_.idle_timeout + absl::Seconds(1) * (BytesIn(request) >> 20);
    begin = absl::StrCat("BEGIN; SET LOCAL idle_in_transaction_session_timeout = '", Milliseconds(idle), "';",
                         "SELECT pg_catalog.pg_logical_emit_message(true, ", session_->QuoteLiteral(kProjectionPrefix),
                         ", ", session_->QuoteLiteral(request.tag), ");");
  }
  // Its xmin is that of all that is written under the same savepoint: also of what somebody's trigger writes, of which
  // nothing is known here.
  ASSAY_ASSIGN_OR_RETURN(
      const Result progress,
      session_->ExecuteScript(absl::StrCat(
          begin, "SAVEPOINT assay_rows; UPDATE assay.progress SET batch = ", request.batch, " RETURNING xmin")));
  if (progress.affected() != 1) {
    return absl::FailedPreconditionError("assay.progress has no row to note the projection in: run `assay init`");
  }
  const bool answered = std::any_of(request.writes.begin(), request.writes.end(), [this](const TableWrites& writes) {
    return !catalog_.Find(writes.name).answers.empty();
  });
  written_xmin_ = answered ? 0 : static_cast<uint32_t>(progress.Int64(0, "xmin"));
  const absl::Status status = writer->Write();
  if (!IsAboutRows(status)) return status;
  if (SteadyNow() - last_lock_timeout_ > kLockTimeoutsRemembered) lock_timeouts_ = 0;
  if (IsLockTimeout(status) && lock_timeouts_ < kLockTimeoutsBeforeRefusing) return status;
  written_xmin_ = 0;  // There are savepoints within.
  ASSAY_RETURN_IF_ERROR(session_
                            ->ExecuteScript(absl::StrCat("ROLLBACK TO assay_rows; SET LOCAL lock_timeout = '50ms';"
                                                         "UPDATE assay.progress SET batch = ",
                                                         request.batch))
                            .status());
  return writer->WriteWithCare();
}

ProjectReply PostgresDatabase::Commit() {
  ProjectReply reply{.xmin = written_xmin_, .session = session_number_};
  const auto committed = session_->ExecuteScript("COMMIT");
  locked_ = false;
  if (committed.ok() && absl::string_view(PQcmdStatus(committed->raw())) == "COMMIT") {
    return reply;
  }
  reply.status =
      committed.ok() ? absl::InternalError("PostgreSQL rolled back instead of committing") : committed.status();
  // An answer that says why, from a session that goes on, is a transaction that did not happen. Everything else may
  // have.
  reply.outcome = session_->usable() && session_->transaction_status() == PQTRANS_IDLE
                      ? ProjectReply::Outcome::kUnavailable
                      : ProjectReply::Outcome::kInDoubt;
  session_.reset();
  catalog_.Forget();
  return reply;
}

absl::StatusOr<uint64_t> PostgresDatabase::LastBatch() {
  session_.reset();
  fence_session_.reset();
  locked_ = false;
  ASSAY_RETURN_IF_ERROR(EnsureSession());
  const auto batch = session_->Execute("SELECT batch FROM assay.progress");
  if (!batch.ok()) return AnnotateSql(batch.status(), "read assay.progress (`assay init` makes it)");
  if (batch->rows() != 1) {
    return absl::FailedPreconditionError("assay.progress has no row: run `assay init`");
  }
  return static_cast<uint64_t>(batch->Int64(0, "batch"));
}

}  // namespace assay
