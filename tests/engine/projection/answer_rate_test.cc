#include "engine/projection/answer_rate.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

// A projection that was answered, by several rows.
void NoteAnswered(AnswerRate* rate, absl::Time now) {
  rate->Begin();
  rate->Note(now);
  rate->Note(now);
}

TEST(AnswerRateTest, IsTooOftenFromSoManyWithinTheTimeOnAndNoMoreWhenItHasBeenQuiet) {
  AnswerRate rate;
  absl::Time now = absl::FromUnixSeconds(1'000'000);
  for (size_t i = 1; i < AnswerRate::kMax; ++i) NoteAnswered(&rate, now);
  EXPECT_FALSE(rate.TooOften(now));
  NoteAnswered(&rate, now + absl::Minutes(9));
  EXPECT_TRUE(rate.TooOften(now + absl::Minutes(9)));
  EXPECT_FALSE(rate.TooOften(now + absl::Minutes(10))) << "the first ones are too long ago";
  for (size_t i = 0; i < 10 * AnswerRate::kMax; ++i) NoteAnswered(&rate, now + i * absl::Minutes(1));
  EXPECT_FALSE(rate.TooOften(now + absl::Minutes(300))) << "once a minute is nothing";
}

}  // namespace
}  // namespace assay
