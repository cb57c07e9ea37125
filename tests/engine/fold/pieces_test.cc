// Goal: elements stay where they are while more come, and come back in their order.
// Method: more of them than a piece holds, small and large ones.
#include "engine/fold/pieces.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>

namespace assay {
namespace {

template <typename T>
class PiecesTest : public ::testing::Test {};
using Elements = ::testing::Types<int, std::array<int, 50>, std::array<int, 5000>>;  // A piece holds 4096, 81 and one.
TYPED_TEST_SUITE(PiecesTest, Elements);

void Set(int* element, int value) { *element = value; }
template <size_t N>
void Set(std::array<int, N>* element, int value) {
  element->fill(value);
}
int Of(int element) { return element; }
template <size_t N>
int Of(const std::array<int, N>& element) {
  return element.back();
}

TYPED_TEST(PiecesTest, ElementsStayWhereTheyAreAndInTheirOrder) {
  Pieces<TypeParam> pieces;
  EXPECT_TRUE(pieces.empty());
  EXPECT_TRUE(pieces.begin() == pieces.end());
  std::vector<TypeParam*> places;
  for (int i = 0; i < 10'000; ++i) {
    TypeParam& added = pieces.emplace_back();
    Set(&added, i);
    if (i % 97 == 0) places.push_back(&added);
  }
  ASSERT_EQ(pieces.size(), 10'000u);
  for (size_t i = 0; i < places.size(); ++i) EXPECT_EQ(places[i], &pieces[i * 97]);
  int expected = 0;
  for (const TypeParam& element : pieces) ASSERT_EQ(Of(element), expected++);
  EXPECT_EQ(expected, 10'000);
  const Pieces<TypeParam>& read_only = pieces;
  EXPECT_EQ(Of(read_only[9'999]), 9'999);
}

TEST(PiecesClearTest, ClearDestroysThemAllAndItMayBeginAgain) {
  Pieces<std::shared_ptr<int>> pieces;
  const auto element = std::make_shared<int>();
  for (int i = 0; i < 5000; ++i) pieces.emplace_back(element);
  EXPECT_EQ(element.use_count(), 5001);
  pieces.clear();
  EXPECT_EQ(element.use_count(), 1);
  EXPECT_TRUE(pieces.empty());
  pieces.emplace_back(element);
  EXPECT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0], element);
}

}  // namespace
}  // namespace assay
