// The daemon's log: lines on stderr, for journald or a terminal. The only file that knows spdlog is logging.cc.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "tools/host/change_log.h"

namespace assay {

// `level`: trace, debug, info, warning, error. gRPC's own complaints become debug lines.
void InitLogging(const std::string& level);
void Log(LogLevel level, absl::string_view text);

}  // namespace assay
