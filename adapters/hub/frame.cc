#include "adapters/hub/frame.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "log/annotate.h"
#include "log/checkpoint.h"
#include "log/segment_part.h"

namespace assay {
namespace {

constexpr uint8_t kFrameVersion = 1;
constexpr uint8_t kMore = 1;
enum SegmentFlag : uint8_t { kEndsTransaction = 1, kLeafHashes = 2 };
enum PartForm : uint8_t { kPlain = 0, kMasked = 1, kInPieces = 2 };
// Nothing that decodes is larger.
constexpr uint64_t kAwaitedBytesMax = kPartBytesMax + (kPartBytesMax >> 4);
constexpr size_t kCheckpointBytes = 8 + 32 + 4 + 64;  // Size, root, key id, signature.
constexpr size_t kRootBytes = 8;                      // Of a root, to name a checkpoint by.

// `size` bytes of it, big-endian.
void Put(std::string* out, uint64_t value, size_t size) {
  for (size_t i = size; i > 0; --i) out->push_back(static_cast<char>(value >> 8 * (i - 1)));
}

// Preceded by a length of `size` bytes.
void PutSized(std::string* out, absl::string_view bytes, size_t size) {
  Put(out, bytes.size(), size);
  out->append(bytes.data(), bytes.size());
}

void PutOrigin(std::string* out, const OriginId& origin) {
  out->append(origin.AsBytes().data(), origin.AsBytes().size());
}

// Half of a checkpoint's text is its origin and base64.
absl::Status PutCheckpoint(std::string* out, const OriginId& origin, absl::string_view text) {
  if (text.empty()) {
    Put(out, 0, 1);
    return absl::OkStatus();
  }
  ASSAY_ASSIGN_OR_RETURN(const Checkpoint checkpoint, ParseCheckpoint(text));
  ASSAY_ASSIGN_OR_RETURN(const std::string signature, SignatureOf(text));
  if (checkpoint.origin != origin) return absl::InvalidArgumentError("a checkpoint of another chain than is pushed");
  Put(out, kCheckpointBytes, 1);
  Put(out, checkpoint.size, 8);
  out->append(AsBytes(checkpoint.root).data(), checkpoint.root.size());
  out->append(signature);
  return absl::OkStatus();
}

void PutSegment(std::string* out, const Segment& segment, const StagedPart* staged = nullptr) {
  Put(out, segment.last.value - segment.first.value + 1, 4);
  Put(out, (segment.ends_transaction ? kEndsTransaction : 0) | (segment.leaf_hashes.empty() ? 0 : kLeafHashes), 1);
  PutSized(out, segment.layout, 4);
  out->append(segment.leaf_hashes);
  Put(out, segment.parts.size(), 1);
  for (size_t i = 0; i < segment.parts.size(); ++i) {
    const SegmentPart& part = segment.parts[i];
    PutSized(out, part.table, 2);
    if (staged != nullptr && staged->part == i) {
      Put(out, kInPieces, 1);
      Put(out, 8 + staged->content.size(), 4);
      Put(out, part.payload.size(), 8);
      absl::StrAppend(out, AsBytes(staged->content));
      continue;
    }
    Put(out, part.masked ? kMasked : kPlain, 1);
    PutSized(out, part.payload, 4);
  }
}

// Answers false, and stays failed, once the bytes end too early.
class FrameReader {
 public:
  explicit FrameReader(absl::string_view bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  bool empty() const { return rest_.empty(); }

  absl::string_view Take(size_t size) {
    if (size > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    absl::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  uint64_t Number(size_t size) {
    uint64_t value = 0;
    for (const char c : Take(size)) value = value << 8 | static_cast<uint8_t>(c);
    return value;
  }
  absl::string_view Sized(size_t size) { return Take(Number(size)); }
  OriginId Origin() {
    const absl::StatusOr<OriginId> origin = OriginId::FromBytes(Take(16));
    return origin.ok() ? *origin : OriginId{};
  }

 private:
  absl::string_view rest_;
  bool ok_ = true;
};

// False when the bytes are neither a checkpoint nor none.
bool ReadCheckpoint(FrameReader* reader, const OriginId& origin, std::string* text) {
  FrameReader bytes(reader->Sized(1));
  if (bytes.empty()) return reader->ok();
  Checkpoint checkpoint{.origin = origin, .size = bytes.Number(8)};
  const absl::string_view root = bytes.Take(checkpoint.root.size()), signature = bytes.Take(4 + 64);
  if (!bytes.ok() || !bytes.empty()) return false;
  std::copy(root.begin(), root.end(), checkpoint.root.begin());
  *text = CheckpointText(checkpoint, signature);
  return true;
}

// What comes in pieces is noted in `awaited`, with the part's place.
bool ReadSegment(FrameReader* reader, Segment* segment, std::vector<AwaitedPart>* awaited) {
  segment->origin = reader->Origin();
  segment->first = {reader->Number(8)};
  const uint64_t events = reader->Number(4), flags = reader->Number(1);
  segment->last = {segment->first.value + events - 1};
  segment->ends_transaction = (flags & kEndsTransaction) != 0;
  segment->layout = std::string(reader->Sized(4));
  if ((flags & kLeafHashes) != 0) segment->leaf_hashes = std::string(reader->Take(events * sizeof(Hash)));
  for (uint64_t left = reader->Number(1); left > 0 && reader->ok(); --left) {
    SegmentPart& part = segment->parts.emplace_back();
    part.table = std::string(reader->Sized(2));
    const uint64_t form = reader->Number(1);
    part.masked = form == kMasked;
    const absl::string_view payload = reader->Sized(4);
    if (form == kInPieces) {
      FrameReader length(payload);
      const uint64_t bytes = length.Number(8);
      if (!length.ok() || !length.empty() || bytes == 0 || bytes > kAwaitedBytesMax) return false;
      awaited->push_back({.part = segment->parts.size() - 1, .bytes = bytes});
    } else {
      part.payload = std::string(payload);
    }
  }
  if (!reader->ok() || segment->first.value == 0 || events == 0) return false;
  // The layout's last bytes name each event's part. Where they make no sense the segment does not decode, and its chain
  // alone stands still.
  const size_t size = segment->layout.size();
  for (const char part : absl::string_view(segment->layout).substr(size - std::min<uint64_t>(events, size))) {
    const size_t index = static_cast<uint8_t>(part);
    if (index < segment->parts.size()) ++segment->parts[index].event_count;
  }
  return true;
}

}  // namespace

absl::StatusOr<std::string> EncodePush(const PushRequest& request, const StagedPart* staged) {
  const absl::Span<const Segment> segments =
      absl::MakeConstSpan(request.segments).subspan(0, staged == nullptr ? absl::Span<const Segment>::npos : 1);
  std::string out;
  size_t size = 256;
  if (staged == nullptr) {
    for (const Segment& segment : segments) size += segment.ByteSize() + 16 + 8 * segment.parts.size();
  }
  out.reserve(size);
  Put(&out, kFrameVersion, 1);
  PutOrigin(&out, request.origin);
  PutSized(&out, request.session, 1);
  ASSAY_RETURN_IF_ERROR(PutCheckpoint(&out, request.origin, request.checkpoint));
  Sequence next = segments.empty() ? Sequence{} : segments.front().first;
  Put(&out, next.value, 8);
  Put(&out, segments.size(), 4);
  for (const Segment& segment : segments) {
    // Only the first one's place is said.
    if (segment.origin != request.origin || segment.first != next) {
      return absl::InvalidArgumentError("a push of segments that do not follow each other");
    }
    PutSegment(&out, segment, staged);
    next = segment.last.Next();
  }
  return out;
}

std::string EncodeStage(const PushRequest& request, const Hash& content, uint32_t number, absl::string_view piece) {
  std::string out;
  out.reserve(64 + request.session.size() + piece.size());
  Put(&out, kFrameVersion, 1);
  PutOrigin(&out, request.origin);
  PutSized(&out, request.session, 1);
  absl::StrAppend(&out, AsBytes(content));
  Put(&out, number, 4);
  out.append(piece.data(), piece.size());
  return out;
}

std::string EncodePieceRequest(const OriginId& origin, Sequence last, uint32_t number) {
  std::string out;
  Put(&out, kFrameVersion, 1);
  PutOrigin(&out, origin);
  Put(&out, last.value, 8);
  Put(&out, number, 4);
  return out;
}

std::string EncodePull(const PullRequest& request) {
  std::string out;
  Put(&out, kFrameVersion, 1);
  Put(&out, request.bytes_max, 8);
  Put(&out, request.have.size(), 4);
  for (const auto& [origin, sequence] : request.have) {
    PutOrigin(&out, origin);
    Put(&out, sequence.value, 8);
    const auto kept = request.checkpoints.find(origin);
    const absl::StatusOr<Checkpoint> checkpoint =
        ParseCheckpoint(kept == request.checkpoints.end() ? absl::string_view() : kept->second);
    const Hash root = checkpoint.ok() ? checkpoint->root : Hash{};
    out.append(AsBytes(root).data(), kRootBytes);
  }
  return out;
}

absl::StatusOr<PulledFrame> DecodePullReply(absl::string_view bytes, const PullRequest& request) {
  FrameReader reader(bytes);
  if (const uint64_t version = reader.Number(1); version != kFrameVersion) {
    return absl::InvalidArgumentError(absl::StrCat("the hub's answer to pull is no frame of version ", kFrameVersion,
                                                   " (", bytes.size(), " bytes, beginning with ", version, ")"));
  }
  PulledFrame pulled;
  PullReply& reply = pulled.reply;
  reply.more = reader.Number(1) == kMore;
  reply.heads.hub_time = absl::FromUnixMicros(static_cast<int64_t>(reader.Number(8)));
  for (const auto& [origin, sequence] : request.have) reply.heads.heads[origin] = {sequence, sequence, ""};
  for (uint64_t left = reader.Number(4); left > 0 && reader.ok(); --left) {
    const OriginId origin = reader.Origin();
    HubHead head{{reader.Number(8)}, {reader.Number(8)}, ""};
    if (!ReadCheckpoint(&reader, origin, &head.checkpoint)) {
      return absl::InvalidArgumentError("the hub's answer to pull has a malformed checkpoint");
    }
    reply.heads.heads[origin] = std::move(head);
  }
  // It says so of what we have and it has not.
  std::erase_if(reply.heads.heads, [](const auto& head) { return head.second.last.value == 0; });
  for (uint64_t left = reader.Number(4); left > 0 && reader.ok(); --left) {
    const size_t noted = pulled.awaited.size();
    if (!ReadSegment(&reader, &reply.segments.emplace_back(), &pulled.awaited)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the hub's answer to pull has a malformed segment, number ", reply.segments.size()));
    }
    for (size_t i = noted; i < pulled.awaited.size(); ++i) pulled.awaited[i].segment = reply.segments.size() - 1;
  }
  if (!reader.ok() || !reader.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the hub's answer to pull is malformed (", bytes.size(), " bytes)"));
  }
  return pulled;
}

}  // namespace assay
