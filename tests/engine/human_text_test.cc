// Numbers, lengths and times as people read them.
#include "engine/human_text.h"

#include <string>

#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"

namespace assay {
namespace {

absl::Time At(const absl::CivilMinute& minute) { return absl::FromCivil(minute, absl::UTCTimeZone()); }

std::string Clock(const absl::CivilMinute& minute) {
  return ClockTime(At(minute), At(absl::CivilMinute(2026, 12, 31, 14, 35)), absl::UTCTimeZone());
}

TEST(HumanTextTest, NumbersAreGroupedByThousands) {
  EXPECT_EQ(Grouped(0), "0");
  EXPECT_EQ(Grouped(999), "999");
  EXPECT_EQ(Grouped(1000), "1,000");
  EXPECT_EQ(Grouped(1234567), "1,234,567");
}

TEST(HumanTextTest, OneIsNoPlural) {
  EXPECT_EQ(Count(1, "row"), "1 row");
  EXPECT_EQ(Count(0, "row"), "0 rows");
  EXPECT_EQ(Count(12345, "row"), "12,345 rows");
}

TEST(HumanTextTest, LengthsHaveOneUnitAndAreRoundedDown) {
  EXPECT_EQ(Roughly(absl::Seconds(119)), "119 s");
  EXPECT_EQ(Roughly(absl::Seconds(179)), "2 min");
  EXPECT_EQ(Roughly(absl::Hours(47)), "47 h");
  EXPECT_EQ(Roughly(absl::Hours(71)), "2 days");
}

TEST(HumanTextTest, TimesOfTheDayHaveNoDate) {
  EXPECT_EQ(Clock(absl::CivilMinute(2026, 12, 31, 0, 0)), "00:00");
  EXPECT_EQ(Clock(absl::CivilMinute(2026, 12, 31, 9, 5)), "09:05");
}

TEST(HumanTextTest, DaysOfOneDigitArePaddedByNothing) {
  EXPECT_EQ(Clock(absl::CivilMinute(2026, 12, 3, 14, 2)), "3 Dec 14:02");
  EXPECT_EQ(Clock(absl::CivilMinute(2026, 11, 28, 14, 2)), "28 Nov 14:02");
}

// A shop that was offline since last December must not read as one that is since this one.
TEST(HumanTextTest, TimesOfAnotherYearNameIt) {
  EXPECT_EQ(Clock(absl::CivilMinute(2026, 1, 1, 0, 0)), "1 Jan 00:00");
  EXPECT_EQ(Clock(absl::CivilMinute(2025, 12, 31, 23, 59)), "31 Dec 2025 23:59");
  EXPECT_EQ(Clock(absl::CivilMinute(2027, 1, 1, 0, 0)), "1 Jan 2027 00:00");
}

// The day and the year are the reader's, not UTC's.
TEST(HumanTextTest, TimesAreOfTheReadersZone) {
  const absl::TimeZone india = absl::FixedTimeZone(19800);
  const absl::Time now = At(absl::CivilMinute(2026, 12, 31, 20, 0));  // 01:30 of the new year there.
  EXPECT_EQ(ClockTime(now - absl::Hours(1), now, india), "00:30");
  EXPECT_EQ(ClockTime(now - absl::Hours(2), now, india), "31 Dec 2026 23:30");
}

}  // namespace
}  // namespace assay
