#include "adapters/libpq/connection.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "adapters/libpq/sqlstate.h"
#include "adapters/libpq/steady_time.h"
#include "log/annotate.h"
#include "log/check.h"

namespace assay {
namespace {

struct Setting {
  const char* name;
  const char* value;
};

// What a value's text means, what a name means, and how long anything may wait; nothing of it is left to the database's
// or the role's own settings.
constexpr Setting kPinned[] = {
    {"datestyle", "ISO, YMD"},
    {"intervalstyle", "postgres"},
    {"extra_float_digits", "3"},
    {"bytea_output", "hex"},
    {"timezone", "UTC"},
    {"lc_monetary", "C"},
    {"xmloption", "content"},
    {"array_nulls", "on"},
    {"quote_all_identifiers", "off"},
    {"standard_conforming_strings", "on"},
    {"search_path", ""},
    {"synchronous_commit", "on"},
    {"statement_timeout", "0"},
    {"lock_timeout", "0"},
    {"idle_in_transaction_session_timeout", "0"},
};

// Younger than the oldest server we speak with, which would refuse a session that names them: set once it is known. A
// session of ours may be idle for days between two changes of a table's shape, and decode one transaction for hours.
struct YoungSetting {
  int since;  // server_version().
  Setting setting;
};
constexpr YoungSetting kPinnedSince[] = {
    {140000, {"idle_session_timeout", "0"}},
    {170000, {"transaction_timeout", "0"}},
};

// These mean something only in sessions that run statements.
constexpr Setting kPinnedForStatements[] = {
    {"default_transaction_isolation", "read committed"},
    {"default_transaction_read_only", "off"},
    {"default_transaction_deferrable", "off"},
    {"jit", "off"},
};

using ParsedConninfo = std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)>;

ParsedConninfo Parse(absl::string_view conninfo) {
  return {PQconninfoParse(std::string(conninfo).c_str(), nullptr), &PQconninfoFree};
}

absl::string_view Find(const PQconninfoOption* options, absl::string_view keyword) {
  for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
    if (option->keyword == keyword && option->val != nullptr) return option->val;
  }
  return {};
}

// In `options`, spaces and backslashes inside a value are escaped by a backslash.
std::string PinnedOptions(absl::string_view own) {
  std::string options(own);
  for (const Setting& setting : kPinned) {
    absl::StrAppend(&options, " -c ", setting.name, "=",
                    absl::StrReplaceAll(setting.value, {{"\\", "\\\\"}, {" ", "\\ "}}));
  }
  return options;
}

// libpq reports "FATAL:  28P01: password authentication failed…" under verbose errors, and gives the SQLSTATE of a
// failed connection in no other way.
std::string SqlstateInMessage(absl::string_view message) {
  for (size_t at = message.find(": "); at != absl::string_view::npos; at = message.find(": ", at + 2)) {
    absl::string_view rest = absl::StripLeadingAsciiWhitespace(message.substr(at + 1));
    if (rest.size() > 6 && rest[5] == ':' &&
        std::all_of(rest.begin(), rest.begin() + 5,
                    [](char c) { return absl::ascii_isdigit(c) || absl::ascii_isupper(c); }) &&
        std::any_of(rest.begin(), rest.begin() + 5, absl::ascii_isdigit)) {  // "FATAL" is no SQLSTATE.
      return std::string(rest.substr(0, 5));
    }
  }
  return {};
}

// Without what is told beside it anyway: where to, and the SQLSTATE.
std::string FirstLine(absl::string_view text) {
  text = absl::StripAsciiWhitespace(text);
  text = text.substr(0, text.find('\n'));
  if (absl::StartsWith(text, "connection to server ")) {
    if (const size_t at = text.find(" failed: "); at != absl::string_view::npos) text.remove_prefix(at + 9);
  }
  if (const std::string sqlstate = SqlstateInMessage(text); !sqlstate.empty()) {
    text.remove_prefix(text.find(absl::StrCat(sqlstate, ":")) + sqlstate.size() + 1);
  }
  return std::string(absl::StripLeadingAsciiWhitespace(text));
}

