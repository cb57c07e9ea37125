#include "log/event_frame.h"

#include <cstring>

#include "log/bytes.h"

namespace assay {
namespace {

enum WireType : uint64_t { kVarint = 0, kFixed64 = 1, kSized = 2, kFixed32 = 5 };
constexpr uint64_t Tag(uint64_t field, WireType type) { return field << 3 | type; }
constexpr uint64_t kFieldMax = (uint64_t{1} << 29) - 1;

}  // namespace

bool ScanEvent(absl::string_view bytes, EventFrame* frame) {
  ByteReader reader(bytes);
  while (!reader.empty()) {
    uint64_t tag, number = 0;
    absl::string_view sized;
    if (!reader.Varint(&tag) || tag >> 3 == 0 || tag >> 3 > kFieldMax) return false;
    bool read = false;
    switch (tag & 7) {
      case kVarint:
        read = reader.Varint(&number);
        break;
      case kFixed64:
        read = reader.Fixed64(&number);
        break;
      case kSized:
        read = reader.Sized(&sized);
        break;
      case kFixed32:
        read = reader.Take(4, &sized);
        break;
    }
    if (!read) return false;  // Groups too: proto3 has none.
    switch (tag) {
      case Tag(1, kSized):
        frame->origin = sized;
        break;
      case Tag(2, kVarint):
        frame->sequence = number;
        break;
      case Tag(3, kFixed64):
        frame->stamp = number;
        break;
      case Tag(4, kVarint):
        frame->transaction_first = number;
        break;
      case Tag(5, kVarint):
        frame->ends_transaction = number != 0;
        break;
    }
  }
  return true;
}

}  // namespace assay
