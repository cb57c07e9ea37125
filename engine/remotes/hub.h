// The hub as the engine sees it: it keeps every origin's chain, takes pushes to one's own, and gives the rest.
//
// Bodies: Supabase over libpq (adapters/supabase) and the simulated one (tests/simulation); later HTTPS, a LAN peer, a
// folder. One contract suite runs over all. Calls block and may take seconds; the engine asks its host to make them.
//
// Errors: UNAVAILABLE (not reachable, paused, restarting), UNAUTHENTICATED (password or role refused),
// PERMISSION_DENIED (not this branch's chain, or branch deactivated), FAILED_PRECONDITION (hub.sql missing or of
// another version), DEADLINE_EXCEEDED (no reply: a push may have happened; pushing again changes nothing), ABORTED
// (another daemon runs with a copy of this log), RESOURCE_EXHAUSTED (disk full, too many connections), DATA_LOSS (fork:
// another content is there under one of these names), INVALID_ARGUMENT (the hub's answer makes no sense, or it could
// not make sense of ours). Where a body knows the cause better than its code tells, the status names its problem
// (WithProblem). No message ever contains a password.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "log/segment.h"
#include "log/types.h"

namespace assay {

struct HubHead {
  Sequence last;           // Stored.
  Sequence complete;       // Stored up to the end of a transaction: what others are given.
  std::string checkpoint;  // Newest the hub keeps; may be empty, and is in a PullReply when the request names it.
  bool set_aside = false;  // By the head office, as evidence: `complete` ends there. Of Heads() alone.
};

// The one chain that a branch number writes at the hub. Two would hand out the same keys.
struct LivingChain {
  OriginId origin;
  absl::Time heard;  // When the hub last heard of its machine, by the hub's clock.
};

struct HubHeads {
  std::map<OriginId, HubHead> heads;
  absl::Time hub_time;                     // The hub's clock when it answered.
  std::optional<LivingChain> living = {};  // Of the caller's branch; absent: it has none yet. Of Heads() alone.
};

struct PushRequest {
  OriginId origin;
  std::vector<Segment> segments;  // Consecutive; leaf hashes filled in.
  std::string checkpoint;         // As SignCheckpoint writes it; may be empty.
  std::string session;            // As opened by OpenSession; empty: none was.
};

struct PushReply {
  Sequence last;  // Stored, after the push; what was there already counts. Below the last sequence pushed when the hub
                  // held a part of a segment: it stores no overlap, so push again from there.
  bool arriving =
      false;  // Nothing new is stored yet, but some of a large segment has come, and is kept: push it again.
};

struct PullRequest {
  std::map<OriginId, Sequence> have;  // Per origin, the last sequence held; own origin included. Absent: nothing held.
  size_t bytes_max = 1 << 20;         // About; at least one segment comes when there is any.
  std::map<OriginId, std::string> checkpoints =
      {};  // Per origin of `have`, the newest that is kept here; absent: none.
};

struct PullReply {
  std::vector<Segment> segments;  // Per origin consecutive from have + 1 (or overlapping it); whole transactions only,
                                  // in the end: a large one comes in pieces over several pulls.
  HubHeads heads;
  bool more = false;  // Pull again at once.
  // Some of a large segment has come, and this Hub keeps it for the next pull: its chain goes on behind it, and the
  // others do not wait. `more` is set, too.
  bool arriving = false;
};

// What a branch tells about itself with each heartbeat, and the hub tells everyone.
struct BranchReport {
  std::string name;
  uint32_t number = 0;
  OriginId origin;
  Sequence head;  // Of its own log.
  // Events of all other chains that it has in its database: with the lengths of the chains, how far it is behind. (Not
  // chain by chain: everybody tells everybody twice a minute, and that would grow with the cube of the fleet.)
  uint64_t written = 0;
  int64_t parked = 0;
  std::string state;  // One word, as in the status.
  std::string version;
  std::string session;  // That the hub has open for this daemon; empty: none.
  // Chains of which the hub gives something wrong, and how far each is held here: for a head office that sets one
  // aside.
  std::map<OriginId, Sequence> refused = {};
};

struct BranchPresence {
  BranchReport report;
  absl::Time last_seen;  // Hub's clock.
  bool active = true;    // False: deactivated by the head office.
  bool retired = false;  // Closed for good, and not active then: nobody waits for it.
};

// One daemon's run with one log. A branch has one session. Each run takes it over from the one before, which it knows
// from its log. An older copy of the log is refused: it does not know that session, or lacks what the hub has of the
// chain, or has something else there. Another chain takes it over by naming the one that has it. The run that lost its
// session cannot push any more.
struct SessionRequest {
  OriginId origin;
  uint64_t counter = 0;  // Of the last session that is known to have been opened; 0: none.
  std::vector<std::string>
      known;            // That session, and those asked for since whose reply never came: 16 random bytes each.
  std::string session;  // To be opened: 16 random bytes, never used before.
  Sequence last;        // Of the log's own chain.
  // By the leaf hash of one of its events the hub knows the chain for the one that it has: of its own last one.
  Sequence shown;
  std::string leaf;  // Empty when `shown` is 0.
  // The chain of its branch that it takes the place of, by a repair or by a person's word. OriginId{}: none.
  OriginId replaces = {};
};

enum class SessionAnswer {
  kOpened,
  kShow,           // Nothing was judged yet: ask again, and show event `last`.
  kUnknown,        // The hub's session is one that this log has never heard of.
  kHubHasMore,     // Of the chain: up to `last`.
  kHubHasAnother,  // Event under the name `last`.
  kSetAside,       // By the head office: nothing more is taken of this chain.
  kReplaced        // Another chain lives under this branch's number: `living`.
};

struct SessionReply {
  SessionAnswer answer = SessionAnswer::kUnknown;
  uint64_t counter = 0;     // Of the session that is open now.
  Sequence last;            // Of the chain, as the hub has it.
  LivingChain living = {};  // Of kReplaced.