// The server keeps a plan for each, of some ten kilobytes.
constexpr int kPreparedMax = 64;

// Parameters as libpq wants them: each zero-terminated, and no text of PostgreSQL's can hold a zero.
class Texts {
 public:
  static absl::StatusOr<Texts> Of(absl::Span<const Parameter> parameters) {
    Texts texts;
    texts.texts_.reserve(parameters.size());
    for (const Parameter& parameter : parameters) {
      if (!parameter.has_value()) {
        texts.values_.push_back(nullptr);
        continue;
      }
      if (parameter->find('\0') != absl::string_view::npos) {
        return StatusFromSqlstate("22021", "a zero byte cannot be stored in PostgreSQL's text");
      }
      texts.values_.push_back(texts.texts_.emplace_back(*parameter).c_str());
    }
    return texts;
  }
  Texts(Texts&&) = default;  // The strings stay where they are.

  int size() const { return static_cast<int>(values_.size()); }
  const char* const* data() const { return values_.data(); }

 private:
  Texts() = default;
  std::vector<std::string> texts_;
  std::vector<const char*> values_;
};

}  // namespace

Signal::Signal() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { ASSAY_CHECK(fd_ >= 0); }

Signal::~Signal() { close(fd_); }

void Signal::Set() {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then it is readable already.
  [[maybe_unused]] const ssize_t written = write(fd_, &one, sizeof one);
}

void Signal::Clear() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(fd_, &count, sizeof count);
}

int Result::NumberOf(const char* name) const {
  int found = -1, count = 0;
  for (int number = 0; number < columns(); ++number) {
    if (std::strcmp(PQfname(result_.get(), number), name) != 0) continue;
    found = number;
    ++count;
  }
  if (count == 1) return found;
  std::string names;
  for (int number = 0; number < columns(); ++number) absl::StrAppend(&names, " ", PQfname(result_.get(), number));
  std::fprintf(stderr, "CHECK failed: %d columns of a result are named \"%s\", not one; it has:%s\n", count, name,
               names.c_str());
  std::abort();
}

int64_t Result::Int64(int row, Column column) const {
  int64_t value = 0;
  return absl::SimpleAtoi(Text(row, column), &value) ? value : 0;
}

int64_t Result::affected() const {
  int64_t count = 0;
  return absl::SimpleAtoi(PQcmdTuples(result_.get()), &count) ? count : 0;
}

std::string RedactConninfo(absl::string_view conninfo) {
  const ParsedConninfo parsed = Parse(conninfo);
  if (parsed == nullptr) return "(a connection string that cannot be parsed)";
  std::string shown;
  for (absl::string_view keyword : {"host", "hostaddr", "port", "dbname", "user", "service"}) {
    const absl::string_view value = Find(parsed.get(), keyword);
    // A conninfo given where a database name belongs would bring its password along.
    if (value.empty() || absl::StrContains(value, "=") || absl::StrContains(value, "://")) continue;
    absl::StrAppend(&shown, shown.empty() ? "" : " ", keyword, "=", value);
  }
  return shown.empty() ? "(defaults)" : shown;
}

