// The gate of a projection that is written while the log is: the engine's thread opens it when what was logged is
// durable. Thread-safe.
#pragma once

#include <optional>

#include "engine/database.h"
#include "tools/host/mutex.h"

namespace assay {

class LogGate final : public CommitGate {
 public:
  // Once. False: the log could not be written.
  void Decide(bool durable) {
    MutexLock lock(&mutex_);
    durable_ = durable;
    decided_.NotifyAll();
  }
  std::optional<bool> Await(absl::Duration wait) override {
    MutexLock lock(&mutex_);
    decided_.WaitFor(&mutex_, wait, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return durable_.has_value(); });
    return durable_;
  }

 private:
  Mutex mutex_;
  CondVar decided_;
  std::optional<bool> durable_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace assay
