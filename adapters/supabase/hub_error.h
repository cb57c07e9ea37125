// What goes wrong between a branch and its hub, in the words of engine/remotes/hub.h: the one place that knows
// SQLSTATEs of the hub.
//
// The hub's own ones (sql/hub.sql): ZA001 gap, OUT_OF_RANGE · ZA002 malformed frame, INVALID_ARGUMENT · ZA003 no branch
// and ZA004 deactivated, PERMISSION_DENIED · ZA005 another branch than enrolled, FAILED_PRECONDITION · ZA006 enrolled
// already, ALREADY_EXISTS · ZA007 no such branch, NOT_FOUND · ZA008 another session
// is open, ABORTED. (Class ZA is free: the standard leaves I to Z to
// implementations, PostgreSQL uses P0 and XX.)
#pragma once

#include "absl/status/status.h"
#include "adapters/supabase/hub_url.h"

namespace assay {

// `status` comes from adapters/libpq. The code says what to do, the message names the cause and the remedy, and never
// the password. Where the cause is known, so is the problem (ProblemNamedBy).
absl::Status HubError(const absl::Status& status, const HubUrl& url);

}  // namespace assay
