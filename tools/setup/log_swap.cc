#include "tools/setup/log_swap.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "log/annotate.h"

namespace assay {
namespace {

absl::Status FileError(absl::string_view what, const std::string& path) {
  return absl::FailedPreconditionError(absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(errno)));
}

absl::Status SyncFolder(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return FileError("open", path);
  const bool synced = fsync(fd) == 0;
  close(fd);
  return synced ? absl::OkStatus() : FileError("sync", path);
}

// A file that is not there was moved by the run before.
absl::Status Move(const std::string& from, const std::string& to) {
  if (rename(from.c_str(), to.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return FileError("move", from);
}

}  // namespace

std::string NewLogFolder(const std::string& state_dir) { return state_dir + "/repair"; }

absl::Status MakeFolderAnew(const std::string& path) {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
  return mkdir(path.c_str(), 0700) == 0 ? absl::OkStatus() : FileError("create", path);
}

absl::StatusOr<std::string> SwapLogs(const std::string& state_dir, absl::Time now) {
  const std::string suffix =
      absl::StrCat(".", absl::FormatTime("%Y%m%d-%H%M%S", now, absl::UTCTimeZone()), ".replaced");
  const std::string log = state_dir + "/log.db", key = state_dir + "/signing.key";
  const std::string folder = NewLogFolder(state_dir);
  const std::string new_log = folder + "/log.db", new_key = folder + "/signing.key";
  // The run before came as far as the key: what is in its place is the new one.
  if (!std::filesystem::exists(new_key)) ASSAY_RETURN_IF_ERROR(Move(key, new_key));
  // SQLite looks for a log's -wal under the log's whole name.
  for (const char* end : {"-shm", "-wal", ""}) {
    ASSAY_RETURN_IF_ERROR(Move(log + end, absl::StrCat(log, suffix, end)));
  }
  ASSAY_RETURN_IF_ERROR(Move(key, key + suffix));
  ASSAY_RETURN_IF_ERROR(Move(new_key, key));
  ASSAY_RETURN_IF_ERROR(Move(new_log, log));
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  ASSAY_RETURN_IF_ERROR(SyncFolder(state_dir));
  return suffix;
}

}  // namespace assay
