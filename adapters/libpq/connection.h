// One libpq session with pinned settings, so that a value's text means the same in every session whatever the database
// says.
//
// The settings that decide how values are written and read (datestyle, timezone, client_encoding, …) are SET right
// after connecting, which holds also where a pooler drops `options=`; a replication session, which cannot SET, sends
// them in `options`. Statements are sent and awaited without blocking inside libpq, so that an Interrupt or a deadline
// always gets through.
//
//   ASSAY_ASSIGN_OR_RETURN(auto connection, Connection::Open(url, {.application_name = "assay projection"}));
//   ASSAY_ASSIGN_OR_RETURN(Result result, connection->Execute("SELECT $1::int + 1 AS answer", {"41"}));
//   result.Text(0, "answer")   // "42"
//
// Not thread-safe; only Interrupt::Trigger may come from another thread. No message contains a password or a whole
// conninfo.
#pragma once

#include <libpq-fe.h>

#include <atomic>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace assay {

// A flag that poll() can wait for.
class Signal {
 public:
  Signal();
  ~Signal();
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  void Set();
  void Clear();
  int fd() const { return fd_; }  // Readable while set.

 private:
  int fd_;
};

// Lets another thread end blocking calls at shutdown. Once triggered, for good: every call of a connection that was
// given it returns CANCELLED. Share one among all connections of a daemon. Trigger is safe in a signal handler.
class Interrupt {
 public:
  void Trigger() {
    triggered_.store(true, std::memory_order_release);
    signal_.Set();
  }
  bool triggered() const { return triggered_.load(std::memory_order_acquire); }
  int fd() const { return signal_.fd(); }  // Readable once triggered.

 private:
  Signal signal_;
  std::atomic<bool> triggered_{false};
};

// The rows one statement returned, as text.
class Result {
 public:
  // Which column to read: by its name, since a SELECT list is written and changed by people. A name that the result has
  // not, or has twice, is a mistake in our own SQL: a CHECK fails and tells it.
  //
  // By number only where the columns are those of somebody's table, which may have any name, or where the call has one
  // value under whatever name.
  class Column {
   public:
    constexpr Column(const char* name) : name_(name) {}  // Implicit: Text(row, "slot_name").
    Column(int) = delete;                                // A literal 0 would pass for a name.
    static constexpr Column At(int number) { return Column(nullptr, number); }
    constexpr int number() const { return number_; }  // -1: by name.

   private:
    friend class Result;
    constexpr Column(const char* name, int number) : name_(name), number_(number) {}
    const char* name_;
    int number_ = -1;
  };

  explicit Result(PGresult* result) : result_(result, &PQclear) {}

  int rows() const { return PQntuples(result_.get()); }
  int columns() const { return PQnfields(result_.get()); }
  // `column` by number, looked up once for a loop over many rows.
  Column Find(Column column) const { return Column::At(NumberOf(column)); }

  bool IsNull(int row, Column column) const { return PQgetisnull(result_.get(), row, NumberOf(column)) != 0; }
  // Empty for NULL. Valid while this Result lives.
  absl::string_view Text(int row, Column column) const {
    const int number = NumberOf(column);
    return {PQgetvalue(result_.get(), row, number), static_cast<size_t>(PQgetlength(result_.get(), row, number))};
  }
  std::string String(int row, Column column) const { return std::string(Text(row, column)); }
  std::optional<std::string> Value(int row, Column column) const {
    const Column found = Find(column);
    return IsNull(row, found) ? std::nullopt : std::make_optional(String(row, found));
  }
  bool Bool(int row, Column column) const { return Text(row, column) == "t"; }
  // 0 for NULL or what is no number.
  int64_t Int64(int row, Column column) const;
  // Rows inserted, updated, deleted or selected.
  int64_t affected() const;
  PGresult* raw() const { return result_.get(); }

 private:
  int NumberOf(Column column) const { return column.number_ >= 0 ? column.number_ : NumberOf(column.name_); }
  int NumberOf(const char* name) const;

  std::unique_ptr<PGresult, decltype(&PQclear)> result_;
};

// A parameter's text; nullopt is NULL.
using Parameter = std::optional<absl::string_view>;

