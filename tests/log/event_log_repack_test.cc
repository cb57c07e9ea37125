// Small segments packed together: what may be seen of it is that they take less room.
#include "tests/log/test_events.h"

namespace assay {
namespace {

using ::testing::EndsWith;

const OriginId kA = test::Origin(0xaa);

class RepackTest : public ::testing::Test {
 protected:
  // As a sale leaves them, two tables each.
  void Sell(int count) {
    for (int i = 0; i < count; ++i)
      ASSERT_OK(log_.Commit(kA, {"public.sale", "public.line", "public.line"}, "a piece of jewellery"));
  }
  static void Repack(TestLog& log, size_t events) {
    for (int i = 0; log.log->ShouldRepack(events); ++i) {
      ASSERT_LT(i, 1000) << "it never comes to an end";
      ASSERT_OK(log.file->Begin());
      ASSERT_OK(log.log->Repack(events));
      ASSERT_OK(log.file->Commit());
    }
  }
  static int64_t Number(TestLog& log, const std::string& sql) {
    absl::StatusOr<Statement> statement = log.file->Prepare(sql);
    return statement.ok() && statement->Step().ok() ? statement->OnlyInt() : -1;
  }
  static int64_t SegmentCount(TestLog& log) { return Number(log, "SELECT count(*) FROM segment"); }
  static int64_t Bytes(TestLog& log) { return Number(log, "SELECT sum(length(body)) FROM segment"); }
  std::vector<Hash> Roots(TestLog& log) {
    std::vector<Hash> roots;
    for (uint64_t size = 0; size <= log.log->Head(kA).last.value; ++size) {
      const absl::StatusOr<Hash> root = log.log->RootAt(kA, size);
      EXPECT_OK(root.status());
      if (root.ok()) roots.push_back(*root);
    }
    return roots;
  }

  TestLog log_;
};

TEST_F(RepackTest, EventsStayAsTheyWereAndTakeLessRoom) {
  Sell(200);
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> events, ReadAll(*log_.log, kA));
  const std::vector<Hash> roots = Roots(log_);
  const int64_t bytes = Bytes(log_);
  ASSERT_EQ(SegmentCount(log_), 200);
  EXPECT_FALSE(log_.log->ShouldRepack(601)) << "there are not that many";
  Repack(log_, 300);
  EXPECT_EQ(SegmentCount(log_), 2);
  EXPECT_LT(Bytes(log_), bytes / 2);
  EXPECT_EQ(*ReadAll(*log_.log, kA), events);
  EXPECT_EQ(Roots(log_), roots);
  ASSERT_OK(log_.Reopen());
  EXPECT_EQ(*ReadAll(*log_.log, kA), events);
  EXPECT_EQ(Roots(log_), roots);
  EXPECT_FALSE(log_.log->ShouldRepack(1)) << "after a restart it goes on where it was";
  // The next ones come after them, and another log takes all of it.
  Sell(100);
  Repack(log_, 300);
  EXPECT_EQ(SegmentCount(log_), 3);
  TestLog other;
  ASSERT_OK_AND_ASSIGN(const std::vector<Segment> segments, log_.log->ReadSegments(kA, {1}, 1 << 30, true));
  ASSERT_OK(other.Pull(segments));
  EXPECT_EQ(Roots(other), Roots(log_));
}

TEST_F(RepackTest, LargeOnesAndPiecesOfALargeTransactionStayAsTheyAre) {
  Sell(10);
  ASSERT_OK(log_.Commit(kA, std::vector<std::string>(300, "public.stock")));
  Sell(10);
  ASSERT_OK(log_.Commit(kA, std::vector<std::string>(kSegmentEventsMax + 100, "public.stock")));
  Sell(10);
  ASSERT_EQ(SegmentCount(log_), 10 + 1 + 10 + 2 + 10);
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> events, ReadAll(*log_.log, kA));
  Repack(log_, 120);
  EXPECT_EQ(SegmentCount(log_), 1 + 1 + 1 + 2 + 1);
  EXPECT_EQ(*ReadAll(*log_.log, kA), events);
  // Those that follow are not even looked at, nor after a restart.
  Repack(log_, 1);
  for (int i = 0; i < 3; ++i) ASSERT_OK(log_.Commit(kA, std::vector<std::string>(300, "public.stock")));
  EXPECT_FALSE(log_.log->ShouldRepack(1));
  ASSERT_OK(log_.Reopen());
  EXPECT_FALSE(log_.log->ShouldRepack(1));
}

