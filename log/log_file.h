// The one SQLite file behind a branch's log, and the only place a transaction on it begins or ends.
//
// Everything a stage makes durable (events, cursors, row versions, intents) goes through one LogFile and so lands or
// vanishes together. SQLite in WAL mode with synchronous=FULL: Commit() returning OK means the disk has it.
//
//   ASSAY_ASSIGN_OR_RETURN(auto file, LogFile::Open("/var/lib/assay/log.db", {}));
//   ASSAY_RETURN_IF_ERROR(file->Begin());
//   ...append, move cursors...
//   ASSAY_RETURN_IF_ERROR(file->Commit());  // Only now may anyone be told.
//
// One writer, one thread. Readers in other threads open their own LogFile with read_only and see the last commit.
// Errors everywhere: RESOURCE_EXHAUSTED (disk full), DATA_LOSS (corrupt file), UNAVAILABLE (I/O error),
// FAILED_PRECONDITION (not a log, a newer format, or another process has it).
#pragma once

#include <sqlite3.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace assay {

// A prepared statement that resets itself. Parameters are 1-based, as in SQLite.
//
// A row is read by the names of its columns, since a SELECT list is written and changed by people: a plain column has
// its own name, and an expression wants an alias. A name that no column has is a mistake in our own SQL: a CHECK fails
// and tells it.
class Statement {
 public:
  Statement() = default;
  Statement(sqlite3* db, sqlite3_stmt* statement);
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  Statement& BindInt(int index, int64_t value);
  Statement& BindBlob(int index, absl::string_view bytes);  // `bytes` must live until Step or Run.
  Statement& BindText(int index, absl::string_view text);   // `text` must live until Step or Run.
  Statement& BindNull(int index);
  // Runs a statement that returns no rows, and resets it.
  absl::Status Run();
  // True: a row is there to read. False: the end, and the statement is reset.
  absl::StatusOr<bool> Step();
  void Reset();

  int64_t Int(absl::string_view column) const;
  absl::string_view Blob(absl::string_view column) const;  // Valid until the next Step, Reset or Bind.
  bool IsNull(absl::string_view column) const;
  int64_t Int(int) const = delete;  // A literal 0 would pass for a name.
  absl::string_view Blob(int) const = delete;
  bool IsNull(int) const = delete;
  // Of a statement with one column, under whatever name.
  int64_t OnlyInt() const;
  absl::string_view OnlyBlob() const;  // Valid as Blob.

 private:
  int NumberOf(absl::string_view column) const;
  int NumberOfOnly() const;

  sqlite3* db_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
  std::vector<std::string> columns_;  // Their names: SQLite's own go when it prepares the statement anew.
};

// "ASSY" in SQLite's application_id; the format of tables and blobs, in user_version. See FORMAT.md.
inline constexpr int64_t kLogApplicationId = 0x41535359;
inline constexpr int64_t kLogFormatVersion = 1;

class LogFile {
 public:
  struct Options {
    std::string
        vfs;  // Empty: SQLite's own, evenly (log/even_vfs). The simulation hands in one that loses what was not synced.
    bool read_only = false;
  };

  // Creates the file with its schema when it is not there (unless read_only: NOT_FOUND). A file of another format is
  // refused, and nothing in it is changed.
  static absl::StatusOr<std::unique_ptr<LogFile>> Open(const std::string& path, const Options& options);
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  absl::Status Begin();
  // Runs every before-commit hook, then commits. On error the transaction is rolled back and nothing of it is durable;
  // only after UNAVAILABLE (the sync itself failed) nobody can tell, and every later Begin fails too: open the file
  // again, and look.
  absl::Status Commit();
  // Runs every after-rollback hook, so that nobody keeps in memory what the disk does not have; when one fails, so does
  // every later Begin. No-op outside a transaction.
  void Rollback();
  bool InTransaction() const { return in_transaction_; }
  bool read_only() const { return read_only_; }

  // `before_commit` writes what a component has buffered; `after_rollback` drops and reloads what it has in memory. A
  // component may lean on those added before it: before a commit the last added writes first, after a rollback the
  // first reloads first. It takes part while it keeps the token, which may outlive the file; it must not go with
  // something still buffered.
  using Participation = std::shared_ptr<const void>;
  [[nodiscard]] Participation AddParticipant(std::function<absl::Status()> before_commit,
                                             std::function<absl::Status()> after_rollback);

  absl::StatusOr<Statement> Prepare(absl::string_view sql);
  absl::Status Execute(const std::string& sql);
  // Lets go of pages that are only kept because they may be read again.
  void ReleaseMemory();
  // Bytes on disk, the SQLite WAL included.
  int64_t SizeOnDisk() const;

  // An SQLite result code as a Status that says what to do. `rc` from the call that failed on this connection.
  absl::Status Error(int rc, absl::string_view what) const;

 private:
  LogFile() = default;
  absl::Status Configure();
  absl::Status CheckFormat();
  absl::StatusOr<int64_t> Number(const std::string& sql);

  struct Participant {
    std::function<absl::Status()> before_commit;
    std::function<absl::Status()> after_rollback;
  };
  std::string path_;
  sqlite3* db_ = nullptr;
  bool read_only_ = false;
  bool in_transaction_ = false;
  absl::Status broken_;  // Not OK: memory and disk may differ.
  std::vector<std::weak_ptr<const Participant>> participants_;
};

}  // namespace assay
