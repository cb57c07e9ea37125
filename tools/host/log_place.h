// Whether the log that is open is still the one at its path.
//
// Files are deleted and replaced under running programs: by a clean-up, by a restore that nobody stopped the daemon
// for. The open file goes on working then, and all of it is gone with the process. So the host looks, and what is no
// longer at its path is written anew while it can still be read. Linux only. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "log/log_file.h"

namespace assay {

class LogPlace {
 public:
  // Of a log that was just opened at `path`.
  explicit LogPlace(std::string path);

  // kJournalGone: the newest commits were in a file that is not there any more, SQLite's write-ahead log.
  enum class State { kThere, kGone, kReplaced, kJournalGone };
  State Look() const;

  // Writes all that is committed in `file` to its path again. What is there instead is kept beside it, under a name
  // that ends in ".replaced". Not inside a transaction. Takes as long as its bytes.
  absl::Status Save(LogFile& file, absl::Time now) const;

 private:
  struct Identity {
    dev_t device = 0;
    ino_t number = 0;
    bool operator==(const Identity&) const = default;
  };
  // All zeros: nothing is there.
  static Identity At(const std::string& path);

  std::string path_;
  Identity log_, wal_;
};

}  // namespace assay
