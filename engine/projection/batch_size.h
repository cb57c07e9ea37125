// How many rows a batch may have: the more, the fewer are written; the fewer, the less a shop that sells meets them.
#pragma once

#include <algorithm>
#include <cstddef>

namespace assay {

class BatchSize {
 public:
  explicit BatchSize(size_t rows_max) : rows_max_(rows_max), rows_(rows_max) {}

  size_t rows() const { return rows_; }
  // Somebody was in the way of a batch of so many: half of them come next. False: they are as few as is worth it.
  bool Shrink(size_t rows) {
    if (rows <= kShrunkMin) return false;
    rows_ = std::max(kShrunkMin, rows / 2);
    return true;
  }
  // A full batch has landed: the next one may be larger.
  void Grow() { rows_ = std::min(rows_max_, rows_ + rows_ / 8 + 1); }
  // So many rows in memory that no other batch is to come beside them: two of the largest that batches are meant to be,
  // or one that is larger.
  bool IsMuch(size_t rows) const { return rows > rows_max_ * 3 / 2; }

 private:
  static constexpr size_t kShrunkMin = 8;
  const size_t rows_max_;
  size_t rows_;
};

}  // namespace assay
