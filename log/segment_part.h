// How the bytes of one part of a segment are packed: a flag byte, then the events (event_place.h), as they are or
// compressed by zstd; small parts with a dictionary. See FORMAT.md.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace assay {

// The parts of a segment never unpack to more than this together.
inline constexpr size_t kPartBytesMax = size_t{1} << 30;

// Beyond this a part has taught zstd more than the dictionary knows.
inline constexpr size_t kDictionaryPartBytesMax = size_t{8} << 10;

// Folds the leaf hash of one more event into a part's check. Events without their place would pass for another chain's,
// or for later ones, when they are put elsewhere by mistake.
inline uint32_t PartCheck(uint32_t check, absl::string_view leaf) {
  for (int i = 0; i < 4; ++i) check ^= uint32_t{static_cast<uint8_t>(leaf[i])} << 8 * i;
  return check;
}

struct UnpackedPart {
  std::string bytes;
  uint32_t check = 0;  // PartCheck of its events, when they were packed.
};

std::string PackPart(absl::string_view raw, uint32_t check);

// DATA_LOSS when malformed, or larger than `bytes_max` unpacked; FAILED_PRECONDITION when packed in a way this program
// does not know. A frame that declares a large size and holds little costs little memory.
absl::StatusOr<UnpackedPart> UnpackPart(absl::string_view payload, size_t bytes_max = kPartBytesMax);

}  // namespace assay
