// An SQLite file beside the log for what may be larger than the memory and is not to outlive the process.
//
//   ASSAY_ASSIGN_OR_RETURN(auto scratch, ScratchFile::Beside(*file));
//   ASSAY_RETURN_IF_ERROR(scratch->Execute("CREATE TABLE t (…); BEGIN"));
//
// It has no name, so it goes with whoever made it, however that ends. Nothing in it is synced, and nothing can be taken
// back: after an error, leave it. Begin a transaction and never end it: else each statement writes all that it has
// changed. Errors are those of LogFile; RESOURCE_EXHAUSTED: the disk is full. Not thread-safe.
#pragma once

#include <sqlite3.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "log/log_file.h"

namespace assay {

class ScratchFile {
 public:
  static absl::StatusOr<std::unique_ptr<ScratchFile>> Beside(LogFile& log);
  // No statement may be left.
  ~ScratchFile();
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  absl::StatusOr<Statement> Prepare(absl::string_view sql);
  absl::Status Execute(const std::string& sql);

 private:
  explicit ScratchFile(std::string path) : path_(std::move(path)) {}

  const std::string path_;  // For people: there is nothing any more.
  sqlite3* db_ = nullptr;
};

}  // namespace assay
