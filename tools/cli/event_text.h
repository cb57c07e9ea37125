// Events of the log as text for people: what `assay log ls`, `show` and `tail` print.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "proto/admin.pb.h"

namespace assay {

// "NULL", or the text; of a value that the daemon has cut also its whole size.
std::string ValueText(const admin::v1::Value& value);
// The two parts of "mumbai-1/17", or of an origin's first digits and a number; false when it has not two.
bool ParseEventName(absl::string_view name, std::string* origin, uint64_t* sequence);
// "id=17, line=2".
std::string KeyText(const admin::v1::LogEvent& event);
// When it happened; "-" for what was there before the fleet.
std::string TimeText(const admin::v1::LogEvent& event);
// One line of a list: time, name, operation, table, key, changes and who made them.
std::string EventLine(const admin::v1::LogEvent& event);

}  // namespace assay
