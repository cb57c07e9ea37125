#include "adapters/postgres/copy_out.h"

#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "adapters/libpq/sqlstate.h"
#include "log/annotate.h"

namespace assay {
namespace {

// Undoes COPY's text format inside `line` and points `tuple` into it. DATA_LOSS when the count of values is not the
// tuple's.
absl::Status SplitCopyLine(char* line, size_t size, std::vector<TupleValue>* tuple) {
  if (size > 0 && line[size - 1] == '\n') --size;
  size_t field = 0;
  char* out = line;
  char* begin = line;
  bool null = false;
  for (size_t i = 0; i <= size; ++i) {
    if (i == size || line[i] == '\t') {
      if (field == tuple->size()) return absl::DataLossError("COPY sent more values than the table has columns");
      (*tuple)[field++] =
          null ? TupleValue{} : TupleValue{TupleValue::Kind::kText, {begin, static_cast<size_t>(out - begin)}};
      begin = out = line + i + 1;
      null = false;
    } else if (line[i] == '\\' && i + 1 < size) {
      switch (line[++i]) {
        case 'N':
          null = true;
          break;
        case 'b':
          *out++ = '\b';
          break;
        case 'f':
          *out++ = '\f';
          break;
        case 'n':
          *out++ = '\n';
          break;
        case 'r':
          *out++ = '\r';
          break;
        case 't':
          *out++ = '\t';
          break;
        case 'v':
          *out++ = '\v';
          break;
        default:
          *out++ = line[i];
      }
    } else {
      *out++ = line[i];
    }
  }
  if (field != tuple->size()) return absl::DataLossError("COPY sent fewer values than the table has columns");
  return absl::OkStatus();
}

}  // namespace

absl::Status CopyOut(Connection& connection, const std::string& query, size_t columns,
                     absl::FunctionRef<absl::Status(absl::Span<const TupleValue>)> visit) {
  ASSAY_RETURN_IF_ERROR(connection.ExecuteScript(absl::StrCat("COPY (", query, ") TO STDOUT")).status());
  std::vector<TupleValue> tuple(columns);
  for (;;) {
    char* line = nullptr;
    const int size = PQgetCopyData(connection.raw(), &line, /*async=*/1);
    if (size == 0) {
      ASSAY_RETURN_IF_ERROR(connection.Wait(absl::InfiniteFuture()).status());
      if (PQconsumeInput(connection.raw()) == 0) return connection.ConnectionError();
      continue;
    }
    if (size < 0) break;
    const std::unique_ptr<char, decltype(&PQfreemem)> owned(line, &PQfreemem);
    ASSAY_RETURN_IF_ERROR(SplitCopyLine(line, size, &tuple));
    ASSAY_RETURN_IF_ERROR(visit(tuple));
  }
  absl::Status status;
  while (PGresult* next = PQgetResult(connection.raw())) {
    const Result result(next);
    if (PQresultStatus(next) == PGRES_FATAL_ERROR) status = StatusFromResult(next);
  }
  return status;
}

}  // namespace assay
