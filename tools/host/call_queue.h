// A queue of blocking calls to one system, made one after another by the thread that runs it.
#pragma once

#include <deque>
#include <functional>
#include <optional>

#include "tools/host/mutex.h"

namespace assay {

class CallQueue {
 public:
  void Post(std::function<void()> call) {
    MutexLock lock(&mutex_);
    calls_.push_back(std::move(call));
    wake_.NotifyOne();
  }
  // Makes calls until Stop; what has not begun by then is forgotten.
  void Run() {
    while (const std::optional<std::function<void()>> call = Next()) (*call)();
  }
  void Stop() {
    MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.NotifyOne();
  }

 private:
  // Waits for it; nothing once stopped.
  std::optional<std::function<void()>> Next() {
    MutexLock lock(&mutex_);
    wake_.Wait(&mutex_, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !calls_.empty(); });
    if (stopping_) return std::nullopt;
    std::function<void()> call = std::move(calls_.front());
    calls_.pop_front();
    return call;
  }

  Mutex mutex_;
  CondVar wake_;
  std::deque<std::function<void()>> calls_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace assay
