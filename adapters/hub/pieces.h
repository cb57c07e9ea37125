// Large payloads travel in pieces, a call each, whatever carries them: a line that breaks costs one piece, and what has
// come is kept.
//
// A push stages the pieces at the hub, which says how many it holds: nothing is kept here. A pull keeps what has come
// in ArrivingParts, across calls and connections, until a part is whole. What it is then judged by is its segment's
// leaf hashes, as ever. Neither takes longer than a turn, so that others get theirs. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "adapters/hub/frame.h"
#include "engine/remotes/hub.h"

namespace assay {

// Whether it is time to come back, with what there is.
using TurnIsOver = std::function<bool()>;

// The part of `segment` whose payload is to travel in pieces.
std::optional<size_t> LargePart(const Segment& segment);

// One call of the hub's `stage`: how many pieces it holds after it.
using StagePiece = std::function<absl::StatusOr<uint32_t>(const std::string& frame)>;
// Brings `payload` to the hub, from where it is, as far as it comes within the turn; at least a piece further. True:
// all of it is there. An error when nothing at all went; what broke later shows with the next call.
absl::StatusOr<bool> StagePayload(const PushRequest& request, const Hash& content, absl::string_view payload,
                                  const StagePiece& stage, const TurnIsOver& over);

class ArrivingParts {
 public:
  // One call of the hub's `piece`.
  using Fetch = std::function<absl::StatusOr<std::string>(const std::string& frame)>;
  // Fills in the parts that are awaited, as far as they come within the turn; at least one piece further. What is not
  // whole is taken out of the reply, with what follows it in its chain, and the reply says so. An error when nothing at
  // all came.
  absl::StatusOr<PullReply> Complete(PulledFrame pulled, const Fetch& fetch, const TurnIsOver& over);

 private:
  struct Arriving {
    OriginId origin;
    Sequence last;  // Of its segment, whose name stays its own for ever.
    size_t part = 0;
    uint64_t bytes = 0;  // All of it.
    uint32_t pieces = 0;
    std::string payload;  // What has come.
  };
  Arriving& Find(const Segment& segment, const AwaitedPart& awaited);
  // One piece more.
  static absl::Status Take(Arriving* arriving, const Fetch& fetch);

  std::vector<Arriving> arriving_;
};

}  // namespace assay
