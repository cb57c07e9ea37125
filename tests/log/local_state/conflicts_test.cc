// The conflicts that this branch has seen.
#include "log/local_state/conflicts.h"

#include <limits>
#include <vector>

#include "tests/log/test_events.h"
#include "tests/log/test_rows.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class ConflictsTest : public ::testing::Test, protected TestLog {};

TEST_F(ConflictsTest, ConflictsAreListedInOrder) {
  ASSERT_OK(file->Begin());
  for (int i = 0; i < 3; ++i) {
    Conflict conflict{.row = Row(1, "k"),
                      .key = EncodeKey({"k"}),
                      .winner = V(9, kA, 1),
                      .loser = V(8, kB, 2),
                      .rule = "newest",
                      .found_ms = i};
    if (i > 0) conflict.column = ColumnId{3};
    ASSERT_OK(conflicts->Add(conflict));
  }
  ASSERT_OK(file->Commit());
  ASSERT_OK(Reopen());
  EXPECT_EQ(conflicts->count(), 3);
  const auto first = *conflicts->List(0, 2);
  ASSERT_THAT(first, SizeIs(2));
  EXPECT_EQ(first[0].column, std::nullopt);
  EXPECT_EQ(first[1].column, ColumnId{3});
  EXPECT_EQ(first[0].winner, V(9, kA, 1));
  EXPECT_EQ(first[0].loser, V(8, kB, 2));
  EXPECT_EQ(first[0].rule, "newest");
  const auto rest = *conflicts->List(first[1].id, 10);
  ASSERT_THAT(rest, SizeIs(1));
  EXPECT_EQ(rest[0].found_ms, 2);
}

// Goal: the list does not grow for ever, and is the same wherever the log is: the log's own time counts, whoever moves
// it.
TEST_F(ConflictsTest, APairIsKeptForNinetyDaysOfTheLogsOwnTime) {
  const uint64_t kept = HlcStamp::FromMillis(kConflictDays * 24 * 3600 * 1000).value;
  ASSERT_OK(file->Begin());
  for (const uint64_t loser : {100, 200})
    ASSERT_OK(conflicts->Add({.row = Row(1, "k"), .winner = V(300, kA, 1), .loser = V(loser, kB, 2)}));
  ASSERT_OK(file->Commit());
  const auto append = [&](uint64_t stamp) -> absl::Status {
    ASSAY_RETURN_IF_ERROR(file->Begin());
    const uint64_t next = log->Head(kA).last.value + 1;
    ASSAY_RETURN_IF_ERROR(AppendAll(*log, MakeTransaction(kA, next, stamp, {"public.t"})));
    return file->Commit();
  };
  ASSERT_OK(append(kept + 100));
  EXPECT_EQ(conflicts->count(), 2);
  ASSERT_OK(append(kept + 101));
  EXPECT_EQ(conflicts->count(), 1);
  EXPECT_EQ((*conflicts->List(0, 10))[0].loser, V(200, kB, 2));

  ASSERT_OK(file->Begin());
  ASSERT_OK(conflicts->Add({.row = Row(1, "k"), .winner = V(300, kA, 1), .loser = V(100, kB, 2)}));
  ASSERT_OK(file->Commit());
  EXPECT_EQ(conflicts->count(), 1) << "found after its time";
  ASSERT_OK(append(2 * kept));
  ASSERT_OK(Reopen());
  EXPECT_EQ(conflicts->count(), 0);
  EXPECT_THAT(*conflicts->List(0, 10), IsEmpty());
}

