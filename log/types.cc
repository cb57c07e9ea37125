#include "log/types.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace assay {

std::string HexEncode(absl::string_view bytes) { return absl::BytesToHexString(bytes); }

std::string OriginId::Hex() const { return HexEncode(AsBytes()); }

absl::StatusOr<OriginId> OriginId::FromHex(absl::string_view hex) {
  const bool is_hex = std::all_of(hex.begin(), hex.end(), [](char c) { return absl::ascii_isxdigit(c); });
  if (hex.size() != 32 || !is_hex) {
    return absl::InvalidArgumentError(absl::StrCat("an origin id is 32 hexadecimal digits, not \"", hex, "\""));
  }
  return FromBytes(absl::HexStringToBytes(hex));
}

absl::StatusOr<OriginId> OriginId::FromBytes(absl::string_view bytes) {
  OriginId id;
  if (bytes.size() != id.bytes.size()) {
    return absl::InvalidArgumentError(absl::StrCat("an origin id is 16 bytes, not ", bytes.size()));
  }
  std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
  return id;
}

HlcStamp HlcStamp::FromMillis(int64_t millis) {
  constexpr int64_t kMillisMax = (int64_t{1} << 48) - 1;
  return {static_cast<uint64_t>(std::clamp<int64_t>(millis, 0, kMillisMax)) << 16};
}

std::string Lsn::ToString() const { return absl::StrFormat("%X/%X", value >> 32, value & 0xffffffff); }

std::string EventName(const OriginId& origin, Sequence sequence) {
  return absl::StrCat(HexEncode(origin.AsBytes().substr(0, 4)), "…/", sequence.value);
}

}  // namespace assay
