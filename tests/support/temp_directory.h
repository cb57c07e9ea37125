// A directory of one's own for the length of a test, gone afterwards.
//
// Named after the process that made it, so that one left by a killed test run is swept away by the next. When running
// as root it belongs to the user `postgres`, who runs the servers (PostgreSQL refuses root).
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace assay::test {

class TempDirectory {
 public:
  // Aborts when the directory cannot be made: no test can go on without.
  explicit TempDirectory(absl::string_view label);
  ~TempDirectory();
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  const std::string& path() const { return path_; }  // Short: a unix socket inside must stay below 108 bytes.

 private:
  std::string path_;
};

// As for a test's own small files; aborts when they cannot be read or written.
void WriteFile(const std::string& path, absl::string_view content, int mode = 0644);
std::string ReadFile(const std::string& path);

}  // namespace assay::test
