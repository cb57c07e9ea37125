// What TableWrites::written_as says of a column, beside a type.
#pragma once

#include "absl/strings/string_view.h"

namespace assay {

// The values were written as another type, and where they were written the column has been given this one since: what
// PostgreSQL makes of them here, it made of them there. So nothing is compared.
inline constexpr absl::string_view kConvertedWhereItWasWritten = "*";

}  // namespace assay
