// The simulated PostgreSQL held against a real one.
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/adapters/postgres/real_database.h"
#include "tests/contract/simulated_database.h"

namespace assay::test {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DatabaseContract);  // Beside it stands how to read a stream.

namespace {

using Line = std::vector<std::string>::const_iterator;
std::string Some(Line line, Line end) { return absl::StrJoin(line, line + std::min<ptrdiff_t>(3, end - line), "\n"); }

// Goal: what the simulation proves, it proves about PostgreSQL.
// Method: the same schedules on both; every status, reply, row and captured transaction must be the same.
TEST(SimulatedAgainstReal, SchedulesComeToTheSame) {
  // ASSAY_SCHEDULES=10000 for a long look, and ASSAY_FIRST_SCHEDULE=9001 for the end of it.
  const auto asked = [](const char* name, uint64_t otherwise) -> uint64_t {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
  };
  const uint64_t schedules = asked("ASSAY_SCHEDULES", 200);
  constexpr int kStepsEach = 50;
  constexpr int kServers = 10;  // A schedule waits for locks more than it works.
  // To each schedule a server of its own while it runs: a slot that is made beside it waits for its transactions, and
  // who waits is given way to.
  std::vector<std::unique_ptr<PostgresServer>> servers;
  for (int i = 0; i < kServers; ++i) {
    auto made = PostgresServer::Create(RealDatabaseOptions());
    if (MaySkipWithoutPostgres(made.status())) GTEST_SKIP() << made.status();
    ASSERT_TRUE(made.ok()) << made.status();
    servers.push_back(*std::move(made));
  }
  std::mutex mutex;
  uint64_t next = asked("ASSAY_FIRST_SCHEDULE", 1);
  std::string difference;  // The first one found.
  const auto run = [&](PostgresServer& server) {
    for (;;) {
      std::unique_lock<std::mutex> lock(mutex);
      if (next > schedules || !difference.empty()) return;
      const uint64_t seed = next++;
      lock.unlock();
      const std::vector<std::string> real = RunSchedule(*MakeRealDatabase(server), seed, kStepsEach);
      const std::vector<std::string> simulated = RunSchedule(*MakeSimulatedDatabase(seed), seed, kStepsEach);
      const auto [in_simulated, in_real] = std::mismatch(simulated.begin(), simulated.end(), real.begin(), real.end());
      if (in_simulated == simulated.end() && in_real == real.end()) continue;
      lock.lock();
      difference = absl::StrCat("seed ", seed, ", after\n", absl::StrJoin(simulated.begin(), in_simulated, "\n"),
                                "\nthe simulated one goes on with\n", Some(in_simulated, simulated.end()),
                                "\nand the real one with\n", Some(in_real, real.end()));
    }
  };
  std::vector<std::thread> workers;
  for (const auto& server : servers) workers.emplace_back(run, std::ref(*server));
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(difference, "");
}

}  // namespace
}  // namespace assay::test
