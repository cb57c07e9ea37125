// The conflicts that this branch has seen.
#include "log/local_state/conflicts.h"

#include "tests/log/test_events.h"
#include "tests/log/test_rows.h"

namespace assay {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

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
