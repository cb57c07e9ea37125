// Numbers, lengths and times as people read them.
#include "engine/human_text.h"

#include <string>

#include "absl/strings/str_cat.h"
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

TEST(HumanTextTest, LengthsAreWords) {
  EXPECT_EQ(ShortLength(absl::Milliseconds(300)), "300 ms");
  EXPECT_EQ(ShortLength(absl::Seconds(90)), "90 s");
  EXPECT_EQ(ShortLength(absl::Minutes(5)), "5 min");
  EXPECT_EQ(ShortLength(absl::Hours(24) - absl::Milliseconds(11)), "23 h");
  EXPECT_EQ(TwoUnits(absl::Seconds(432)), "7 min 12 s");
  EXPECT_EQ(TwoUnits(absl::Minutes(182)), "3 h 2 min");
  EXPECT_EQ(TwoUnits(absl::Hours(80)), "3 days 8 h");
}

TEST(HumanTextTest, WhatTheEngineWroteInUtcIsShownInTheZoneOfTheScreen) {
  absl::TimeZone zone;
  ASSERT_TRUE(absl::LoadTimeZone("Asia/Kolkata", &zone));
  const std::string text = absl::StrCat("dated ", UtcText(At(absl::CivilMinute(2026, 11, 29, 20, 2))), ", and ",
                                        UtcText(At(absl::CivilMinute(2026, 1, 1, 0, 0))), ".");
  EXPECT_EQ(InZone(text, zone), "dated 2026-11-30 01:32 IST, and 2026-01-01 05:30 IST.");
  EXPECT_EQ(InZone(text, absl::UTCTimeZone()), text);
  for (const char* other : {"", " UTC", "a UTC offset", "9999-99-99 99:99 UTC", "UTC"})
    EXPECT_EQ(InZone(other, zone), other);
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
