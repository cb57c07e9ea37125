// Goal: a quiet shop's sale goes at once and whole, a busy one's go together, and nothing that a projection waits for
// is kept back. Method: hand it items, with a time of the test's own.
#include "tools/host/capture_gatherer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace assay {
namespace {

CaptureBatch Items(std::vector<CaptureItem> items) {
  CaptureBatch batch;
  batch.items = std::move(items);
  return batch;
}
const CaptureItem kBegins{.kind = CaptureItem::Kind::kBegin}, kRow{.kind = CaptureItem::Kind::kInsert},
    kEnds{.kind = CaptureItem::Kind::kCommit},
    kOurs{.kind = CaptureItem::Kind::kMessage, .prefix = std::string(kFencePrefix)};

TEST(CaptureGathererTest, QuietSaleGoesAtOnceAndNotBeforeItIsWhole) {
  CaptureGatherer gatherer;
  absl::Time now = absl::FromUnixSeconds(1000);
  for (int sale = 0; sale < 200; ++sale, now += absl::Milliseconds(25)) {
    EXPECT_FALSE(gatherer.Add(Items({kBegins}), now));
    for (int row = 0; row < 8; ++row) EXPECT_FALSE(gatherer.Add(Items({kRow}), now));
    EXPECT_TRUE(gatherer.Add(Items({kEnds}), now)) << sale;
    EXPECT_EQ(gatherer.Pause(now), absl::ZeroDuration()) << sale;
    EXPECT_EQ(gatherer.TakePortion().items.size(), 10u);
  }
  EXPECT_FALSE(gatherer.Add({}, now)) << "nothing came";
}

TEST(CaptureGathererTest, ALongTransactionGoesInPieces) {
  CaptureGatherer gatherer;
  const absl::Time now = absl::FromUnixSeconds(1000);
  EXPECT_FALSE(gatherer.Add(Items({kBegins, kRow}), now));
  EXPECT_EQ(gatherer.Wait(now, absl::Seconds(1)), CaptureGatherer::kLongest);
  EXPECT_TRUE(gatherer.Add({}, now + CaptureGatherer::kLongest));
  EXPECT_EQ(gatherer.TakePortion().items.size(), 2u);
  EXPECT_EQ(gatherer.Wait(now, absl::Seconds(1)), absl::Seconds(1));
  EXPECT_TRUE(gatherer.Add(Items(std::vector<CaptureItem>(4000, kRow)), now + absl::Seconds(1)));
}

TEST(CaptureGathererTest, BusyShopIsKeptBackAndAnEchoIsNot) {
  CaptureGatherer gatherer;
  absl::Time now = absl::FromUnixSeconds(1000);
  for (int sale = 0; sale < 30; ++sale) {
    if (gatherer.Add(Items({kBegins, kRow, kEnds}), now)) gatherer.TakePortion();
  }
  EXPECT_FALSE(gatherer.empty());
  EXPECT_FALSE(gatherer.saw_echo());
  EXPECT_FALSE(gatherer.Add(Items({kBegins, kOurs}), now)) << "it has not ended";
  EXPECT_TRUE(gatherer.Add(Items({kEnds}), now));
  EXPECT_TRUE(gatherer.saw_echo());
  gatherer.TakePortion();
  EXPECT_FALSE(gatherer.Add(Items({kBegins, kRow, kEnds}), now));
  EXPECT_TRUE(gatherer.Add({}, now + CaptureGatherer::kLongest));
}

TEST(CaptureGathererTest, ProjectionsMakeNobodyBusy) {
  CaptureGatherer gatherer;
  absl::Time now = absl::FromUnixSeconds(1000);
  for (int i = 0; i < 200; ++i, now += absl::Milliseconds(10)) {
    EXPECT_TRUE(gatherer.Add(Items({kBegins, kOurs, kEnds}), now));
    gatherer.TakePortion();
    EXPECT_EQ(gatherer.Pause(now), absl::ZeroDuration()) << i;
  }
}

}  // namespace
}  // namespace assay