TEST_F(ConflictsTest, TheNewestComeFirstPageByPage) {
  ASSERT_OK(file->Begin());
  for (uint64_t i = 1; i <= 5; ++i) {
    ASSERT_OK(conflicts->Add({.row = Row(1, "k"), .winner = V(9, kA, 10 + i), .loser = V(8, kB, i), .listed = i != 3}));
  }
  ASSERT_OK(file->Commit());
  EXPECT_EQ(conflicts->count(), 4) << "who agree need not be looked at";
  std::vector<uint64_t> losers;
  for (int64_t before = std::numeric_limits<int64_t>::max();;) {
    ASSERT_OK_AND_ASSIGN(const auto page, conflicts->ListNewest(before, 3));
    if (page.empty()) break;
    for (const Conflict& conflict : page) losers.push_back(conflict.loser.sequence.value);
    before = page.back().id;
  }
  EXPECT_THAT(losers, ElementsAre(5, 4, 2, 1));
}

// Goal: a row with a long history of conflicts costs whoever writes it no more than what is new to them.
TEST_F(ConflictsTest, PairsAreFoundByTheSideThatIsUnseen) {
  ASSERT_OK(file->Begin());
  EXPECT_FALSE(conflicts->MayHave(Row(1, "k")));
  for (uint64_t i = 1; i <= 4; ++i)
    ASSERT_OK(conflicts->Add({.row = Row(1, "k"), .winner = V(9, kA, 10 + i), .loser = V(8, kB, i)}));
  ASSERT_OK(conflicts->Add({.row = Row(1, "other"), .winner = V(9, kA, 15), .loser = V(8, kB, 5)}));
  EXPECT_TRUE(conflicts->MayHave(Row(1, "k")));
  const auto losers = [&](const std::vector<Conflict>& pairs) {
    std::vector<uint64_t> found;
    for (const Conflict& pair : pairs) found.push_back(pair.loser.sequence.value);
    return found;
  };
  std::vector<Conflict> pairs;
  ASSERT_OK(conflicts->AddUnseen(Row(1, "k"), kB, Sequence{2}, &pairs));
  EXPECT_THAT(losers(pairs), UnorderedElementsAre(3, 4));
  ASSERT_OK(conflicts->AddUnseen(Row(1, "k"), kA, Sequence{11}, &pairs));
  EXPECT_THAT(losers(pairs), UnorderedElementsAre(2, 3, 4)) << "each once";
  ASSERT_OK(conflicts->Remove(pairs.back()));
  pairs.clear();
  ASSERT_OK(conflicts->AddUnseen(Row(1, "k"), kB, Sequence{2}, &pairs));
  EXPECT_THAT(pairs, SizeIs(1));
  ASSERT_OK(file->Commit());
}

TEST_F(ConflictsTest, RolledBackConflictIsForgotten) {
  ASSERT_OK(file->Begin());
  ASSERT_OK(conflicts->Add({.row = Row(1, "k"), .winner = V(9, kA, 1), .loser = V(8, kB, 2)}));
  EXPECT_EQ(conflicts->count(), 1);
  file->Rollback();
  EXPECT_EQ(conflicts->count(), 0);
  EXPECT_THAT(*conflicts->List(0, 10), IsEmpty());
}

TEST_F(ConflictsTest, ReaderInAnotherConnectionFollowsTheWriter) {
  ASSERT_OK_AND_ASSIGN(const auto reader, LogFile::Open("log.db", {.vfs = vfs.name(), .read_only = true}));
  ASSERT_OK_AND_ASSIGN(const auto read_log, EventLog::Open(reader.get()));
  ASSERT_OK_AND_ASSIGN(const auto read_conflicts, Conflicts::Open(reader.get(), read_log.get()));
  ASSERT_OK(file->Begin());
  ASSERT_OK(conflicts->Add({.row = Row(1, "k"), .winner = V(9, kA, 1), .loser = V(8, kB, 2)}));
  ASSERT_OK(file->Commit());
  ASSERT_OK(read_log->Refresh());
  ASSERT_OK(read_conflicts->Refresh());
  EXPECT_EQ(read_conflicts->count(), 1);
  EXPECT_THAT(*read_conflicts->List(0, 10), SizeIs(1));
}

}  // namespace
}  // namespace assay
