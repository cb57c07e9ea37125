// Functions that a table runs at every write (in an index, a CHECK or a generated column), tried out under the settings
// that rows of other branches are written with. Assay pins search_path to nothing. A function that names tables or
// other functions without their schema works for the ERP, and fails for every row that Assay writes.
//
//   ASSAY_ASSIGN_OR_RETURN(std::vector<FailingFunction> failing, TryFunctions(admin, oids));
//
// A function is tried on the first row that is there, in a transaction that cannot write. It counts as failing when it
// does not find what it names, and finds it on a search_path that was tried after that. What fails on other rows only,
// triggers, and functions inside of operators are not found here: their rows are parked by name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "adapters/libpq/connection.h"

namespace assay {

struct FailingFunction {
  std::string function;  // "public.price_of(integer)".
  std::string table;
  std::string cause;
  std::string remedy;  // The command that mends it.
};

// `tables`: OIDs. `connection` pins search_path to nothing, as every Connection does, and may read them.
absl::StatusOr<std::vector<FailingFunction>> TryFunctions(Connection& connection, absl::Span<const uint32_t> tables);

}  // namespace assay
