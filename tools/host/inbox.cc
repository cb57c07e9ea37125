#include "tools/host/inbox.h"

#include <algorithm>
#include <utility>

namespace assay {

void Inbox::Post(uint64_t generation, Input input) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (generation != generation_ || generation == 0) return;
  inputs_.push_back(std::move(input));
  arrived_.notify_one();
}

void Inbox::PostCapture(uint64_t generation, Input input, size_t bytes, size_t items) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (generation != generation_ || generation == 0) return;
  captured_.push_back({std::move(input), bytes, items});
  bytes_ += bytes;
  arrived_.notify_one();
}

bool Inbox::WaitForRoom(absl::Duration wait) {
  std::unique_lock<std::mutex> lock(mutex_);
  return room_.wait_for(lock, absl::ToChronoMilliseconds(wait), [this] { return bytes_ < kBytesMax; });
}

std::vector<Inbox::Input> Inbox::Take(absl::Time until) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto some = [this] { return woken_ || !inputs_.empty() || !captured_.empty(); };
  const absl::Time now = absl::Now();
  // Not for long at a time: the clock that `until` is told by may be set, and only a Step notices.
  if (!some() && until > now) {
    arrived_.wait_for(lock, absl::ToChronoMicroseconds(std::min(until - now, absl::Seconds(2))), some);
  }
  woken_ = false;
  std::vector<Input> out = std::exchange(inputs_, {});
  for (size_t items = 0; !captured_.empty() && items < kItemsPerPortion; captured_.pop_front()) {
    items += captured_.front().items;
    taken_bytes_ += captured_.front().bytes;
    out.push_back(std::move(captured_.front().input));
  }
  return out;
}

void Inbox::Done() {
  std::lock_guard<std::mutex> lock(mutex_);
  bytes_ -= std::exchange(taken_bytes_, 0);
  room_.notify_one();
}

void Inbox::Wake() {
  std::lock_guard<std::mutex> lock(mutex_);
  woken_ = true;
  arrived_.notify_one();
}

void Inbox::Begin(uint64_t generation) {
  std::lock_guard<std::mutex> lock(mutex_);
  generation_ = generation;
  inputs_.clear();
  captured_.clear();
  bytes_ = taken_bytes_ = 0;
  room_.notify_one();
}

uint64_t Inbox::generation() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return generation_;
}

}  // namespace assay
