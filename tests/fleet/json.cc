#include "tests/fleet/json.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace assay::test {

const google::protobuf::Value* JsonFind(const google::protobuf::Struct& object, absl::string_view path) {
  std::pair<absl::string_view, absl::string_view> first_and_rest = absl::StrSplit(path, absl::MaxSplits('.', 1));
  auto field = object.fields().find(std::string(first_and_rest.first));
  if (field == object.fields().end()) return nullptr;
  const google::protobuf::Value* value = &field->second;
  absl::string_view rest = first_and_rest.second;
  while (!rest.empty() && value->has_list_value()) {
    std::pair<absl::string_view, absl::string_view> index_and_rest = absl::StrSplit(rest, absl::MaxSplits('.', 1));
    int index = 0;
    if (!absl::SimpleAtoi(index_and_rest.first, &index) || index >= value->list_value().values_size()) return nullptr;
    value = &value->list_value().values(index);
    rest = index_and_rest.second;
  }
  if (rest.empty()) return value;
  return value->has_struct_value() ? JsonFind(value->struct_value(), rest) : nullptr;
}

std::string JsonText(const google::protobuf::Struct& object, absl::string_view path) {
  const google::protobuf::Value* value = JsonFind(object, path);
  if (value == nullptr) return "";
  if (value->has_bool_value()) return value->bool_value() ? "true" : "false";
  if (value->has_number_value()) return absl::StrCat(value->number_value());
  return value->string_value();
}

int64_t JsonNumber(const google::protobuf::Struct& object, absl::string_view path) {
  const google::protobuf::Value* value = JsonFind(object, path);
  int64_t number = 0;
  if (value != nullptr && value->has_number_value()) return static_cast<int64_t>(value->number_value());
  if (value != nullptr && absl::SimpleAtoi(value->string_value(), &number)) return number;
  return 0;
}

std::vector<const google::protobuf::Struct*> JsonObjects(const google::protobuf::Struct& object,
                                                         absl::string_view path) {
  std::vector<const google::protobuf::Struct*> objects;
  const google::protobuf::Value* value = JsonFind(object, path);
  if (value == nullptr) return objects;
  for (const google::protobuf::Value& element : value->list_value().values())
    objects.push_back(&element.struct_value());
  return objects;
}

}  // namespace assay::test
