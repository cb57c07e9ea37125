// Whether a shop is busy: more comes from it than so many transactions a second, for more than a moment. The leaky
// bucket as a meter (ITU-T I.371, annex A). What a quiet shop captures is taken at once. What a busy shop captures is
// taken in portions: each of them wakes threads, costs the log a sync, the server an acknowledgement and the hub a
// push. Not thread-safe.
#pragma once

#include <algorithm>
#include <cstddef>

#include "absl/time/time.h"

namespace assay {

class BusyMeter {
 public:
  // Of so many transactions the end was taken at `now`, which never goes back, and so many messages. Very many messages
  // are busy, too.
  void Count(int transactions, size_t messages, absl::Time now) {
    const auto count = static_cast<int64_t>(messages);
    empty_at_ = std::min(std::max(empty_at_, now) + transactions * kEach + count * kEach / kMessages, now + kMost);
    each_ = messages == 0 ? kPauseMax : (now - last_) / count;
    last_ = now;
  }
  bool Busy(absl::Time now) const { return empty_at_ - now > kBusy; }
  // Until the next portion, if what comes goes on coming as fast.
  absl::Duration Pause(absl::Time now) const {
    return Busy(now) ? std::min(kPauseMax, kMessages * each_) : absl::ZeroDuration();
  }

 private:
  static constexpr absl::Duration kEach = absl::Milliseconds(20);   // That is 50 a second, of no messages.
  static constexpr absl::Duration kBusy = absl::Milliseconds(200);  // 10 more than that.
  static constexpr absl::Duration kMost = absl::Milliseconds(400);  // Soon over when the shop is quiet again.
  static constexpr absl::Duration kPauseMax = absl::Milliseconds(50);
  // Some 270 small ones are all that Linux lets wait in a Unix socket (net.core.wmem_default); the server would wait
  // with them.
  static constexpr int kMessages = 80;
  absl::Time empty_at_ = absl::InfinitePast();
  absl::Time last_ = absl::InfinitePast();
  absl::Duration each_ = kPauseMax;
};

}  // namespace assay