absl::Status StatusFromResult(const PGresult* result) {
  const char* sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char* primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  if (sqlstate == nullptr) {  // Made by libpq itself: the connection broke.
    return absl::UnavailableError(FirstLine(PQresultErrorMessage(result)));
  }
  std::string message = primary == nullptr ? "" : primary;
  // Which value clashes: "Key (sku)=(R-7) already exists." Other details quote whole rows.
  const char* detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
  const absl::string_view code = sqlstate;
  if (detail != nullptr && (code == "23505" || code == "23503" || code == "23P01")) {
    absl::StrAppend(&message, ": ", absl::StripSuffix(detail, "."));
  }
  return StatusFromSqlstate(sqlstate, message);
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(absl::string_view conninfo,
                                                             const ConnectionOptions& options) {
  const ParsedConninfo parsed = Parse(conninfo);
  if (parsed == nullptr) {
    // libpq's own message would quote the part it cannot read, which may be a password.
    return absl::InvalidArgumentError(
        "the PostgreSQL connection string cannot be parsed: write postgresql://USER@HOST:PORT/DATABASE (with special "
        "characters in the password as %XX) or key=value pairs");
  }
  const std::string conninfo_text(conninfo);
  std::vector<const char*> names, values;
  const auto add = [&](const char* name, const char* value) {
    names.push_back(name);
    values.push_back(value);
  };
  // The last value of a keyword wins: those before `dbname` are defaults that the conninfo may change, those after it
  // are not.
  add("keepalives", "1");
  add("keepalives_idle", "20");
  add("keepalives_interval", "10");
  add("keepalives_count", "3");
  add("tcp_user_timeout", "60000");
  add("dbname", conninfo_text.c_str());
  add("application_name", options.application_name.c_str());
  add("client_encoding", "UTF8");
  const std::string pinned = PinnedOptions(Find(parsed.get(), "options"));
  if (options.replication) {
    add("replication", "database");
    add("options", pinned.c_str());
  }
  add(nullptr, nullptr);
  std::unique_ptr<Connection> connection(
      new Connection(PQconnectStartParams(names.data(), values.data(), /*expand_dbname=*/1), options));
  ASSAY_CHECK(connection->connection_ != nullptr);
  absl::Status status = connection->Establish();
  if (!status.ok()) return AnnotateSql(status, absl::StrCat("connect to PostgreSQL at ", RedactConninfo(conninfo)));
  return connection;
}

Connection::~Connection() { PQfinish(connection_); }

absl::Status Connection::Establish() {
  const absl::Time deadline = SteadyNow() + options_.connect_timeout;
  PQsetErrorVerbosity(connection_, PQERRORS_VERBOSE);  // For the SQLSTATE; see SqlstateInMessage.
  PQsetNoticeProcessor(
      connection_, [](void*, const char*) {}, nullptr);
  PostgresPollingStatusType next = PGRES_POLLING_WRITING;
  if (PQstatus(connection_) == CONNECTION_BAD) return ConnectionError();
  while (next != PGRES_POLLING_OK) {
    ASSAY_ASSIGN_OR_RETURN(const bool ready, Wait(deadline, next == PGRES_POLLING_WRITING));
    if (!ready) {
      return absl::UnavailableError(absl::StrCat("no answer within ", absl::FormatDuration(options_.connect_timeout)));
    }
    next = PQconnectPoll(connection_);
    if (next == PGRES_POLLING_FAILED) return ConnectionError();
  }
  PQsetnonblocking(connection_, 1);
  if (!options_.replication && !options_.pin_settings) return absl::OkStatus();
  std::string sql;
  const auto set = [&](absl::string_view name, absl::string_view value) {
    absl::StrAppend(&sql, "SET ", name, " = ", QuoteLiteral(value), ";");
  };
  for (const auto& [since, setting] : kPinnedSince) {
    if (server_version() >= since) set(setting.name, setting.value);
  }
  if (!options_.replication) {
    for (const Setting& setting : kPinned) set(setting.name, setting.value);
    for (const Setting& setting : kPinnedForStatements) set(setting.name, setting.value);
    for (const auto& [name, value] : options_.settings) set(name, value);
  }
  return sql.empty() ? absl::OkStatus() : ExecuteScript(sql).status();
}

absl::Status Connection::ConnectionError() {
  const std::string message = PQerrorMessage(connection_);
  const std::string line = FirstLine(message);  // More lines only tell where in the server's source it was.
  const std::string sqlstate = SqlstateInMessage(message);
  if (sqlstate.empty()) return absl::UnavailableError(line.empty() ? "the connection was lost" : line);
  return StatusFromSqlstate(sqlstate, line);
}

bool Connection::StillOpen() {
  if (!usable()) return false;
  pollfd fd{PQsocket(connection_), POLLIN, 0};
  // Readable while nothing was asked: a last word, the end, or one after the other.
  while (!broken_ && poll(&fd, 1, 0) > 0) broken_ = PQconsumeInput(connection_) == 0;
  return usable();
}

absl::Status Connection::LastWords() {
  broken_ = true;
  while (PGresult* next = PQgetResult(connection_)) {
    const Result result(next);
    if (PQresultErrorField(next, PG_DIAG_SQLSTATE) != nullptr) return StatusFromResult(next);
  }
  return ConnectionError();
}

absl::StatusOr<bool> Connection::Wait(absl::Time deadline, bool for_write, const Signal* signal) {
  for (;;) {
    pollfd fds[3] = {{PQsocket(connection_), static_cast<short>(for_write ? POLLOUT | POLLIN : POLLIN), 0},
                     {options_.interrupt == nullptr ? -1 : options_.interrupt->fd(), POLLIN, 0},
                     {signal == nullptr ? -1 : signal->fd(), POLLIN, 0}};
    if (fds[0].fd < 0) {
      broken_ = true;
      return ConnectionError();
    }
    int timeout_ms = -1;
    if (deadline != absl::InfiniteFuture()) {
      const absl::Duration left = std::clamp(deadline - SteadyNow(), absl::ZeroDuration(), absl::Hours(1));
      timeout_ms = static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1))));
    }
    const int ready = poll(fds, 3, timeout_ms);
    if (ready < 0 && errno != EINTR) return absl::InternalError(absl::StrCat("poll: ", std::strerror(errno)));
    if (fds[1].revents != 0) {
      broken_ = true;
      return absl::CancelledError("interrupted: Assay is stopping");
    }
    if (ready > 0) return true;
    if (deadline <= SteadyNow()) return false;
  }
}

