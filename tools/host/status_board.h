// The newest picture of the daemon, for whoever asks, from any thread and also while there is no engine.
#pragma once

#include <functional>

#include "engine/operator.h"
#include "tools/host/mutex.h"

namespace assay {

class StatusBoard {
 public:
  // `changed` is called with the picture before and after, one at a time.
  using Changed = std::function<void(const DaemonStatus& before, const DaemonStatus& after)>;
  StatusBoard(DaemonStatus first, Changed changed) : status_(std::move(first)), changed_(std::move(changed)) {}

  void Publish(const std::function<void(DaemonStatus&)>& change) {
    MutexLock publishing(&publishing_);
    DaemonStatus before = Get(), after = before;
    change(after);
    after.as_of = absl::Now();
    ++after.change;
    {
      MutexLock lock(&mutex_);
      status_ = after;
      arrived_.NotifyAll();
    }
    changed_(before, after);
  }

  DaemonStatus Get() {
    MutexLock lock(&mutex_);
    return status_;
  }
  DaemonStatus WaitForChange(uint64_t seen, absl::Duration wait) {
    MutexLock lock(&mutex_);
    arrived_.WaitFor(&mutex_, wait, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return status_.change > seen; });
    return status_;
  }

 private:
  Mutex publishing_;  // One picture after the other; taken before mutex_.
  Mutex mutex_ ABSL_ACQUIRED_AFTER(publishing_);
  CondVar arrived_;
  DaemonStatus status_ ABSL_GUARDED_BY(mutex_);
  const Changed changed_;
};

}  // namespace assay
