// What a log file's chains really are: each hash, root, mark and signature again from the events' own bytes.
//
// For an auditor, who believes nothing that can be recomputed. It reads the tables that log/FORMAT.md describes, and
// nothing that the daemon derives or keeps in memory. Damage ends its chain and is named there; the other chains go on.
// Whoever rewrote events and recomputed all that follows from them is met by the signatures; whoever signed anew, with
// another key, by the checkpoints that somebody kept elsewhere.
//
//   ASSAY_ASSIGN_OR_RETURN(auto file, LogFile::Open(path, {.read_only = true}));
//   ASSAY_ASSIGN_OR_RETURN(audit::v1::VerifyReport report, AuditChains(file.get(), kept, progress));
//
// Memory grows with the number of checkpoints and schemas, not of events. Not thread-safe; takes one read transaction,
// so that a branch may go on selling.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "log/log_file.h"
#include "proto/audit.pb.h"

namespace assay {

// False: enough; AuditChains returns CANCELLED.
using AuditProgress = std::function<bool(uint64_t events, uint64_t of)>;

// `kept`: checkpoints from elsewhere, as ReadCheckpoints gives them. What is wrong with the chains is in the report; a
// status says that the file could not be read at all.
absl::StatusOr<audit::v1::VerifyReport> AuditChains(LogFile* file, const std::vector<std::string>& kept,
                                                    const AuditProgress& progress);

// No finding, of any chain.
bool IsGood(const audit::v1::VerifyReport& report);

// The signed notes that a text has, one after the other, with whatever stands between them left out.
// INVALID_ARGUMENT: it has none, or one that is no checkpoint.
absl::StatusOr<std::vector<std::string>> ReadCheckpoints(absl::string_view text);

}  // namespace assay
