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
    for (const CaptureItem& item : batch.items) commits_ += IsCommit(item);
    if (!batch.items.empty()) batches_.push_back(std::move(batch));
  }
  void Clear() {
    batches_.clear();
    next_ = commits_ = 0;
  }
  bool empty() const { return batches_.empty(); }
  // The oldest item begins a transaction of which the end has not come in.
  bool BeginsHalf() const { return commits_ == 0 && front().kind == CaptureItem::Kind::kBegin; }

  // The oldest item, of which there is one. Good until it is dropped: its texts are in the batch that it came with.
  const CaptureItem& front() const { return batches_.front().items[next_]; }
  void DropFront() {
    commits_ -= IsCommit(front());
    if (++next_ < batches_.front().items.size()) return;
    batches_.pop_front();
    next_ = 0;
  }

 private:
  static size_t IsCommit(const CaptureItem& item) { return item.kind == CaptureItem::Kind::kCommit ? 1 : 0; }

  std::deque<CaptureBatch> batches_;  // None of them empty.
  size_t next_ = 0;                   // Index of the oldest item into the first batch.
  size_t commits_ = 0;                // Among the items.
};

}  // namespace assay
