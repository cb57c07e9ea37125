// How often projections have made triggers or rules write rows that nobody meant.
//
// Such rows are changes of this branch like any other: they go to the others, and may make a trigger there write the
// first row again. What turns in a circle is stopped by setting the tables aside whose objects answer, until it has
// been quiet for a while. Not thread-safe.
#pragma once

#include <cstddef>
#include <deque>
#include <utility>

#include "absl/time/time.h"

namespace assay {

class AnswerRate {
 public:
  static constexpr size_t kMax = 30;
  static constexpr absl::Duration kWithin = absl::Minutes(10);

  // A projection comes by, and perhaps what answered it.
  void Begin() { noted_ = false; }
  // It was answered, once or many times.
  void Note(absl::Time now) {
    if (std::exchange(noted_, true)) return;
    answered_.push_back(now);
    if (answered_.size() > kMax) answered_.pop_front();
  }
  // kMax times within the time before `now`.
  bool TooOften(absl::Time now) const { return answered_.size() == kMax && answered_.front() > now - kWithin; }

 private:
  bool noted_ = false;               // That the projection which comes by was answered.
  std::deque<absl::Time> answered_;  // Oldest first.
};

}  // namespace assay
