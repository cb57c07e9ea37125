#include "tests/support/temp_directory.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/support/child_process.h"

namespace assay::test {
namespace {

constexpr char kPrefix[] = "assay-test-";

std::string Root() {
  const char* root = getenv("TMPDIR");
  return root != nullptr && *root != 0 ? root : "/tmp";
}

// Directories of processes that are no more: a run killed by a timeout cannot clean up after itself.
void SweepDirectoriesOfTheDead() {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(Root(), ignored)) {
    std::string name = entry.path().filename().string();
    if (!absl::StartsWith(name, kPrefix)) continue;
    std::vector<std::string> parts = absl::StrSplit(name.substr(sizeof(kPrefix) - 1), '-');
    int pid = 0;
    if (!absl::SimpleAtoi(parts[0], &pid) || kill(pid, 0) == 0 || errno != ESRCH) continue;
    std::filesystem::remove_all(entry.path(), ignored);
  }
}

}  // namespace

TempDirectory::TempDirectory(absl::string_view label) {
  static const bool swept = (SweepDirectoriesOfTheDead(), true);
  (void)swept;
  path_ = absl::StrCat(Root(), "/", kPrefix, getpid(), "-", label, "-XXXXXX");
  if (mkdtemp(path_.data()) == nullptr) {
    std::perror(absl::StrCat("mkdtemp ", path_).c_str());
    std::abort();
  }
  chmod(path_.c_str(), 0755);
  if (geteuid() == 0) ChownToServerUser(path_);
}

TempDirectory::~TempDirectory() {
  if (getenv("ASSAY_KEEP_TEMP") != nullptr) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void WriteFile(const std::string& path, absl::string_view content, int mode) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (!file || chmod(path.c_str(), mode) != 0) {
    std::perror(absl::StrCat("write ", path).c_str());
    std::abort();
  }
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

}  // namespace assay::test
