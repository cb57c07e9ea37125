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

}  // namespace
}  // namespace assay
