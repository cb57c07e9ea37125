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
  const bool today = absl::ToCivilDay(time, zone) == absl::ToCivilDay(now, zone);
  return absl::FormatTime(today ? "%H:%M" : "%e %b %H:%M", time, zone);
}

}  // namespace assay
