// Whether a shop is busy: sells more than so many transactions a second for more than a moment. The leaky bucket as a meter (ITU-T I.371,
// annex A). What a busy shop captures is taken in portions, since each costs the log a sync, the server an acknowledgement and the hub a
// push; what a quiet shop captures is taken at once. Not thread-safe.
#pragma once

#include <algorithm>

#include "absl/time/time.h"

namespace assay {

class BusyMeter {
 public:
  // Transactions at `now`, which never goes back.
  void Count(int transactions, absl::Time now) {
    empty_at_ = std::min(std::max(empty_at_, now) + transactions * kEach, now + kMost);
  }
  bool Busy(absl::Time now) const { return empty_at_ - now > kBusy; }

 private:
  static constexpr absl::Duration kEach = absl::Milliseconds(20);   // That is 50 a second.
  static constexpr absl::Duration kBusy = absl::Milliseconds(200);  // 10 more than that.
  static constexpr absl::Duration kMost = absl::Milliseconds(400);  // Soon over when the shop is quiet again.
  absl::Time empty_at_ = absl::InfinitePast();
};

}  // namespace assay
