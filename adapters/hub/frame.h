// The bytes in which pushes, pulls and their pieces travel, and nothing else: sql/README.md has the fields, sql/hub.sql
// the other end.
//
// All numbers are big-endian, as in PostgreSQL's own protocol. What the other end can tell by itself is not sent: of a
// checkpoint its text around the numbers, of heads those that are as the request has them. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/remotes/hub.h"

namespace assay {

// A part's payload of more bytes than this travels in pieces, a call each: what a broken line costs is one of them.
inline constexpr size_t kPayloadInlineMax = 512 << 10;
inline constexpr size_t kPieceBytes = 256 << 10;

// A part of a push's first segment whose payload was staged: the frame names it.
struct StagedPart {
  size_t part = 0;
  Hash content{};  // The SHA-256 of its payload.
};

// With `staged` the first segment alone, without that part's payload. INVALID_ARGUMENT when the segments do not follow
// each other, or the checkpoint is not as SignCheckpoint writes it.
absl::StatusOr<std::string> EncodePush(const PushRequest& request, const StagedPart* staged = nullptr);
// One piece of `content`; empty: only asks how many are held.
std::string EncodeStage(const PushRequest& request, const Hash& content, uint32_t number, absl::string_view piece);

std::string EncodePull(const PullRequest& request);

// A part in a pull's reply of which only the length was given.
struct AwaitedPart {
  size_t segment = 0, part = 0;  // Where in the reply.
  uint64_t bytes = 0;
};
struct PulledFrame {
  PullReply reply;
  std::vector<AwaitedPart> awaited;  // In the order of the segments.
};
// All heads, those too that are left out because `request` has them. INVALID_ARGUMENT when `bytes` are not such a
// reply. Allocates no more than `bytes` hold, whatever they declare.
absl::StatusOr<PulledFrame> DecodePullReply(absl::string_view bytes, const PullRequest& request);
// Of the segment that ends with `last`.
std::string EncodePieceRequest(const OriginId& origin, Sequence last, uint32_t number);

}  // namespace assay
