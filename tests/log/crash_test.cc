// The promise "Commit returned OK, so the disk has it", and what is left when it did not.
#include <random>

#include "tests/log/test_events.h"

namespace assay {
namespace {

using ::testing::AnyOf;
using ::testing::Eq;
using ::testing::SizeIs;

const OriginId kA = test::Origin(0xaa);

// A log whose every transaction also moves a cursor and writes a row version: they must land or vanish together.
class CrashTest : public ::testing::Test {
 protected:
  static absl::Status CommitOne(TestLog& log, uint64_t number, size_t events) {
    ASSAY_RETURN_IF_ERROR(log.file->Begin());
    const auto write = [&]() -> absl::Status {
      const TestTransaction transaction =
          log.Next(kA, std::vector<std::string>(events, "public.t"), absl::StrCat("tx", number));
      ASSAY_RETURN_IF_ERROR(AppendAll(*log.log, transaction));
      ASSAY_RETURN_IF_ERROR(log.rows->Put({{1}, HashKey({"row"})}, {.written = {{number}, kA, {number}}}));
      return log.state->Write(kBatchAskedNote, number);
    };
    if (absl::Status status = write(); !status.ok()) {
      log.file->Rollback();
      return status;
    }
    return log.file->Commit();
  }

  // How many whole transactions are there; everything in them is checked.
  static uint64_t CheckWhole(TestLog& log) {
    const uint64_t cursor = *log.state->Read(kBatchAskedNote);
    const absl::StatusOr<std::vector<std::string>> seen = ReadAll(*log.log, kA);
    EXPECT_OK(seen.status());
    if (!seen.ok()) return 0;
    EXPECT_EQ(log.log->Head(kA).complete.value, seen->size());
    EXPECT_EQ(log.log->Head(kA).last.value, seen->size());
    uint64_t transactions = 0, next = 1;
    for (const std::string& event : *seen) {
      EXPECT_THAT(event, ::testing::HasSubstr(absl::StrCat("tx", transactions + 1, "-", next++)));
      if (event.find("|1|public.t") != std::string::npos) ++transactions;
    }
    EXPECT_EQ(transactions, cursor) << "events and cursor";
    const RowVersions* row = *log.rows->Get({{1}, HashKey({"row"})});
    EXPECT_EQ(row == nullptr ? 0 : row->written.sequence.value, cursor) << "row version and cursor";
    return transactions;
  }
};

// Goal: what Commit acknowledged survives a power loss at any moment, whole; what it did not is there whole or not at
// all. Method: lose power at every sync of a run, with several outcomes for the writes under way, and look.
TEST_F(CrashTest, AcknowledgedSurvivesPowerLossAtEverySync) {
  constexpr uint64_t kTransactions = 24;
  uint64_t points = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    for (uint64_t sync = 1;; ++sync) {
      SCOPED_TRACE(absl::StrCat("seed ", seed, ", power lost at sync ", sync));
      TestLog log(seed * 1000 + sync);
      ASSERT_OK(log.file->Execute("PRAGMA wal_autocheckpoint = 7"));  // Often, so that checkpoints are cut short too.
      log.vfs.PowerLossAtSync(sync);
      uint64_t acknowledged = 0;
      absl::Status status;
      for (uint64_t i = 1; i <= kTransactions && status.ok(); ++i) {
        status = CommitOne(log, i, 1 + i % 5);
        if (status.ok()) acknowledged = i;
      }
      if (status.ok()) break;  // The run is over before this sync.
      ++points;
      ASSERT_OK(log.Reopen());
      const uint64_t left = CheckWhole(log);
      ASSERT_THAT(left, AnyOf(Eq(acknowledged), Eq(acknowledged + 1)));
      ASSERT_OK(CommitOne(log, left + 1, 3)) << "and it goes on";
      ASSERT_OK(log.Reopen());
      ASSERT_EQ(CheckWhole(log), left + 1);
    }
  }
  EXPECT_GT(points, 200u);
}

TEST_F(CrashTest, PowerLossWhileCreatingLeavesAFileThatOpens) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    for (uint64_t sync = 1; sync <= 12; ++sync) {
      SCOPED_TRACE(absl::StrCat("seed ", seed, ", power lost at sync ", sync));
      test::CrashVfs vfs(seed);
      vfs.PowerLossAtSync(sync);
      { (void)LogFile::Open("log.db", {.vfs = vfs.name()}); }
      vfs.PowerLoss();
      ASSERT_OK_AND_ASSIGN(const auto file, LogFile::Open("log.db", {.vfs = vfs.name()}));
      ASSERT_OK(EventLog::Open(file.get()).status());
    }
  }
}

// The disk is cruel enough: a log that does not sync is seen to lose what it acknowledged.
TEST_F(CrashTest, WithoutSyncsAcknowledgedIsLost) {
  uint64_t lost = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    TestLog log(seed);
    ASSERT_OK(log.file->Execute("PRAGMA synchronous = OFF"));
    for (uint64_t i = 1; i <= 10; ++i) ASSERT_OK(CommitOne(log, i, 1));
    log.vfs.PowerLoss();
    if (!log.Reopen().ok() || log.log->Head(kA).last.value < 10) ++lost;
  }
  EXPECT_GT(lost, 5u);
}

