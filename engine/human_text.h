// Numbers, lengths and times as people read them: the same on every face.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace assay {

// "12,345".
std::string Grouped(uint64_t number);
// "1 row", "12,345 rows".
std::string Count(uint64_t number, absl::string_view thing);
// One unit, rounded down: "90 s", "12 min", "3 days".
std::string Roughly(absl::Duration length);
// "14:02" of `now`'s day, else "3 Dec 14:02", and of another year "3 Dec 2025 14:02". The zone is the caller's, since
// the engine knows none.
std::string ClockTime(absl::Time time, absl::Time now, absl::TimeZone zone);

}  // namespace assay
