// Not built: what clang's thread safety analysis must refuse, so that the test `thread_safety` cannot pass because the
// check is off.
#include "tools/host/mutex.h"

namespace assay {

class MissingLock {
 public:
  void Set() { guarded_ = true; }

 private:
  Mutex mutex_;
  bool guarded_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace assay
