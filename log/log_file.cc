#include "log/log_file.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "log/annotate.h"
#include "log/check.h"
#include "log/even_vfs.h"
#include "log/log_schema.h"
#include "log/sqlite_error.h"

namespace assay {
namespace {

constexpr int kBusyTimeoutMs = 5000;

absl::string_view BytesOf(sqlite3_stmt* statement, int column) {
  const void* bytes = sqlite3_column_blob(statement, column);
  return {static_cast<const char*>(bytes), static_cast<size_t>(sqlite3_column_bytes(statement, column))};
}

}  // namespace

Statement::Statement(sqlite3* db, sqlite3_stmt* statement) : db_(db), statement_(statement) {
  const int count = sqlite3_column_count(statement);
  columns_.reserve(static_cast<size_t>(count));
  for (int number = 0; number < count; ++number) {
    const char* name = sqlite3_column_name(statement, number);
    columns_.emplace_back(name == nullptr ? "" : name);  // Null: there is no memory.
  }
}

Statement::Statement(Statement&& other) noexcept
    : db_(std::exchange(other.db_, nullptr)),
      statement_(std::exchange(other.statement_, nullptr)),
      columns_(std::move(other.columns_)) {}

Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(db_, other.db_);
  std::swap(statement_, other.statement_);
  std::swap(columns_, other.columns_);
  return *this;
}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::BindInt(int index, int64_t value) {
  ASSAY_CHECK(sqlite3_bind_int64(statement_, index, value) == SQLITE_OK);
  return *this;
}

Statement& Statement::BindBlob(int index, absl::string_view bytes) {
  // A null pointer would bind NULL. TOOBIG leaves NULL bound, which every NOT NULL column then refuses.
  sqlite3_bind_blob64(statement_, index, bytes.empty() ? "" : bytes.data(), bytes.size(), SQLITE_STATIC);
  return *this;
}

