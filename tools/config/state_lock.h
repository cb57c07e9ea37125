// One process per state directory: the daemon, or `assay init` and `assay leave`.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace assay {

class StateLock {
 public:
  // Holds `path` locked (flock) until it is destroyed or the process ends, however it ends. FAILED_PRECONDITION, with
  // the pid, when another process has it; NOT_FOUND when its directory is not there; PERMISSION_DENIED when it may not
  // be written.
  static absl::StatusOr<std::unique_ptr<StateLock>> Take(const std::string& path);
  ~StateLock();
  StateLock(const StateLock&) = delete;

 private:
  explicit StateLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace assay
