#include "tools/cli/time_input.h"

#include "gtest/gtest.h"

namespace assay {
namespace {

TEST(TimeInputTest, ATimeIsTakenAsPeopleTypeIt) {
  absl::TimeZone zone;
  ASSERT_TRUE(absl::LoadTimeZone("Asia/Kolkata", &zone));
  const absl::Time now = absl::FromCivil(absl::CivilSecond(2026, 11, 29, 14, 35, 7), zone);
  const auto at = [&](int month, int day, int hour, int minute, int second = 0) {
    return absl::FromCivil(absl::CivilSecond(2026, month, day, hour, minute, second), zone);
  };
  const std::pair<const char*, absl::Time> cases[] = {
      {"1h", at(11, 29, 13, 35, 7)},
      {"1h30m", at(11, 29, 13, 5, 7)},
      {"90s", at(11, 29, 14, 33, 37)},
      {"3d", at(11, 26, 14, 35, 7)},
      {"2w", at(11, 15, 14, 35, 7)},
      {"today", at(11, 29, 0, 0)},
      {"yesterday", at(11, 28, 0, 0)},
      {"14:30", at(11, 29, 14, 30)},
      {"14:40", at(11, 28, 14, 40)},
      {"2026-11-23", at(11, 23, 0, 0)},
      {" 2026-11-23 14:30 ", at(11, 23, 14, 30)},
      {"2026-11-23 14:30:05", at(11, 23, 14, 30, 5)},
      {"2026-11-23 09:00:05 +0000", at(11, 23, 14, 30, 5)},
      {"2026-11-23T09:00:05Z", at(11, 23, 14, 30, 5)},
  };
  for (const auto& [text, time] : cases) {
    const absl::StatusOr<absl::Time> parsed = ParsePastTime(text, now, zone);
    ASSERT_TRUE(parsed.ok()) << text << ": " << parsed.status();
    EXPECT_EQ(*parsed, time) << text;
  }
  for (const char* text : {"", "soon", "h", "-1h", "0d", "25:00", "2026-13-01", "1h ago"}) {
    EXPECT_FALSE(ParsePastTime(text, now, zone).ok()) << text;
  }
}

}  // namespace
}  // namespace assay
