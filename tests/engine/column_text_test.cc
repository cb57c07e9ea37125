#include "engine/column_text.h"

#include "gtest/gtest.h"

namespace assay {
namespace {

TEST(ColumnTextTest, IsCutBetweenCharacters) {
  EXPECT_EQ(CutText("abc", 3), "abc");
  EXPECT_EQ(CutText("abc", 2), "ab");
  EXPECT_EQ(CutText("a₹c", 4), "a₹");
  EXPECT_EQ(CutText("a₹c", 3), "a");
  EXPECT_EQ(CutText("a₹c", 2), "a");
  EXPECT_EQ(CutText("₹", 2), "");
  EXPECT_EQ(CutText("", 0), "");
}

TEST(ColumnTextTest, LongOnesAreListedWithTheirSize) {
  EXPECT_EQ(ListedText(std::nullopt), std::nullopt);
  EXPECT_EQ(ListedText(std::string(400, 'x')), std::string(400, 'x'));
  EXPECT_EQ(ListedText(std::string(399, 'x') + "₹"), std::string(399, 'x') + "… (402 bytes)");
}

}  // namespace
}  // namespace assay
