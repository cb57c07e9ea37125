// The only source of chance in the simulation: the same seed gives the same numbers on every machine.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/clock.h"

namespace assay {

// SplitMix64: small, fast, and defined to the last bit, which the standard's distributions are not.
class SeededRandom : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}

  uint64_t Next() override {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  uint64_t Below(uint64_t bound) { return Next() % bound; }  // `bound` > 0; the bias of % does not matter here.
  int64_t Between(int64_t low, int64_t high) { return low + static_cast<int64_t>(Below(high - low + 1)); }
  // True `percent` times in a hundred; fractions count.
  bool Chance(double percent) { return static_cast<double>(Below(1'000'000)) < percent * 10'000; }
  // Index of a weight, as often as its share.
  size_t Weighted(const std::vector<uint32_t>& weights) {
    uint64_t total = 0;
    for (uint32_t weight : weights) total += weight;
    uint64_t draw = Below(total);
    size_t index = 0;
    while (draw >= weights[index]) draw -= weights[index++];
    return index;
  }

 private:
  uint64_t state_;
};

}  // namespace assay
