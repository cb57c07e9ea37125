// A branch's login as the head office gets it: told once, or in a file of its own.
#pragma once

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "adapters/supabase/hub_admin.h"
#include "tools/cli/cli.h"

namespace assay {

// Where a password goes. Make it before anything is asked of the hub: a branch whose password could not be kept has to
// be told a new one. The file is 0600 from the first moment on, and no file that is there is written over.
class PasswordFile {
 public:
  // An empty `path` means no file, and Write then does nothing.
  static absl::StatusOr<PasswordFile> Create(const std::string& path);
  PasswordFile(PasswordFile&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}
  // Removes a file that nothing was written to.
  ~PasswordFile();

  absl::Status Write(const std::string& password);
  const std::string& path() const { return path_; }

 private:
  PasswordFile() = default;
  std::string path_;
  int fd_ = -1;
};

// Writes the password into `file`, or shows it when there is none, with what belongs into the branch's config. Returns
// the exit code.
int ShowLogin(const CliContext& context, const std::string& branch, const BranchLogin& login, PasswordFile file);

}  // namespace assay
