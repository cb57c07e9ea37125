#include "engine/audit/proto_text.h"

#include <algorithm>
#include <cstdint>

namespace assay {
namespace {

constexpr int64_t kSecondsMin = -62135596800;  // Year 1.
constexpr int64_t kSecondsMax = 253402300799;  // End of year 9999.

// Length of the well-formed character at the start of `s`, or 0. (Unicode, table 3-7.)
size_t CharacterLength(absl::string_view s) {
  const auto at = [&](size_t i) { return i < s.size() ? static_cast<uint8_t>(s[i]) : 0; };
  const auto tail = [&](size_t i) { return (at(i) & 0xC0) == 0x80; };
  const uint8_t c = at(0);
  if (c < 0x80) return 1;
  if (c >= 0xC2 && c <= 0xDF) return tail(1) ? 2 : 0;
  if (c >= 0xE0 && c <= 0xEF) {
    if ((c == 0xE0 && at(1) < 0xA0) || (c == 0xED && at(1) > 0x9F)) return 0;
    return tail(1) && tail(2) ? 3 : 0;
  }
  if (c >= 0xF0 && c <= 0xF4) {
    if ((c == 0xF0 && at(1) < 0x90) || (c == 0xF4 && at(1) > 0x8F)) return 0;
    return tail(1) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

google::protobuf::Timestamp ToProto(absl::Time time) {
  google::protobuf::Timestamp out;
  const int64_t seconds = std::clamp(absl::ToUnixSeconds(time), kSecondsMin, kSecondsMax);
  out.set_seconds(seconds);
  const int64_t nanos = absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds));
  if (nanos >= 0 && nanos < 1'000'000'000) out.set_nanos(static_cast<int32_t>(nanos));
  return out;
}

google::protobuf::Duration ToProto(absl::Duration duration) {
  google::protobuf::Duration out;
  constexpr absl::Duration kMost = absl::Hours(24 * 36500);
  duration = std::clamp(duration, -kMost, kMost);
  absl::Duration rest;
  out.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  out.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  return out;
}

absl::Time FromProto(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixSeconds(std::clamp(timestamp.seconds(), kSecondsMin, kSecondsMax)) +
         absl::Nanoseconds(timestamp.nanos());
}

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  constexpr int64_t kMost = 315'576'000'000;  // protobuf's own limit.
  if (duration.seconds() < -kMost || duration.seconds() > kMost) return absl::ZeroDuration();
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

absl::Time TimeOf(HlcStamp stamp) { return absl::FromUnixMillis(stamp.millis()); }

std::string CleanText(absl::string_view bytes, size_t size_max) {
  constexpr absl::string_view kReplacement = "\xEF\xBF\xBD";
  std::string out;
  out.reserve(std::min(bytes.size(), size_max));
  while (!bytes.empty()) {
    const size_t length = CharacterLength(bytes);
    const absl::string_view character = length == 0 ? kReplacement : bytes.substr(0, length);
    if (out.size() + character.size() > size_max) break;
    out.append(character.data(), character.size());
    bytes.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

}  // namespace assay
