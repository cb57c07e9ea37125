#include "adapters/libpq/lsn_text.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace assay {

absl::StatusOr<Lsn> ParseLsn(absl::string_view text) {
  unsigned high = 0, low = 0;
  char rest = 0;
  if (std::sscanf(std::string(text).c_str(), "%8X/%8X%c", &high, &low, &rest) != 2) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not a WAL position"));
  }
  return Lsn{static_cast<uint64_t>(high) << 32 | low};
}

}  // namespace assay
