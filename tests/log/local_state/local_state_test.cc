// What the stages remember between steps.
#include "log/local_state/local_state.h"

#include "tests/log/test_events.h"
#include "tests/log/test_rows.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LocalStateTest : public ::testing::Test, protected TestLog {};

TEST_F(LocalStateTest, NoteThatWasNeverWrittenIsEmpty) {
  EXPECT_EQ(*state->Read(kClockNote), HlcStamp{});
  EXPECT_EQ(*state->Read(kOwnOriginNote), OriginId{});
  EXPECT_EQ(*state->Read(kEnrolmentNote), EnrolmentState::kNone);
  EXPECT_EQ(*state->Read(kRenamesNote, TableId{7}), false);
}

TEST_F(LocalStateTest, NotesAreThoseOfTheTransactionUntilItEnds) {
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->Write(kClockNote, {7}));
  ASSERT_OK(state->Write(kClockNote, {8}));
  EXPECT_EQ(*state->Read(kClockNote), HlcStamp{8});
  ASSERT_OK(file->Commit());
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->Write(kClockNote, {9}));
  EXPECT_EQ(*state->Read(kClockNote), HlcStamp{9});
  file->Rollback();
  EXPECT_EQ(*state->Read(kClockNote), HlcStamp{8});
  ASSERT_OK(file->Begin());
  ASSERT_OK(file->Commit());
  ASSERT_OK(Reopen());
  EXPECT_EQ(*state->Read(kClockNote), HlcStamp{8});
}

TEST_F(LocalStateTest, NoteOutsideOfATransactionIsDurableAtOnce) {
  ASSERT_OK(state->Write(kRefusalNote, "another session is open"));
  ASSERT_OK(Reopen());
  EXPECT_EQ(*state->Read(kRefusalNote), "another session is open");
}

TEST_F(LocalStateTest, NoteIsKeptOnceASubject) {
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->Write(kDeclaredNote, {5}, kA, TableId{1}));
  ASSERT_OK(state->Write(kDeclaredNote, {6}, kA, TableId{11}));
  ASSERT_OK(state->Write(kDeclaredNote, {7}, kB, TableId{1}));
  ASSERT_OK(state->Write(kShapeNote, {42, {9}}, "public.products"));
  ASSERT_OK(file->Commit());
  ASSERT_OK(Reopen());
  EXPECT_EQ(*state->Read(kDeclaredNote, kA, TableId{1}), Sequence{5});
  EXPECT_EQ(*state->Read(kDeclaredNote, kA, TableId{11}), Sequence{6});
  EXPECT_EQ(*state->Read(kDeclaredNote, kB, TableId{1}), Sequence{7});
  EXPECT_EQ(*state->Read(kDeclaredNote, kB, TableId{11}), Sequence{});
  EXPECT_EQ(*state->Read(kShapeNote, "public.products"), (DeclaredShape{42, {9}}));
  EXPECT_EQ(*state->Read(kShapeNote, "public.other"), DeclaredShape{});
}

TEST_F(LocalStateTest, DamagedNoteIsNamed) {
  ASSERT_OK(file->Execute("INSERT INTO value VALUES ('captured', x'ffff')"));
  const absl::Status damaged = state->Read(kCapturedNote).status();
  EXPECT_TRUE(absl::IsDataLoss(damaged));
  EXPECT_THAT(std::string(damaged.message()), HasSubstr("the last captured transaction"));
}

TEST_F(LocalStateTest, CursorsMoveWithTheTransaction) {
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->SetProjected(kA, {5}));
  ASSERT_OK(file->Commit());
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->SetProjected(kA, {9}));
  EXPECT_EQ(state->Projected(kA), Sequence{9});
  file->Rollback();
  EXPECT_EQ(state->Projected(kA), Sequence{5});
  ASSERT_OK(Reopen());
  EXPECT_EQ(state->Projected(kA), Sequence{5});
  EXPECT_EQ(state->Projected(kB), Sequence{0});
}

TEST_F(LocalStateTest, SeenIsTheLastEntryAtOrBefore) {
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->AddSeen(kA, {10}, kB, {100}));
  ASSERT_OK(state->AddSeen(kA, {20}, kB, {200}));
  ASSERT_OK(file->Commit());
  EXPECT_EQ(*state->Seen(kA, {9}, kB), Sequence{0});
  EXPECT_EQ(*state->Seen(kA, {10}, kB), Sequence{100});
  EXPECT_EQ(*state->Seen(kA, {19}, kB), Sequence{100});
  EXPECT_EQ(*state->Seen(kA, {1000}, kB), Sequence{200});
  EXPECT_EQ(*state->Seen(kB, {1000}, kA), Sequence{0});
}

TEST_F(LocalStateTest, IntentsAreInTheOrderOfTheirNumbersAndGoAway) {
  EXPECT_THAT(*state->Intents(), IsEmpty());
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->PutIntent(10, "second"));
  ASSERT_OK(state->PutIntent(9, "first, as it was"));
  ASSERT_OK(state->PutIntent(9, "first"));
  ASSERT_OK(file->Commit());
  ASSERT_OK(Reopen());
  EXPECT_THAT(*state->Intents(), ElementsAre("first", "second"));
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->EraseIntent(9));
  ASSERT_OK(file->Commit());
  EXPECT_THAT(*state->Intents(), ElementsAre("second"));
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->ClearIntents());
  ASSERT_OK(file->Commit());
  EXPECT_THAT(*state->Intents(), IsEmpty());
}

TEST_F(LocalStateTest, ReaderInAnotherConnectionFollowsTheWriter) {
  ASSERT_OK_AND_ASSIGN(const auto reader, LogFile::Open("log.db", {.vfs = vfs.name(), .read_only = true}));
  ASSERT_OK_AND_ASSIGN(const auto read_log, EventLog::Open(reader.get()));
  ASSERT_OK_AND_ASSIGN(const auto read_state, LocalState::Open(reader.get(), read_log.get()));
  EXPECT_EQ(*read_state->Seen(kA, {5}, kB), Sequence{0});
  ASSERT_OK(file->Begin());
  ASSERT_OK(state->SetProjected(kA, {1}));
  ASSERT_OK(state->AddSeen(kA, {1}, kB, {7}));
  ASSERT_OK(state->Write(kClockNote, {7}));
  ASSERT_OK(file->Commit());
  ASSERT_OK(read_log->Refresh());
  ASSERT_OK(read_state->Refresh());
  EXPECT_EQ(read_state->Projected(kA), Sequence{1});
  EXPECT_EQ(*read_state->Seen(kA, {5}, kB), Sequence{7});
  EXPECT_EQ(*read_state->Read(kClockNote), HlcStamp{7});
}

}  // namespace
}  // namespace assay
