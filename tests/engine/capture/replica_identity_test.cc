// Goal: where PostgreSQL does not tell what a row was before, no more is claimed than what was edited.
// Method: feed changes as a table without REPLICA IDENTITY FULL has them.
#include "tests/engine/capture/recorder_fixture.h"

namespace assay {
namespace {

class ReplicaIdentityTest : public RecorderTest {};

TEST_F(ReplicaIdentityTest, ATableWhoseOldRowsAreNotWholeIsKnownUntilTheyAre) {
  Relation(ReplicaIdentity::kDefault);
  EXPECT_EQ(recorder_->identities().at("public.products"), ReplicaIdentity::kDefault);
  Relation(ReplicaIdentity::kFull);
  EXPECT_TRUE(recorder_->identities().empty());
}

TEST_F(ReplicaIdentityTest, AnUpdateWithoutItsOldRowClaimsWhatTheLogSaysHasChanged) {
  Begin(100);
  Insert({"1", "10.00", "5"});
  Insert({"2", std::nullopt, "6"});
  Commit(100);
  Begin(200);
  ChangeTuples(CaptureItem::Kind::kUpdate, {Text("1"), kUnknown, kUnknown}, {Text("1"), Text("12.00"), Text("5")});
  ChangeTuples(CaptureItem::Kind::kUpdate, {Text("2"), kUnknown, kUnknown}, {Text("2"), {}, Text("6")});
  ChangeTuples(CaptureItem::Kind::kUpdate, {Text("3"), kUnknown, kUnknown}, {Text("3"), Text("1"), Text("7")});
  Commit(200);
  const auto events = Events();
  ASSERT_EQ(events.size(), 5u) << "the second changes nothing";
  ASSERT_EQ(events[3].row().columns_size(), 1);
  EXPECT_EQ(events[3].row().columns(0).value(), "12.00");
  EXPECT_EQ(events[3].row().columns(0).old_value(), "10.00");
  EXPECT_EQ(events[4].row().columns_size(), 2) << "of a row that the log does not know, all may be new";
}

TEST_F(ReplicaIdentityTest, ADeleteWithoutItsOldRowSaysWhatTheLogHasOfIt) {
  Begin(100);
  Insert({"1", "10.00", "5"});
  Commit(100);
  Begin(200);
  ChangeTuples(CaptureItem::Kind::kDelete, {Text("1"), kUnknown, kUnknown}, {});
  Commit(200);
  const auto events = Events();
  ASSERT_EQ(events.size(), 3u);
  ASSERT_EQ(events[2].row().columns_size(), 2);
  EXPECT_EQ(events[2].row().columns(0).old_value(), "10.00");
  EXPECT_EQ(events[2].row().columns(1).old_value(), "5");
}

TEST_F(ReplicaIdentityTest, WhatTheSameTransactionWroteJustBeforeIsKnown) {
  Begin(100);
  Insert({"1", "10.00", "5"});
  ChangeTuples(CaptureItem::Kind::kUpdate, {Text("1"), kUnknown, kUnknown}, {Text("1"), Text("12.00"), Text("5")});
  ChangeTuples(CaptureItem::Kind::kUpdate, {Text("1"), kUnknown, kUnknown}, {Text("1"), Text("12.00"), {}});
  ChangeTuples(CaptureItem::Kind::kDelete, {Text("1"), kUnknown, kUnknown}, {});
  Commit(100);
  const auto events = Events();
  ASSERT_EQ(events.size(), 5u);
  ASSERT_EQ(events[2].row().columns_size(), 1);
  EXPECT_EQ(events[2].row().columns(0).old_value(), "10.00");
  ASSERT_EQ(events[3].row().columns_size(), 1);
  EXPECT_EQ(events[3].row().columns(0).old_value(), "5");
  EXPECT_EQ(events[4].row().columns(0).old_value(), "12.00");
  EXPECT_TRUE(events[4].row().columns(1).old_is_null());
}

TEST_F(ReplicaIdentityTest, AKeyThatMovesWithoutItsOldRowTakesItsLargeValuesFromTheLog) {
  Begin(100);
  Insert({"1", "10.00", "5"});
  Commit(100);
  Begin(200);
  ChangeTuples(CaptureItem::Kind::kUpdate, {Text("1"), kUnknown, kUnknown}, {Text("9"), kUnknown, Text("5")});
  Commit(200);
  const auto events = Events();
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[3].row().columns(0).value(), "10.00");
  EXPECT_TRUE(recorder_->unrecorded().empty());
}

// REPLICA IDENTITY USING INDEX: nothing says whether an update has moved the primary key.
TEST_F(ReplicaIdentityTest, AnUpdateThatDoesNotTellItsOldKeyIsOfTheRowThatTheLogHas) {
  Begin(100);
  Insert({"1", "10.00", "5"});
  Commit(100);
  Begin(200);
  ChangeTuples(CaptureItem::Kind::kUpdate, {kUnknown, kUnknown, Text("5")}, {Text("1"), Text("12.00"), Text("5")});
  ChangeTuples(CaptureItem::Kind::kUpdate, {kUnknown, kUnknown, Text("6")}, {Text("2"), Text("12.00"), Text("6")});
  Commit(200);
  const auto events = Events();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[2].row().columns_size(), 1);
  EXPECT_EQ(recorder_->unrecorded().at("public.products").rows, 1u) << "no row is there that it could be of";
}

}  // namespace
}  // namespace assay
