// Goal: a projection waits at the gate until the log is durable, or known not to be.
// Method: decide before and during the wait.
#include "tools/host/log_gate.h"

#include <gtest/gtest.h>

#include <thread>

#include "absl/time/clock.h"

namespace assay {
namespace {

TEST(LogGateTest, NothingIsDecidedUntilTheLogIsWritten) {
  LogGate gate;
  EXPECT_EQ(gate.Await(absl::ZeroDuration()), std::nullopt);
  EXPECT_EQ(gate.Await(absl::Milliseconds(1)), std::nullopt) << "it is asked again and again";
  gate.Decide(true);
  EXPECT_EQ(gate.Await(absl::ZeroDuration()), true);
  EXPECT_EQ(gate.Await(absl::ZeroDuration()), true) << "the answer stays";
}

TEST(LogGateTest, ALogThatCouldNotBeWrittenShutsItForGood) {
  LogGate gate;
  gate.Decide(false);
  EXPECT_EQ(gate.Await(absl::ZeroDuration()), false);
}

TEST(LogGateTest, WhoWaitsIsWokenByTheDecision) {
  LogGate gate;
  std::optional<bool> seen;
  const absl::Time begun = absl::Now();
  std::thread projection([&] { seen = gate.Await(absl::Seconds(20)); });
  absl::SleepFor(absl::Milliseconds(5));  // It waits by now, most likely.
  gate.Decide(true);
  projection.join();
  EXPECT_EQ(seen, true);
  EXPECT_LT(absl::Now() - begun, absl::Seconds(10));
}

}  // namespace
}  // namespace assay
