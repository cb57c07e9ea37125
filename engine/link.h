// A link to something that may be away: how it is doing, and when to try again.
#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/clock.h"

namespace assay {

// One stage or connection, and how it is doing.
struct LinkStatus {
  absl::Status status;                         // OK: working.
  absl::Time since = absl::InfinitePast();     // When it became so.
  absl::Time next_try = absl::InfinitePast();  // When not OK.
  uint32_t failures = 0;                       // In a row.
};

// When to try again: exponentially later, with jitter so that a fleet does not come back in step.
class Backoff {
 public:
  Backoff(absl::Duration first, absl::Duration longest) : first_(first), longest_(longest) {}

  // The time to try again after one more failure at `now`.
  absl::Time Fail(absl::Time now, Random& random) {
    const absl::Duration full = std::min(longest_, first_ * (int64_t{1} << std::min<uint32_t>(failures_, 20)));
    ++failures_;
    // Half fixed, half random: never hammering, never all at once.
    return now + full / 2 + (full / 2) * (static_cast<double>(random.Next() % 1024) / 1024);
  }
  void Succeed() { failures_ = 0; }
  uint32_t failures() const { return failures_; }

 private:
  absl::Duration first_, longest_;
  uint32_t failures_ = 0;
};

}  // namespace assay
