// The bytes in which a push, a pull and its reply travel, and nothing else: sql/README.md has the fields, sql/hub.sql
// the other end.
//
// All numbers are big-endian, as in PostgreSQL's own protocol. What the other end can tell by itself is not sent: of a
// checkpoint its text around the numbers, of heads those that are as the request has them. Pure functions.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/remotes/hub.h"

namespace assay {

// INVALID_ARGUMENT when the segments do not follow each other, or the checkpoint is not as SignCheckpoint writes it.
absl::StatusOr<std::string> EncodePush(const PushRequest& request);
std::string EncodePull(const PullRequest& request);
// All heads, those too that are left out because `request` has them. INVALID_ARGUMENT when `bytes` are not such a
// reply. Allocates no more than `bytes` hold, whatever they declare.
absl::StatusOr<PullReply> DecodePullReply(absl::string_view bytes, const PullRequest& request);

}  // namespace assay
