// Texts that are PostgreSQL's own: what is stored shows them again, to the last byte. What is written so need not be
// compared with what comes back, and may be copied.
#pragma once

#include "absl/strings/string_view.h"

namespace assay {

// A column of `type` (format_type()'s name) takes `text` or refuses it, and shows what it took as `text`. False: it may
// show another one, or it is not known here.
bool IsPlainText(absl::string_view type, absl::string_view text);

}  // namespace assay
