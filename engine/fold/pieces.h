// A sequence that grows at its end in pieces of some 16 kB: elements stay where they are, nothing is copied into twice
// the memory when there is no more room, and little is left over. (A std::deque of this library puts two elements of
// 200 bytes into 512.)
//
// Not thread-safe, but for many threads that read one which nobody changes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

namespace assay {

template <typename T>
class Pieces {
  template <typename Of, typename Element>
  class Walk {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = T;
    using difference_type = ptrdiff_t;
    using pointer = Element*;
    using reference = Element&;

    Walk() = default;
    Walk(Of* of, size_t at) : of_(of), at_(at) {}
    Element& operator*() const { return (*of_)[at_]; }
    Element* operator->() const { return &(*of_)[at_]; }
    Walk& operator++() {
      ++at_;
      return *this;
    }
    Walk operator++(int) { return {of_, at_++}; }
    bool operator==(const Walk&) const = default;

   private:
    Of* of_ = nullptr;
    size_t at_ = 0;
  };

 public:
  template <typename... Arguments>
  T& emplace_back(Arguments&&... arguments) {
    if (size_ == pieces_.size() * kPiece) pieces_.emplace_back().reserve(kPiece);
    T& added = pieces_.back().emplace_back(std::forward<Arguments>(arguments)...);
    ++size_;
    return added;
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](size_t index) { return pieces_[index / kPiece][index % kPiece]; }
  const T& operator[](size_t index) const { return pieces_[index / kPiece][index % kPiece]; }
  auto begin() { return Walk<Pieces, T>(this, 0); }
  auto end() { return Walk<Pieces, T>(this, size_); }
  auto begin() const { return Walk<const Pieces, const T>(this, 0); }
  auto end() const { return Walk<const Pieces, const T>(this, size_); }

  void clear() {
    pieces_.clear();
    size_ = 0;
  }

 private:
  static constexpr size_t kPiece = std::max<size_t>(1, (size_t{16} << 10) / sizeof(T));

  std::vector<std::vector<T>> pieces_;
  size_t size_ = 0;
};

}  // namespace assay
