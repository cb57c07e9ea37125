#include "tests/support/sql.h"

#include <cstdio>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace assay::test {
namespace {

[[noreturn]] void Die(const std::string& sql, const absl::Status& status) {
  std::fprintf(stderr, "%s\n  in: %s\n", std::string(status.message()).c_str(), sql.substr(0, 500).c_str());
  std::abort();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqlSession>> SqlSession::Connect(const std::string& url) {
  PGconn* connection = PQconnectdb(url.c_str());
  std::unique_ptr<SqlSession> session(new SqlSession(connection));
  if (PQstatus(connection) != CONNECTION_OK)
    return absl::UnavailableError(absl::StripAsciiWhitespace(PQerrorMessage(connection)));
  PQsetNoticeProcessor(
      connection, [](void*, const char*) {}, nullptr);
  return session;
}

absl::StatusOr<Rows> SqlSession::Take(PGresult* result) {
  std::unique_ptr<PGresult, decltype(&PQclear)> owned(result, &PQclear);
  ExecStatusType kind = PQresultStatus(result);
  if (kind != PGRES_COMMAND_OK && kind != PGRES_TUPLES_OK && kind != PGRES_EMPTY_QUERY && kind != PGRES_COPY_IN) {
    const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    absl::string_view message = absl::StripAsciiWhitespace(PQerrorMessage(connection_.get()));
    return absl::AbortedError(absl::StrCat("[", state == nullptr ? "-----" : state, "] ", message));
  }
  Rows rows(static_cast<size_t>(PQntuples(result)));
  for (int row = 0; row < PQntuples(result); ++row) {
    for (int column = 0; column < PQnfields(result); ++column) {
      if (PQgetisnull(result, row, column)) {
        rows[row].push_back("NULL");
      } else {
        rows[row].emplace_back(PQgetvalue(result, row, column), PQgetlength(result, row, column));
      }
    }
  }
  return rows;
}

absl::StatusOr<Rows> SqlSession::Run(const std::string& sql) { return Take(PQexec(connection_.get(), sql.c_str())); }

absl::StatusOr<Rows> SqlSession::Run(const std::string& sql, const std::vector<std::string>& parameters) {
  std::vector<const char*> values;
  for (const std::string& parameter : parameters) values.push_back(parameter.c_str());
  return Take(PQexecParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr, values.data(),
                           nullptr, nullptr, 0));
}

absl::Status SqlSession::CopyIn(const std::string& sql, absl::string_view data) {
  absl::StatusOr<Rows> begun = Run(sql);
  if (!begun.ok()) return begun.status();
  PQputCopyData(connection_.get(), data.data(), static_cast<int>(data.size()));
  PQputCopyEnd(connection_.get(), nullptr);
  absl::Status status = Take(PQgetResult(connection_.get())).status();
  while (PGresult* rest = PQgetResult(connection_.get())) PQclear(rest);
  return status;
}

absl::StatusOr<Rows> Sql(const std::string& url, const std::string& sql) {
  absl::StatusOr<std::unique_ptr<SqlSession>> session = SqlSession::Connect(url);
  if (!session.ok()) return session.status();
  return (*session)->Run(sql);
}

std::string SqlValue(const std::string& url, const std::string& sql) {
  absl::StatusOr<Rows> rows = Sql(url, sql);
  if (!rows.ok()) Die(sql, rows.status());
  if (rows->empty() || rows->front().empty()) Die(sql, absl::NotFoundError("no rows"));
  return rows->front().front();
}

void MustSql(const std::string& url, const std::string& sql) {
  absl::StatusOr<Rows> rows = Sql(url, sql);
  if (!rows.ok()) Die(sql, rows.status());
}

std::string SqlState(const absl::Status& status) {
  absl::string_view message = status.message();
  return message.size() > 6 && message[0] == '[' && message[6] == ']' ? std::string(message.substr(1, 5)) : "";
}

}  // namespace assay::test
