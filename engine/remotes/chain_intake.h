// Judges what pulls bring, chain by chain: what is good is appended, and a bad chain holds up itself alone.
//
// Nothing that a hub says is believed. A chain that comes with a gap, with bytes that do not verify, or otherwise than
// its origin signed it, is refused by name. The other chains of the same reply go on. The daemon's Puller, `assay init`
// and `assay repair` all judge by this class.
//
// What was refused was not appended, so it says nothing about what the hub holds tomorrow. Such a chain is asked for
// again by itself, less and less often, every 5 minutes in the end. Until then it is left out of the requests, since
// what is refused would come again with each of them. Only a chain that contradicts what is held here (a fork, a signed
// root) stands still until the intake is made anew: no pull can mend that, and a person should look.
//
//   ChainIntake intake(own, log, clock, random);
//   ASSAY_ASSIGN_OR_RETURN(const PullReply reply, hub->Pull(intake.NextRequest()));
//   ASSAY_ASSIGN_OR_RETURN(const bool news, intake.Append(reply));  // In a LogFile transaction.
//
// Not thread-safe.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/clock.h"
#include "engine/link.h"
#include "engine/remotes/hub.h"
#include "log/event_log.h"

namespace assay {

class ChainIntake {
 public:
  // Whether a refused chain is asked for again. kNever: for whoever pulls once and goes.
  enum class Retry { kLater, kNever };

  // The chain of `own` is never taken from a hub: it is compared, and named when the hub has another one. Without `own`
  // every chain is somebody else's.
  ChainIntake(const std::optional<OriginId>& own, EventLog* log, Clock* clock, Random* random,
              Retry retry = Retry::kLater)
      : own_(own), log_(log), clock_(clock), random_(random), retry_(retry) {}

  // What is held here, and nothing of the refused chains that are not due.
  PullRequest NextRequest();
  // Inside a LogFile transaction: what came for the last NextRequest. True: there is something new in it, which is
  // events or a chain that was refused and makes room for others. A status: the log could not be written or read.
  absl::StatusOr<bool> Append(const PullReply& reply);

  // Chains of which the hub gives something wrong. `next_try` InfiniteFuture: never again.
  const std::map<OriginId, Link>& troubles() const { return troubles_; }
  // Chains that stand still for good, or have for a minute: a garbled reply is over sooner, and the causal order is
  // kept for it.
  std::set<OriginId> GivenUp() const;
  // When the first refused chain is due.
  absl::Time NextRetry() const;
  // All that may be asked for again are due.
  void RetryNow();

 private:
  // Of one chain. False: something was wrong with it, and is in `troubles_`.
  absl::StatusOr<bool> AppendChain(const OriginId& origin, const std::vector<const Segment*>& segments,
                                   const HubHead& head, bool more);
  absl::StatusOr<EventLog::Refusal> CheckOwn(const std::vector<const Segment*>& segments, const HubHead& head);
  void Refuse(const OriginId& origin, EventLog::Refusal refusal);

  const std::optional<OriginId> own_;
  EventLog* log_;
  Clock* clock_;
  Random* random_;
  const Retry retry_;
  std::map<OriginId, Link> troubles_;
  std::set<OriginId> left_out_;  // Of the last request.
};

}  // namespace assay
