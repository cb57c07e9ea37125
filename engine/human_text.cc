#include "engine/human_text.h"

#include "absl/strings/str_cat.h"

namespace assay {

std::string Grouped(uint64_t number) {
  std::string digits = absl::StrCat(number);
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) digits.insert(at, 1, ',');
  return digits;
}

std::string Count(uint64_t number, absl::string_view thing) {
  return absl::StrCat(Grouped(number), " ", thing, number == 1 ? "" : "s");
}

std::string Roughly(absl::Duration length) {
  if (length < absl::Minutes(2)) return absl::StrCat(absl::ToInt64Seconds(length), " s");
  if (length < absl::Hours(2)) return absl::StrCat(absl::ToInt64Minutes(length), " min");
  if (length < absl::Hours(48)) return absl::StrCat(absl::ToInt64Hours(length), " h");
  return absl::StrCat(absl::ToInt64Hours(length) / 24, " days");
}

std::string ClockTime(absl::Time time, absl::Time now, absl::TimeZone zone) {
  const absl::CivilDay day = absl::ToCivilDay(time, zone), today = absl::ToCivilDay(now, zone);
  const std::string clock = absl::FormatTime("%H:%M", time, zone);
  if (day == today) return clock;
  const std::string year = day.year() == today.year() ? "" : absl::FormatTime("%Y ", time, zone);
  // The day by hand: %d and %e would pad it.
  return absl::StrCat(day.day(), absl::FormatTime(" %b ", time, zone), year, clock);
}

}  // namespace assay
