// Goal: a row goes unread only while it is new to everybody, and into a table that has been read and does not answer.
#include "engine/projection/optimistic_inserts.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

class OptimisticInsertsTest : public ::testing::Test {
 protected:
  OptimisticInsertsTest() {
    small_.Write(small_.delhi(), v1::RowChange::INSERT, "7", {{{}, "ring"}, {{}, "9"}});
    small_.Write(small_.delhi(), v1::RowChange::DELETE, "8", {{"band", {}}, {"9", {}}});
    small_.open().InTransaction([&] { ASSERT_TRUE(batch_.Gather(1000).value()); });
  }
  // Row 7, which was inserted, or row 8, which was deleted.
  TargetRow Target(const std::string& key, bool unknown = true) const {
    for (const PendingRow& row : batch_.rows()) {
      if (row.key() == EncodeKey(RowKey{key})) return {.ref = row.ref, .pending = &row, .unknown = unknown};
    }
    ADD_FAILURE() << key;
    return {};
  }
  std::vector<TargetRow> Unread() const {
    std::vector<TargetRow> targets;
    targets.push_back(Target("7"));
    targets[0].read = false;
    return targets;
  }
  TableId Table() const { return Target("7").ref.table; }

  test::TempDirectory directory_{"inserts"};
  test::SmallLog small_{directory_.path() + "/log.db"};
  const Stores stores_ = small_.open().stores();
  Batch batch_{small_.mumbai(), stores_.log, stores_.names, stores_.state};
  OptimisticInserts inserts_;
  const TableShape shape_{{"public", "items"}, {{"id", "text", true}, {"name", "text", false}}, {0}};
};

TEST_F(OptimisticInsertsTest, ARowGoesUnreadIfItIsNewToTheLogAndIsThereByTheBatch) {
  EXPECT_TRUE(inserts_.MayGoUnread(Target("7")));
  EXPECT_FALSE(inserts_.MayGoUnread(Target("7", /*unknown=*/false)));
  EXPECT_FALSE(inserts_.MayGoUnread(Target("8"))) << "it may have to be deleted";
}

TEST_F(OptimisticInsertsTest, OnceOneWasThereAllAreReadUntilNoneIsThere) {
  inserts_.OnRefuted();
  EXPECT_FALSE(inserts_.MayGoUnread(Target("7")));
  inserts_.OnUnknownRows(/*read=*/0, /*there=*/0);
  EXPECT_FALSE(inserts_.MayGoUnread(Target("7"))) << "none was looked for";
  inserts_.OnUnknownRows(/*read=*/5, /*there=*/1);
  EXPECT_FALSE(inserts_.MayGoUnread(Target("7")));
  inserts_.OnUnknownRows(/*read=*/5, /*there=*/0);
  EXPECT_TRUE(inserts_.MayGoUnread(Target("7")));
}

TEST_F(OptimisticInsertsTest, ATableIsKnownWhileItDoesNotAnswerAndTheServerIsTheSame) {
  EXPECT_FALSE(inserts_.Tables(Unread()).has_value()) << "it was never read";
  inserts_.OnTable(Table(), {.shape = shape_});
  const std::optional<ReadReply> tables = inserts_.Tables(Unread());
  ASSERT_TRUE(tables.has_value());
  EXPECT_EQ(tables->tables[0].shape, shape_);
  EXPECT_EQ(*inserts_.Shape(Table()), shape_);
  std::vector<TargetRow> read = Unread();
  read[0].read = true;
  EXPECT_FALSE(inserts_.Tables(read).has_value());
  inserts_.OnTable(Table(), {.shape = shape_, .answers = "trigger audit"});
  EXPECT_FALSE(inserts_.Tables(Unread()).has_value()) << "what answers is always looked at";
  inserts_.OnTable(Table(), {.shape = shape_});
  inserts_.ForgetTables();
  EXPECT_FALSE(inserts_.Tables(Unread()).has_value());
}

}  // namespace
}  // namespace assay
