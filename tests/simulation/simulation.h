// A fleet of three branches, or four, and a hub under every fault we know, from one seed. In one of six the tables are
// altered while the shops sell (migrations.h).
//
// Safety first: a scheduler draws what happens next (an app write, a step of an engine, a call made, its reply given, a
// crash, a clock that jumps). Then liveness: all faults end, and within a budget everything must have reached everyone
// and stand still. What is left behind is judged by History. The same seed does the same to the last bit.
//
//   SimulationResult result = Simulation({.seed = 42}).Run();
//   EXPECT_TRUE(result.status.ok()) << result.status;
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tests/simulation/migrations.h"
#include "tests/simulation/random.h"
#include "tests/simulation/sim_branch.h"
#include "tests/simulation/sim_hub.h"

namespace assay {

struct SimulationOptions {
  uint64_t seed = 1;
  bool naive_projection = false;
  // Faults that must not go unnoticed.
  SimDatabase::Plant plant = SimDatabase::Plant::kNone;
  bool confirm_early = false;  // Capture is told that all it sent is safe.
  bool migrates = false;       // Whatever its seed draws.
  bool trace = false;          // Prints every action to standard error, and the WALs when an invariant did not hold.
};

struct SimulationResult {
  absl::Status status;  // The first invariant that did not hold.
  uint64_t trace_hash = 0;
  // How much happened, by kind.
  std::map<std::string, uint64_t> counters;
};

class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options);
  ~Simulation();
  SimulationResult Run();

 private:
  // Which faults this seed has and how often; weights of actions.
  struct Swarm;

  absl::Status RunAll();
  absl::Status RunWithFaults();
  absl::Status RunUntilQuiet();
  // What is left of them, and then everybody writes what was migrated.
  absl::Status FinishMigrations();
  // Empty: everybody has everything and nothing is on its way.
  std::string WhyNotQuiet();
  std::vector<uint64_t> EventCounts();
  // A row that another branch has made lately, and branch `number` has not.
  std::optional<SimRowName> NewElsewhere(uint32_t number);
  absl::Status CheckHistory();
  absl::Status Act();
  absl::Status ActOn(SimBranch& branch, size_t action);
  absl::Status StepEngine(SimBranch& branch);
  // Some rounds of capture, a step, calls and their replies: enough of them, and a change comes from one branch to
  // another while faults and the app go on.
  absl::Status RunOn(SimBranch& branch);
  absl::Status Restart(SimBranch& branch);
  void Trace(const SimBranch* branch, absl::string_view what, uint64_t detail = 0);

  const SimulationOptions options_;
  SeededRandom random_;
  SeededRandom migration_random_;  // Of its own: whoever migrates nothing does what it did before.
  WorldClock clock_;
  std::unique_ptr<Swarm> swarm_;
  std::unique_ptr<Migrations> migrations_;  // Null: of this fleet there are none.
  std::unique_ptr<SimHub> hub_;
  std::vector<std::unique_ptr<SimBranch>> branches_;
  SimulationResult result_;
};

}  // namespace assay
