// Makes sure, before anything is recorded or pushed, that no other daemon has gone on with a copy of this log.
//
// The hub keeps one session per origin. Each run of a daemon opens its own, under a random name that was durable in the
// log before it was asked for. The hub grants it to whoever knows the one that is open now, and whose chain begins as
// the hub has it. A log that is an older copy is refused. A copy that is started later takes the session over, and this
// run learns of it with its next push or heartbeat. A branch has one session, so it writes one chain: another one takes
// its place only by naming it. Two copies that both are offline cannot be told apart before the
// first contact. Not thread-safe.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/clock.h"
#include "engine/config.h"
#include "engine/link.h"
#include "engine/remotes/hub_calls.h"
#include "log/event_log.h"
#include "log/local_state/local_state.h"
#include "log/local_state/stores.h"

namespace assay {

class SessionGate {
 public:
  // Why the hub refuses.
  enum class Refused : uint8_t {
    kNot,
    kCopy,      // Another daemon has gone on with a copy of this log, or this log is an older copy.
    kSetAside,  // The head office has set this log's chain aside.
    kReplaced,  // Another chain of this branch has taken its place.
  };

  SessionGate(const EngineConfig& config, const OriginId& own, const Stores& stores, Clock* clock, Random* random)
      : config_(config), own_(own), log_(stores.log), state_(stores.state), clock_(clock), random_(random) {}

  // Reads what a restart needs. Also after LogFile::Rollback.
  absl::Status Load();

  // Inside a LogFile transaction: puts the next call into TakeCall when the session is to be opened.
  absl::Status Step(bool paused);
  absl::Status OnReply(const absl::StatusOr<SessionReply>& reply);
  // A push or a heartbeat was told that another session is open, or that the chain is not as the hub has it: ask, the
  // hub may merely have been restored from a backup.
  void OnLost() {
    open_ = false;
    SyncNow();
  }
  void SyncNow() { link_.TryAt(absl::InfinitePast()); }

  std::optional<HubCall> TakeCall() { return std::exchange(call_, std::nullopt); }
  absl::Time NextWake() const { return wake_; }

  // The session, once it is open.
  const std::string& session() const { return session_; }
  bool open() const { return open_; }
  // The hub has been asked at least once, or cannot be.
  bool asked() const { return !config_.has_hub || asked_; }
  // Why the hub refused, for people; empty: it did not.
  const std::string& refusal() const { return refusal_; }
  Refused refused() const { return refused_; }
  const LinkStatus& link() const { return link_; }

 private:
  absl::Status Store();
  absl::Status Refuse(const SessionReply& reply);
  std::string WhyRefused(const SessionReply& reply) const;

  const EngineConfig& config_;
  const OriginId own_;
  EventLog* log_;
  LocalState* state_;
  Clock* clock_;
  Random* random_;
  uint64_t counter_ = 0;
  std::vector<std::string> known_;
  std::string session_;                // Of this run; empty: none asked for yet.
  std::optional<Sequence> asked_for_;  // The event that the hub wants to be shown.
  std::string refusal_;
  Refused refused_ = Refused::kNot;
  OriginId replaces_;
  bool open_ = false, asked_ = false, busy_ = false;
  std::optional<HubCall> call_;
  absl::Time wake_ = absl::InfiniteFuture();
  Link link_{absl::Milliseconds(500), absl::Seconds(60)};
};

// What the hub refused this log's last session for, as `assay repair` reads it; empty: it did not.
struct SessionRefusal {
  SessionGate::Refused as = SessionGate::Refused::kNot;
  std::string why;
};
absl::StatusOr<SessionRefusal> ReadSessionRefusal(LocalState& state);

}  // namespace assay
