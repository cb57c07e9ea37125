// The few codings that stored bytes are made of: varints as in Protocol Buffers, little-endian 64-bit numbers, and
// bytes preceded by their varint length.
//
// ByteReader never reads past the end and never allocates; every method answers false, and stays where it is or at the
// end, when the bytes are not what was asked for.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/string_view.h"

namespace assay {

inline void PutVarint(std::string* out, uint64_t value) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

inline void PutFixed64(std::string* out, uint64_t value) {
  for (int shift = 0; shift < 64; shift += 8) out->push_back(static_cast<char>(value >> shift));
}

inline void PutSized(std::string* out, absl::string_view bytes) {
  PutVarint(out, bytes.size());
  out->append(bytes.data(), bytes.size());
}

class ByteReader {
 public:
  explicit ByteReader(absl::string_view bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool empty() const { return at_ == end_; }
  size_t size() const { return static_cast<size_t>(end_ - at_); }

  bool Byte(uint8_t* out) {
    if (empty()) return false;
    *out = static_cast<uint8_t>(*at_++);
    return true;
  }

  bool Varint(uint64_t* out) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (empty()) return false;
      const uint8_t byte = static_cast<uint8_t>(*at_++);
      if (shift == 63 && byte > 1) return false;  // More than 64 bits.
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) {
        *out = value;
        return true;
      }
    }
    return false;
  }

  bool Fixed64(uint64_t* out) {
    if (size() < 8) return false;
    uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value |= static_cast<uint64_t>(static_cast<uint8_t>(at_[i])) << (8 * i);
    at_ += 8;
    *out = value;
    return true;
  }

  bool Take(uint64_t count, absl::string_view* out) {
    if (count > size()) return false;
    *out = absl::string_view(at_, count);
    at_ += count;
    return true;
  }

  bool Sized(absl::string_view* out) {
    uint64_t count;
    return Varint(&count) && Take(count, out);
  }

 private:
  const char* at_;
  const char* end_;
};

}  // namespace assay
