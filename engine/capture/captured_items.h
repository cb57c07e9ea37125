// What capture has brought and the engine has not worked on yet, in the stream's order. Not thread-safe.
#pragma once

#include <cstddef>
#include <deque>
#include <utility>

#include "engine/database.h"

namespace assay {

class CapturedItems {
 public:
  void Add(CaptureBatch batch) {
    if (!batch.items.empty()) batches_.push_back(std::move(batch));
  }
  void Clear() {
    batches_.clear();
    next_ = 0;
  }
  bool empty() const { return batches_.empty(); }

  // The oldest item, of which there is one. Good until it is dropped: its texts are in the batch that it came with.
  const CaptureItem& front() const { return batches_.front().items[next_]; }
  void DropFront() {
    if (++next_ < batches_.front().items.size()) return;
    batches_.pop_front();
    next_ = 0;
  }

 private:
  std::deque<CaptureBatch> batches_;  // None of them empty.
  size_t next_ = 0;                   // Index of the oldest item into the first batch.
};

}  // namespace assay
