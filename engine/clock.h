// Time and randomness, handed in: the engine reads neither by itself.
#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace assay {

// The wall clock. It may drift, stand still, step back, or jump between two runs; nothing here trusts it for order.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() = 0;
};

// Unpredictable in production (nonces), seeded in simulation.
class Random {
 public:
  virtual ~Random() = default;
  virtual uint64_t Next() = 0;
};

}  // namespace assay
