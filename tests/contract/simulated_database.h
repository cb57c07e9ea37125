// SimDatabase and SimCapture as a body of the database contract.
#pragma once

#include <cstdint>
#include <memory>

#include "tests/contract/database_contract.h"

namespace assay::test {

std::unique_ptr<DatabaseUnderTest> MakeSimulatedDatabase(uint64_t seed);

}  // namespace assay::test
