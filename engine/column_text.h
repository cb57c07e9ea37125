// A column's text between the forms it comes in, and as much of it as people are shown.
#pragma once

#include "absl/strings/string_view.h"
#include "engine/database.h"
#include "engine/packed_row.h"

namespace assay {

// An unchanged TOAST value is nullopt, too.
ColumnText TextOf(const TupleValue& value);
// Points into `text`.
TupleValue TupleOf(const ColumnText& text);

// `text` of a value of `type` without what another type may show differently though it holds the same: zeros and blanks
// at its end, a time of midnight, a time zone that is always UTC. Points into `text`.
absl::string_view Essence(absl::string_view text, absl::string_view type);

// The first `bytes` of UTF-8, or fewer: not half of a character.
absl::string_view CutText(absl::string_view text, size_t bytes);
// For a list of differences: a long text is cut, and its size said.
ColumnText ListedText(const ColumnText& text);

}  // namespace assay
