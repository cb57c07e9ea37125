// The verbs below `assay audit`. They read a log file, this branch's or a copy of any, and ask no daemon.
#pragma once

#include "tools/cli/command_line.h"

namespace assay {

using AddedAuditVerb = void(CommandLine& line, CLI::App* audit);
AddedAuditVerb AddAuditSnapshot, AddAuditVerify, AddAuditProve, AddAuditCheck;

}  // namespace assay
