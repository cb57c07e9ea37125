// The gate of a projection that is written while the log is: the engine's thread opens it when what was logged is
// durable. Thread-safe.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>

#include "engine/database.h"

namespace assay {

class LogGate final : public CommitGate {
 public:
  // Once. False: the log could not be written.
  void Decide(bool durable) {
    std::lock_guard<std::mutex> lock(mutex_);
    durable_ = durable;
    decided_.notify_all();
  }
  std::optional<bool> Await(absl::Duration wait) override {
    std::unique_lock<std::mutex> lock(mutex_);
    decided_.wait_for(lock, absl::ToChronoMicroseconds(wait), [this] { return durable_.has_value(); });
    return durable_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable decided_;
  std::optional<bool> durable_;
};

}  // namespace assay
