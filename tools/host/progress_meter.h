// Makes "47/100, 1,200 events a second" of where a stage stands.
//
//   ProgressMeter meter;
//   status.pull = meter.Update(engine.pull_position, SteadyNow());   // Each time the picture is taken.
//
// Counting begins where the stage fell behind (or where a daemon that was just started finds itself), so that 47/100 is
// about this catching up and not about the life of the chains. The rate is over the last 20 seconds: rows are written
// in batches, and anything shorter would jump; a standstill of more than 5 seconds counts only while it lasts. Not
// thread-safe.
#pragma once

#include <deque>
#include <optional>

#include "absl/time/time.h"
#include "engine/operator.h"

namespace assay {

class ProgressMeter {
 public:
  // `now` of a clock that nobody sets. Nothing is under way when the position is the goal.
  Progress Update(const StagePosition& position, absl::Time now);

 private:
  struct Sample {
    absl::Time time;
    uint64_t at;
  };
  std::optional<uint64_t> begun_at_;  // nullopt: nothing was under way.
  uint64_t at_ = 0;
  std::deque<Sample> samples_;  // Of the time that the rate is over, at most one each half second.
};

}  // namespace assay
