#include "engine/human_text.h"

#include "absl/strings/str_cat.h"

namespace assay {
namespace {

constexpr char kUtcFormat[] = "%Y-%m-%d %H:%M UTC";

}  // namespace

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

std::string ShortLength(absl::Duration length) {
  return length < absl::Seconds(2) ? absl::StrCat(absl::ToInt64Milliseconds(length), " ms") : Roughly(length);
}

std::string TwoUnits(absl::Duration length) {
  const int64_t seconds = absl::ToInt64Seconds(length);
  const auto both = [&](int64_t unit, absl::string_view name, int64_t smaller, absl::string_view smaller_name) {
    return absl::StrCat(Grouped(seconds / unit), " ", name, " ", seconds % unit / smaller, " ", smaller_name);
  };
  if (seconds < 60) return absl::StrCat(seconds, " s");
  if (seconds < 3600) return both(60, "min", 1, "s");
  if (seconds < 2 * 86400) return both(3600, "h", 60, "min");
  return both(86400, "days", 3600, "h");
}

std::string UtcText(absl::Time time) { return absl::FormatTime(kUtcFormat, time, absl::UTCTimeZone()); }

std::string InZone(absl::string_view text, absl::TimeZone zone) {
  constexpr absl::string_view kUtc = " UTC";
  constexpr size_t kTimeSize = sizeof("2026-11-29 14:02") - 1;
  std::string out;
  while (!text.empty()) {
    const size_t end = text.find(kUtc);
    if (end == absl::string_view::npos) break;
    const size_t begin = end < kTimeSize ? end : end - kTimeSize;
    absl::Time time;
    std::string error;
    if (absl::ParseTime("%Y-%m-%d %H:%M", text.substr(begin, end - begin), absl::UTCTimeZone(), &time, &error)) {
      absl::StrAppend(&out, text.substr(0, begin), absl::FormatTime("%Y-%m-%d %H:%M %Z", time, zone));
    } else {
      absl::StrAppend(&out, text.substr(0, end + kUtc.size()));
    }
    text.remove_prefix(end + kUtc.size());
  }
  return absl::StrCat(out, text);
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
