// kill -9 of everything, at any moment, under load. ASSAY_TORTURE_MINUTES makes it long (tools/torture).
#include "tests/torture/torture.h"

#include <cstdio>
#include <cstdlib>

#include "absl/strings/numbers.h"

namespace assay::test {
namespace {

absl::Duration TimeFor(absl::Duration otherwise) {
  const char* text = std::getenv("ASSAY_TORTURE_MINUTES");
  double minutes = 0;
  return text != nullptr && absl::SimpleAtod(text, &minutes) ? absl::Minutes(1) * minutes : otherwise;
}

TEST(TortureTest, WhateverIsKilledNothingAcknowledgedIsLost) {
  const char* seed_text = std::getenv("ASSAY_TORTURE_SEED");
  uint64_t seed = static_cast<uint64_t>(absl::ToUnixNanos(absl::Now()));
  if (seed_text != nullptr) {
    ASSERT_TRUE(absl::SimpleAtoi(seed_text, &seed));
  }
  std::printf("ASSAY_TORTURE_SEED=%llu\n", static_cast<unsigned long long>(seed));
  absl::StatusOr<std::unique_ptr<Torture>> torture = Torture::Create(2, seed);
  if (MaySkipWithoutPostgres(torture.status())) GTEST_SKIP() << torture.status().message();
  ASSERT_OK(torture.status());
  const absl::Duration time = TimeFor(absl::Seconds(40));
  // In rounds, so that a long run is judged again and again.
  const absl::Duration round = std::min(time, absl::Minutes(2));
  for (absl::Duration done; done < time; done += round) {
    ASSERT_OK((*torture)->Run(round, [](std::mt19937_64& random) {
      const uint64_t dice = random() % 20;
      return dice < 12 ? Fault::kDaemon : dice < 14 ? Fault::kPostgres : dice < 16 ? Fault::kHub : Fault::kBackend;
    }));
    ASSERT_OK((*torture)->Judge(absl::Seconds(60)));
    std::printf("%s\n", (*torture)->Report().c_str());
    std::fflush(stdout);
    if (done + round < time) (*torture)->SellAgain();
  }
  EXPECT_GT((*torture)->count(Fault::kDaemon), 0);
}

}  // namespace
}  // namespace assay::test
