// Events of the log as text for people: what `assay log ls`, `show` and `tail` print.
#pragma once

#include <string>

#include "proto/admin.pb.h"

namespace assay {

// "NULL", or the text; of a value that the daemon has cut also its whole size.
std::string ValueText(const admin::v1::Value& value);
// "id=17, line=2".
std::string KeyText(const admin::v1::LogEvent& event);
// When it happened, in local time; blanks of the same width for what was there before the fleet.
std::string TimeText(const admin::v1::LogEvent& event);
// One line of a list: time, name, operation, table, key, changes and who made them.
std::string EventLine(const admin::v1::LogEvent& event);

}  // namespace assay