Statement& Statement::BindText(int index, absl::string_view text) {
  sqlite3_bind_text64(statement_, index, text.empty() ? "" : text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

Statement& Statement::BindNull(int index) {
  ASSAY_CHECK(sqlite3_bind_null(statement_, index) == SQLITE_OK);
  return *this;
}

absl::Status Statement::Run() {
  const absl::StatusOr<bool> row = Step();
  Reset();
  return row.status();
}

absl::StatusOr<bool> Statement::Step() {
  const int rc = sqlite3_step(statement_);
  if (rc == SQLITE_ROW) return true;
  if (rc != SQLITE_DONE) {
    const char* path = sqlite3_db_filename(db_, "main");
    absl::Status status = SqliteError(db_, rc, "log", path == nullptr ? "" : path);
    Reset();
    return status;
  }
  Reset();
  return false;
}

void Statement::Reset() { sqlite3_reset(statement_); }

int Statement::NumberOf(absl::string_view column) const {
  for (size_t number = 0; number < columns_.size(); ++number) {
    if (columns_[number] == column) return static_cast<int>(number);
  }
  const std::string name(column), names = absl::StrJoin(columns_, " ");
  std::fprintf(stderr, "CHECK failed: no column of a statement is named \"%s\"; it has: %s\n", name.c_str(),
               names.c_str());
  std::abort();
}

int Statement::NumberOfOnly() const {
  ASSAY_CHECK(columns_.size() == 1);
  return 0;
}

int64_t Statement::Int(absl::string_view column) const { return sqlite3_column_int64(statement_, NumberOf(column)); }
int64_t Statement::OnlyInt() const { return sqlite3_column_int64(statement_, NumberOfOnly()); }

absl::string_view Statement::Blob(absl::string_view column) const { return BytesOf(statement_, NumberOf(column)); }
absl::string_view Statement::OnlyBlob() const { return BytesOf(statement_, NumberOfOnly()); }

bool Statement::IsNull(absl::string_view column) const {
  return sqlite3_column_type(statement_, NumberOf(column)) == SQLITE_NULL;
}

absl::StatusOr<std::unique_ptr<LogFile>> LogFile::Open(const std::string& path, const Options& options) {
  std::unique_ptr<LogFile> file(new LogFile);
  file->path_ = path;
  file->read_only_ = options.read_only;
  const char* vfs_name = options.vfs.empty() ? EvenVfs::Default() : options.vfs.c_str();
  sqlite3_vfs* vfs = sqlite3_vfs_find(vfs_name);
  if (vfs == nullptr) return absl::InvalidArgumentError(absl::StrCat("SQLite has no file system called ", options.vfs));
  if (options.read_only) {
    int there = 0;
    if (vfs->xAccess(vfs, path.c_str(), SQLITE_ACCESS_EXISTS, &there) != SQLITE_OK || there == 0) {
      return absl::NotFoundError(absl::StrCat("there is no log ", path));
    }
  }
  const int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
                    (options.read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  const int rc = sqlite3_open_v2(path.c_str(), &file->db_, flags, vfs_name);
  if (rc != SQLITE_OK) return file->Error(rc, "open");
  sqlite3_extended_result_codes(file->db_, 1);
  sqlite3_busy_timeout(file->db_, kBusyTimeoutMs);
  // Look before changing anything: the file may be somebody else's.
  ASSAY_RETURN_IF_ERROR(file->CheckFormat());
  ASSAY_RETURN_IF_ERROR(file->Configure());
  return file;
}

LogFile::~LogFile() {
  // Statements that outlive us keep the connection until the last of them goes; an open transaction is rolled back
  // then.
  if (in_transaction_ && sqlite3_get_autocommit(db_) == 0) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  sqlite3_close_v2(db_);
}

absl::StatusOr<int64_t> LogFile::Number(const std::string& sql) {
  ASSAY_ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
  ASSAY_ASSIGN_OR_RETURN(const bool row, statement.Step());
  if (!row) return absl::InternalError(absl::StrCat("no answer to ", sql));
  return statement.OnlyInt();
}

absl::Status LogFile::CheckFormat() {
  ASSAY_ASSIGN_OR_RETURN(const int64_t application, Number("PRAGMA application_id"));
  ASSAY_ASSIGN_OR_RETURN(const int64_t version, Number("PRAGMA user_version"));
  ASSAY_ASSIGN_OR_RETURN(const int64_t objects, Number("SELECT count(*) FROM sqlite_schema"));
  const bool empty = application == 0 && version == 0 && objects == 0;
  if (empty && !read_only_) return absl::OkStatus();
  if (application != kLogApplicationId) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, " is not an Assay log: put the right file back, or name another state directory"));
  }
  if (version > kLogFormatVersion) {
    return absl::FailedPreconditionError(absl::StrCat(path_, " has log format ", version, " and this program reads ",
                                                      kLogFormatVersion, ": install a newer Assay"));
  }
  if (version < kLogFormatVersion) {
    return absl::DataLossError(absl::StrCat(path_, " says that it has log format ", version,
                                            ", which no Assay wrote: keep the file, and see `assay repair`"));
  }
  return absl::OkStatus();
}

absl::Status LogFile::Configure() {
  // Whoever only reads mostly goes through once, and there may be many.
  ASSAY_RETURN_IF_ERROR(Execute(absl::StrCat("PRAGMA cache_size = -", read_only_ ? 2048 : 16384)));
  ASSAY_RETURN_IF_ERROR(
      Execute("PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON"));
  if (read_only_) return absl::OkStatus();
  {
    ASSAY_ASSIGN_OR_RETURN(Statement statement, Prepare("PRAGMA journal_mode = WAL"));
    ASSAY_ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row || statement.OnlyBlob() != "wal") {
      return absl::FailedPreconditionError(absl::StrCat(
          path_, ": SQLite cannot use its write-ahead log here (a network file system?): use a local disk"));
    }
  }
  // FULL: a commit is on the disk when it returns. The limit gives back what one large transaction made the WAL grow
  // to.
  ASSAY_RETURN_IF_ERROR(Execute("PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216"));
  ASSAY_ASSIGN_OR_RETURN(const int64_t application, Number("PRAGMA application_id"));
  if (application == kLogApplicationId) return absl::OkStatus();
  return Annotate(Execute(absl::StrCat("BEGIN IMMEDIATE;", kLogSchema, "PRAGMA application_id = ", kLogApplicationId,
                                       "; PRAGMA user_version = ", kLogFormatVersion, "; COMMIT")),
                  "create");
}

