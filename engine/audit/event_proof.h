// A proof that an event is in a chain that its branch has signed: for somebody who has nothing but the branch's public
// key.
//
// The text is C2SP's tlog-proof (https://c2sp.org/tlog-proof, a draft; @v1 of 2026-05-22): the event's bytes, its
// index, the hashes of its inclusion in the tree of RFC 6962, and the checkpoint. The event stands in the `extra` line,
// which the format leaves unauthenticated; here the leaf hash is of it, so that it is what is proven.
// tests/engine/audit has a checker in Python that shares nothing with this.
//
//   ASSAY_ASSIGN_OR_RETURN(std::string proof, ProveEvent(log, origin, Sequence{17}));
//   ASSAY_ASSIGN_OR_RETURN(ProvenEvent proven, CheckProof(proof, vkey));
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "log/checkpoint.h"
#include "log/event_log.h"
#include "log/types.h"

namespace assay {

// "<origin>+<8 hexadecimal digits>+<base64>": a public key as signed notes name it.
std::string VerifierKey(const OriginId& origin, absl::string_view public_key);

// Of event `sequence` in the chain's newest checkpoint. NOT_FOUND: no such event, or no checkpoint; OUT_OF_RANGE: it is
// not signed yet, or the log lacks events that are. PERMISSION_DENIED: its bytes are masked here. Reads the chain once.
absl::StatusOr<std::string> ProveEvent(EventLog* log, const OriginId& origin, Sequence sequence);

struct ProvenEvent {
  Checkpoint checkpoint;
  Sequence sequence;
  std::string bytes;  // Of an assay.v1.Event.
};
// INVALID_ARGUMENT: `proof` or `key` is none. DATA_LOSS: it does not hold, and the message says where.
absl::StatusOr<ProvenEvent> CheckProof(absl::string_view proof, absl::string_view key);

}  // namespace assay
