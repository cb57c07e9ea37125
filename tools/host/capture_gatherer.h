// What capture brings, in the portions in which the engine gets it: a whole transaction at once, and of a busy shop
// many together. What a projection waits for, its fence or its echo, is never kept back. By `now`, which never goes
// back. Not thread-safe.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/time/time.h"
#include "engine/database.h"
#include "tools/host/busy_meter.h"
#include "tools/host/inbox.h"

namespace assay {

class CaptureGatherer {
 public:
  static constexpr absl::Duration kLongest = absl::Milliseconds(100);

  // Adds what was captured, perhaps nothing. True: it is time for TakePortion.
  bool Add(CaptureBatch batch, absl::Time now) {
    if (gathered_.items.empty()) since_ = now;
    saw_echo_ = false;
    int transactions = 0;
    for (const CaptureItem& item : batch.items) {
      whole_ = item.kind == CaptureItem::Kind::kCommit || item.kind == CaptureItem::Kind::kKeepalive;
      if (item.kind == CaptureItem::Kind::kMessage && item.prefix != kAttributionPrefix) in_echo_ = true;
      if (item.kind != CaptureItem::Kind::kCommit) continue;
      // Our own do not count: there is one or two of them for each sale of a quiet shop elsewhere.
      if (in_echo_)
        saw_echo_ = true;
      else
        ++transactions;
      in_echo_ = false;
    }
    meter_.Count(transactions, batch.items.size(), now);
    gathered_.Append(std::move(batch));
    const bool gather = !whole_ || (meter_.Busy(now) && !saw_echo_);
    holds_ = gather && now < since_ + kLongest && gathered_.items.size() < Inbox::kItemsPerPortion;
    return !holds_ && !gathered_.items.empty();
  }
  CaptureBatch TakePortion() { return std::exchange(gathered_, {}); }
  bool empty() const { return gathered_.items.empty(); }

  // What was added last brought the end of a fence or of a projection.
  bool saw_echo() const { return saw_echo_; }
  // How long to wait for something to come, `otherwise` when nothing is kept back.
  absl::Duration Wait(absl::Time now, absl::Duration otherwise) const {
    return empty() ? otherwise : since_ + kLongest - now;
  }
  // How long not to look, so that more comes together.
  absl::Duration Pause(absl::Time now) const {
    return holds_ ? std::min(meter_.Pause(now), since_ + kLongest - now) : meter_.Pause(now);
  }

 private:
  BusyMeter meter_;
  CaptureBatch gathered_;
  absl::Time since_;
  bool whole_ = true;  // No transaction is still coming in: before its end the engine has no use for it.
  bool in_echo_ = false, saw_echo_ = false, holds_ = false;
};

}  // namespace assay
