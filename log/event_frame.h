// The few fields of a serialized Event that its place in a chain is checked by, found without parsing the rest.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace assay {

struct EventFrame {
  absl::string_view origin;
  uint64_t sequence = 0;
  uint64_t stamp = 0;
  uint64_t transaction_first = 0;
  bool ends_transaction = false;
};

// False when `bytes` is not a sequence of Protocol Buffers fields. Reads as a parser would: the last of a repeated
// field counts, fields it does not know (or that have another wire type) are skipped.
bool ScanEvent(absl::string_view bytes, EventFrame* frame);

}  // namespace assay
