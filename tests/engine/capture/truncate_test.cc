// Goal: TRUNCATE is the delete of just the rows that were there, under the key that the log has them by.
// Method: a recorder over a real log; the deletes are read back from its chain.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/recovery/recorded_branch.h"

namespace assay {
namespace {

using test::RecordedBranch;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TruncateTest : public ::testing::Test {
 protected:
  void Truncate() { branch_.Record(CaptureItem::Kind::kTruncate, {}, {}); }
  std::vector<std::string> Deleted() {
    std::vector<std::string> keys;
    for (const v1::Event& event : branch_.RowEvents()) {
      if (event.row().operation() == v1::RowChange::DELETE) keys.push_back(event.row().key(0));
    }
    return keys;
  }

  RecordedBranch branch_{1};
};

// The event of the only row is not in the log yet when its key is looked for.
TEST_F(TruncateTest, TheOnlyRowOfItsTransactionIsDeletedToo) {
  CaptureItem item;
  item.commit_lsn = item.end_lsn = {100};
  item.relation = branch_.shape;
  for (const CaptureItem::Kind kind : {CaptureItem::Kind::kBegin, CaptureItem::Kind::kInsert,
                                       CaptureItem::Kind::kTruncate, CaptureItem::Kind::kCommit}) {
    item.kind = kind;
    if (kind == CaptureItem::Kind::kInsert) item.new_tuple = test::Tuple({"1", "a", "b"});
    ASSERT_EQ(branch_.recorder->Record(item), absl::OkStatus());
  }
  EXPECT_THAT(Deleted(), ElementsAre("1"));
  EXPECT_FALSE(branch_.Versions("1").IsLive());
  EXPECT_THAT(branch_.recorder->unrecorded(), IsEmpty());
}

// Method: rows that came without an event, as with a partition that is attached: one is edited, and one is set to what
// it was.
TEST_F(TruncateTest, ARowThatNobodyWroteToLeavesNoEvent) {
  branch_.Update({"1", "a", "b"}, {"1", "a", "c"});
  branch_.Update({"2", "a", "b"}, {"2", "a", "b"});
  Truncate();
  EXPECT_THAT(Deleted(), ElementsAre("1"));
}

TEST_F(TruncateTest, AfterTheKeyHasMovedRowsAreDeletedUnderTheNewOne) {
  branch_.Insert({"1", "a", "b"});
  branch_.shape = std::make_shared<TableShape>(*branch_.shape);
  branch_.shape->key = {1};
  branch_.Insert({"2", "c", "d"});
  Truncate();
  EXPECT_THAT(Deleted(), ElementsAre("c")) << "the row before is known by a key that the table has no more";
  EXPECT_EQ(branch_.recorder->unrecorded().size(), 1u) << "and its table is named";
}

}  // namespace
}  // namespace assay
