// The app: threads that work in sessions of their own until told to stop.
//
//   Actors actors;
//   actors.Start(branch.Url(), [](SqlSession& session, std::mt19937_64& random) { return session.Run("UPDATE …").status(); });
//   absl::SleepFor(absl::Seconds(30));
//   EXPECT_EQ(actors.Stop().other_errors, 0);
//
// Serialization failures, deadlocks, and unique keys taken are part of an app's life and counted apart.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/sql.h"

namespace assay::test {

class Actors {
 public:
  using Work = std::function<absl::Status(SqlSession& session, std::mt19937_64& random)>;
  struct Result {
    int64_t done = 0;
    int64_t expected_errors = 0;  // 40001, 40P01, 23505, 23503, 55P03.
    int64_t other_errors = 0;
    std::string first_error;
    double slowest_ms = 0;  // One call of Work.
  };

  explicit Actors(uint64_t seed = 1) : seed_(seed) {}
  ~Actors() { Stop(); }
  void Start(const std::string& url, Work work);
  Result Stop();

 private:
  void Live(const std::string& url, const Work& work, uint64_t seed);

  uint64_t seed_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  Result result_;
};

}  // namespace assay::test
