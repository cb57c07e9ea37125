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
// What a branch was not granted it holds as leaf hashes. Once it is granted, one such chain at a time is asked for
// again from there on, a reply at a time, and what verifies against the hashes takes their place.
//
//   ChainIntake intake(own, log, clock, random);
//   ASSAY_ASSIGN_OR_RETURN(const PullReply reply, hub->Pull(intake.NextRequest()));
//   ASSAY_ASSIGN_OR_RETURN(const bool news, intake.Append(reply));  // In a LogFile transaction.
//
// Not thread-safe.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/clock.h"
#include "engine/link.h"
#include "engine/remotes/hub.h"
#include "log/event_log.h"

namespace assay {

// What is stamped further ahead of this machine's clock and the hub's is not taken before its time: projected, it would
// raise the clock of every branch, and of two shops without a line the one with more transactions would win until then.
// A day, so that nobody waits for a clock that is right but for its time zone.
inline constexpr absl::Duration kStampAheadMax = absl::Hours(24);

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
  // What this branch may read by now.
  void SetGrants(Grants granted);
  // The chains that the head office has set aside, as evidence. Of those nothing is taken after the event named,
  // nothing is asked for, and nothing is a trouble any more.
  void SetAside(const std::vector<SetAsideChain>& chains);
  // How far each chain is merged: what is masked beyond that stays so for now. Batches that are on their way have
  // folded it without, and a part of a transaction must not be seen before the rest. Without it nothing is unmasked.
  using Merged = std::function<Sequence(const OriginId&)>;
  void UnmaskUpTo(Merged merged) { merged_ = std::move(merged); }
  // Something is masked here that is granted by now.
  bool HasMasked() const;
  // As NextRequest, but that one chain with something of the kind is asked for from there on.
  PullRequest NextUnmaskRequest();
  // The last request was one of these, and its reply has not been appended.
  bool unmasking() const { return unmasking_.has_value(); }
  // Inside a LogFile transaction: what came for the last request. True: there is something new in it, which is
  // events or a chain that was refused and makes room for others. A status: the log could not be written or read.
  absl::StatusOr<bool> Append(const PullReply& reply);

  struct Unmasked {
    OriginId origin;
    std::vector<Sequence> events;  // Rising. They may be older than what is merged already.
  };
  // What can be read since the last call.
  std::vector<Unmasked> TakeUnmasked() { return std::exchange(unmasked_, {}); }
  // Chains of which something is granted that was asked for more than once, and did not come.
  std::set<OriginId> Withheld() const;

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
  absl::StatusOr<bool> AppendChain(const OriginId& origin, std::vector<const Segment*> segments, const HubHead& head,
                                   const PullReply& reply);
  // The first masked event that can be asked for.
  std::optional<Sequence> FirstToUnmask(const OriginId& origin) const;
  // True: less is masked now.
  absl::StatusOr<bool> Unmask(const OriginId& origin, const std::vector<const Segment*>& segments, bool is_at_hub);
  EventLog::Granted HasGrant() const {
    return [this](absl::string_view table) { return granted_.Has(table); };
  }
  absl::StatusOr<EventLog::Refusal> CheckOwn(const std::vector<const Segment*>& segments, const HubHead& head);
  void Refuse(const OriginId& origin, EventLog::Refusal refusal);
  // It is set aside, and all that is to be taken of it is here.
  bool IsOver(const OriginId& origin) const;

  const std::optional<OriginId> own_;
  EventLog* log_;
  Clock* clock_;
  Random* random_;
  const Retry retry_;
  std::map<OriginId, Link> troubles_;
  std::set<OriginId> left_out_;  // Chains that the last request left out.
  Grants granted_;
  std::map<OriginId, Sequence> set_aside_;
  Merged merged_;
  std::optional<OriginId> unmasking_;  // The chain that the last request asked for again.
  // Of a chain of which nothing came that is granted: how often that was so. It is asked for once at each word of the
  // hub's, so that it does not stand before the other chains.
  struct InVain {
    uint32_t times = 0;
    bool told_since = false;  // What this branch may read, by the hub.
  };
  std::map<OriginId, InVain> in_vain_;
  std::vector<Unmasked> unmasked_;
};

}  // namespace assay
