#include "tools/sentinel/schedule.h"

#include "gtest/gtest.h"

namespace assay {
namespace {

absl::Time At(absl::string_view text) {
  absl::Time time;
  EXPECT_TRUE(absl::ParseTime("%Y-%m-%d %H:%M", text, absl::UTCTimeZone(), &time, nullptr)) << text;
  return time;
}
absl::Time Night(absl::string_view now, absl::Duration after = absl::ZeroDuration()) {
  return LastNight(absl::Hours(3), after, At(now), absl::UTCTimeZone());
}

TEST(ScheduleTest, TheNightIsTheLastOneThatHasBegun) {
  EXPECT_EQ(Night("2026-11-30 03:00"), At("2026-11-30 03:00"));
  EXPECT_EQ(Night("2026-11-30 23:59"), At("2026-11-30 03:00"));
  EXPECT_EQ(Night("2026-11-30 02:59"), At("2026-11-29 03:00"));
  EXPECT_EQ(Night("2026-12-01 00:00"), At("2026-11-30 03:00"));
  EXPECT_EQ(Night("2026-11-30 03:10", absl::Minutes(20)), At("2026-11-29 03:20"));
  EXPECT_EQ(LastNight(std::nullopt, absl::ZeroDuration(), At("2026-11-30 03:00"), absl::UTCTimeZone()),
            absl::InfinitePast());
}

TEST(ScheduleTest, ATableIsDueWhenItWasNeverComparedWasAlteredOrANightHasPassed) {
  const absl::Time night = At("2026-11-30 03:00");
  const auto checked = [&](absl::Duration after) {
    return CheckedTable{.ended_ms = absl::ToUnixMillis(night + after), .declared = {7}};
  };
  EXPECT_TRUE(IsDue({}, {}, absl::InfinitePast()));
  EXPECT_FALSE(IsDue(checked(absl::Minutes(1)), {7}, night));
  EXPECT_TRUE(IsDue(checked(absl::Minutes(1)), {8}, night)) << "it was declared anew";
  EXPECT_TRUE(IsDue(checked(-absl::Minutes(1)), {7}, night));
  EXPECT_FALSE(IsDue(checked(-absl::Hours(999)), {7}, absl::InfinitePast())) << "never at night";
}

TEST(ScheduleTest, ATableIsAlteredWhenAColumnIsAnotherThanItWasDeclared) {
  const TableShape shape{{"public", "t"}, {{"id", "integer", true, false, 1}, {"v", "text", false, false, 2}}, {0}};
  v1::TableSchema declared;
  for (const TableColumn& column : shape.columns) {
    v1::TableSchema::Column* to = declared.add_columns();
    to->set_name(column.name);
    to->set_type(column.type);
    to->set_number(column.number);
  }
  EXPECT_FALSE(IsAltered(declared, shape));
  TableShape other = shape;
  std::swap(other.columns[0], other.columns[1]);
  EXPECT_FALSE(IsAltered(declared, other)) << "their order says nothing";
  other.columns.pop_back();
  EXPECT_TRUE(IsAltered(declared, other));
  other = shape;
  other.columns.push_back({"taxed", "boolean", true, false, 3});
  EXPECT_TRUE(IsAltered(declared, other));
  other = shape;
  other.columns[1].name = "title";
  EXPECT_TRUE(IsAltered(declared, other));
  other = shape;
  other.columns[1].type = "varchar(3)";
  EXPECT_TRUE(IsAltered(declared, other));
  other = shape;
  other.columns[1].number = 3;
  EXPECT_TRUE(IsAltered(declared, other)) << "dropped and added";
  declared.mutable_columns(1)->clear_number();
  EXPECT_FALSE(IsAltered(declared, other)) << "nobody knows which it was";
}

}  // namespace
}  // namespace assay
