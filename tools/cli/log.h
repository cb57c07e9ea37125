// The verbs below `assay log`. They read the log by asking the daemon.
#pragma once

#include "tools/cli/command_line.h"

namespace assay {

using AddedLogVerb = void(CommandLine& line, CLI::App* log);
AddedLogVerb AddLogLs, AddLogShow, AddLogTail;

}  // namespace assay