TEST_F(RepackTest, WhatIsMaskedStaysMasked) {
  Sell(50);
  TestLog branch;
  for (uint64_t first = 1; first < 150; first += 3) {
    ASSERT_OK_AND_ASSIGN(std::vector<Segment> segments, log_.log->ReadSegments(kA, {first}, 1, true));
    for (size_t i = 0; i < segments[0].parts.size(); ++i) {
      if (segments[0].parts[i].table == "public.line") {
        ASSERT_OK(MaskPart(&segments[0], i));
      }
    }
    ASSERT_OK(branch.Pull({segments[0]}));
  }
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> events, ReadAll(*branch.log, kA));
  Repack(branch, 150);
  EXPECT_EQ(SegmentCount(branch), 1);
  EXPECT_EQ(*ReadAll(*branch.log, kA), events);
  EXPECT_EQ(branch.log->Root(kA), log_.log->Root(kA));
  EXPECT_TRUE(absl::IsPermissionDenied(branch.log->ReadEvent(kA, {2}).status()));
}

TEST_F(RepackTest, ReadersGoOn) {
  Sell(50);
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> events, ReadAll(*log_.log, kA));
  ASSERT_OK_AND_ASSIGN(const auto file, LogFile::Open("log.db", {.vfs = log_.vfs.name(), .read_only = true}));
  ASSERT_OK_AND_ASSIGN(const auto elsewhere, EventLog::Open(file.get()));
  EventReader readers[] = {log_.log->Read(kA, {1}), elsewhere->Read(kA, {1})};
  std::vector<std::string> bytes[2];
  const auto read = [&](int of, size_t count) {
    while (count-- > 0) {
      ASSERT_OK_AND_ASSIGN(const StoredEvent* event, readers[of].Next());
      ASSERT_NE(event, nullptr);
      bytes[of].emplace_back(event->bytes);
    }
  };
  for (int of : {0, 1}) read(of, 70);
  Repack(log_, 150);
  ASSERT_EQ(SegmentCount(log_), 1);
  for (int of : {0, 1}) read(of, 80);
  EXPECT_EQ(bytes[0], bytes[1]);
  for (size_t i = 0; i < events.size(); ++i) EXPECT_THAT(events[i], EndsWith(bytes[0][i]));
}

TEST_F(RepackTest, WhatIsRolledBackOrLostIsDoneAgain) {
  Sell(50);
  ASSERT_OK_AND_ASSIGN(const std::vector<std::string> events, ReadAll(*log_.log, kA));
  ASSERT_OK(log_.file->Begin());
  ASSERT_OK(log_.log->Repack(150));
  log_.file->Rollback();
  EXPECT_EQ(SegmentCount(log_), 50);
  EXPECT_EQ(*ReadAll(*log_.log, kA), events);
  EXPECT_TRUE(log_.log->ShouldRepack(150));
  ASSERT_OK(log_.file->Begin());
  ASSERT_OK(log_.file->Execute("INSERT INTO value (name, value) VALUES ('repacked', x'ffff')"));
  ASSERT_OK(log_.file->Commit());
  ASSERT_OK(log_.Reopen());
  EXPECT_TRUE(log_.log->ShouldRepack(150));
  ASSERT_OK(log_.file->Begin());
  ASSERT_OK(log_.file->Execute("UPDATE value SET value = x'05000000000000000000' WHERE name = 'repacked'"));
  ASSERT_OK(log_.file->Commit());
  ASSERT_OK(log_.Reopen());
  Repack(log_, 10);
  EXPECT_EQ(*ReadAll(*log_.log, kA), events);
  EXPECT_LT(SegmentCount(log_), 20);
}

// What a damaged page hides is found before anything is let go.
TEST_F(RepackTest, DamageIsToldAndNothingIsRemoved) {
  Sell(50);
  ASSERT_OK(log_.file->Begin());
  ASSERT_OK(log_.file->Execute("UPDATE segment SET body = zeroblob(length(body)) WHERE last = 75"));
  ASSERT_OK(log_.file->Commit());
  ASSERT_OK(log_.file->Begin());
  EXPECT_TRUE(absl::IsDataLoss(log_.log->Repack(150))) << "the reader of it decides what becomes of the log";
  log_.file->Rollback();
  EXPECT_EQ(SegmentCount(log_), 50);
}

}  // namespace
}  // namespace assay