absl::StatusOr<Result> Connection::Execute(absl::string_view sql, absl::Span<const Parameter> parameters) {
  ASSAY_ASSIGN_OR_RETURN(const Texts texts, Texts::Of(parameters));
  return Finish(PQsendQueryParams(connection_, std::string(sql).c_str(), texts.size(), nullptr, texts.data(), nullptr,
                                  nullptr,
                                  /*resultFormat=*/0) == 1);
}

absl::StatusOr<Result> Connection::ExecutePrepared(absl::string_view sql, absl::Span<const Parameter> parameters) {
  ASSAY_ASSIGN_OR_RETURN(const Texts texts, Texts::Of(parameters));
  if (names_given_ >= kPreparedMax && transaction_status() != PQTRANS_INERROR) {
    ASSAY_RETURN_IF_ERROR(ExecuteScript("DEALLOCATE ALL").status());
    prepared_.clear();
    names_given_ = 0;
  }
  auto prepared = prepared_.find(sql);
  if (prepared == prepared_.end()) {
    const std::string name = absl::StrCat("assay_", ++names_given_);
    ASSAY_RETURN_IF_ERROR(
        Finish(PQsendPrepare(connection_, name.c_str(), std::string(sql).c_str(), texts.size(), nullptr) == 1)
            .status());
    prepared = prepared_.emplace(sql, name).first;
  }
  absl::StatusOr<Result> result = Finish(PQsendQueryPrepared(connection_, prepared->second.c_str(), texts.size(),
                                                             texts.data(), nullptr, nullptr, /*resultFormat=*/0) == 1);
  // "cached plan must not change result type": a table has changed, and all that ask it are prepared anew the next
  // time.
  if (SqlstateOf(result.status()) == "0A000") prepared_.clear();
  return result;
}

