// The least of libpq that a test needs: a session, rows of strings, errors with their SQLSTATE.
//
//   EXPECT_THAT(Sql(url, "SELECT 1, NULL"), IsOkAndHolds(Rows{{"1", "NULL"}}));
//
// A Status from here reads "[23505] ERROR: duplicate key …"; SqlState() takes the code out again. Not thread-safe: a
// session belongs to one thread.
#pragma once

#include <libpq-fe.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace assay::test {

using Rows = std::vector<std::vector<std::string>>;  // NULL comes as "NULL".

class SqlSession {
 public:
  static absl::StatusOr<std::unique_ptr<SqlSession>> Connect(const std::string& url);

  // One statement or several; the rows are the last one's. Several without BEGIN are one transaction.
  absl::StatusOr<Rows> Run(const std::string& sql);
  // One statement with $1 … as text.
  absl::StatusOr<Rows> Run(const std::string& sql, const std::vector<std::string>& parameters);
  // `sql` is COPY … FROM STDIN, `data` its lines.
  absl::Status CopyIn(const std::string& sql, absl::string_view data);

  PGconn* connection() { return connection_.get(); }

 private:
  explicit SqlSession(PGconn* connection) : connection_(connection, &PQfinish) {}
  absl::StatusOr<Rows> Take(PGresult* result);
  std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
};

// In a session of its own.
absl::StatusOr<Rows> Sql(const std::string& url, const std::string& sql);
// The one value of the first row; aborts the test process with the error when there is none.
std::string SqlValue(const std::string& url, const std::string& sql);
// Runs `sql` and aborts the test process with the error when it fails: for preparing.
void MustSql(const std::string& url, const std::string& sql);

// The five characters in a Status from here; empty when there are none.
std::string SqlState(const absl::Status& status);

}  // namespace assay::test
