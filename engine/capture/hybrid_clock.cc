#include "engine/capture/hybrid_clock.h"

#include <algorithm>

namespace assay {

HlcStamp HybridClock::StampCommit(int64_t commit_time_us) {
  // Milliseconds round down, so a commit in the same millisecond as the last stamp takes the counter instead.
  now_ = std::max(now_.Next(), HlcStamp::FromMillis(commit_time_us / 1000));
  return now_;
}

void HybridClock::ObserveProjection(HlcStamp projected) { now_ = std::max(now_, projected); }

}  // namespace assay
