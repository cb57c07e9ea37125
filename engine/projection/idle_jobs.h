// What a projector asks of PostgreSQL when it has nothing to project, and when.
//
// An *anchor* is a projection of nothing: it renews the database's note of where it stands (assay.progress), so that an
// older copy of the database is known by that. It is due after a start, and some time after something local was
// captured. A *probe* is a read of nothing: it shows whether a column has come that values are waiting for. It is
// due less and less often while nothing comes. Reads no clock. Not thread-safe.
#pragma once

#include <algorithm>
#include <optional>

#include "absl/time/time.h"
#include "engine/projection/flight.h"

namespace assay {

class IdleJobs {
 public:
  static constexpr absl::Duration kAnchorInterval = absl::Seconds(60);
  static constexpr absl::Duration kProbeIntervalMin = absl::Seconds(5);
  // Where nothing else reads the tables. A column that some branch has and that never comes here costs next to nothing.
  static constexpr absl::Duration kProbeIntervalMax = absl::Minutes(5);

  // Something local was captured.
  void OnActivity() { activity_ = true; }
  // A projection, of whatever, has landed.
  void OnLanded(absl::Time now) {
    activity_ = false;
    anchor_at_ = now + kAnchorInterval;
  }
  void OnProbed(absl::Time now) {
    probe_at_ = now + probe_interval_;
    probe_interval_ = std::min(probe_interval_ * 2, kProbeIntervalMax);
  }
  // Other branches' events were merged, or a column has come: more may come before long.
  void ProbeOften() { probe_interval_ = kProbeIntervalMin; }
  // What waits for a time waits no longer.
  void RetryNow(absl::Time now) {
    anchor_at_ = std::min(anchor_at_, now);
    probe_at_ = now;
  }

  // `awaited`: there are columns to probe for. Nothing is due: `wake` is at latest when something will be.
  std::optional<Flight::Job> Due(absl::Time now, bool awaited, absl::Time* wake) const {
    if (awaited && now >= probe_at_) return Flight::Job::kProbe;
    if (awaited) *wake = std::min(*wake, probe_at_);
    if (!activity_) return std::nullopt;
    if (now >= anchor_at_) return Flight::Job::kAnchor;
    *wake = std::min(*wake, anchor_at_);
    return std::nullopt;
  }

 private:
  bool activity_ = true;  // Since the last projection landed.
  absl::Time anchor_at_ = absl::InfinitePast();
  absl::Time probe_at_ = absl::InfinitePast();
  absl::Duration probe_interval_ = kProbeIntervalMin;
};

}  // namespace assay
