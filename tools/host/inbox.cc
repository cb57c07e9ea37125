#include "tools/host/inbox.h"

#include <algorithm>
#include <utility>

namespace assay {

void Inbox::Post(uint64_t generation, Input input) {
  MutexLock lock(&mutex_);
  if (generation != generation_ || generation == 0) return;
  inputs_.push_back(std::move(input));
  arrived_.NotifyOne();
}

void Inbox::PostCapture(uint64_t generation, Input input, size_t bytes, size_t items) {
  MutexLock lock(&mutex_);
  if (generation != generation_ || generation == 0) return;
  captured_.push_back({std::move(input), bytes, items});
  bytes_ += bytes;
  arrived_.NotifyOne();
}

bool Inbox::WaitForRoom(absl::Duration wait) {
  MutexLock lock(&mutex_);
  return room_.WaitFor(&mutex_, wait, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return bytes_ < kBytesMax; });
}

std::vector<Inbox::Input> Inbox::Take(absl::Time until) {
  MutexLock lock(&mutex_);
  const auto some = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return woken_ || !inputs_.empty() || !captured_.empty();
  };
  const absl::Time now = absl::Now();
  // Not for long at a time: the clock that `until` is told by may be set, and only a Step notices.
  if (!some() && until > now) {
    arrived_.WaitFor(&mutex_, std::min(until - now, absl::Seconds(2)), some);
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
  MutexLock lock(&mutex_);
  bytes_ -= std::exchange(taken_bytes_, 0);
  room_.NotifyOne();
}

void Inbox::Wake() {
  MutexLock lock(&mutex_);
  woken_ = true;
  arrived_.NotifyOne();
}

void Inbox::Begin(uint64_t generation) {
  MutexLock lock(&mutex_);
  generation_ = generation;
  inputs_.clear();
  captured_.clear();
  bytes_ = taken_bytes_ = 0;
  room_.NotifyOne();
}

uint64_t Inbox::generation() const {
  MutexLock lock(&mutex_);
  return generation_;
}

}  // namespace assay
