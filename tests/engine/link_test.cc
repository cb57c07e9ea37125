#include "engine/link.h"

#include <algorithm>
#include <vector>

#include "gtest/gtest.h"

namespace assay {
namespace {

// Answers with the numbers it was given, and then with the last of them.
class Numbers : public Random {
 public:
  explicit Numbers(std::vector<uint64_t> numbers) : numbers_(std::move(numbers)) {}
  uint64_t Next() override { return numbers_[std::min(next_++, numbers_.size() - 1)]; }

 private:
  std::vector<uint64_t> numbers_;
  size_t next_ = 0;
};

const absl::Time kStart = absl::FromUnixSeconds(1700000000);
const absl::Status kAway = absl::UnavailableError("no route");

TEST(LinkTest, EachFailureWaitsTwiceAsLongUpToTheLongest) {
  Numbers random({0});
  Link link(absl::Seconds(1), absl::Seconds(10));
  std::vector<absl::Duration> waits;
  for (int i = 0; i < 100; ++i) waits.push_back(link.Fail(kAway, kStart, random) - kStart);
  EXPECT_EQ(
      std::vector(waits.begin(), waits.begin() + 5),
      (std::vector{absl::Milliseconds(500), absl::Seconds(1), absl::Seconds(2), absl::Seconds(4), absl::Seconds(5)}));
  EXPECT_EQ(std::count(waits.begin() + 4, waits.end(), absl::Seconds(5)), 96)
      << "also after more failures than a shift has room for";
  EXPECT_EQ(link.failures, 100u);
  EXPECT_EQ(link.next_try, kStart + absl::Seconds(5));
}

// Goal: a fleet that lost its hub does not come back all at once.
TEST(LinkTest, HalfOfEachWaitIsChance) {
  Numbers random({0, 512, 1023});
  Link a(absl::Seconds(8), absl::Seconds(8)), b = a, c = a;
  EXPECT_EQ(a.Fail(kAway, kStart, random), kStart + absl::Seconds(4));
  EXPECT_EQ(b.Fail(kAway, kStart, random), kStart + absl::Seconds(6));
  EXPECT_GT(c.Fail(kAway, kStart, random), kStart + absl::Milliseconds(7990));
  EXPECT_LT(c.next_try, kStart + absl::Seconds(8));
}

TEST(LinkTest, SinceMovesWithTheStateAndNotWithEachAnswer) {
  Numbers random({0});
  Link link(absl::Seconds(1), absl::Seconds(10));
  EXPECT_EQ(link.since, absl::InfinitePast()) << "nobody has tried yet";
  link.Succeed(kStart);
  link.Succeed(kStart + absl::Seconds(1));
  EXPECT_EQ(link.since, kStart);
  link.Fail(kAway, kStart + absl::Seconds(2), random);
  link.Fail(absl::UnavailableError("still none"), kStart + absl::Seconds(3), random);
  EXPECT_EQ(link.since, kStart + absl::Seconds(2));
  EXPECT_EQ(link.status.message(), "still none");
  link.Fail(absl::UnauthenticatedError("password"), kStart + absl::Seconds(4), random);
  EXPECT_EQ(link.since, kStart + absl::Seconds(4)) << "another trouble";
  EXPECT_EQ(link.failures, 3u);
  link.Succeed(kStart + absl::Seconds(5));
  EXPECT_EQ(link.since, kStart + absl::Seconds(5));
}

TEST(LinkTest, SuccessBeginsTheWaitsAnew) {
  Numbers random({0});
  Link link(absl::Seconds(1), absl::Seconds(10));
  for (int i = 0; i < 4; ++i) link.Fail(kAway, kStart, random);
  link.Succeed(kStart);
  EXPECT_TRUE(link.status.ok());
  EXPECT_EQ(link.failures, 0u);
  EXPECT_EQ(link.next_try, absl::InfinitePast());
  EXPECT_EQ(link.Fail(kAway, kStart, random), kStart + absl::Milliseconds(500));
}

TEST(LinkTest, SomebodyElseMaySayWhen) {
  Numbers random({0});
  Link link(absl::Seconds(1), absl::Seconds(10));
  link.FailUntil(kAway, kStart, kStart + absl::Hours(1));
  EXPECT_EQ(link.next_try, kStart + absl::Hours(1));
  EXPECT_EQ(link.failures, 1u);
  EXPECT_EQ(link.Later(kStart, random), kStart + absl::Seconds(1)) << "the second in a row";
  EXPECT_EQ(link.failures, 1u) << "asking moves nothing";
  link.TryAt(kStart);
  EXPECT_EQ(link.next_try, kStart);
  EXPECT_FALSE(link.status.ok()) << "to be tried is not to work";
}

}  // namespace
}  // namespace assay
