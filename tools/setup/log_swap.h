// A finished new log, made in a folder of its own, takes the place of the old one.
//
// Several files have to move, one after another, and the machine may stop between any two. The log moves last: while it
// is still in its folder the swap is not done, and SwapLogs again finishes it. The old log and key are kept.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace assay {

// Where a new log and its key are made, to take the place of those in `state_dir`.
std::string NewLogFolder(const std::string& state_dir);

// Makes `path` an empty folder that only this user can enter, whatever was there.
absl::Status MakeFolderAnew(const std::string& path);

// Moves log and key aside, and those of NewLogFolder into their place. Returns what the names of the old ones end in
// now, which is made of `now`. Durable when OK.
absl::StatusOr<std::string> SwapLogs(const std::string& state_dir, absl::Time now);

}  // namespace assay
