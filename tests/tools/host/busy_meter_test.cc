// Goal: a shop is busy when more comes from it than a quiet one sells, and no longer than that.
// Method: count sales at times of the test's own.
#include "tools/host/busy_meter.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

TEST(BusyMeterTest, FortySalesASecondAreQuietAndABurstIsSoonOver) {
  BusyMeter meter;
  absl::Time now = absl::FromUnixSeconds(1000);
  for (int i = 0; i < 1000; ++i, now += absl::Milliseconds(25)) {
    for (int message = 0; message < 9; ++message) meter.Count(0, 1, now);
    meter.Count(1, 1, now);
    EXPECT_FALSE(meter.Busy(now)) << i;
    EXPECT_EQ(meter.Pause(now), absl::ZeroDuration());
  }
  now += absl::Seconds(1);
  meter.Count(8, 80, now);
  EXPECT_FALSE(meter.Busy(now));
  meter.Count(2, 20, now);
  EXPECT_TRUE(meter.Busy(now));
  meter.Count(100'000, 1'000'000, now);
  EXPECT_TRUE(meter.Busy(now + absl::Milliseconds(199)));
  EXPECT_FALSE(meter.Busy(now + absl::Milliseconds(200)));
}

TEST(BusyMeterTest, PauseIsForSomeMessagesAndNeverLong) {
  BusyMeter meter;
  absl::Time now = absl::FromUnixSeconds(1000);
  meter.Count(1000, 1000, now);
  now += absl::Milliseconds(10);
  meter.Count(1000, 1000, now);
  EXPECT_EQ(meter.Pause(now), 80 * absl::Microseconds(10));
  now += absl::Milliseconds(190);
  meter.Count(100, 1, now);
  EXPECT_EQ(meter.Pause(now), absl::Milliseconds(50));
}

}  // namespace
}  // namespace assay
