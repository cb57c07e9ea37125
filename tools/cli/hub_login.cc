#include "tools/cli/hub_login.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace assay {

absl::StatusOr<PasswordFile> PasswordFile::Create(const std::string& path) {
  PasswordFile file;
  if (path.empty()) return file;
  file.fd_ = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file.fd_ < 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot create ", path, ": ", std::strerror(errno),
                     "; name a file that is not there yet, in a folder you may write. Nothing was changed"));
  }
  file.path_ = path;
  return file;
}

PasswordFile::~PasswordFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(path_.c_str());  // Nothing came of it.
}

absl::Status PasswordFile::Write(const std::string& password) {
  if (fd_ < 0) return absl::OkStatus();
  const std::string line = password + "\n";
  if (write(fd_, line.data(), line.size()) != static_cast<ssize_t>(line.size()) || fsync(fd_) != 0) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot write ", path_));
  }
  close(std::exchange(fd_, -1));
  return absl::OkStatus();
}

int ShowLogin(const CliContext& context, const std::string& branch, const BranchLogin& login, PasswordFile file) {
  if (absl::Status status = file.Write(login.password); !status.ok()) {
    return CliFail(context, absl::Status(status.code(), absl::StrCat(status.message(),
                                                                     ". The branch is enrolled; `assay hub password ",
                                                                     branch, "` makes a new password")));
  }
  // The password goes another way than the rest.
  const bool in_file = !file.path().empty();
  const std::string url =
      in_file ? absl::StrReplaceAll(login.url, {{absl::StrCat(":", login.password, "@"), "@"}}) : login.url;
  if (context.json) {
    google::protobuf::Struct object;
    auto& fields = *object.mutable_fields();
    fields["name"] = JsonText(branch);
    fields["role"] = JsonText(login.role);
    fields["url"] = JsonText(url);
    fields[in_file ? "password_file" : "password"] = JsonText(in_file ? file.path() : login.password);
    PrintJson(object);
    return kExitOk;
  }
  std::cout << "Branch " << branch << " logs in as " << login.role;
  if (in_file) {
    std::cout << "; its password is in " << file.path()
              << ". Take that file to the branch; in its config:\n\n  [hub]\n  url = \"" << url
              << "\"\n  password_file = \"/etc/assay/hub.password\"\n";
  } else {
    std::cout << ". Hand this over on a safe way; it is shown only once:\n\n  [hub]\n  url = \"" << url
              << "\"\n\n(keep that config file private: chmod 600 /etc/assay/assay.toml)\n";
  }
  return kExitOk;
}

}  // namespace assay
