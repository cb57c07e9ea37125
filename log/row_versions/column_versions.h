// The versions of a row's columns, sorted by column: a map from ColumnId to Version.
//
// A batch keeps tens of thousands of rows in memory, and one large transaction has some hundred thousand. Mostly one
// event wrote all of a row's columns, and its columns follow each other: then first and last are all there is to know.
// Otherwise a column costs 8 bytes and each distinct version is kept once. Elements are made as they are looked at: no
// reference to one outlives the statement. Not thread-safe.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "log/check.h"
#include "log/table_names.h"
#include "log/types.h"

namespace assay {

struct ColumnVersion {
  ColumnId column;
  Version version;
  auto operator<=>(const ColumnVersion&) const = default;
};

class ColumnVersions {
 public:
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = ColumnVersion;
    using difference_type = ptrdiff_t;
    using pointer = void;
    using reference = ColumnVersion;

    Iterator(const ColumnVersions* of, size_t at) : of_(of), at_(at) {}
    ColumnVersion operator*() const { return (*of_)[at_]; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator==(const Iterator& other) const { return at_ == other.at_; }

   private:
    const ColumnVersions* of_;
    size_t at_;
  };

  ColumnVersions() = default;
  ColumnVersions(std::initializer_list<ColumnVersion> sorted) {
    for (const ColumnVersion& column : sorted) Append(column.column, column.version);
  }

  size_t size() const { return run_ + slots_.size(); }
  bool empty() const { return size() == 0; }
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, size()}; }
  ColumnVersion operator[](size_t index) const { return {ColumnAt(index), VersionAt(index)}; }
  ColumnId ColumnAt(size_t index) const {
    return run_ > 0 ? ColumnId{first_ + static_cast<uint32_t>(index)} : slots_[index].column;
  }
  // Until the next change.
  const Version& VersionAt(size_t index) const { return versions_[run_ > 0 ? 0 : slots_[index].version]; }

  // The index of `column`, or of the next one when it is not here.
  size_t LowerBound(ColumnId column) const {
    if (run_ > 0) return column.value <= first_ ? 0 : std::min(column.value - first_, run_);
    return std::lower_bound(slots_.begin(), slots_.end(), column,
                            [](const Slot& slot, ColumnId wanted) { return slot.column < wanted; }) -
           slots_.begin();
  }
  // nullptr: not here. Until the next change.
  const Version* Find(ColumnId column) const {
    const size_t at = LowerBound(column);
    return at < size() && ColumnAt(at) == column ? &VersionAt(at) : nullptr;
  }

  // `column` is greater than all that are here.
  void Append(ColumnId column, const Version& version) {
    ASSAY_CHECK(empty() || ColumnAt(size() - 1) < column);
    Insert(size(), column, version);
  }
  // Before `index`, where `column` belongs.
  void Insert(size_t index, ColumnId column, const Version& version) {
    if (empty()) {
      versions_.assign(1, version);
      first_ = column.value;
      run_ = 1;
    } else if (run_ > 0 && index == run_ && column.value == first_ + run_ && version == versions_[0]) {
      ++run_;
    } else {
      Spread();
      const uint32_t number = NumberOf(version);
      slots_.insert(slots_.begin() + static_cast<ptrdiff_t>(index), {column, number});
    }
  }
  void Set(size_t index, const Version& version) {
    if (version == VersionAt(index)) return;
    Spread();
    slots_[index].version = NumberOf(version);
    // Those that no column has any more.
    if (versions_.size() <= slots_.size() + kUnusedMax) return;
    ColumnVersions tidy;
    for (const ColumnVersion& column : *this) tidy.Append(column.column, column.version);
    *this = std::move(tidy);
  }
  // `drop` is called with each ColumnVersion.
  template <typename Drop>
  void EraseIf(Drop drop) {
    ColumnVersions kept;
    for (const ColumnVersion& column : *this) {
      if (!drop(column)) kept.Append(column.column, column.version);
    }
    *this = std::move(kept);
  }

  bool operator==(const ColumnVersions& other) const {
    return size() == other.size() && std::equal(begin(), end(), other.begin());
  }
  // Bytes of memory beside the object itself.
  size_t ByteSize() const {
    return slots_.capacity() * sizeof(Slot) + (versions_.capacity() <= 1 ? 0 : versions_.capacity() * sizeof(Version));
  }

 private:
  static constexpr size_t kUnusedMax = 4;
  struct Slot {
    ColumnId column;
    uint32_t version;  // Index into versions_.
  };

  // A run no more.
  void Spread() {
    if (run_ == 0) return;
    slots_.reserve(run_ + 1);
    for (uint32_t i = 0; i < run_; ++i) slots_.push_back({{first_ + i}, 0});
    run_ = 0;
  }
  uint32_t NumberOf(const Version& version) {
    // Mostly the one that came last.
    for (size_t i = versions_.size(); i-- > 0;) {
      if (versions_[i] == version) return static_cast<uint32_t>(i);
    }
    versions_.push_back(version);
    return static_cast<uint32_t>(versions_.size() - 1);
  }

  uint32_t first_ = 0, run_ = 0;  // So many columns from `first_`, all at versions_[0]; or none, and
  std::vector<Slot> slots_;       // these.
  absl::InlinedVector<Version, 1> versions_;
};

}  // namespace assay
