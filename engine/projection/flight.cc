#include "engine/projection/flight.h"

namespace assay {

void Flight::Begin() {
  stage = Stage::kGather;
  job = Job::kFold;
  not_before = absl::InfinitePast();
  begun = plan_tried = plan_is_old = false;
  looked_up = 0;
  plan.reset();
  targets = std::vector<TargetRow>();  // Of a large batch some 20 MB, which an idle branch has no use for.
  refused.clear();
  read.reset();
  fence.clear();
  fence_seen = unread = locked = shrink = false;
  attempts = 0;
  written = std::vector<std::vector<uint32_t>>();
}

FlightStep NextStep(const Flight& flight, absl::Time now, bool may_plan) {
  const bool due = now >= flight.not_before;
  switch (flight.stage) {
    case Flight::Stage::kGather:
      return FlightStep::kGather;
    case Flight::Stage::kRead:
      if (!due) return FlightStep::kWaitUntil;
      return flight.shrink ? FlightStep::kShrink : FlightStep::kReadAgain;
    case Flight::Stage::kReading:
      if (!flight.read.has_value()) return FlightStep::kWait;
      if (may_plan) return FlightStep::kPlan;
      if (!flight.locked) return FlightStep::kWait;
      return due ? FlightStep::kLetGo : FlightStep::kWaitUntil;
    case Flight::Stage::kAsking:
      if (flight.not_before == absl::InfinitePast()) return FlightStep::kWait;
      return due ? FlightStep::kAsk : FlightStep::kWaitUntil;
    case Flight::Stage::kProjecting:
    case Flight::Stage::kCommitted:
      break;
  }
  return FlightStep::kWait;
}

}  // namespace assay
