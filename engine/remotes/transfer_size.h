// How many bytes one push or pull may have: on a line where calls run out of time fewer, so that some of them arrive.
#pragma once

#include <algorithm>
#include <cstddef>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "log/segment.h"

namespace assay {

class TransferSize {
 public:
  size_t bytes() const { return bytes_; }
  // A call did not come through: if that may have been for its length, the next one asks for half.
  void Failed(const absl::Status& status) {
    if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) bytes_ = std::max(kMin, bytes_ / 2);
  }
  // These came through. Only a call that was about as long as it might be says that a longer one may.
  void Succeeded(absl::Span<const Segment> segments) { Succeeded(BytesIn(segments)); }
  void Succeeded(size_t bytes) {
    if (bytes >= bytes_ / 2) bytes_ = std::min(kMax, bytes_ + bytes_ / 8);
  }
  static size_t BytesIn(absl::Span<const Segment> segments) {
    size_t bytes = 0;
    for (const Segment& segment : segments) bytes += segment.ByteSize();
    return bytes;
  }

 private:
  static constexpr size_t kMin = 16 << 10, kMax = 1 << 20;
  size_t bytes_ = kMax;
};

}  // namespace assay
