#include "tools/host/log_place.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "log/annotate.h"

namespace assay {

LogPlace::LogPlace(std::string path) : path_(std::move(path)), log_(At(path_)), wal_(At(path_ + "-wal")) {}

LogPlace::Identity LogPlace::At(const std::string& path) {
  struct stat found;
  return stat(path.c_str(), &found) == 0 ? Identity{found.st_dev, found.st_ino} : Identity{};
}

LogPlace::State LogPlace::Look() const {
  const Identity log = At(path_);
  if (log == Identity{}) return State::kGone;
  if (!(log == log_)) return State::kReplaced;
  return wal_ == Identity{} || At(path_ + "-wal") == wal_ ? State::kThere : State::kJournalGone;
}

absl::Status LogPlace::Save(LogFile& file, absl::Time now) const {
  // The file itself is in its place, and takes up what the other had.
  if (Look() == State::kJournalGone) return file.Execute("PRAGMA wal_checkpoint(TRUNCATE)");
  const auto move = [](const std::string& from, const std::string& to) {
    if (rename(from.c_str(), to.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("cannot rename ", from, ": ", std::strerror(errno)));
  };
  // Whole or not at all under its name.
  const std::string half = path_ + ".half";
  ::unlink(half.c_str());
  ASSAY_RETURN_IF_ERROR(Annotate(
      file.Execute(absl::StrCat("VACUUM INTO '", absl::StrReplaceAll(half, {{"'", "''"}}), "'")), "save the log"));
  const std::string aside =
      absl::StrCat(path_, ".", absl::FormatTime("%Y%m%d-%H%M%S", now, absl::UTCTimeZone()), ".replaced");
  for (const char* end : {"-shm", "-wal", ""}) ASSAY_RETURN_IF_ERROR(move(path_ + end, aside + end));
  return move(half, path_);
}

}  // namespace assay
