// A copy of a directory, as a backup or an image of a machine has it: owners and times are kept.
#pragma once

#include <filesystem>
#include <string>

#include "gtest/gtest.h"
#include "tests/support/child_process.h"

namespace assay::test {

inline void Copy(const std::string& from, const std::string& to) {
  std::filesystem::remove_all(to);
  const RunResult copied = RunProgram({"cp", "-a", from, to});
  ASSERT_EQ(copied.exit_code, 0) << copied.output;
}

}  // namespace assay::test