absl::Status LogFile::Begin() {
  ASSAY_CHECK(!in_transaction_);
  if (!broken_.ok()) return broken_;
  ASSAY_RETURN_IF_ERROR(Execute(read_only_ ? "BEGIN" : "BEGIN IMMEDIATE"));
  in_transaction_ = true;
  return absl::OkStatus();
}

absl::Status LogFile::Commit() {
  ASSAY_CHECK(in_transaction_);
  absl::Status status;
  if (!read_only_) {
    for (auto participant = participants_.rbegin(); participant != participants_.rend() && status.ok(); ++participant) {
      if (const auto present = participant->lock()) status = present->before_commit();
    }
  }
  // SQLite gives up a whole transaction by itself on some errors (disk full, I/O): committing the rest would tear it.
  if (status.ok() && sqlite3_get_autocommit(db_) != 0) {
    status = absl::AbortedError(absl::StrCat("the transaction on ", path_, " was rolled back by an earlier error"));
  }
  if (status.ok()) status = Execute("COMMIT");
  if (!status.ok()) {
    // What a failed sync has lost no later one brings back.
    if (absl::IsUnavailable(status)) broken_.Update(status);
    Rollback();
    return Annotate(status, "commit");
  }
  in_transaction_ = false;
  return absl::OkStatus();
}

void LogFile::Rollback() {
  if (!in_transaction_) return;
  if (sqlite3_get_autocommit(db_) == 0) broken_.Update(Execute("ROLLBACK"));
  in_transaction_ = false;
  for (const std::weak_ptr<const Participant>& participant : participants_) {
    if (const auto present = participant.lock()) broken_.Update(Annotate(present->after_rollback(), "reload"));
  }
}

LogFile::Participation LogFile::AddParticipant(std::function<absl::Status()> before_commit,
                                               std::function<absl::Status()> after_rollback) {
  std::erase_if(participants_, [](const auto& participant) { return participant.expired(); });
  auto participant =
      std::make_shared<const Participant>(Participant{std::move(before_commit), std::move(after_rollback)});
  participants_.push_back(participant);
  return participant;
}

absl::StatusOr<Statement> LogFile::Prepare(absl::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int rc =
      sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  // Our statements are all in this program, and fit the format that the file says it has.
  if (rc == SQLITE_ERROR)
    return absl::DataLossError(absl::StrCat("the tables of ", path_, " are damaged: ", sqlite3_errmsg(db_)));
  if (rc != SQLITE_OK) return Error(rc, "prepare");
  return Statement(db_, statement);
}

absl::Status LogFile::Execute(const std::string& sql) {
  const int rc = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  return rc == SQLITE_OK ? absl::OkStatus() : Error(rc, "log");
}

void LogFile::ReleaseMemory() { sqlite3_db_release_memory(db_); }

int64_t LogFile::SizeOnDisk() const {
  int64_t total = 0;
  for (const int which : {SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER}) {
    sqlite3_file* file = nullptr;
    sqlite3_int64 size = 0;
    if (sqlite3_file_control(db_, "main", which, &file) == SQLITE_OK && file != nullptr && file->pMethods != nullptr &&
        file->pMethods->xFileSize(file, &size) == SQLITE_OK) {
      total += size;
    }
  }
  return total;
}

absl::Status LogFile::Error(int rc, absl::string_view what) const { return SqliteError(db_, rc, what, path_); }

}  // namespace assay
