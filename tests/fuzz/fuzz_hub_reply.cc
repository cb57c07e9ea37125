// What a hub answers: the frame of a pull with its segments, pieces of them, and the JSON of the rest.
#include "adapters/hub/frame.h"
#include "adapters/hub/pieces.h"
#include "adapters/supabase/json.h"
#include "log/segment.h"
#include "proto/event.pb.h"

namespace assay {

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (size > 0 && data[0] == '{') {
    const absl::StatusOr<JsonObject> object = ParseJsonObject(bytes, "heads");
    if (object.ok()) {
      for (const auto& [name, value] : object->fields()) {
        (void)TextField(*object, name);
        (void)BoolField(*object, name);
        (void)NumberField(*object, name);
        (void)TimeField(*object, name);
      }
    }
    return 0;
  }
  absl::StatusOr<PulledFrame> pulled = DecodePullReply(bytes, {.have = {{OriginId{}, {3}}}});
  if (!pulled.ok()) return 0;
  ArrivingParts arriving;
  int calls = 0;  // Each piece is the reply once more.
  const absl::StatusOr<PullReply> reply = arriving.Complete(
      *std::move(pulled), [&](const std::string&) { return std::string(bytes); }, [&] { return ++calls > 8; });
  if (!reply.ok()) return 0;
  for (const Segment& segment : reply->segments) {
    const absl::StatusOr<DecodedSegment> decoded = DecodedSegment::Decode(segment);
    if (!decoded.ok()) continue;
    for (const StoredEvent& event : decoded->events()) {
      v1::Event parsed;
      (void)parsed.ParseFromArray(event.bytes.data(), static_cast<int>(event.bytes.size()));
    }
  }
  return 0;
}

}  // namespace assay
