// Many seeds in every run. To see one again: simulation_test --first-seed=N --seeds=1 [--trace]. PLANTED.md tells which
// faults they find.
#include "tests/simulation/simulation.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"

namespace assay {
namespace {

uint64_t first_seed = 1;
uint64_t seeds = 1700;
bool trace = false;
uint32_t plant = 0;  // SimDatabase::Plant: how many of the seeds find it.
bool naive_projection = false;
bool confirm_early = false;
bool migrates = false;
int failures_max = 5;  // Of each worker.

struct Outcome {
  std::vector<std::string> failures;  // One line a seed.
  std::map<std::string, uint64_t> counters;
};

// Runs every `stride`th seed from `first` on, and writes what came of it: "begin <seed>", "failed <line>" and
// "count <number> <what>".
void RunSeeds(uint64_t first, uint64_t end, uint64_t stride, std::FILE* out) {
  std::map<std::string, uint64_t> counters;
  int failures = 0;
  for (uint64_t seed = first; seed < end && failures < failures_max; seed += stride) {
    std::fprintf(out, "begin %llu\n", static_cast<unsigned long long>(seed));
    std::fflush(out);
    const SimulationResult result = Simulation({.seed = seed,
                                                .naive_projection = naive_projection,
                                                .plant = static_cast<SimDatabase::Plant>(plant),
                                                .confirm_early = confirm_early,
                                                .migrates = migrates,
                                                .trace = trace})
                                        .Run();
    for (const auto& [what, count] : result.counters) counters[what] += count;
    if (result.status.ok()) continue;
    ++failures;
    const std::string status = absl::StrReplaceAll(result.status.ToString(), {{"\n", "\\n"}});
    std::fprintf(out, "failed reproduce with --first-seed=%llu --seeds=1: %s\n", static_cast<unsigned long long>(seed),
                 status.c_str());
  }
  for (const auto& [what, count] : counters) {
    std::fprintf(out, "count %llu %s\n", static_cast<unsigned long long>(count), what.c_str());
  }
}

// A process per core: the seeds have nothing to do with each other, and a crash takes one worker down and is told.
Outcome RunInParallel(uint64_t first, uint64_t count) {
  const uint64_t workers = std::max(1u, std::thread::hardware_concurrency());
  struct Worker {
    pid_t pid;
    std::FILE* in;
  };
  std::vector<Worker> running;
  for (uint64_t worker = 0; worker < workers; ++worker) {
    int ends[2];
    if (pipe(ends) != 0) std::abort();
    const pid_t pid = fork();
    if (pid == 0) {
      close(ends[0]);
      std::FILE* out = fdopen(ends[1], "w");
      RunSeeds(first + worker, first + count, workers, out);
      std::fclose(out);
      _exit(0);
    }
    close(ends[1]);
    running.push_back({pid, fdopen(ends[0], "r")});
  }
  Outcome outcome;
  for (Worker& worker : running) {
    std::string text, begun;
    for (int c; (c = std::fgetc(worker.in)) != EOF;) text.push_back(static_cast<char>(c));
    std::fclose(worker.in);
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      const std::vector<absl::string_view> words = absl::StrSplit(line, absl::MaxSplits(' ', 2));
      uint64_t number = 0;
      if (absl::StartsWith(line, "failed ")) {
        outcome.failures.push_back(absl::StrReplaceAll(line.substr(7), {{"\\n", "\n"}}));
      } else if (absl::StartsWith(line, "begin ")) {
        begun = std::string(line.substr(6));
      } else if (words.size() == 3 && absl::SimpleAtoi(words[1], &number)) {
        outcome.counters[std::string(words[2])] += number;
      }
    }
    int status = 0;
    waitpid(worker.pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
    outcome.failures.push_back(
        absl::StrCat("reproduce with --first-seed=", begun, " --seeds=1: crash: its worker ended; see above"));
  }
  return outcome;
}

// Goal: whatever goes wrong, nothing is lost, torn, overwritten or stuck.
// Method: every seed is another fleet with other faults; see simulation.h for the invariants.
TEST(SimulationTest, EverySeedHolds) {
  const Outcome outcome = RunInParallel(first_seed, seeds);
  for (const std::string& failure : outcome.failures) ADD_FAILURE() << failure;
  for (const auto& [what, count] : outcome.counters) std::cout << "  " << what << ": " << count << "\n";
  if (seeds < 1000) return;
  for (const char* what : {"app writes",
                           "process dies",
                           "power fails",
                           "database crash",
                           "stream breaks",
                           "partition",
                           "duplicate push",
                           "clock jumps",
                           "hub restore",
                           "column is added",
                           "migrates",
                           "projected rows",
                           "events",
                           "in doubt",
                           "moved",
                           "kept rows",
                           "wrote inside a read",
                           "committed unseen",
                           "came and went",
                           "wrote before a projection",
                           "gave way",
                           "refused",
                           "parked rows",
                           "asked before the last one landed",
                           "asked before the last pull was appended",
                           "asked to read before the log was durable",
                           "asked to project before the log was durable",
                           "lost power before the log was durable"}) {
    EXPECT_GT(outcome.counters.count(what) > 0 ? outcome.counters.at(what) : 0, seeds / 50) << what;
  }
  EXPECT_GT(outcome.counters.count("locked"), 0u)
      << "a row that moves at every try is rare, and must be among the seeds";
}

TEST(SimulationTest, SameSeedDoesTheSame) {
  for (uint64_t seed = first_seed; seed < first_seed + std::min<uint64_t>(seeds, 30); ++seed) {
    const SimulationResult once = Simulation({.seed = seed}).Run();
    const SimulationResult again = Simulation({.seed = seed}).Run();
    EXPECT_EQ(once.trace_hash, again.trace_hash) << "seed " << seed;
    EXPECT_EQ(once.counters, again.counters) << "seed " << seed;
  }
}

// True: one of `invariants` sees the fault with some seed. Others may see it before, by what it leads to.
bool IsCaughtBy(absl::Span<const absl::string_view> invariants, SimulationOptions options) {
  for (options.seed = 1; options.seed <= 600; ++options.seed) {
    const SimulationResult result = Simulation(options).Run();
    for (const absl::string_view invariant : invariants) {
      if (!result.status.ok() && absl::StrContains(result.status.message(), invariant)) return true;
    }
  }
  return false;
}

// Goal: the invariants would notice. Each fault is one that the real system must not have.
TEST(SimulationTest, NaiveProjectionIsCaught) {
  EXPECT_TRUE(IsCaughtBy({"no stale overwrite"}, {.naive_projection = true}));
}
TEST(SimulationTest, WritingOverRowsThatMovedIsCaught) {
  EXPECT_TRUE(IsCaughtBy({"no stale overwrite"}, {.plant = SimDatabase::Plant::kNoCompare}));
}
TEST(SimulationTest, ARowThatComesBackOtherwiseIsCaught) {
  EXPECT_TRUE(IsCaughtBy({"captured once", "liveness"}, {.plant = SimDatabase::Plant::kNoAnswer}));
}
TEST(SimulationTest, UntaggedProjectionIsCaught) {
  EXPECT_TRUE(IsCaughtBy({"captured once", "liveness"}, {.plant = SimDatabase::Plant::kNoTag}));
}
TEST(SimulationTest, TornProjectionIsCaught) { EXPECT_TRUE(IsCaughtBy({""}, {.plant = SimDatabase::Plant::kTorn})); }
TEST(SimulationTest, ConfirmingBeforeItIsDurableIsCaught) {
  // Lost, or, since the slot is then ahead of what the log ever confirmed, named.
  EXPECT_TRUE(IsCaughtBy({"captured once", "gap: Some changes"}, {.confirm_early = true}));
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    const absl::string_view flag = argv[i];
    if (absl::StartsWith(flag, "--first-seed=") && absl::SimpleAtoi(flag.substr(13), &assay::first_seed)) continue;
    if (absl::StartsWith(flag, "--seeds=") && absl::SimpleAtoi(flag.substr(8), &assay::seeds)) continue;
    if (absl::StartsWith(flag, "--plant=") && absl::SimpleAtoi(flag.substr(8), &assay::plant)) continue;
    if (absl::StartsWith(flag, "--failures=") && absl::SimpleAtoi(flag.substr(11), &assay::failures_max)) continue;
    if (flag == "--naive-projection" || flag == "--confirm-early" || flag == "--migrates" || flag == "--trace") {
      (flag == "--trace"           ? assay::trace
       : flag == "--migrates"      ? assay::migrates
       : flag == "--confirm-early" ? assay::confirm_early
                                   : assay::naive_projection) = true;
      continue;
    }
    std::cerr << "unknown: " << argv[i]
              << "\nusage: simulation_test [--first-seed=N] [--seeds=N] [--failures=N] [--trace]\n"
              << "       [--plant=N] [--naive-projection] [--confirm-early] [--migrates]\n";
    return 2;
  }
  return RUN_ALL_TESTS();
}
