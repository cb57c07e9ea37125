// What the other threads have for the engine's thread, in order; what capture brings is bounded by bytes.
//
// Capture waits when the engine does not keep up, and PostgreSQL keeps the WAL meanwhile; commands and replies never
// wait behind captured changes. Thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <vector>

#include "absl/time/time.h"
#include "engine/engine.h"
#include "tools/host/mutex.h"

namespace assay {

class Inbox {
 public:
  using Input = std::function<void(Engine&)>;
  static constexpr size_t kItemsPerPortion = 4000;  // As the engine's own slice.

  // A reply, a hint or a command. Dropped when it was meant for an engine that is gone.
  void Post(uint64_t generation, Input input);
  // The stream began or broke off: in its place among the captured changes.
  void PostCapture(uint64_t generation, Input input, size_t bytes, size_t items);
  // Waits until there is room for more captured changes, `wait` at most. False: there is none yet.
  bool WaitForRoom(absl::Duration wait);

  // For the engine's thread: waits until something is there, `until` has come, two seconds are over, or Wake. Captured
  // changes come in portions that one Step works off; Done says that it did.
  std::vector<Input> Take(absl::Time until);
  void Done();
  void Wake();

  // Forgets all, and from now on takes inputs of the new generation only. 0: of none.
  void Begin(uint64_t generation);
  uint64_t generation() const;

 private:
  static constexpr size_t kBytesMax = 32 << 20;
  struct Captured {
    Input input;
    size_t bytes, items;
  };

  mutable Mutex mutex_;
  CondVar arrived_, room_;
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Input> inputs_ ABSL_GUARDED_BY(mutex_);
  std::deque<Captured> captured_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;        // Of captured_, and of the portion being worked on.
  size_t taken_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // Of the latter alone.
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace assay
