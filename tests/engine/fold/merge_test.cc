#include "engine/fold/merge.h"

#include <gtest/gtest.h>

#include "tests/support/origins.h"

namespace assay {
namespace {

using test::Origin;

Version At(uint64_t stamp, uint8_t origin) { return {HlcStamp{stamp + 10}, Origin(origin), Sequence{stamp}}; }
const ColumnId kPrice{0}, kStock{1};
RowClaim Insert(Version v) { return {ChangeKind::kInsert, v, {kPrice, kStock}}; }
RowClaim Update(Version v, ColumnId column) { return {ChangeKind::kUpdate, v, {column}}; }
RowClaim Delete(Version v) { return {ChangeKind::kDelete, v, {}}; }

RowVersions Fold(const std::vector<RowClaim>& claims) {
  RowVersions row;
  for (const RowClaim& claim : claims) Merge(VersionsOf(claim), &row);
  return row;
}

const SawFunction kNobodySaw = [](const Version&, const Version&) { return false; };

TEST(MergeTest, TombstoneWinsOverLateInsert) {
  EXPECT_FALSE(Fold({Insert(At(1, 1)), Delete(At(2, 2))}).IsLive());
  EXPECT_FALSE(Fold({Delete(At(2, 2)), Insert(At(1, 1))}).IsLive());
}

TEST(MergeTest, NewerEditBringsADeletedRowBackWithAllItsColumns) {
  const RowVersions row = Fold({Insert(At(1, 1)), Delete(At(2, 2)), Update(At(3, 1), kPrice)});
  EXPECT_TRUE(row.IsLive());
  EXPECT_EQ(*row.Find(kPrice), At(3, 1));
  EXPECT_EQ(*row.Find(kStock), At(1, 1));
}

TEST(MergeTest, EditsOfDifferentColumnsBothSurvive) {
  const RowVersions row = Fold({Insert(At(1, 1)), Update(At(2, 1), kPrice), Update(At(3, 2), kStock)});
  EXPECT_EQ(*row.Find(kPrice), At(2, 1));
  EXPECT_EQ(*row.Find(kStock), At(3, 2));
}

TEST(MergeTest, EqualStampsAreSettledByOrigin) {
  const RowVersions row = Fold({Update(At(5, 2), kPrice), Update(At(5, 1), kPrice)});
  EXPECT_EQ(*row.Find(kPrice), At(5, 2));
}

TEST(MergeTest, RepetitionChangesNothing) {
  const RowVersions once = Fold({Insert(At(1, 1)), Update(At(2, 2), kPrice)});
  const RowVersions twice =
      Fold({Insert(At(1, 1)), Update(At(2, 2), kPrice), Insert(At(1, 1)), Update(At(2, 2), kPrice)});
  EXPECT_EQ(once, twice);
}

TEST(FindMeetingsTest, SameColumnOfTwoOriginsIsAConflict) {
  const auto meetings = FindMeetings(Fold({Update(At(2, 1), kPrice)}), Fold({Update(At(3, 2), kPrice)}), kNobodySaw);
  ASSERT_EQ(meetings.size(), 1u);
  EXPECT_EQ(meetings[0].winner, At(3, 2));
  EXPECT_EQ(meetings[0].loser, At(2, 1));
  EXPECT_EQ(meetings[0].column, kPrice);
}

TEST(FindMeetingsTest, WhatTheWriterHadSeenIsNoConflict) {
  const SawFunction saw = [](const Version& later, const Version& earlier) { return later > earlier; };
  EXPECT_TRUE(FindMeetings(Fold({Update(At(2, 1), kPrice)}), Fold({Update(At(3, 2), kPrice)}), saw).empty());
}

TEST(FindMeetingsTest, DifferentColumnsAndOneOriginAreNoConflict) {
  EXPECT_TRUE(FindMeetings(Fold({Update(At(2, 1), kPrice)}), Fold({Update(At(3, 2), kStock)}), kNobodySaw).empty());
  EXPECT_TRUE(FindMeetings(Fold({Update(At(2, 1), kPrice)}), Fold({Update(At(3, 1), kPrice)}), kNobodySaw).empty());
}

TEST(FindMeetingsTest, DeleteAgainstAnUnseenEditIsAConflictWhoeverIsNewer) {
  const auto deleted_later = FindMeetings(Fold({Update(At(2, 1), kPrice)}), Fold({Delete(At(3, 2))}), kNobodySaw);
  ASSERT_EQ(deleted_later.size(), 1u);
  EXPECT_EQ(deleted_later[0].winner, At(3, 2));
  EXPECT_FALSE(deleted_later[0].column.has_value());
  const auto edited_later = FindMeetings(Fold({Delete(At(2, 1))}), Fold({Update(At(3, 2), kPrice)}), kNobodySaw);
  ASSERT_EQ(edited_later.size(), 1u);
  EXPECT_EQ(edited_later[0].winner, At(3, 2));
}

// The incoming row was itself deleted and brought back elsewhere: that says nothing of who had seen the delete here.
TEST(FindMeetingsTest, ADeleteMeetsTheWriteOfARowThatWasDeletedElsewhereToo) {
  const std::vector<Meeting> meetings =
      FindMeetings(Fold({Delete(At(1, 1))}), Fold({Update(At(2, 2), kPrice), Delete(At(3, 2))}), kNobodySaw);
  ASSERT_EQ(meetings.size(), 1u);
  EXPECT_EQ(meetings[0].column, std::nullopt) << "the life of the row";
}

}  // namespace
}  // namespace assay
