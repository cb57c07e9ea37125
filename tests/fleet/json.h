// Looking into the JSON that `assay --json` prints.
//
//   JsonText(status, "capture.message"); JsonNumber(status, "parked_rows"); JsonObjects(status, "origins")
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "google/protobuf/struct.pb.h"

namespace assay::test {

// nullptr when some part of the path, "a.b.0.c", is not there.
const google::protobuf::Value* JsonFind(const google::protobuf::Struct& object, absl::string_view path);
// Strings as they are, numbers and booleans as JSON writes them; empty when not there.
std::string JsonText(const google::protobuf::Struct& object, absl::string_view path);
// Also of a number in a string, as 64-bit ones are in JSON; 0 when not there.
int64_t JsonNumber(const google::protobuf::Struct& object, absl::string_view path);
std::vector<const google::protobuf::Struct*> JsonObjects(const google::protobuf::Struct& object,
                                                         absl::string_view path);

}  // namespace assay::test
