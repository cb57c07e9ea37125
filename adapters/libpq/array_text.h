// PostgreSQL's text form of a one-dimensional array, built element by element: how many rows travel as one parameter.
//
//   ArrayText names;
//   names.Add("it's \"quoted\"");
//   names.AddNull();
//   connection->Execute("SELECT unnest($1::text[])", {names.text()});
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace assay {

class ArrayText {
 public:
  void Add(absl::string_view element) {
    Separate();
    text_.push_back('"');
    for (char c : element) {
      if (c == '"' || c == '\\') text_.push_back('\\');
      text_.push_back(c);
    }
    text_.push_back('"');
    ++size_;
  }
  void AddNull() {
    Separate();
    text_.append("NULL");
    ++size_;
  }
  template <typename Text>
  void Add(const std::optional<Text>& element) {
    element.has_value() ? Add(absl::string_view(*element)) : AddNull();
  }

  // The whole array; no more can be added after it.
  absl::string_view text() {
    if (!closed_) text_.push_back('}');
    closed_ = true;
    return text_;
  }
  size_t size() const { return size_; }

 private:
  void Separate() {
    if (size_ > 0) text_.push_back(',');
  }

  std::string text_ = "{";
  size_t size_ = 0;
  bool closed_ = false;
};

}  // namespace assay
