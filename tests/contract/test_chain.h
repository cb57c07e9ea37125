// Chains of events for tests of what carries them: hubs, transports.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/remotes/hub.h"
#include "log/segment.h"

namespace assay::test {

// A chain to push: whole events of two tables, deterministic in `seed`.
class TestChain {
 public:
  explicit TestChain(uint8_t seed);

  const OriginId& origin() const { return origin_; }
  Sequence head() const { return {events_.size()}; }
  // Appends one transaction of `events` events, alternately of public.products and public.salaries. Event 1 of a chain
  // is of no table.
  void Transaction(size_t events, size_t payload_bytes = 20);
  // Appends one transaction of one event with a value of `bytes` that nothing makes smaller.
  void Noise(size_t bytes, uint64_t seed = 0);
  // Another content under the name of event `sequence`.
  void Tamper(Sequence sequence);

  // One segment of the events `first`..`last`, with leaf hashes.
  Segment Cut(uint64_t first, uint64_t last) const;
  // Everything, in segments of at most one transaction.
  std::vector<Segment> ByTransaction() const;
  PushRequest Push(std::vector<Segment> segments, std::string checkpoint = "") const;
  const std::string& bytes(uint64_t sequence) const { return events_[sequence - 1].bytes; }
  Hash leaf(uint64_t sequence) const;
  // Signed over the first `size` events by a key of its own, with a root that depends on `root_seed` alone.
  std::string Checkpoint(uint64_t size, uint8_t root_seed = 0) const;

 private:
  struct Event {
    HlcStamp stamp;
    bool ends_transaction = false;
    std::string table;
    std::string bytes;
  };
  OriginId origin_;
  std::vector<Event> events_;
};

// Pulls until there is no more, appending to `have` and returning every segment in the order it came.
absl::StatusOr<std::vector<Segment>> PullAll(Hub& hub, std::map<OriginId, Sequence> have, size_t bytes_max = 4 << 20);

}  // namespace assay::test
