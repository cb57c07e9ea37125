// For a word somebody mistyped: the known one that is nearest.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace assay {

// "; did you mean X?", or "; known: …" when none is near.
std::string DidYouMean(absl::string_view word, const std::vector<std::string>& known);

}  // namespace assay
