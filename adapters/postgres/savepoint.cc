#include "adapters/postgres/savepoint.h"

#include <string>

#include "absl/strings/match.h"
#include "adapters/libpq/sqlstate.h"
#include "log/annotate.h"

namespace assay {

bool IsAboutRows(const absl::Status& status) {
  if (status.ok() || absl::IsUnavailable(status) || absl::IsResourceExhausted(status)) return false;
  const std::string sqlstate = SqlstateOf(status);
  return !sqlstate.empty() && sqlstate != "57014" && !absl::StartsWith(sqlstate, "40");
}

absl::Status UnderSavepoint(Connection& connection, const std::function<absl::Status()>& body, absl::Status* failure) {
  ASSAY_RETURN_IF_ERROR(connection.ExecuteScript("SAVEPOINT assay_try").status());
  *failure = body();
  if (failure->ok()) return connection.ExecuteScript("RELEASE assay_try").status();
  if (!IsAboutRows(*failure)) return *failure;
  return connection.ExecuteScript("ROLLBACK TO assay_try; RELEASE assay_try").status();
}

}  // namespace assay
