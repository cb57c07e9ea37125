// What a reader may know of a segment without seeing a single event: where its transactions begin and end, their
// stamps, and which part each event is in. See FORMAT.md.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "log/types.h"

namespace assay {

struct SegmentLayout {
  struct Transaction {
    HlcStamp stamp;
    uint64_t events = 0;  // In this segment.
  };
  std::vector<Transaction> transactions;  // At least one; stamps rise.
  absl::string_view event_parts;          // One byte an event: the index of its part.

  std::string Encode() const;
  // `event_parts` points into `bytes`. DATA_LOSS when malformed; FAILED_PRECONDITION when of a newer format.
  absl::Status Parse(absl::string_view bytes);
};

}  // namespace assay
