// Goal: one process per state directory, whoever died with the lock.
// Method: take it twice.
#include "tools/config/state_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

TEST(StateLockTest, SecondHolderIsRefusedByPidAndADeadOneForgotten) {
  test::TempDirectory directory("lock");
  const std::string path = directory.path() + "/lock";
  {
    auto first = StateLock::Take(path);
    ASSERT_TRUE(first.ok()) << first.status();
    const absl::Status second = StateLock::Take(path).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(second));
    EXPECT_THAT(std::string(second.message()), HasSubstr(absl::StrCat("(pid ", getpid(), ")")));
  }
  EXPECT_TRUE(StateLock::Take(path).ok());
  EXPECT_TRUE(absl::IsNotFound(StateLock::Take(directory.path() + "/none/lock").status()));
}

}  // namespace
}  // namespace assay
