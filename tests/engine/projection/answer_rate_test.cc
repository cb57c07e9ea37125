#include "engine/projection/answer_rate.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

TEST(AnswerRateTest, IsTooOftenFromSoManyWithinTheTimeOnAndNoMoreWhenItHasBeenQuiet) {
  AnswerRate rate;
  absl::Time now = absl::FromUnixSeconds(1'000'000);
  for (size_t i = 1; i < AnswerRate::kMax; ++i) rate.Note(now);
  EXPECT_FALSE(rate.TooOften(now));
  rate.Note(now + absl::Minutes(9));
  EXPECT_TRUE(rate.TooOften(now + absl::Minutes(9)));
  EXPECT_FALSE(rate.TooOften(now + absl::Minutes(10))) << "the first ones are too long ago";
  for (size_t i = 0; i < 10 * AnswerRate::kMax; ++i) rate.Note(now + i * absl::Minutes(1));
  EXPECT_FALSE(rate.TooOften(now + absl::Minutes(300))) << "once a minute is nothing";
}

}  // namespace
}  // namespace assay
