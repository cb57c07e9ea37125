// Time and randomness that a test sets by hand: engine/clock.h, neither drifting nor random.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "engine/clock.h"

namespace assay::test {

class HandClock : public Clock {
 public:
  absl::Time Now() override { return now; }
  absl::Time now = absl::FromUnixSeconds(1'700'000'000);
};

// 42, 43, ...: each number once, so that two nonces differ.
class CountingRandom : public Random {
 public:
  uint64_t Next() override { return ++last; }
  uint64_t last = 41;
};

}  // namespace assay::test
