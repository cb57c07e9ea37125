// Goal: no commit and no checkpoint leaves much to one sync, and a small commit costs no sync more.
// Method: logs on a disk in memory that counts syncs, with and without; and one of those syncs fails.
#include "log/even_vfs.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "log/log_file.h"
#include "tests/support/crash_vfs.h"

namespace assay {
namespace {

class EvenVfsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    file_ = LogFile::Open("log.db", {.vfs = "even-test"}).value();
    Run("CREATE TABLE t (bytes BLOB)");
  }
  void Run(const std::string& sql) { EXPECT_TRUE(file_->Execute(sql).ok()) << sql; }
  // Syncs of a commit of so many bytes.
  uint64_t SyncsOf(uint64_t bytes) {
    const uint64_t before = disk_.sync_count();
    Run(absl::StrCat("INSERT INTO t VALUES (randomblob(", bytes, "))"));
    return disk_.sync_count() - before;
  }

  test::CrashVfs disk_{1};
  EvenVfs vfs_{"even-test", disk_.name().c_str()};
  std::unique_ptr<LogFile> file_;
};

TEST_F(EvenVfsTest, ALargeCommitIsSyncedInPieces) {
  Run("PRAGMA wal_autocheckpoint = 0");
  SyncsOf(100);
  EXPECT_EQ(SyncsOf(100), 1u);
  EXPECT_EQ(SyncsOf(100'000), 1u);
  const uint64_t large = SyncsOf(10 * EvenVfs::kPiece);
  EXPECT_GE(large, 10u);
  EXPECT_LE(large, 12u);
  const uint64_t before = disk_.sync_count();
  Run("PRAGMA wal_checkpoint(PASSIVE)");
  EXPECT_GE(disk_.sync_count() - before, 10u);
}

// What was committed before stays, and the log goes on.
TEST_F(EvenVfsTest, APieceThatCannotBeSyncedFailsTheCommit) {
  SyncsOf(100);
  disk_.FailSync(5);
  EXPECT_FALSE(file_->Execute(absl::StrCat("INSERT INTO t VALUES (randomblob(", 10 * EvenVfs::kPiece, "))")).ok());
  SyncsOf(100);
  file_.reset();
  disk_.PowerLoss();
  file_ = LogFile::Open("log.db", {.vfs = "even-test"}).value();
  Statement count = file_->Prepare("SELECT count(*) AS rows, max(length(bytes)) AS longest FROM t").value();
  ASSERT_TRUE(count.Step().value());
  EXPECT_EQ(count.Int("rows"), 2);
  EXPECT_EQ(count.Int("longest"), 100);
}

}  // namespace
}  // namespace assay