absl::StatusOr<Result> Connection::ExecuteBinary(absl::string_view sql,
                                                 absl::Span<const absl::string_view> parameters) {
  std::vector<const char*> values;
  std::vector<int> lengths;
  for (const absl::string_view parameter : parameters) {
    values.push_back(parameter.data() == nullptr ? "" : parameter.data());  // A null pointer would mean NULL.
    lengths.push_back(static_cast<int>(parameter.size()));
  }
  const std::vector<int> formats(parameters.size(), 1);
  return Finish(PQsendQueryParams(connection_, std::string(sql).c_str(), static_cast<int>(values.size()), nullptr,
                                  values.data(), lengths.data(), formats.data(), /*resultFormat=*/1) == 1);
}

absl::StatusOr<Result> Connection::ExecuteScript(absl::string_view sql) {
  return Finish(PQsendQuery(connection_, std::string(sql).c_str()) == 1);
}

absl::StatusOr<Result> Connection::CopyIn(absl::string_view sql, absl::string_view rows) {
  ASSAY_ASSIGN_OR_RETURN(const Result ready, ExecuteScript(sql));
  if (PQresultStatus(ready.raw()) != PGRES_COPY_IN)
    return absl::InternalError(absl::StrCat("PostgreSQL takes no rows for: ", sql));
  for (constexpr size_t kMessageBytes = 1 << 20; !rows.empty();) {
    const absl::string_view message = rows.substr(0, kMessageBytes);
    // Not blocking: what does not go out now is kept for Finish to send.
    if (PQputCopyData(connection_, message.data(), static_cast<int>(message.size())) != 1) return ConnectionError();
    rows.remove_prefix(message.size());
  }
  return Finish(PQputCopyEnd(connection_, nullptr) == 1);
}

absl::StatusOr<Result> Connection::Finish(bool sent) {
  if (broken_) return absl::UnavailableError("the connection was given up earlier");
  if (!sent) return ConnectionError();
  absl::Time deadline = SteadyNow() + options_.call_timeout;
  std::optional<Result> last;
  absl::Status failure;
  for (bool flushed = false;;) {
    // While there is more to send, also read: the server may be blocked on what it has to say.
    if (!flushed) {
      const int flush = PQflush(connection_);
      if (flush < 0) return ConnectionError();
      flushed = flush == 0;
    }
    if (PQconsumeInput(connection_) == 0) return LastWords();
    while (flushed && PQisBusy(connection_) == 0) {
      PGresult* next = PQgetResult(connection_);
      if (next == nullptr) {
        if (!failure.ok()) return failure;
        if (!last.has_value()) return ConnectionError();
        return *std::move(last);
      }
      last.emplace(next);
      const ExecStatusType status = PQresultStatus(next);
      if (status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) {
        if (failure.ok()) failure = StatusFromResult(next);
      } else if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
        return *std::move(last);  // The caller speaks the COPY protocol from here.
      }
    }
    ASSAY_ASSIGN_OR_RETURN(const bool ready, Wait(deadline, !flushed));
    if (!ready) {
      broken_ = true;
      return absl::DeadlineExceededError(
          absl::StrCat("no reply from PostgreSQL within ", absl::FormatDuration(options_.call_timeout)));
    }
    // Something went or came: a large push may take its time on a slow line, as long as it gets on.
    deadline = SteadyNow() + options_.call_timeout;
  }
}

std::string Connection::QuoteIdentifier(absl::string_view name) const {
  // As PQescapeIdentifier does. Bytes that are not UTF-8 cannot hide a quote here: the server refuses the whole
  // statement.
  return absl::StrCat("\"", absl::StrReplaceAll(name, {{"\"", "\"\""}}), "\"");
}

std::string Connection::QuoteLiteral(absl::string_view text) const {
  // standard_conforming_strings may still be off when the first SET is written: E'' means the same under both.
  return absl::StrCat("E'", absl::StrReplaceAll(text, {{"'", "''"}, {"\\", "\\\\"}}), "'");
}

}  // namespace assay
