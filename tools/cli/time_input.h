// Times as people type them.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace assay {

// A time before `now`: "90m", "1h", "3d" and "2w" ago; "today", "yesterday" and "2026-11-29" from their midnight on;
// "14:30" of the last time that it was; "2026-11-29 14:30", with seconds too; all of `zone`. RFC 3339 has its own.
// INVALID_ARGUMENT: something else, with what can be written.
absl::StatusOr<absl::Time> ParsePastTime(absl::string_view text, absl::Time now, absl::TimeZone zone);

}  // namespace assay
