// Turns stored events into what people read: names for ordinals, who and when beside each row, long values cut.
//
// Nothing in an event is trusted: names and values may be hostile, huge, or not UTF-8; a message stays below a few
// megabytes whatever it holds. Not thread-safe; lives on one EventLog.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "log/event_log.h"
#include "log/types.h"
#include "proto/admin.pb.h"
#include "proto/event.pb.h"

namespace assay {

class EventViewer {
 public:
  explicit EventViewer(EventLog* log) : log_(log) {}

  // `bytes` of the event at (origin, sequence). DATA_LOSS when they are no event.
  absl::StatusOr<admin::v1::LogEvent> View(const OriginId& origin, Sequence sequence, absl::string_view bytes,
                                           size_t value_bytes_max);
  // What can be said of an event that this branch may not read.
  admin::v1::LogEvent ViewMasked(const OriginId& origin, Sequence sequence, HlcStamp stamp, absl::string_view table);

  // The name in the chain's first event; empty while that is not held.
  const std::string& BranchOf(const OriginId& origin);
  // The schema event a row change refers to. NOT_FOUND, PERMISSION_DENIED or DATA_LOSS when there is none to read.
  absl::StatusOr<std::shared_ptr<const v1::TableSchema>> SchemaOf(const OriginId& origin, Sequence sequence);
  // The header of the transaction that begins there; nullptr when it cannot be read.
  std::shared_ptr<const v1::TransactionHeader> HeaderOf(const OriginId& origin, Sequence transaction_first);

 private:
  EventLog* log_;
  std::map<OriginId, std::string> branches_;
  std::map<std::pair<OriginId, Sequence>, std::shared_ptr<const v1::TableSchema>> schemas_;
  std::pair<OriginId, Sequence> header_of_;
  std::shared_ptr<const v1::TransactionHeader> header_;
};

// A value as text of at most `bytes_max` bytes, marked when it was cut.
admin::v1::Value ViewValue(absl::string_view bytes, bool is_null, size_t bytes_max);
// Who a transaction says made it: application user, else database user, else empty.
std::string AuthorOf(const v1::TransactionHeader* header);

}  // namespace assay
