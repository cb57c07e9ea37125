// The verbs below `assay audit`. They read a log file, this branch's or a copy of any, and ask no daemon.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/cli/command_line.h"

namespace assay {

// The log file that `named` is; empty: this branch's. An error is of the config.
absl::StatusOr<std::string> AuditedLog(const CliContext& context, const std::string& named);
// ALREADY_EXISTS rather than write over a file: it may be evidence.
absl::Status WriteNewFile(const std::string& path, const std::string& text);

using AddedAuditVerb = void(CommandLine& line, CLI::App* audit);
AddedAuditVerb AddAuditSnapshot, AddAuditVerify, AddAuditProve, AddAuditCheck;

}  // namespace assay
