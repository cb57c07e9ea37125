// A program started by a test: its output in a file, ended by its pid, never outliving the test.
//
//   ASSERT_OK_AND_ASSIGN(auto daemon, ChildProcess::Start({"build/tools/assayd", "--config", path}, {.output = log_path}));
//   daemon->Signal(SIGTERM);
//   EXPECT_EQ(daemon->Wait(absl::Seconds(5)), 0);
//
// Start from a thread that lives as long as the child (the main one): the kernel ends the child with the thread that
// made it.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace assay::test {

// `path` to the user who runs servers when we are root; aborts when there is no such user.
void ChownToServerUser(const std::string& path);

class ChildProcess {
 public:
  struct Options {
    std::string output;                              // File that stdout and stderr are appended to; empty: /dev/null.
    std::map<std::string, std::string> environment;  // Added to ours.
    bool as_server_user = false;                     // As `postgres` when we are root.
    int signal_if_we_die = 15;
    int signal_at_end = 15;  // What the destructor sends first; SIGKILL 10 s later.
  };
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(const std::vector<std::string>& arguments,
                                                             Options options);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  bool Running();
  void Signal(int signal);
  // The exit code, or 128 + signal; nullopt: still running after `timeout`.
  std::optional<int> Wait(absl::Duration timeout);

 private:
  ChildProcess(pid_t pid, Options options) : pid_(pid), options_(std::move(options)) {}
  pid_t pid_;
  Options options_;
  std::optional<int> exit_code_;
};

struct RunResult {
  int exit_code = 0;
  std::string output;  // stdout and stderr together.
  std::string standard_output;
};
// Runs to the end, or kills it at `timeout` (exit code 124).
RunResult RunProgram(const std::vector<std::string>& arguments, absl::Duration timeout = absl::Seconds(60),
                     ChildProcess::Options options = {});

}  // namespace assay::test
