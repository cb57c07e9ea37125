#include "adapters/hub/pieces.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "log/annotate.h"

namespace assay {
namespace {

// What is new, and what is asked for again because it was granted, take turns.
constexpr size_t kArrivingMax = 2;

}  // namespace

std::optional<size_t> LargePart(const Segment& segment) {
  const auto largest =
      std::max_element(segment.parts.begin(), segment.parts.end(),
                       [](const SegmentPart& a, const SegmentPart& b) { return a.payload.size() < b.payload.size(); });
  if (largest == segment.parts.end() || largest->payload.size() <= kPayloadInlineMax) return std::nullopt;
  return static_cast<size_t>(largest - segment.parts.begin());
}

absl::StatusOr<bool> StagePayload(const PushRequest& request, const Hash& content, absl::string_view payload,
                                  const StagePiece& stage, const TurnIsOver& over) {
  const auto pieces = static_cast<uint32_t>((payload.size() + kPieceBytes - 1) / kPieceBytes);
  ASSAY_ASSIGN_OR_RETURN(uint32_t held, stage(EncodeStage(request, content, 0, "")));
  for (bool got_on = false; held < pieces; got_on = true) {
    if (got_on && over()) return false;
    const absl::string_view piece = payload.substr(size_t{held} * kPieceBytes, kPieceBytes);
    const absl::StatusOr<uint32_t> now = stage(EncodeStage(request, content, held, piece));
    if (!now.ok() && got_on) return false;
    ASSAY_RETURN_IF_ERROR(now.status());
    if (*now <= held) {
      return absl::InvalidArgumentError(
          absl::StrCat("the hub took piece ", held, " of a large value, and says that it has ", *now));
    }
    held = *now;
  }
  return true;
}

ArrivingParts::Arriving& ArrivingParts::Find(const Segment& segment, const AwaitedPart& awaited) {
  for (Arriving& arriving : arriving_) {
    if (arriving.origin == segment.origin && arriving.last == segment.last && arriving.part == awaited.part &&
        arriving.bytes == awaited.bytes) {
      return arriving;
    }
  }
  if (arriving_.size() == kArrivingMax) arriving_.erase(arriving_.begin());
  return arriving_.emplace_back(Arriving{segment.origin, segment.last, awaited.part, awaited.bytes, 0, {}});
}

absl::Status ArrivingParts::Take(Arriving* arriving, const Fetch& fetch) {
  ASSAY_ASSIGN_OR_RETURN(const std::string piece,
                         fetch(EncodePieceRequest(arriving->origin, arriving->last, arriving->pieces)));
  if (piece.empty() || piece.size() > arriving->bytes - arriving->payload.size()) {
    const uint64_t had = arriving->payload.size();
    arriving->payload = {};
    arriving->pieces = 0;
    return absl::InvalidArgumentError(absl::StrCat("the hub gives a piece of ", piece.size(), " bytes after ", had,
                                                   " of the ", arriving->bytes, " that it speaks of"));
  }
  arriving->payload += piece;
  ++arriving->pieces;
  return absl::OkStatus();
}

absl::StatusOr<PullReply> ArrivingParts::Complete(PulledFrame pulled, const Fetch& fetch, const TurnIsOver& over) {
  absl::Status failure;
  bool got_on = false;
  std::map<OriginId, size_t> ends;  // Of chains with something that is not whole: the segment.
  for (const AwaitedPart& awaited : pulled.awaited) {
    Segment& segment = pulled.reply.segments[awaited.segment];
    if (ends.contains(segment.origin)) continue;
    const auto goes_on = [&] { return failure.ok() && !(got_on && over()); };
    if (!goes_on()) {
      ends.try_emplace(segment.origin, awaited.segment);
      continue;
    }
    Arriving& arriving = Find(segment, awaited);
    while (arriving.payload.size() < arriving.bytes && goes_on()) {
      failure = Take(&arriving, fetch);
      got_on |= failure.ok();
    }
    if (arriving.payload.size() < arriving.bytes) {
      ends.try_emplace(segment.origin, awaited.segment);
      continue;
    }
    segment.parts[awaited.part].payload = std::move(arriving.payload);
    arriving_.erase(arriving_.begin() + (&arriving - arriving_.data()));
  }
  PullReply reply = std::move(pulled.reply);
  if (ends.empty()) return reply;
  std::vector<Segment> whole;
  for (size_t i = 0; i < reply.segments.size(); ++i) {
    const auto end = ends.find(reply.segments[i].origin);
    if (end == ends.end() || i < end->second) whole.push_back(std::move(reply.segments[i]));
  }
  if (whole.empty() && !got_on) return failure;
  reply.segments = std::move(whole);
  reply.more = reply.arriving = true;
  return reply;
}

}  // namespace assay
