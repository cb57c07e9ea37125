// The decoded segments read last, within a bound of memory, so that reading neighbours by name does not unpack them
// again.
//
// Events never change, so nothing here goes stale, but a rollback takes segments away: Clear. Not thread-safe.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <utility>

#include "log/segment.h"
#include "log/types.h"

namespace assay {

inline constexpr size_t kSegmentCacheBytes = size_t{16} << 20;

class SegmentCache {
 public:
  // nullptr: not here.
  std::shared_ptr<const DecodedSegment> Find(uint32_t origin_index, Sequence sequence) {
    const auto found = by_last_.lower_bound({origin_index, sequence});
    if (found == by_last_.end() || found->first.first != origin_index) return nullptr;
    if (found->second->segment->events().front().sequence > sequence) return nullptr;
    order_.splice(order_.begin(), order_, found->second);
    return found->second->segment;
  }

  void Add(uint32_t origin_index, std::shared_ptr<const DecodedSegment> segment) {
    const Key key{origin_index, segment->events().back().sequence};
    if (by_last_.count(key) != 0) return;
    bytes_ += segment->ByteSize();
    order_.push_front({key, std::move(segment)});
    by_last_[key] = order_.begin();
    // The newest stays however large it is: its neighbours are wanted next.
    while (bytes_ > kSegmentCacheBytes && order_.size() > 1) {
      bytes_ -= order_.back().segment->ByteSize();
      by_last_.erase(order_.back().key);
      order_.pop_back();
    }
  }

  void Clear() {
    order_.clear();
    by_last_.clear();
    bytes_ = 0;
  }

 private:
  using Key = std::pair<uint32_t, Sequence>;  // Origin index, last sequence.
  struct Entry {
    Key key;
    std::shared_ptr<const DecodedSegment> segment;
  };
  std::list<Entry> order_;  // Newest use first.
  std::map<Key, std::list<Entry>::iterator> by_last_;
  size_t bytes_ = 0;
};

}  // namespace assay
