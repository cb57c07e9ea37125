// The capture stream as the engine knows it: whether it runs, and what it has brought that nobody has worked on yet.
//
// A stream that ends leaves what it has brought, and that is worked on like the rest. Only then is the end acted upon:
// what is half here is not going to be whole, and what the ended stream told of its database is believed. A stream that
// begins brings all of it again. Not thread-safe.
#pragma once

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/capture/captured_items.h"
#include "engine/database.h"
#include "engine/link.h"

namespace assay {

class CaptureStream {
 public:
  explicit CaptureStream(absl::Time now) {
    link_.status = absl::UnavailableError("capture has not started yet");
    link_.since = now;
  }

  void OnStarted(absl::Time now) {
    restarted_ = true;
    stopped_ = false;
    items_.Clear();
    link_.Succeed(now);
  }
  // `next_try`: when it is started again, which the host decides. `evidence`: what the database told all the same.
  void OnStopped(const absl::Status& status, absl::Time now, absl::Time next_try, DatabaseEvidence evidence) {
    stopped_ = true;
    stop_evidence_ = std::move(evidence);
    link_.FailUntil(status, now, next_try);
  }

  CapturedItems& items() { return items_; }
  const CapturedItems& items() const { return items_; }
  // True, once: it has begun anew.
  bool TakeRestarted() { return std::exchange(restarted_, false); }
  // True, once: it has ended, and all that it had brought is worked on.
  bool TakeStopped() { return items_.empty() && std::exchange(stopped_, false); }
  // What an ended stream has brought comes again with the next, if none of it was worked on.
  void DropIfStopped() {
    if (stopped_) items_.Clear();
  }
  // A beginning or an end is to be taken.
  bool HasTurned() const { return restarted_ || stopped_; }
  std::optional<DatabaseEvidence> TakeStopEvidence() { return std::exchange(stop_evidence_, std::nullopt); }

  bool running() const { return link_.status.ok(); }
  const LinkStatus& link() const { return link_; }

 private:
  CapturedItems items_;
  bool restarted_ = false;
  bool stopped_ = false;
  std::optional<DatabaseEvidence> stop_evidence_;
  Link link_{absl::ZeroDuration(), absl::ZeroDuration()};  // The host says when it is tried again.
};

}  // namespace assay
