#include "adapters/grpc/unix_listener.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"

namespace assay {
namespace {

absl::Status Error(absl::string_view what, const std::string& path) {
  return absl::FailedPreconditionError(absl::StrCat("cannot ", what, " ", path, ": ", std::strerror(errno)));
}

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof(address.sun_path) - 1));
  return address;
}

absl::Status PrepareDirectory(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == 0 ? "/" : path.substr(0, slash);
  struct stat st;
  if (stat(directory.c_str(), &st) != 0) {
    if (errno != ENOENT) return Error("use the socket's directory", directory);
    if (mkdir(directory.c_str(), 0700) != 0) return Error("make the socket's directory", directory);
    return absl::OkStatus();
  }
  // Where others may rename files, a stranger could put a socket of his own in this place.
  if ((st.st_mode & 022) != 0 && (st.st_mode & S_ISVTX) == 0) {
    return absl::FailedPreconditionError(absl::StrCat("others may write to the socket's directory ", directory,
                                                      ": run chmod 700 ", directory,
                                                      ", or choose another in admin.listen"));
  }
  return absl::OkStatus();
}

absl::Status RemoveStale(const std::string& path) {
  struct stat st;
  if (lstat(path.c_str(), &st) != 0) return errno == ENOENT ? absl::OkStatus() : Error("look at", path);
  if (!S_ISSOCK(st.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is there and is no socket: choose another path in admin.listen"));
  }
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const sockaddr_un address = AddressOf(path);
  const int rc = connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int error = errno;
  close(probe);
  if (rc != 0 && error == ECONNREFUSED) {
    return unlink(path.c_str()) == 0 || errno == ENOENT ? absl::OkStatus() : Error("remove the stale socket", path);
  }
  if (rc != 0 && error == EACCES) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, " belongs to another user: choose another path in admin.listen"));
  }
  return absl::AlreadyExistsError(absl::StrCat("somebody is listening on ", path,
                                               " already: stop that daemon (assay status --socket ", path,
                                               " names its pid), or choose another path in admin.listen"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<UnixListener>> UnixListener::Bind(const std::string& path) {
  if (path.empty() || path[0] != '/' || path.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("socket path \"", path, "\" must be absolute and shorter than ",
                                                   sizeof(sockaddr_un::sun_path), " bytes"));
  }
  ASSAY_RETURN_IF_ERROR(PrepareDirectory(path));
  ASSAY_RETURN_IF_ERROR(RemoveStale(path));
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Error("make a socket for", path);
  std::unique_ptr<UnixListener> listener(new UnixListener(path, fd));
  // Linux gives the socket's file the mode its descriptor has: it is never open to others, not even for a moment.
  const sockaddr_un address = AddressOf(path);
  struct stat st;
  if (fchmod(fd, 0600) != 0 || bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return Error("listen on", path);
  }
  if (lstat(path.c_str(), &st) != 0 || chmod(path.c_str(), 0600) != 0 || listen(fd, 64) != 0)
    return Error("listen on", path);
  listener->device_ = st.st_dev;
  listener->inode_ = st.st_ino;
  return listener;
}

UnixListener::~UnixListener() {
  close(fd_);
  struct stat st;
  if (inode_ != 0 && lstat(path_.c_str(), &st) == 0 && st.st_dev == device_ && st.st_ino == inode_)
    unlink(path_.c_str());
}

absl::StatusOr<int> UnixListener::Accept(int wait_ms) {
  pollfd waiter{fd_, POLLIN, 0};
  if (poll(&waiter, 1, wait_ms) <= 0) return absl::NotFoundError("nobody came");
  const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) return fd;
  if (errno == EMFILE || errno == ENFILE)
    poll(nullptr, 0, wait_ms);  // Else this would spin until a descriptor is free.
  return absl::NotFoundError(std::strerror(errno));
}

absl::StatusOr<uid_t> PeerUser(int fd) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return absl::InternalError(absl::StrCat("SO_PEERCRED: ", std::strerror(errno)));
  }
  return credentials.uid;
}

}  // namespace assay
