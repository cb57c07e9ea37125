// What `assay status --watch --json` tells while a branch catches up, held to its word.
//
//   ASSERT_OK_AND_ASSIGN(auto watch, ProgressWatch::Start(branch, directory + "/watch"));
//   …until (*watch)->Newest() shows what is awaited…
//   EXPECT_OK(watch->Judge());
//
// Start one anew for each run of the daemon. Use from the main thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/struct.pb.h"
#include "tests/fleet/fleet.h"
#include "tests/support/child_process.h"

namespace assay::test {

class ProgressWatch {
 public:
  // `file` is written anew.
  static absl::StatusOr<std::unique_ptr<ProgressWatch>> Start(const Branch& branch, const std::string& file);

  // The newest status; nullopt before the first.
  std::optional<google::protobuf::Struct> Newest() const;

  // Over all that was told so far. Each stage's numbers are exact (what is missing is what the chains of that very
  // status miss), `done` never falls before it has reached `total`, and neither does what the chains say. INTERNAL
  // names the first that is not so.
  absl::Status Judge();
  // After Judge: statuses that showed a stage under way; of those, with a rate and the time left.
  int under_way() const { return under_way_; }
  int with_rate() const { return with_rate_; }

 private:
  explicit ProgressWatch(std::string file) : file_(std::move(file)) {}
  std::string file_;
  std::unique_ptr<ChildProcess> process_;
  int under_way_ = 0, with_rate_ = 0;
};

// Of one status: how far the stages are, from the chains it lists.
struct Positions {
  int64_t pushed = 0, own_head = 0;  // Of this branch's chain.
  int64_t pulled = 0, projected = 0,
          others_head = 0;  // Of all others together; the head is the farthest that is known.
};
Positions PositionsIn(const google::protobuf::Struct& status);

}  // namespace assay::test
