// What of a status is news: one line when a problem begins and one when it is over, none for every try that failed
// again. The lines begin with the problem's name, by which they can be searched for.
#pragma once

#include <string>
#include <vector>

#include "engine/operator.h"

namespace assay {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

struct LogLine {
  LogLevel level = LogLevel::kInfo;
  std::string text;
  bool operator==(const LogLine&) const = default;
};

std::vector<LogLine> NewsBetween(const DaemonStatus& before, const DaemonStatus& after);

}  // namespace assay
