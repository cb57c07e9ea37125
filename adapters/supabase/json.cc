#include "adapters/supabase/json.h"

#include <google/protobuf/util/json_util.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace assay {

absl::StatusOr<JsonObject> ParseJsonObject(absl::string_view text, absl::string_view what) {
  JsonObject object;
  if (!google::protobuf::util::JsonStringToMessage(std::string(text), &object).ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the hub's answer to ", what, " is no JSON object (", text.size(), " bytes)"));
  }
  return object;
}

absl::StatusOr<std::string> ToJson(const JsonObject& object) {
  std::string text;
  if (google::protobuf::util::MessageToJsonString(object, &text).ok()) return text;
  return absl::InvalidArgumentError("a text for the hub is not UTF-8");
}

const JsonValue* Field(const JsonObject& object, absl::string_view name) {
  const auto found = object.fields().find(std::string(name));
  return found == object.fields().end() ? nullptr : &found->second;
}

std::string TextField(const JsonObject& object, absl::string_view name) {
  const JsonValue* value = Field(object, name);
  return value == nullptr ? std::string() : value->string_value();
}

bool BoolField(const JsonObject& object, absl::string_view name) {
  const JsonValue* value = Field(object, name);
  return value != nullptr && value->bool_value();
}

absl::StatusOr<uint64_t> NumberField(const JsonObject& object, absl::string_view name) {
  uint64_t number;
  if (absl::SimpleAtoi(TextField(object, name), &number)) return number;
  return absl::InvalidArgumentError(absl::StrCat("the hub's answer has no number in \"", name, "\""));
}

absl::Time TimeField(const JsonObject& object, absl::string_view name) {
  const absl::StatusOr<uint64_t> micros = NumberField(object, name);
  return micros.ok() ? absl::FromUnixMicros(static_cast<int64_t>(*micros)) : absl::InfinitePast();
}

void SetText(JsonObject* object, absl::string_view name, absl::string_view text) {
  (*object->mutable_fields())[std::string(name)].set_string_value(std::string(text));
}

}  // namespace assay