struct ConnectionOptions {
  std::string application_name = "assay";
  bool replication = false;                            // A walsender session (`replication=database`).
  absl::Duration connect_timeout = absl::Seconds(10);  // For the whole of Open.
  // How long one statement may take. After DEADLINE_EXCEEDED the session is unusable, and what it did is in doubt.
  absl::Duration call_timeout = absl::InfiniteDuration();
  // SET after the pinned ones, in this order; names are ours, values are quoted here. Not for replication sessions.
  std::vector<std::pair<std::string, std::string>> settings;
  // False: no SET at all. For a session that may run through a transaction pooler, where it would reach other clients.
  bool pin_settings = true;
  std::shared_ptr<Interrupt> interrupt;  // May be null.
};

class Connection {
 public:
  // `conninfo` is a postgresql:// URL or key=value pairs. UNAVAILABLE: not reachable or not ready. UNAUTHENTICATED:
  // password, role or pg_hba. FAILED_PRECONDITION: no such database. INVALID_ARGUMENT: `conninfo` cannot be parsed.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(absl::string_view conninfo, const ConnectionOptions& options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // One statement. Errors carry the SQLSTATE (SqlstateOf) and PostgreSQL's primary message; a lost connection is
  // UNAVAILABLE.
  absl::StatusOr<Result> Execute(absl::string_view sql, absl::Span<const Parameter> parameters = {});
  absl::StatusOr<Result> Execute(absl::string_view sql, std::initializer_list<Parameter> parameters) {
    return Execute(sql, absl::MakeConstSpan(parameters.begin(), parameters.size()));
  }
  // As Execute, of a statement whose text comes again: parsed and, with plan_cache_mode = force_generic_plan, planned
  // once a session. 0A000: a table has changed what it returns; the next time this and every other statement is as the
  // table is then. Not through a transaction pooler.
  absl::StatusOr<Result> ExecutePrepared(absl::string_view sql, absl::Span<const Parameter> parameters);
  absl::StatusOr<Result> ExecutePrepared(absl::string_view sql, std::initializer_list<Parameter> parameters) {
    return ExecutePrepared(sql, absl::MakeConstSpan(parameters.begin(), parameters.size()));
  }
  // One statement, parameters and results in binary format: for bytea, text, and nothing whose binary form may vary.
  absl::StatusOr<Result> ExecuteBinary(absl::string_view sql, absl::Span<const absl::string_view> parameters);
  // Several statements in one string, without parameters, in one implicit transaction unless they say otherwise. The
  // result is that of the last one.
  absl::StatusOr<Result> ExecuteScript(absl::string_view sql);

  // `sql` is a COPY … FROM STDIN, `rows` all that it is to read.
  absl::StatusOr<Result> CopyIn(absl::string_view sql, absl::string_view rows);

  // False once the connection was lost, interrupted or timed out: open another.
  bool usable() const { return !broken_ && PQstatus(connection_) == CONNECTION_OK; }
  // Looks, without waiting, whether the server has closed this idle session meanwhile; if so it is no longer usable.
  bool StillOpen();
  PGTransactionStatusType transaction_status() const { return PQtransactionStatus(connection_); }
  int server_version() const { return PQserverVersion(connection_); }  // 150020 is 15.20.
  int backend_pid() const { return PQbackendPID(connection_); }

  std::string QuoteIdentifier(absl::string_view name) const;
  std::string QuoteLiteral(absl::string_view text) const;

  // Waits until the socket is readable (or also writable, when `for_write`) or `signal` is set, at most until
  // `deadline`. False: the time passed.
  absl::StatusOr<bool> Wait(absl::Time deadline, bool for_write = false, const Signal* signal = nullptr);
  // What libpq says is wrong with the connection: UNAVAILABLE, or the SQLSTATE's code.
  absl::Status ConnectionError();
  // After PQconsumeInput failed: the server's last words, when it had any. The session is unusable from here.
  absl::Status LastWords();
  PGconn* raw() { return connection_; }

 private:
  Connection(PGconn* connection, const ConnectionOptions& options) : connection_(connection), options_(options) {}
  absl::Status Establish();
  absl::StatusOr<Result> Finish(bool sent);

  PGconn* connection_;
  ConnectionOptions options_;
  bool broken_ = false;
  std::map<std::string, std::string, std::less<>> prepared_;  // Statements by their text: the names of those that are.
  int names_given_ = 0;  // Since there was none: some may be of statements that are outdated.
};

// "host=db.example port=5432 dbname=shop user=assay": what may be shown of a conninfo.
std::string RedactConninfo(absl::string_view conninfo);

// Turns a failed PGresult into a Status, with its SQLSTATE.
absl::Status StatusFromResult(const PGresult* result);

}  // namespace assay
