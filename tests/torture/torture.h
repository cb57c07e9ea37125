// Kills parts of a running fleet under load, in a loop, and then holds everybody to what the tills were told.
//
//   ASSERT_OK_AND_ASSIGN(auto torture, Torture::Create(/*branches=*/2, seed));
//   torture->Run(absl::Seconds(30), [] { return Fault::kDaemon; });
//   EXPECT_OK(torture->Judge(absl::Seconds(60)));
//
// Use from the main thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/fleet/fleet.h"
#include "tests/torture/till.h"

namespace assay::test {

enum class Fault : uint8_t {
  kDaemon,    // kill -9 of an assayd.
  kPostgres,  // Immediate stop of a branch's PostgreSQL: recovery at the next start.
  kBackend,   // One backend of a branch's PostgreSQL is terminated, ours or the app's.
  kHub,       // Immediate stop of the hub's PostgreSQL.
  kFaults,
};

class Torture {
 public:
  static absl::StatusOr<std::unique_ptr<Torture>> Create(int branches, uint64_t seed);

  // Faults one after the other, each mended a moment later, while the tills sell.
  absl::Status Run(absl::Duration time, const std::function<Fault(std::mt19937_64&)>& next);
  // Stops the tills, and waits until all have everything, at most `patience`. INTERNAL names what was lost, torn or
  // doubled.
  absl::Status Judge(absl::Duration patience);
  // After Judge: the tills sell on, for another Run.
  void SellAgain();

  Fleet& fleet() { return *fleet_; }
  int64_t count(Fault fault) const { return counts_[static_cast<size_t>(fault)]; }
  // For people: what was done, and how it ended.
  std::string Report() const;

 private:
  Torture(std::unique_ptr<Fleet> fleet, uint64_t seed)
      : fleet_(std::move(fleet)), directory_("torture"), random_(seed) {}
  absl::Status Do(Fault fault);
  absl::Status JudgeLog();
  absl::Status JudgeTables();

  std::unique_ptr<Fleet> fleet_;
  TempDirectory directory_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Till>> tills_;
  int64_t counts_[static_cast<size_t>(Fault::kFaults)] = {};
  int round_ = 0;
  int64_t acknowledged_ = 0, in_doubt_ = 0;
  absl::Duration healed_in_;
};

}  // namespace assay::test
