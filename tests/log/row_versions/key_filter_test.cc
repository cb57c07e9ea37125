#include "log/row_versions/key_filter.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "log/row_versions/row_ref.h"

namespace assay {
namespace {

class KeyFilterTest : public testing::Test {
 protected:
  RowRef NewRow(uint32_t table) {
    RowRef row{{table}, {}};
    for (uint8_t& byte : row.key) byte = static_cast<uint8_t>(random_());
    return row;
  }
  // Of rows that were never added, how many in a thousand are taken for such.
  double MistakenPerMille(const KeyFilter& filter, uint32_t table) {
    constexpr int kLooks = 100'000;
    int mistaken = 0;
    for (int i = 0; i < kLooks; ++i) mistaken += filter.MayHave(NewRow(table));
    return mistaken * 1000.0 / kLooks;
  }

  std::mt19937_64 random_{1};
};

TEST_F(KeyFilterTest, HasWhatWasAddedAndHardlyAnythingElse) {
  KeyFilter usual(20'000), precise(20'000, 20);
  std::vector<RowRef> rows;
  for (int i = 0; i < 20'000; ++i) rows.push_back(NewRow(1)), usual.Add(rows.back()), precise.Add(rows.back());
  for (const RowRef& row : rows) ASSERT_TRUE(usual.MayHave(row) && precise.MayHave(row));
  EXPECT_LT(MistakenPerMille(usual, 1), 15);
  EXPECT_LT(MistakenPerMille(precise, 1), 2);
}

TEST_F(KeyFilterTest, GrowsWithoutForgetting) {
  KeyFilter filter(100);
  std::vector<RowRef> rows;
  for (int i = 0; i < 50'000; ++i) rows.push_back(NewRow(1)), filter.Add(rows.back());
  for (const RowRef& row : rows) ASSERT_TRUE(filter.MayHave(row));
  EXPECT_LT(MistakenPerMille(filter, 1), 120);  // Nine more filters, each with some 12 of its own.
}

// Keys 1, 2, 3 … of one table are those of the next.
TEST_F(KeyFilterTest, TellsTablesApart) {
  KeyFilter filter(20'000);
  std::vector<RowRef> rows;
  for (int i = 0; i < 20'000; ++i) rows.push_back(NewRow(1)), filter.Add(rows.back());
  int mistaken = 0;
  for (RowRef row : rows) row.table = {2}, mistaken += filter.MayHave(row);
  EXPECT_LT(mistaken, 20'000 / 50);
}

}  // namespace
}  // namespace assay
