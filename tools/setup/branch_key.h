// The key that signs a branch's own chain, beside the log.
//
// A chain is signed with one key for ever: its first event names it, and other branches refuse what another key has
// signed. So a key that is lost ends the chain, and `assay repair` opens another that continues it.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "log/checkpoint.h"

namespace assay {

// signing.key in `state_dir`, held against the log there. NOT_FOUND: neither a key nor a chain is there yet, and
// `assay init` makes both. FAILED_PRECONDITION, as ProblemKind::kSigningKeyLost, with the way out: the log has a chain,
// and this is not its key. Others: the key cannot be read. What is wrong with a log is for others to say.
absl::StatusOr<SigningKey> LoadBranchKey(const std::string& state_dir);

}  // namespace assay
