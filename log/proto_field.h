// The fields of a serialized message, one after the other, without making an object of it (protobuf.dev, "Encoding").
//
//   ForEachField(bytes, [&](const ProtoField& field) {
//     if (field.tag == SizedTag(10)) row = field.bytes;
//     return true;
//   })
//
// A field that is not asked for, or has another wire type than the one asked for, is passed over, as a parser does.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"
#include "log/bytes.h"

namespace assay {

struct ProtoField {
  uint64_t tag = 0;         // Number and wire type; compare with one of the below.
  uint64_t number = 0;      // The value of a varint or fixed64 field.
  absl::string_view bytes;  // The value of a sized field.
};

constexpr uint64_t VarintTag(uint64_t field) { return field << 3; }
constexpr uint64_t Fixed64Tag(uint64_t field) { return field << 3 | 1; }
constexpr uint64_t SizedTag(uint64_t field) { return field << 3 | 2; }

// False: `bytes` are not a sequence of fields (or there is a group: proto3 has none), or `visit` said so.
template <typename Visit>
bool ForEachField(absl::string_view bytes, Visit visit) {
  constexpr uint64_t kTagMax = (uint64_t{1} << 32) - 1;
  ByteReader reader(bytes);
  while (!reader.empty()) {
    ProtoField field;
    if (!reader.Varint(&field.tag) || field.tag >> 3 == 0 || field.tag > kTagMax) return false;
    bool read = false;
    switch (field.tag & 7) {
      case 0:
        read = reader.Varint(&field.number);
        break;
      case 1:
        read = reader.Fixed64(&field.number);
        break;
      case 2:
        read = reader.Sized(&field.bytes);
        break;
      case 5:
        read = reader.Take(4, &field.bytes);
        break;
    }
    if (!read || !visit(field)) return false;
  }
  return true;
}

}  // namespace assay
