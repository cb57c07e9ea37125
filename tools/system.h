// The machine's own time and randomness.
#pragma once

#include <random>

#include "absl/time/clock.h"
#include "engine/clock.h"

namespace assay {

class SystemClock final : public Clock {
 public:
  absl::Time Now() override { return absl::Now(); }
};

class SystemRandom final : public Random {
 public:
  uint64_t Next() override { return (uint64_t{device_()} << 32) | device_(); }

 private:
  std::random_device device_;  // getrandom, through libstdc++.
};

}  // namespace assay
