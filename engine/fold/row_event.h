// A change as folding needs it, read where its bytes lie: no copy, and no memory but what is used again.
//
// Folding reads every event there is, and making a message object of each takes most of the time. Bytes that are not
// laid out as our own writers do it (a field twice, say) go to Protocol Buffers' parser, so the two never disagree
// about what an event says. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/fold/merge.h"
#include "log/types.h"
#include "proto/event.pb.h"

namespace assay {

struct RowEvent {
  enum class Body : uint8_t { kRow, kSchema, kOther };
  struct Column {
    uint32_t ordinal = 0;  // In the table's schema.
    bool has_value = false;
    bool is_null = false;  // Neither this nor has_value: written, and too large for an event.
    absl::string_view value;
  };
  Body body = Body::kOther;
  ChangeKind kind = ChangeKind::kUpdate;
  v1::RowChange::Standing standing = v1::RowChange::EDIT;
  Sequence schema;  // The event that declares the table.
  std::vector<absl::string_view> key;
  std::vector<Column> columns;
  absl::string_view header;  // The TransactionHeader's bytes; empty when the event has none.
};

class RowEventReader {
 public:
  // DATA_LOSS: no event. Good until the next Read, and while `bytes` are.
  absl::StatusOr<const RowEvent*> Read(absl::string_view bytes);

 private:
  bool Scan(absl::string_view bytes);
  void Take(const v1::Event& event);

  RowEvent event_;
  v1::Event parsed_;
  std::string header_;
};

}  // namespace assay
