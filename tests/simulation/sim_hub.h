// The hub in memory: one chain per origin, pushed by its owner, given to the others up to the last whole transaction.
//
//   SimHub hub(&random, &clock, /*recut=*/true);
//   hub.Enrol(1, "mumbai-1");
//   hub.Deny(1, "public.salaries");
//   std::unique_ptr<Hub> connection = hub.Connect(1);
//
// With `recut` it cuts what it gives into other segments than it was given, also inside a transaction: any cut is as
// good. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/clock.h"
#include "engine/remotes/hub.h"
#include "log/merkle_tree.h"
#include "tests/simulation/random.h"

namespace assay {

class SimHub {
 public:
  struct Event {
    HlcStamp stamp;
    bool ends_transaction = false;
    std::string table;
    std::string bytes;
    Hash leaf{};
    bool ends_segment = false;  // As it was pushed.
  };
  struct Chain {
    uint32_t owner = 0;  // The branch that began it.
    std::vector<Event> events;
    uint64_t complete = 0;
    std::string checkpoint;
  };
  struct Session {
    OriginId origin;
    uint64_t counter = 0;
    std::string nonce;
    absl::Time opened;
  };

  // `recut`: segments are cut anew for each reply, and some replies are short.
  SimHub(SeededRandom* random, Clock* clock, bool recut) : random_(random), clock_(clock), recut_(recut) {}

  void Enrol(uint32_t branch, const std::string& name) { branches_[branch].name = name; }
  // `table` as in SegmentPart::table: `branch` gets leaf hashes instead of its events, unless it wrote them.
  void Deny(uint32_t branch, const std::string& table) { branches_[branch].denied.insert(table); }
  // So many percent of what a chain has new is told and not given yet, as what is large. (With `recut`.)
  void set_held_back(double percent) { held_back_ = percent; }
  // From now on also what is there already.
  void Grant(uint32_t branch, const std::string& table) { branches_[branch].denied.erase(table); }
  // A connection with the rights of that branch's role.
  std::unique_ptr<Hub> Connect(uint32_t branch);

  const std::map<OriginId, Chain>& chains() const { return chains_; }
  // Contents that came under a name that was taken.
  uint64_t forks() const { return forks_; }

  void Backup() { backup_ = chains_, session_backup_ = sessions_; }
  // Comes back from the last backup: heads go back.
  void Restore() { chains_ = backup_, sessions_ = session_backup_; }

 private:
  class Connection;
  struct Branch {
    std::string name;
    std::set<std::string> denied;
    std::optional<BranchPresence> presence;
    absl::Time changed;  // When anything of it but its numbers was last told anew, or it came back.
  };
  HubHeads Heads() const;
  // How many events from index `next` on go into the segment that begins at `first`: as it was pushed, or by chance, so
  // that all ways to cut are met. 0: end the segment here.
  uint64_t CutLength(const Chain& chain, uint64_t first, uint64_t next);
  absl::StatusOr<PushReply> Push(uint32_t branch, const PushRequest& request);
  absl::StatusOr<PullReply> Pull(uint32_t branch, const PullRequest& request);
  absl::StatusOr<HeartbeatReply> Heartbeat(uint32_t branch, const BranchReport& report, absl::Time since);
  absl::StatusOr<SessionReply> OpenSession(uint32_t branch, const SessionRequest& request);
  absl::Status CheckSession(uint32_t branch, const OriginId& origin, const std::string& session) const;
  LivingChain LivingOf(uint32_t branch, const Session& session) const;
  // Whether a segment that begins with this event is on its way still: a large one takes two calls, and with `recut`
  // some others do.
  bool Arriving(uint32_t branch, const OriginId& origin, uint64_t first, size_t bytes);

  SeededRandom* random_;
  Clock* clock_;
  const bool recut_;
  double held_back_ = 0;
  std::map<uint32_t, Branch> branches_;
  std::map<OriginId, Chain> chains_;
  std::map<OriginId, Chain> backup_;
  std::set<std::string> tables_;                                 // Of all events that were ever pushed.
  std::map<uint32_t, Session> sessions_, session_backup_;        // A branch has one.
  std::set<std::tuple<uint32_t, OriginId, uint64_t>> arriving_;  // For or from whom, and its first event.
  uint64_t forks_ = 0;
};

}  // namespace assay
