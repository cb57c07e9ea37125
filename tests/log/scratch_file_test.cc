// Goal: what is too large for the memory goes into a file that nobody has to tidy away.
#include "log/scratch_file.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/log/test_events.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

class ScratchFileTest : public ::testing::Test {
 protected:
  int64_t Number(ScratchFile& file, const char* sql) {
    Statement statement = file.Prepare(sql).value();
    return statement.Step().value() ? statement.OnlyInt() : -1;
  }
  // Of all files that this process has open and that have no name any more.
  static uintmax_t Nameless() {
    uintmax_t bytes = 0;
    for (const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code error;
      const std::string target = std::filesystem::read_symlink(each, error).string();
      if (target.find("log.db-scratch") == std::string::npos) continue;
      EXPECT_THAT(target, HasSubstr("(deleted)"));
      bytes += std::filesystem::file_size(each.path(), error);
    }
    return bytes;
  }

  test::TempDirectory directory_{"nameless"};
  std::unique_ptr<LogFile> log_ = LogFile::Open(absl::StrCat(directory_.path(), "/log.db"), {}).value();
};

TEST_F(ScratchFileTest, WhatItsCacheHasNoRoomForIsInAFileThatHasNoName) {
  const std::string name = absl::StrCat(directory_.path(), "/log.db-scratch");
  std::ofstream(name) << "of a process that was killed";
  ASSERT_OK_AND_ASSIGN(auto scratch, ScratchFile::Beside(*log_));
  EXPECT_FALSE(std::filesystem::exists(name));
  ASSERT_OK(scratch->Execute("PRAGMA cache_size = 10; CREATE TABLE t (v BLOB); BEGIN"));
  for (int i = 0; i < 200; ++i) ASSERT_OK(scratch->Execute("INSERT INTO t VALUES (zeroblob(10000))"));
  EXPECT_GT(Nameless(), 1'000'000u);
  EXPECT_EQ(Number(*scratch, "SELECT sum(length(v)) FROM t"), 2'000'000);
  EXPECT_FALSE(std::filesystem::exists(name));
  scratch.reset();
  EXPECT_EQ(Nameless(), 0u);
}

TEST_F(ScratchFileTest, EachIsItsOwnAndNoPartOfTheLogsTransaction) {
  ASSERT_OK(log_->Begin());
  ASSERT_OK_AND_ASSIGN(const auto one, ScratchFile::Beside(*log_));
  ASSERT_OK_AND_ASSIGN(const auto other, ScratchFile::Beside(*log_));
  ASSERT_OK(one->Execute("CREATE TABLE t (v BLOB); BEGIN; INSERT INTO t VALUES (1)"));
  ASSERT_OK(other->Execute("CREATE TABLE t (v BLOB); BEGIN"));
  log_->Rollback();
  EXPECT_EQ(Number(*one, "SELECT count(*) FROM t"), 1);
  EXPECT_EQ(Number(*other, "SELECT count(*) FROM t"), 0);
}

// As on a disk that is full.
TEST_F(ScratchFileTest, AFullDiskIsNamedWithItsRemedy) {
  ASSERT_OK_AND_ASSIGN(const auto scratch, ScratchFile::Beside(*log_));
  ASSERT_OK(scratch->Execute("CREATE TABLE t (v BLOB); BEGIN; PRAGMA max_page_count = 10"));
  const absl::Status full = scratch->Execute("INSERT INTO t VALUES (zeroblob(1000000))");
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
  EXPECT_THAT(full.message(), HasSubstr("log.db-scratch: database or disk is full: free space on its disk"));
}

}  // namespace
}  // namespace assay
