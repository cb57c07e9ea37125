#include "tools/sentinel/seen_keys.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"

namespace assay {
namespace {

absl::Status FileError(absl::string_view what) {
  const std::string message = absl::StrCat(what, ": ", std::strerror(errno));
  return errno == ENOSPC || errno == EDQUOT ? absl::ResourceExhaustedError(message) : absl::UnavailableError(message);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SeenKeys>> SeenKeys::Create(const std::string& directory) {
  std::string path = absl::StrCat(directory, "/comparing-XXXXXX");
  const int fd = mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0) return FileError(absl::StrCat("make a file in ", directory));
  unlink(path.c_str());
  return std::unique_ptr<SeenKeys>(new SeenKeys(fd));
}

SeenKeys::~SeenKeys() { close(fd_); }

absl::Status SeenKeys::Add(const KeyHash& key) {
  Part& part = parts_[key[0]];
  if (read_ == key[0]) read_ = -1;
  part.newest.push_back(key);
  if (part.newest.size() < kBlockKeys) return absl::OkStatus();
  constexpr size_t kBytes = kBlockKeys * sizeof(KeyHash);
  const ssize_t written = pwrite(fd_, part.newest.data(), kBytes, static_cast<off_t>(blocks_) * kBytes);
  if (written != static_cast<ssize_t>(kBytes)) {
    if (written >= 0) errno = ENOSPC;
    return FileError("write which rows were met");
  }
  part.newest.clear();
  part.blocks.push_back(blocks_++);
  return absl::OkStatus();
}

absl::Status SeenKeys::ReadPart(int number) {
  const Part& part = parts_[number];
  read_ = -1;
  keys_.resize(part.blocks.size() * kBlockKeys);
  constexpr size_t kBytes = kBlockKeys * sizeof(KeyHash);
  for (size_t i = 0; i < part.blocks.size(); ++i) {
    const ssize_t got = pread(fd_, keys_.data() + i * kBlockKeys, kBytes, static_cast<off_t>(part.blocks[i]) * kBytes);
    if (got != static_cast<ssize_t>(kBytes)) {
      if (got >= 0) errno = EIO;
      return FileError("read which rows were met");
    }
  }
  keys_.insert(keys_.end(), part.newest.begin(), part.newest.end());
  std::sort(keys_.begin(), keys_.end());
  read_ = number;
  return absl::OkStatus();
}

absl::StatusOr<bool> SeenKeys::Has(const KeyHash& key) {
  if (read_ != key[0]) ASSAY_RETURN_IF_ERROR(ReadPart(key[0]));
  return std::binary_search(keys_.begin(), keys_.end(), key);
}

}  // namespace assay
