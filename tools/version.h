#pragma once

namespace assay {
inline constexpr char kVersion[] = ASSAY_VERSION;  // The project's, from CMakeLists.txt.
}  // namespace assay
