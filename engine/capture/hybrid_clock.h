// Stamps local transactions so that a write which saw a remote value always beats it.
//
// A stamp is one 64-bit number, 48 bits of milliseconds above a 16-bit counter, so `clock + 1` carries by itself. The
// clock moves in WAL order only: receiving an event moves nothing, and a write that did not see it competes by time.
// Not thread-safe. (Kulkarni et al., "Logical Physical Clocks", 2014.)
//
//   HybridClock hybrid_clock(HlcStamp{stored});
//   event.set_stamp(hybrid_clock.StampCommit(commit_time_us).value);
#pragma once

#include <cstdint>

#include "log/types.h"

namespace assay {

class HybridClock {
 public:
  // `last` is the clock as stored with the last capture: a restart must not step back.
  explicit HybridClock(HlcStamp last) : now_(last) {}

  // Returns max(clock + 1, `commit_time_us`, Unix microseconds). Never fails: a commit time may step back or stand
  // still, and the change is captured all the same. What is too far ahead to be believed is the recorder's to bound: a
  // stamp never steps back again. At the highest stamp of all it stands still.
  HlcStamp StampCommit(int64_t commit_time_us);

  // Takes the maximum with `projected` when capture sees our own projection go by.
  void ObserveProjection(HlcStamp projected);

  HlcStamp now() const { return now_; }

 private:
  HlcStamp now_;
};

}  // namespace assay
