// A mutex and its condition variable, of which clang checks who holds it and ThreadSanitizer sees it taken.
//
// std::mutex has no thread annotations in libstdc++, so clang cannot check it. absl::Mutex has them; but it lives in a
// library that Debian does not build with ThreadSanitizer, which would then call everything that it guards a race. So
// this is std::mutex with annotations.
//
//   Mutex mutex_;
//   CondVar changed_;
//   int jobs_ ABSL_GUARDED_BY(mutex_) = 0;
//
//   MutexLock lock(&mutex_);
//   changed_.WaitFor(&mutex_, absl::Seconds(1), [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return jobs_ > 0; });
#pragma once

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"

namespace assay {

class ABSL_LOCKABLE Mutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

// Holds a mutex for as long as it lives.
class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) { mutex_->Lock(); }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* mutex_;
};

class CondVar {
 public:
  void NotifyOne() { changed_.notify_one(); }
  void NotifyAll() { changed_.notify_all(); }

  // Lets go of the mutex until `condition` holds, which is asked with the mutex held: at once, and whenever somebody
  // notifies.
  template <typename Condition>
  void Wait(Mutex* mutex, Condition condition) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    changed_.wait(lock, std::move(condition));
    lock.release();
  }

  // The same for `patience` at most, by a clock that nobody sets. Returns what `condition` said last.
  template <typename Condition>
  bool WaitFor(Mutex* mutex, absl::Duration patience, Condition condition) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    // The standard library adds it to the time that it is, and for ever would overflow. It waits longer than anything
    // lives here.
    const absl::Duration bounded = std::min(patience, absl::Hours(24 * 365));
    const bool holds = changed_.wait_for(lock, absl::ToChronoNanoseconds(bounded), std::move(condition));
    lock.release();
    return holds;
  }

 private:
  std::condition_variable changed_;
};

}  // namespace assay
