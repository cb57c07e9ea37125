// Goal: what only PostgreSQL has, of a row that the log knows, is recorded once, as nobody's edit, and only of the row
// as it was judged.
#include "engine/recovery/found_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/recovery/live_fold.h"
#include "tests/engine/recovery/recorded_branch.h"

namespace assay {
namespace {

using test::RecordedBranch;
using test::Row;
using ::testing::IsEmpty;

class FoundRowsTest : public ::testing::Test {
 protected:
  // The table with one more column, as ALTER TABLE leaves it.
  void AddColumn() {
    here_.shape = std::make_shared<TableShape>(*here_.shape);
    here_.shape->columns.push_back({"taxed", "boolean", true, false});
  }
  // What a comparison finds, which reads these rows.
  FoundRows Judge(const std::vector<Row>& rows) {
    LiveFold fold(here_.stores(), here_.own);
    EXPECT_TRUE(fold.BeginTable(*here_.shape).ok());
    FoundRows found{here_.shape, fold.declared(), {}};
    std::vector<LiveFold::HashedRow> hashed;
    for (const Row& row : rows) hashed.push_back(fold.Hash(test::Tuple(row)));
    CheckedTable checked;
    std::vector<size_t> doubtful, with_found;
    EXPECT_TRUE(fold.Compare(hashed, &checked, &doubtful, &with_found).ok());
    EXPECT_THAT(doubtful, IsEmpty());
    for (const size_t i : with_found) {
      std::optional<FoundRow> one = fold.FoundIn(rows[i]).value();
      if (one.has_value()) found.rows.push_back(*std::move(one));
    }
    return found;
  }
  size_t Record(const FoundRows& found) {
    return FoundRecorder(here_.stores(), here_.recorder.get(), &clock_).Record(found).value();
  }
  ColumnId Taxed() { return here_.names->ColumnIdOf(here_.names->IdOf(here_.shape->name).value(), "taxed").value(); }

  RecordedBranch here_{1};
  test::HandClock clock_;
};

TEST_F(FoundRowsTest, AValueOfWhichTheLogHasNoneIsRecordedOnceAndBeatsNoEdit) {
  here_.Insert({"1", "a", "a"});
  here_.Insert({"2", "b", "b"});
  AddColumn();
  const std::vector<Row> rows = {{"1", "a", "a", "t"}, {"2", "b", "b", std::nullopt}};
  const FoundRows found = Judge(rows);
  EXPECT_EQ(Record(found), 1u) << "NULL is no value";
  const v1::Event recorded = here_.RowEvents().back();
  EXPECT_EQ(recorded.row().standing(), v1::RowChange::FOUND);
  EXPECT_EQ(recorded.row().operation(), v1::RowChange::UPDATE);
  ASSERT_EQ(recorded.row().columns_size(), 1);
  EXPECT_EQ(recorded.row().columns(0).value(), "t");
  EXPECT_FALSE(recorded.row().columns(0).has_old_value() || recorded.row().columns(0).old_is_null());
  const Version version = *here_.Versions("1").Find(Taxed());
  EXPECT_FALSE(IsEdit(version));
  EXPECT_LT(version, Newest(here_.Versions("1")));
  EXPECT_EQ(here_.unsettled->count(), 0) << "PostgreSQL shows it";
  EXPECT_THAT(Judge(rows).rows, IsEmpty());
  EXPECT_EQ(Record(found), 0u) << "and a piece that is handed in once more";
  // What is captured next is somebody's.
  here_.Update({"1", "a", "a", "t"}, {"1", "a", "a", "f"});
  EXPECT_TRUE(IsEdit(*here_.Versions("1").Find(Taxed())));
}

TEST_F(FoundRowsTest, ARowThatHasChangedOrWaitsSinceIsLeftOut) {
  for (const char* key : {"1", "2", "3", "4"}) here_.Insert({key, "a", "a"});
  AddColumn();
  const FoundRows found =
      Judge({{"1", "a", "a", "t"}, {"2", "a", "a", "t"}, {"3", "a", "a", "t"}, {"4", "a", "a", "t"}});
  ASSERT_EQ(found.rows.size(), 4u);
  here_.shape = test::Products();  // As it was captured before the column came.
  here_.Update({"1", "a", "a"}, {"1", "b", "a"});
  here_.Delete({"2", "a", "a"});
  ASSERT_TRUE(here_.unsettled->MarkDifferent(here_.Ref("3"), {EncodeKey(RowKey{"3"}), here_.own, Sequence{2}}, 0).ok());
  EXPECT_EQ(Record(found), 1u);
  EXPECT_EQ(here_.RowEvents().back().row().key(0), "4");
  EXPECT_EQ(here_.RowEvents().back().row().standing(), v1::RowChange::FOUND);
}

TEST_F(FoundRowsTest, OfATableThatWasAlteredSinceNothingIsRecorded) {
  here_.Insert({"1", "a", "a"});
  AddColumn();
  const FoundRows found = Judge({{"1", "a", "a", "t"}});
  here_.Insert({"2", "a", "a", "f"});
  EXPECT_EQ(Record(found), 0u);
  EXPECT_EQ(Record(Judge({{"1", "a", "a", "t"}})), 1u);
}

TEST_F(FoundRowsTest, AColumnThatIsAnothersUnderANewNameIsNobodysToRecord) {
  here_.shape->columns = {{"id", "integer", true, false, 1}, {"v", "text", false, false, 2}};
  here_.Insert({"1", "a"});
  here_.shape = std::make_shared<TableShape>(*here_.shape);
  here_.shape->columns[1].name = "title";
  EXPECT_THAT(Judge({{"1", "a"}}).rows, IsEmpty());
}

}  // namespace
}  // namespace assay