TEST_F(CrashTest, KilledProcessLosesNothingItAcknowledged) {
  TestLog log;
  for (uint64_t i = 1; i <= 10; ++i) ASSERT_OK(CommitOne(log, i, 2));
  ASSERT_OK(log.file->Begin());
  ASSERT_OK(AppendAll(*log.log, log.Next(kA, {"public.t"})));
  log.vfs.Kill();
  EXPECT_FALSE(log.file->Commit().ok());
  ASSERT_OK(log.Reopen());
  EXPECT_EQ(CheckWhole(log), 10u);
}

// Goal: a full disk stops the writer, says so, and harms nothing; with space again it goes on in the same process.
TEST_F(CrashTest, FullDiskRefusesAndRecovers) {
  for (int64_t space = 0; space < 600000; space += 23456) {
    SCOPED_TRACE(absl::StrCat(space, " bytes left"));
    TestLog log(7);
    ASSERT_OK(CommitOne(log, 1, 10));
    log.vfs.SetSpaceLeft(space);
    uint64_t acknowledged = 1;
    absl::Status status;
    while (status.ok()) {
      status = CommitOne(log, acknowledged + 1, 200);
      if (status.ok()) ++acknowledged;
    }
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_EQ(CheckWhole(log), acknowledged);
    EXPECT_FALSE(CommitOne(log, acknowledged + 1, 200).ok());
    log.vfs.SetFull(false);
    ASSERT_OK(CommitOne(log, acknowledged + 1, 200));
    EXPECT_EQ(CheckWhole(log), acknowledged + 1);
    ASSERT_OK(log.Reopen());
    EXPECT_EQ(CheckWhole(log), acknowledged + 1);
  }
}

TEST_F(CrashTest, DiskThatFillsInsideALargeTransactionTakesItBackWhole) {
  TestLog log;
  ASSERT_OK(CommitOne(log, 1, 3));
  ASSERT_OK(log.file->Execute("PRAGMA cache_size = 10"));  // So that SQLite writes before the commit.
  log.vfs.SetSpaceLeft(50000);
  const absl::Status status = CommitOne(log, 2, 60000);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(CheckWhole(log), 1u);
  log.vfs.SetFull(false);
  ASSERT_OK(CommitOne(log, 2, 60000));
  EXPECT_EQ(CheckWhole(log), 2u);
}

TEST_F(CrashTest, FailedSyncStopsTheFileUntilItIsOpenedAgain) {
  TestLog log;
  ASSERT_OK(CommitOne(log, 1, 3));
  log.vfs.FailSync(1);
  EXPECT_TRUE(absl::IsUnavailable(CommitOne(log, 2, 3)));
  EXPECT_TRUE(absl::IsUnavailable(log.file->Begin()));
  log.vfs.PowerLoss();
  ASSERT_OK(log.Reopen());
  const uint64_t left = CheckWhole(log);
  EXPECT_THAT(left, AnyOf(Eq(1u), Eq(2u)));
  ASSERT_OK(CommitOne(log, left + 1, 3));
}

// SQLite gives up a whole transaction when the disk is full; who goes on regardless must not commit the rest of it.
TEST_F(CrashTest, TransactionThatSqliteGaveUpIsNotCommittedByHalves) {
  TestLog log;
  ASSERT_OK(CommitOne(log, 1, 3));
  ASSERT_OK(log.file->Execute("PRAGMA cache_size = 10"));
  ASSERT_OK(log.file->Begin());
  log.vfs.SetFull(true);
  absl::Status ignored;
  for (int i = 0; ignored.ok(); ++i)
    ignored = log.file->Execute(absl::StrCat("INSERT INTO value VALUES ('name", i, "', zeroblob(4000))"));
  log.vfs.SetFull(false);
  EXPECT_FALSE(log.file->Commit().ok());
  EXPECT_EQ(CheckWhole(log), 1u);
}

// Goal: a flipped bit is found when it is read, not handed on. (Its place in the file is the test's, not ours to
// choose.)
TEST_F(CrashTest, FlippedBitIsNeverReadAsAnEvent) {
  TestLog log;
  for (uint64_t i = 1; i <= 30; ++i) ASSERT_OK(CommitOne(log, i, 1 + i % 7));
  const std::vector<std::string> expected = *ReadAll(*log.log, kA);
  log.Close();  // Into the main file.
  const std::string intact = *log.vfs.Content("log.db");
  std::mt19937_64 random(11);
  int found = 0;
  for (int i = 0; i < 4000; ++i) {
    const uint64_t bit = random() % (intact.size() * 8);
    ASSERT_TRUE(log.vfs.FlipBit("log.db", bit));
    absl::Status status = log.Reopen();
    if (status.ok()) {
      const auto seen = ReadAll(*log.log, kA);
      status = seen.status();
      if (seen.ok()) {
        ASSERT_EQ(*seen, expected) << "bit " << bit;
      }
    }
    if (!status.ok()) {
      ++found;
      EXPECT_TRUE(absl::IsDataLoss(status) || absl::IsFailedPrecondition(status)) << "bit " << bit << ": " << status;
    }
    log.Close();
    ASSERT_TRUE(log.vfs.FlipBit("log.db", bit));
    ASSERT_EQ(*log.vfs.Content("log.db") == intact, true) << "bit " << bit;
  }
  EXPECT_GT(found, 200);
}

}  // namespace
}  // namespace assay
