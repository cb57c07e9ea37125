// PostgresDatabase and PostgresCapture on a database of their own, as a body of the database contract.
#pragma once

#include <memory>

#include "tests/contract/database_contract.h"
#include "tests/support/postgres_server.h"

namespace assay::test {

std::unique_ptr<DatabaseUnderTest> MakeRealDatabase(PostgresServer& server);

// What such a server needs. What is written before it is killed is with the operating system: no fsync.
inline PostgresOptions RealDatabaseOptions() { return {.settings = {{"max_replication_slots", "50"}}}; }

}  // namespace assay::test
