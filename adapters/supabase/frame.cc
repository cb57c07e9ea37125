#include "adapters/supabase/frame.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace assay {
namespace {

constexpr uint8_t kVersion = 1;
constexpr uint8_t kPushVersion = 2;  // With the session.
constexpr uint8_t kMore = 1;
constexpr uint8_t kEndsTransaction = 1;
constexpr uint8_t kMasked = 1;

void Put32(std::string* out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<char>(value >> shift));
}

void Put64(std::string* out, uint64_t value) {
  Put32(out, static_cast<uint32_t>(value >> 32));
  Put32(out, static_cast<uint32_t>(value));
}

void PutSized(std::string* out, absl::string_view bytes) {
  Put32(out, static_cast<uint32_t>(bytes.size()));
  out->append(bytes.data(), bytes.size());
}

std::string EncodeSegment(const Segment& segment) {
  std::string out;
  out.reserve(segment.ByteSize() + 64 + 16 * segment.parts.size());
  out.append(segment.origin.AsBytes().data(), segment.origin.AsBytes().size());
  Put64(&out, segment.first.value);
  Put64(&out, segment.last.value);
  out.push_back(segment.ends_transaction ? kEndsTransaction : 0);
  PutSized(&out, segment.layout);
  PutSized(&out, segment.leaf_hashes);
  Put32(&out, static_cast<uint32_t>(segment.parts.size()));
  for (const SegmentPart& part : segment.parts) {
    PutSized(&out, part.table);
    Put32(&out, part.event_count);
    out.push_back(part.masked ? kMasked : 0);
    PutSized(&out, part.payload);
  }
  return out;
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
  absl::string_view Sized() { return Take(Number(4)); }
  OriginId Origin() {
    const absl::StatusOr<OriginId> origin = OriginId::FromBytes(Take(16));
    return origin.ok() ? *origin : OriginId{};
  }

 private:
  absl::string_view rest_;
  bool ok_ = true;
};

bool ReadSegment(absl::string_view bytes, Segment* segment) {
  FrameReader reader(bytes);
  segment->origin = reader.Origin();
  segment->first = {reader.Number(8)};
  segment->last = {reader.Number(8)};
  segment->ends_transaction = reader.Number(1) == kEndsTransaction;
  segment->layout = std::string(reader.Sized());
  segment->leaf_hashes = std::string(reader.Sized());
  for (uint64_t left = reader.Number(4); left > 0 && reader.ok(); --left) {
    SegmentPart& part = segment->parts.emplace_back();
    part.table = std::string(reader.Sized());
    part.event_count = static_cast<uint32_t>(reader.Number(4));
    part.masked = reader.Number(1) == kMasked;
    part.payload = std::string(reader.Sized());
  }
  return reader.ok() && reader.empty() && segment->first.value > 0 && segment->first <= segment->last;
}

}  // namespace

std::string EncodePush(const PushRequest& request) {
  std::string out;
  out.push_back(kPushVersion);
  out.append(request.origin.AsBytes().data(), request.origin.AsBytes().size());
  PutSized(&out, request.checkpoint);
  PutSized(&out, request.session);
  Put32(&out, static_cast<uint32_t>(request.segments.size()));
  for (const Segment& segment : request.segments) PutSized(&out, EncodeSegment(segment));
  return out;
}

std::string EncodePull(const PullRequest& request) {
  std::string out;
  out.push_back(kVersion);
  Put64(&out, request.bytes_max);
  Put32(&out, static_cast<uint32_t>(request.have.size()));
  for (const auto& [origin, sequence] : request.have) {
    out.append(origin.AsBytes().data(), origin.AsBytes().size());
    Put64(&out, sequence.value);
  }
  return out;
}

absl::StatusOr<PullReply> DecodePullReply(absl::string_view bytes) {
  FrameReader reader(bytes);
  if (const uint64_t version = reader.Number(1); version != kVersion) {
    return absl::InvalidArgumentError(absl::StrCat("the hub's answer to pull is no frame of version 1 (", bytes.size(),
                                                   " bytes, beginning with ", version, ")"));
  }
  PullReply reply;
  reply.more = reader.Number(1) == kMore;
  reply.heads.hub_time = absl::FromUnixMicros(static_cast<int64_t>(reader.Number(8)));
  for (uint64_t left = reader.Number(4); left > 0 && reader.ok(); --left) {
    HubHead& head = reply.heads.heads[reader.Origin()];
    head.last = {reader.Number(8)};
    head.complete = {reader.Number(8)};
    head.checkpoint = std::string(reader.Sized());
  }
  for (uint64_t left = reader.Number(4); left > 0 && reader.ok(); --left) {
    const absl::string_view segment = reader.Sized();
    if (!reader.ok()) break;
    if (!ReadSegment(segment, &reply.segments.emplace_back())) {
      return absl::InvalidArgumentError(
          absl::StrCat("the hub's answer to pull has a malformed segment, number ", reply.segments.size()));
    }
  }
  if (!reader.ok() || !reader.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the hub's answer to pull is malformed (", bytes.size(), " bytes)"));
  }
  return reply;
}

}  // namespace assay
