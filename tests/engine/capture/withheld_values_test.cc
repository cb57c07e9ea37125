// Goal: a value that is in one database alone is named until it no longer is.
// Method: note changes made by hand, over a real log file; a restart is another object over the same file.
#include "engine/capture/withheld_values.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "tests/support/open_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class WithheldValuesTest : public ::testing::Test {
 protected:
  WithheldValuesTest() { Restart(); }
  void Restart() {
    withheld_ = std::make_unique<WithheldValues>(log_.state.get());
    ASSERT_TRUE(withheld_->Load().ok());
  }
  static TableShape Shape(const std::string& table) {
    return {{"public", table}, {{"id", "text", true}, {"photo", "bytea"}, {"note", "text"}}, {0}};
  }
  // Row `key` was written; of the columns (ordinals), those in `withheld` were too large.
  void Note(v1::RowChange::Operation operation, const std::string& key, const std::vector<uint32_t>& columns,
            const std::vector<uint32_t>& withheld, const std::string& table = "items") {
    v1::RowChange row;
    row.set_operation(operation);
    for (uint32_t column : columns) row.add_columns()->set_ordinal(column);
    const std::vector<TupleValue> tuple = {
        {TupleValue::Kind::kText, key}, {TupleValue::Kind::kText, large_}, {TupleValue::Kind::kText, large_}};
    log_.InTransaction([&] { ASSERT_TRUE(withheld_->Note(Shape(table), {key}, row, withheld, tuple).ok()); });
  }
  // "table key column bytes" of each.
  std::vector<std::string> Named() {
    std::vector<std::string> out;
    for (const WithheldValue& value : withheld_->values()) {
      out.push_back(
          absl::StrCat(value.table, " ", DecodeKey(value.key).value()[0], " ", value.column, " ", value.bytes));
    }
    return out;
  }

  test::TempDirectory directory_{"withheld"};
  test::OpenLog log_{directory_.path() + "/log.db"};
  const std::string large_ = std::string(1000, 'x');
  std::unique_ptr<WithheldValues> withheld_;
};

TEST_F(WithheldValuesTest, IsNamedUntilASmallerValueIsWritten) {
  Note(v1::RowChange::INSERT, "7", {1, 2}, {1, 2});
  EXPECT_THAT(Named(), ElementsAre("public.items 7 photo 1000", "public.items 7 note 1000"));
  Restart();
  EXPECT_THAT(Named(), ElementsAre("public.items 7 photo 1000", "public.items 7 note 1000"));
  Note(v1::RowChange::UPDATE, "7", {2}, {});
  EXPECT_THAT(Named(), ElementsAre("public.items 7 photo 1000")) << "the other column was not written";
  Note(v1::RowChange::UPDATE, "7", {1}, {1});
  EXPECT_THAT(Named(), ElementsAre("public.items 7 photo 1000")) << "another one that is too large: named once";
  Note(v1::RowChange::UPDATE, "7", {1}, {});
  EXPECT_THAT(Named(), IsEmpty());
  Restart();
  EXPECT_THAT(Named(), IsEmpty());
}

TEST_F(WithheldValuesTest, ADeletedRowHasNone) {
  Note(v1::RowChange::INSERT, "7", {1}, {1});
  Note(v1::RowChange::INSERT, "8", {1}, {1});
  Note(v1::RowChange::INSERT, "7", {1}, {1}, "others");
  Note(v1::RowChange::DELETE, "7", {}, {});
  EXPECT_THAT(Named(), ElementsAre("public.items 8 photo 1000", "public.others 7 photo 1000")) << "of that row only";
}

TEST_F(WithheldValuesTest, OnlyTheNewestHundredAreKept) {
  for (int i = 0; i < 103; ++i) Note(v1::RowChange::INSERT, std::to_string(i), {1}, {1});
  ASSERT_EQ(withheld_->values().size(), 100u);
  EXPECT_EQ(Named().front(), "public.items 3 photo 1000");
  EXPECT_EQ(Named().back(), "public.items 102 photo 1000");
}

TEST_F(WithheldValuesTest, ARollbackForgetsWhatItNoted) {
  Note(v1::RowChange::INSERT, "7", {1}, {1});
  ASSERT_TRUE(log_.file->Begin().ok());
  v1::RowChange row;
  row.set_operation(v1::RowChange::DELETE);
  ASSERT_TRUE(withheld_->Note(Shape("items"), {"7"}, row, {}, {}).ok());
  EXPECT_THAT(Named(), IsEmpty());
  log_.file->Rollback();
  ASSERT_TRUE(withheld_->Load().ok());
  EXPECT_THAT(Named(), ElementsAre("public.items 7 photo 1000"));
}

}  // namespace
}  // namespace assay
