// The bytes in which a push, a pull and its reply travel, and nothing else: sql/README.md has the fields, sql/hub.sql
// the other end.
//
// All numbers are big-endian, as in PostgreSQL's own protocol, and every field is preceded by its length. Pure
// functions.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/hub.h"

namespace assay {

std::string EncodePush(const PushRequest& request);
std::string EncodePull(const PullRequest& request);
// INVALID_ARGUMENT when `bytes` are not such a reply. Allocates no more than `bytes` hold, whatever they declare.
absl::StatusOr<PullReply> DecodePullReply(absl::string_view bytes);

}  // namespace assay
