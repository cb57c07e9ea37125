#include "tests/contract/simulated_database.h"

namespace assay::test {

INSTANTIATE_TEST_SUITE_P(Simulated, DatabaseContract,
                         testing::Values(DatabaseBody{"simulated", [] { return MakeSimulatedDatabase(1); }}),
                         DatabaseBodyName);

// Goal: the schedules that hold the simulated PostgreSQL against the real one do much more than fail.
// Method: count what a few hundred steps come to.
TEST(DatabaseScheduleTest, SchedulesMeetEveryOutcome) {
  std::string all;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    for (const std::string& line : RunSchedule(*MakeSimulatedDatabase(seed), seed, 100)) all += line + "\n";
  }
  for (const char* outcome : {"committed", "moved", "refused", "unavailable", "ABORTED", "FAILED_PRECONDITION",
                              "NOT_FOUND", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "MESSAGE", "23505", "22001",
                              "23502", "27000", "add column OK", "drop column OK", "rename column OK"}) {
    EXPECT_NE(all.find(outcome), std::string::npos) << outcome;
  }
}

}  // namespace assay::test
