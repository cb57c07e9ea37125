// How the bytes of one part of a segment are packed: a flag byte, then the events, each after its length, as they are
// or compressed by zstd. See FORMAT.md.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace assay {

// The parts of a segment never unpack to more than this together.
inline constexpr size_t kPartBytesMax = size_t{1} << 30;

std::string PackPart(absl::string_view raw);

// DATA_LOSS when malformed, or larger than `bytes_max` unpacked; FAILED_PRECONDITION when packed in a way this program
// does not know. A frame that declares a large size and holds little costs little memory.
absl::StatusOr<std::string> UnpackPart(absl::string_view payload, size_t bytes_max = kPartBytesMax);

}  // namespace assay
