// How one event stands in a part: without the fields that only repeat its place.
//
// An event begins with its origin, sequence, stamp, transaction and end mark, some 35 bytes that the segment says
// already. In a part of one or two events, as a single sale makes, they would be a quarter of it, and most of them
// nothing that compresses. They are left out when they are exactly what a serializer writes for the place; an event
// that begins otherwise stands there whole. Either way the bytes that come back are those that were hashed. FORMAT.md
// has the coding. Pure functions.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "log/types.h"

namespace assay {

class ByteReader;

struct EventPlace {
  OriginId origin;
  Sequence sequence;
  HlcStamp stamp;
  Sequence transaction_first;
  bool ends_transaction = false;
};

// Bytes put together, at addresses that stay.
class ByteArena {
 public:
  absl::string_view Join(absl::string_view left, absl::string_view right);
  size_t size() const { return size_; }

 private:
  std::vector<std::unique_ptr<std::string>> chunks_;
  size_t size_ = 0;
};

// Appends `event` to `part`.
void PutEvent(const EventPlace& place, absl::string_view event, std::string* part);
// The next event of `part`, as it was put: in the bytes of the part, or in `arena`. False when there is none.
bool TakeEvent(const EventPlace& place, ByteReader* part, ByteArena* arena, absl::string_view* event);

}  // namespace assay
