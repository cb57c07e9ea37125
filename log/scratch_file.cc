#include "log/scratch_file.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"
#include "log/sqlite_error.h"

namespace assay {

absl::StatusOr<std::unique_ptr<ScratchFile>> ScratchFile::Beside(LogFile& log) {
  ASSAY_ASSIGN_OR_RETURN(Statement where, log.Prepare("SELECT file FROM pragma_database_list WHERE name = 'main'"));
  ASSAY_RETURN_IF_ERROR(where.Step().status());
  std::unique_ptr<ScratchFile> file(new ScratchFile(absl::StrCat(where.Blob("file"), "-scratch")));
  const char* path = file->path_.c_str();
  unlink(path);  // A process that was killed right here has left an empty one.
  const int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  const int rc = sqlite3_open_v2(path, &file->db_, flags, nullptr);
  unlink(path);
  if (rc != SQLITE_OK) return SqliteError(file->db_, rc, "open", path);
  sqlite3_extended_result_codes(file->db_, 1);
  // A journal would be made under the name that is gone.
  ASSAY_RETURN_IF_ERROR(
      file->Execute("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; "
                    "PRAGMA cache_size = -16384; PRAGMA trusted_schema = OFF"));
  return file;
}

ScratchFile::~ScratchFile() { sqlite3_close_v2(db_); }

absl::StatusOr<Statement> ScratchFile::Prepare(absl::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int rc =
      sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (rc != SQLITE_OK) return SqliteError(db_, rc, "prepare", path_);
  return Statement(db_, statement);
}

absl::Status ScratchFile::Execute(const std::string& sql) {
  const int rc = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  return rc == SQLITE_OK ? absl::OkStatus() : SqliteError(db_, rc, "write", path_);
}

}  // namespace assay
