#include "tools/config/state_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace assay {

absl::StatusOr<std::unique_ptr<StateLock>> StateLock::Take(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 && errno == ENOENT) {
    return absl::NotFoundError(
        absl::StrCat("no state directory ", path.substr(0, path.rfind('/')), ": run assay init first"));
  }
  if (fd < 0) return absl::PermissionDeniedError(absl::StrCat("cannot write ", path, ": ", std::strerror(errno)));
  std::unique_ptr<StateLock> lock(new StateLock(fd));
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    char pid[32] = {};
    const ssize_t length = pread(fd, pid, sizeof(pid) - 1, 0);
    const std::string text(
        absl::StripAsciiWhitespace(absl::string_view(pid, length > 0 ? static_cast<size_t>(length) : 0)));
    return absl::FailedPreconditionError(absl::StrCat(
        "another process", text.empty() ? "" : absl::StrCat(" (pid ", text, ")"), " is using ",
        path.substr(0, path.rfind('/')), ": stop it first; each daemon needs a state directory of its own"));
  }
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(fd, 0) != 0 || pwrite(fd, pid.data(), pid.size(), 0) < 0) {
    // The pid is a kindness to whoever comes second; the lock holds without it.
  }
  return lock;
}

StateLock::~StateLock() { close(fd_); }

}  // namespace assay
