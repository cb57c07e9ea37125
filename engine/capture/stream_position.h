// How far the capture stream has been worked on, and how far PostgreSQL may be told that we are: it forgets the rest.
//
// The recorder keeps a position with each transaction that it records. Where a stream brings nothing of ours for long,
// the position has to be kept for its own sake, or the slot holds WAL back; not often, so that an idle daemon leaves
// the disk alone. Not thread-safe.
#pragma once

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "log/types.h"

namespace assay {

class StreamPosition {
 public:
  // Positions that rest on no transaction of ours are kept no more often.
  static constexpr absl::Duration kKeepInterval = absl::Seconds(10);

  // All before `confirmed` is durable, and nothing after it was worked on: at a start, or in a stream that begins anew.
  void Begin(Lsn confirmed) { processed_ = confirmed_ = confirmed; }
  // A transaction or keepalive that ends at `end` was worked on.
  void Pass(Lsn end) { processed_ = std::max(processed_, end); }
  // What was worked on and is not durable is forgotten.
  void Forget() { processed_ = confirmed_; }

  // The server waits for the position.
  void Want() { wanted_ = true; }
  bool TakeWanted() { return std::exchange(wanted_, false); }
  // The log has `kept`, and is to keep processed() now.
  bool ShouldKeep(Lsn kept, bool wanted, absl::Time now) {
    if (processed_ <= kept || (!wanted && now < keep_at_)) return false;
    keep_at_ = now + kKeepInterval;
    return true;
  }
  // When ShouldKeep is to be asked, if nothing comes in.
  absl::Time NextWake(Lsn kept) const { return processed_ > kept ? keep_at_ : absl::InfiniteFuture(); }
  void OnClockSetBack() { keep_at_ = absl::InfinitePast(); }

  // `kept` is durable in the log: no more than that may be confirmed.
  void NoteDurable(Lsn kept) { confirmed_ = std::min(processed_, kept); }

  Lsn processed() const { return processed_; }
  Lsn confirmed() const { return confirmed_; }

 private:
  Lsn processed_;
  Lsn confirmed_;
  bool wanted_ = false;
  absl::Time keep_at_ = absl::InfinitePast();
};

}  // namespace assay
