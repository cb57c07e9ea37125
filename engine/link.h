// A link to something that may be away: how it is doing, and when to try again.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/clock.h"

namespace assay {

// What is told of a stage or a connection.
struct LinkStatus {
  absl::Status status;                         // OK: working.
  absl::Time since = absl::InfinitePast();     // When it became so.
  absl::Time next_try = absl::InfinitePast();  // Not before then; past: at once.
  uint32_t failures = 0;                       // In a row.
};

// A LinkStatus that moves by what the link answers. Each failure in a row puts the next try off for twice as long, half
// of it by chance, so that a fleet does not come back in step. Reads no clock. Not thread-safe.
//
//   if (clock->Now() < link.next_try) return;
//   const absl::Status status = Call();
//   if (status.ok()) link.Succeed(clock->Now());
//   if (!status.ok()) link.Fail(status, clock->Now(), *random);
class Link : public LinkStatus {
 public:
  Link(absl::Duration first, absl::Duration longest) : first_(first), longest_(longest) {}

  // It works. `since` stays while it did already.
  void Succeed(absl::Time now) {
    if (!status.ok() || since == absl::InfinitePast()) since = now;
    status = absl::OkStatus();
    next_try = absl::InfinitePast();
    failures = 0;
  }
  // It failed, once more. Returns when to try again. `since` stays while it fails with the same code.
  absl::Time Fail(absl::Status cause, absl::Time now, Random& random) {
    FailUntil(std::move(cause), now, Later(now, random));
    return next_try;
  }
  // As Fail, where somebody else has said when to try again.
  void FailUntil(absl::Status cause, absl::Time now, absl::Time until) {
    if (status.code() != cause.code()) since = now;
    status = std::move(cause);
    next_try = until;
    ++failures;
  }
  void TryAt(absl::Time at) { next_try = at; }
  // When one more failure at `now` would be tried again: nothing moves.
  absl::Time Later(absl::Time now, Random& random) const {
    const absl::Duration full = std::min(longest_, first_ * (int64_t{1} << std::min<uint32_t>(failures, 20)));
    return now + full / 2 + (full / 2) * (static_cast<double>(random.Next() % 1024) / 1024);
  }

 private:
  absl::Duration first_, longest_;
};

}  // namespace assay
