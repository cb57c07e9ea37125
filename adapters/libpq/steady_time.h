// Time for deadlines and pauses: it only goes forward, evenly, whatever the machine's clock is set to meanwhile.
//
//   const absl::Time deadline = SteadyNow() + absl::Seconds(5);
//
// Counts from some moment of its own: only differences mean anything, and none of it is for people or for the log.
#pragma once

#include <chrono>

#include "absl/time/time.h"

namespace assay {

inline absl::Time SteadyNow() {
  return absl::UnixEpoch() + absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

}  // namespace assay
