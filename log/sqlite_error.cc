#include "log/sqlite_error.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace assay {

absl::Status SqliteError(sqlite3* db, int rc, absl::string_view what, absl::string_view path) {
  const std::string message =
      absl::StrCat(what, " ", path, ": ", db == nullptr ? sqlite3_errstr(rc) : sqlite3_errmsg(db));
  switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
      return absl::OkStatus();
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(absl::StrCat(message, ": free space on its disk"));
    case SQLITE_NOMEM:
      return absl::ResourceExhaustedError(message);
    case SQLITE_CORRUPT:
      return absl::DataLossError(absl::StrCat(message, ": keep the file, and see `assay repair`"));
    case SQLITE_NOTADB:
      return absl::FailedPreconditionError(absl::StrCat(message, ": it is not an Assay log; put the right file back"));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::FailedPreconditionError(absl::StrCat(message, ": another process is using it"));
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      return absl::FailedPreconditionError(absl::StrCat(message, ": check its permissions"));
    case SQLITE_CANTOPEN:
      return absl::FailedPreconditionError(
          absl::StrCat(message, ": check that the folder is there and can be written"));
    case SQLITE_IOERR:
      return absl::UnavailableError(message);
    case SQLITE_TOOBIG:
      return absl::InvalidArgumentError(message);
    default:
      return absl::InternalError(message);
  }
}

}  // namespace assay
