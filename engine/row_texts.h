// The texts of a row's columns, nullopt being NULL.
//
// A batch has a hundred thousand of them and more, so all of a row's are in one string. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace assay {

using ColumnText = std::optional<std::string>;  // nullopt: NULL.

class RowTexts {
 public:
  RowTexts() = default;
  RowTexts(const std::vector<ColumnText>& texts) {  // NOLINT: they are the same thing.
    for (const ColumnText& text : texts) push_back(text);
  }
  RowTexts(std::initializer_list<ColumnText> texts) : RowTexts(std::vector<ColumnText>(texts)) {}

  // For so many of so many bytes together.
  void reserve(size_t count, size_t bytes) {
    ends_.reserve(count);
    bytes_.reserve(bytes);
  }
  void push_back(std::optional<absl::string_view> text) {
    if (text.has_value()) bytes_.append(text->data(), text->size());
    ends_.push_back(static_cast<uint64_t>(bytes_.size()) << 1 | (text.has_value() ? 0 : 1));
  }

  size_t size() const { return ends_.size(); }
  // Until the next push_back.
  std::optional<absl::string_view> operator[](size_t index) const {
    if ((ends_[index] & 1) != 0) return std::nullopt;
    const size_t begin = index == 0 ? 0 : ends_[index - 1] >> 1;
    return absl::string_view(bytes_.data() + begin, (ends_[index] >> 1) - begin);
  }
  ColumnText Copy(size_t index) const {
    const std::optional<absl::string_view> text = (*this)[index];
    return text.has_value() ? ColumnText(std::string(*text)) : std::nullopt;
  }
  size_t ByteSize() const { return bytes_.size(); }  // Of the texts.
  bool operator==(const RowTexts&) const = default;

 private:
  std::string bytes_;
  std::vector<uint64_t> ends_;  // Of each text in bytes_, times two; the lowest bit: it is NULL.
};

}  // namespace assay
