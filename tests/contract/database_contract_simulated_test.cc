#include "tests/contract/simulated_database.h"

namespace assay::test {

INSTANTIATE_TEST_SUITE_P(Simulated, DatabaseContract,
                         testing::Values(DatabaseBody{"simulated", [] { return MakeSimulatedDatabase(1); }}),
                         DatabaseBodyName);

// Goal: the schedules that hold the simulated PostgreSQL against the real one do much more than fail.
// Method: count what some thousand steps come to.
TEST(DatabaseScheduleTest, SchedulesMeetEveryOutcome) {
  std::string all;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    for (const std::string& line : RunSchedule(*MakeSimulatedDatabase(seed), seed, 100)) all += line + "\n";
  }
  for (const char* outcome : {"committed",
                              "moved",
                              "refused",
                              "unavailable",
                              "ABORTED",
                              "FAILED_PRECONDITION",
                              "NOT_FOUND",
                              "INSERT",
                              "UPDATE",
                              "DELETE",
                              "TRUNCATE",
                              "MESSAGE",
                              "23505",
                              "22001",
                              "23502",
                              "27000",
                              "23514",
                              "22000",
                              "22P02",
                              "add column c1 OK",
                              "drop column OK",
                              "rename column c1 OK",
                              "key name OK",
                              "key id,name OK",
                              "key name FAILED_PRECONDITION",
                              "type c1 text OK",
                              "type line bigint OK",
                              "FAILED_PRECONDITION",
                              "identity default OK",
                              "unchanged",
                              "lines anew OK",
                              "lines anew ABORTED"}) {
    EXPECT_NE(all.find(outcome), std::string::npos) << outcome;
  }
}

}  // namespace assay::test
