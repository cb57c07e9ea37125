#include "log/event_frame.h"

#include "log/proto_field.h"

namespace assay {

bool ScanEvent(absl::string_view bytes, EventFrame* frame) {
  return ForEachField(bytes, [frame](const ProtoField& field) {
    switch (field.tag) {
      case SizedTag(1):
        frame->origin = field.bytes;
        break;
      case VarintTag(2):
        frame->sequence = field.number;
        break;
      case Fixed64Tag(3):
        frame->stamp = field.number;
        break;
      case VarintTag(4):
        frame->transaction_first = field.number;
        break;
      case VarintTag(5):
        frame->ends_transaction = field.number != 0;
        break;
    }
    return true;
  });
}

}  // namespace assay
