// What a type of this database is made of, as text: TableColumn::definition.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace assay {

// An SQL expression for the definition of the type whose OID `oid` is, an expression itself: of each domain and
// composite type that it is made of, the name and what stands behind it. 'weight numeric(10,3); dims (l weight, w
// integer)'. Empty for PostgreSQL's own types, for enums, and for the base types of extensions.
std::string TypeDefinitionSql(absl::string_view oid);

}  // namespace assay
