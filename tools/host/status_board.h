// The newest picture of the daemon, for whoever asks, from any thread and also while there is no engine.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>

#include "engine/operator.h"

namespace assay {

class StatusBoard {
 public:
  // `changed` is called with the picture before and after, one at a time.
  using Changed = std::function<void(const DaemonStatus& before, const DaemonStatus& after)>;
  StatusBoard(DaemonStatus first, Changed changed) : status_(std::move(first)), changed_(std::move(changed)) {}

  void Publish(const std::function<void(DaemonStatus&)>& change) {
    std::lock_guard<std::mutex> publishing(publishing_);
    DaemonStatus before = Get(), after = before;
    change(after);
    after.as_of = absl::Now();
    ++after.change;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      status_ = after;
      arrived_.notify_all();
    }
    changed_(before, after);
  }

  DaemonStatus Get() {
    std::lock_guard<std::mutex> lock(mutex_);
    return status_;
  }
  DaemonStatus WaitForChange(uint64_t seen, absl::Duration wait) {
    std::unique_lock<std::mutex> lock(mutex_);
    arrived_.wait_for(lock, absl::ToChronoMilliseconds(wait), [&] { return status_.change > seen; });
    return status_;
  }

 private:
  std::mutex publishing_, mutex_;
  std::condition_variable arrived_;
  DaemonStatus status_;
  Changed changed_;
};

}  // namespace assay
