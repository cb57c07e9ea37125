// The chain that a log file writes itself: how it begins, and whose it is.
//
// A log is begun once, for one branch, by `assay init`; `assay repair` begins another one that names the chain before
// it. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/clock.h"
#include "engine/config.h"
#include "log/event_log.h"
#include "log/local_state/local_state.h"
#include "log/log_file.h"
#include "log/types.h"

namespace assay {

// The chain that a new one continues, as far as it is known.
struct PreviousChain {
  OriginId origin;
  uint32_t epoch = 1;
  Sequence sequence;         // 0: nothing is held of it.
  std::optional<Hash> root;  // Over its first `sequence` events.
  // The chain that lives under the branch's number at the hub, and whose place the new one takes: this one, as a rule.
  OriginId replaces;
};

// Begins this branch's chain in a log without one: its event 1 (OriginOpened). ALREADY_EXISTS when the log has an
// origin of its own.
absl::StatusOr<OriginId> OpenBranchLog(const EngineConfig& config, LogFile* file, Clock* clock, Random* random,
                                       const std::optional<PreviousChain>& previous = std::nullopt);

// The origin that this log file writes. NOT_FOUND before OpenBranchLog.
absl::StatusOr<OriginId> OwnOrigin(LocalState& state);

// FAILED_PRECONDITION when the log was begun for another name or number; the message goes on from "the log in …".
// NOT_FOUND before OpenBranchLog.
absl::Status CheckBranchLog(EventLog& log, LocalState& state, absl::string_view name, uint64_t number);

}  // namespace assay
