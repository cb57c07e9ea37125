#include "tools/host/progress_meter.h"

#include <algorithm>

namespace assay {
namespace {

constexpr absl::Duration kWindow = absl::Seconds(20);
constexpr absl::Duration kSampleEvery = absl::Milliseconds(500);
constexpr absl::Duration kKnownAfter = absl::Seconds(2);
constexpr absl::Duration kStandstill = absl::Seconds(5);

}  // namespace

Progress ProgressMeter::Update(const StagePosition& position, absl::Time now) {
  const bool fell = position.at < at_;  // A hub that was restored, or a chain that is left out from now on.
  at_ = position.at;
  if (position.at >= position.goal) {
    begun_at_.reset();
    return {};
  }
  if (!begun_at_.has_value() || fell) {
    begun_at_ = position.at;
    samples_ = {{now, position.at}};
  }
  if (now - samples_.back().time >= kSampleEvery) samples_.push_back({now, position.at});
  while (samples_.size() > 1 && now - samples_[1].time >= kWindow) samples_.pop_front();
  // A standstill (paused, offline) is no part of the rate once it is over.
  const auto moved = std::find_if(samples_.begin(), samples_.end(),
                                  [&](const Sample& sample) { return sample.at != samples_.front().at; });
  if ((moved - 1)->time - samples_.front().time >= kStandstill) samples_.erase(samples_.begin(), moved - 1);

  Progress progress{position.at - *begun_at_, position.goal - *begun_at_};
  const absl::Duration over = now - samples_.front().time;
  if (over >= kKnownAfter) {
    progress.events_per_second = static_cast<double>(position.at - samples_.front().at) / absl::ToDoubleSeconds(over);
  }
  return progress;
}

}  // namespace assay
