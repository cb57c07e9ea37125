// Into which types a value may go: the one that it was written as, and those that hold every value of it under the same
// text. Everything else waits. That PostgreSQL would convert it, and even give it back unchanged, proves nothing: the
// type may have been changed by a USING that computes.
#pragma once

#include "absl/strings/string_view.h"

namespace assay {

// A column's type: format_type(), and what that is made of (TableColumn::definition).
struct TypeText {
  absl::string_view type;
  absl::string_view definition;
  bool operator==(const TypeText&) const = default;
};

// The whole list of widenings. Each keeps every value, and its text:
//   smallint → integer → bigint
//   character varying(n) → character varying(m), m ≥ n → character varying, text; the latter two either way
//   bit varying(n) → bit varying(m), m ≥ n → bit varying
//   numeric(p,s) → numeric(q,s), q ≥ p → numeric
//   time(p), timestamp(p), with or without time zone → the same with more digits
bool IsWidening(const TypeText& from, const TypeText& to);

// A key of type `from` names the same rows as one of type `to`: the same type, or whole numbers, or varying text of any
// length.
bool IsSameKeyType(const TypeText& from, const TypeText& to);

// What a key of type `from` becomes when its column is altered to `to` has the same text, or a text that shows in what
// comes back ('007' as a number): between whole numbers and varying text. Of char(8) it has another one.
bool KeepsKeyText(const TypeText& from, const TypeText& to);

}  // namespace assay
