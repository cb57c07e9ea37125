#include "tools/cli/time_input.h"

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace assay {
namespace {

// "90m": absl's own would take "1h30" for nonsense as well, and knows no days.
std::optional<absl::Duration> ParseAgo(absl::string_view text) {
  absl::Duration length;
  if (absl::ParseDuration(text, &length) && length > absl::ZeroDuration()) return length;
  if (text.size() < 2 || (text.back() != 'd' && text.back() != 'w')) return std::nullopt;
  uint32_t count = 0;
  if (!absl::SimpleAtoi(text.substr(0, text.size() - 1), &count) || count == 0) return std::nullopt;
  return absl::Hours(24) * count * (text.back() == 'w' ? 7 : 1);
}

std::optional<absl::Time> ParseClock(absl::string_view text, absl::Time now, absl::TimeZone zone) {
  absl::Time clock;
  std::string error;
  if (!absl::ParseTime("%H:%M", text, absl::UTCTimeZone(), &clock, &error) &&
      !absl::ParseTime("%H:%M:%S", text, absl::UTCTimeZone(), &clock, &error)) {
    return std::nullopt;
  }
  const absl::CivilSecond read = absl::ToCivilSecond(clock, absl::UTCTimeZone());
  const absl::CivilDay today = absl::ToCivilDay(now, zone);
  const auto on = [&](absl::CivilDay day) {
    return absl::FromCivil(
        absl::CivilSecond(day.year(), day.month(), day.day(), read.hour(), read.minute(), read.second()), zone);
  };
  return on(today) <= now ? on(today) : on(today - 1);
}

}  // namespace

absl::StatusOr<absl::Time> ParsePastTime(absl::string_view text, absl::Time now, absl::TimeZone zone) {
  text = absl::StripAsciiWhitespace(text);
  const absl::CivilDay today = absl::ToCivilDay(now, zone);
  if (text == "today") return absl::FromCivil(today, zone);
  if (text == "yesterday") return absl::FromCivil(today - 1, zone);
  if (const std::optional<absl::Duration> ago = ParseAgo(text); ago.has_value()) return now - *ago;
  if (const std::optional<absl::Time> clock = ParseClock(text, now, zone); clock.has_value()) return *clock;
  absl::Time time;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return time;
  // The last is what the programs themselves print into a pipe.
  for (const char* format : {"%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%E*S", "%Y-%m-%d %H:%M:%E*S %z"}) {
    if (absl::ParseTime(format, text, zone, &time, &error)) return time;
  }
  return absl::InvalidArgumentError(absl::StrCat("\"", text,
                                                 "\" is no time: write 1h, 3d, yesterday, 14:30, 2026-11-29, "
                                                 "\"2026-11-29 14:30\" or 2026-11-29T14:30:00Z"));
}

}  // namespace assay
