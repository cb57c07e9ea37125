// The little JSON the hub speaks: objects of strings, numbers as strings because JavaScript on the way would round
// them.
#pragma once

#include <google/protobuf/struct.pb.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace assay {

using JsonObject = google::protobuf::Struct;
using JsonValue = google::protobuf::Value;

// INVALID_ARGUMENT when `text` is no JSON object; `what` names the hub's function.
absl::StatusOr<JsonObject> ParseJsonObject(absl::string_view text, absl::string_view what);
// INVALID_ARGUMENT when a text is not UTF-8.
absl::StatusOr<std::string> ToJson(const JsonObject& object);

// nullptr when it is not there.
const JsonValue* Field(const JsonObject& object, absl::string_view name);
// Empty when it is not there or no string.
std::string TextField(const JsonObject& object, absl::string_view name);
// False when it is not there or not true.
bool BoolField(const JsonObject& object, absl::string_view name);
// INVALID_ARGUMENT when it is not there or no decimal number in a string.
absl::StatusOr<uint64_t> NumberField(const JsonObject& object, absl::string_view name);
// Microseconds since 1970 in a string; InfinitePast when it is not there.
absl::Time TimeField(const JsonObject& object, absl::string_view name);
void SetText(JsonObject* object, absl::string_view name, absl::string_view text);

}  // namespace assay