  bool opened() const { return answer == SessionAnswer::kOpened; }
};

// Which tables of others a branch may read.
struct Grants {
  std::set<std::string> tables;  // "schema.table", each quoted as SQL needs; "*": every one.
  bool operator==(const Grants&) const = default;
  bool Has(absl::string_view table) const { return tables.contains("*") || tables.contains(std::string(table)); }
};

// A chain that the head office has set aside, as evidence: nothing after this event is given or taken.
struct SetAsideChain {
  OriginId origin;
  Sequence after;
  std::string branch;
};

// A branch that the hub has not heard for so long is told of as such. Whoever is told of nothing may take it that each
// branch which was there before was heard within this time.
inline constexpr absl::Duration kQuietAfter = absl::Seconds(75);

// What a branch is told about the fleet. Its numbers (head, written, parked) change all the time: they alone make
// nobody be told of anew.
struct HeartbeatReply {
  std::vector<BranchPresence> branches;  // That are not as they were at `since`; `whole`: all.
  std::optional<Grants> granted;         // What the caller may read; absent: as it was.
  absl::Time hub_time;
  std::optional<std::vector<SetAsideChain>> set_aside = {};  // All of them; absent: as they were.
  bool whole = true;
};

class Hub {
 public:
  virtual ~Hub() = default;
  virtual absl::StatusOr<HubHeads> Heads() = 0;
  // Atomic. Idempotent: what the hub has with the same hashes is not stored again. OUT_OF_RANGE: the first segment
  // begins past the hub's head + 1 (it was restored from a backup: ask Heads and push from there). ABORTED: the branch
  // has another session open than the request's.
  virtual absl::StatusOr<PushReply> Push(const PushRequest& request) = 0;
  virtual absl::StatusOr<PullReply> Pull(const PullRequest& request) = 0;
  // `since`: hub_time of the reply that the caller has; what was so then is not told again. InfinitePast: all of it.
  // ABORTED: the branch has another session open than the report's.
  virtual absl::StatusOr<HeartbeatReply> Heartbeat(const BranchReport& report, absl::Time since) = 0;
  // Opens `session` if what the hub has of the chain is the beginning of the log's, and the branch's session is of no
  // chain yet, of `replaces`, or of this chain. Of this one, it must be among `known`, be `session` itself (a reply was
  // lost), or have a lower counter than the request's (the hub was restored from a backup). Atomic.
  virtual absl::StatusOr<SessionReply> OpenSession(const SessionRequest& request) = 0;
};

// Tells that there is probably something to pull. A hint and nothing more: losing every one costs latency only.
class HubHints {
 public:
  virtual ~HubHints() = default;
  // True: a hint came. False: none within `wait`. UNAVAILABLE: hints do not work on this connection now (also when it
  // turned out to be a transaction pooler, where LISTEN is accepted and never delivers).
  virtual absl::StatusOr<bool> Wait(absl::Duration wait) = 0;
};

}  // namespace assay
