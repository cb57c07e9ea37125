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
// The same where fractions matter: "300 ms", "90 s", "7 days".
std::string ShortLength(absl::Duration length);
// Two units, for how far clocks are apart: "12 s", "7 min 12 s", "3 h 2 min".
std::string TwoUnits(absl::Duration length);
// The engine knows no zone, and so writes a time into a text as UtcText does: "2026-11-29 14:02 UTC".
std::string UtcText(absl::Time time);
// `text` with each such time in `zone`, as "2026-11-29 19:32 IST": one screen has one zone.
std::string InZone(absl::string_view text, absl::TimeZone zone);
// "14:02" of `now`'s day, else "3 Dec 14:02", and of another year "3 Dec 2025 14:02". The zone is the caller's, since
// the engine knows none.
std::string ClockTime(absl::Time time, absl::Time now, absl::TimeZone zone);

}  // namespace assay
