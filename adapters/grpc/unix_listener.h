// A unix socket that only its owner and root may use, and that knows who is at the other end.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace assay {

class UnixListener {
 public:
  // Binds `path` with mode 0600, its directory made with 0700 when it is not there. A socket nobody answers on is
  // replaced; ALREADY_EXISTS when somebody does; FAILED_PRECONDITION when something else is there, or others may write
  // to the directory.
  static absl::StatusOr<std::unique_ptr<UnixListener>> Bind(const std::string& path);
  // Removes the socket, unless another has taken the place.
  ~UnixListener();
  UnixListener(const UnixListener&) = delete;

  // The next connection as a non-blocking descriptor, whoever makes it; NOT_FOUND when none came within `wait_ms`.
  absl::StatusOr<int> Accept(int wait_ms);

 private:
  UnixListener(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::string path_;
  int fd_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

// The user at the other end of a connected unix socket.
absl::StatusOr<uid_t> PeerUser(int fd);

}  // namespace assay
