// Which values of a sequence are a branch's own, on every corner.
#include "tools/survey/fed_sequences.h"

#include <cstdint>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(StrideTest, TheNextValueIsTheSmallestOfTheClassAboveAll) {
  for (int64_t stride : {1, 2, 7, 64}) {
    for (int64_t number = 1; number <= stride; ++number) {
      for (int64_t above : {-70, -1, 0, 1, 63, 64, 65, 1000}) {
        SequenceState state;
        state.minimum = -100;
        state.above = above;
        const StridedSequence strided = StrideSequence(state, stride, number).value();
        EXPECT_GT(strided.next, above);
        EXPECT_LE(strided.next, above + stride);
        EXPECT_EQ(((strided.next - number) % stride + stride) % stride, 0);
        EXPECT_EQ(((strided.start - number) % stride + stride) % stride, 0);
        EXPECT_LE(strided.start, strided.next);
      }
    }
  }
  SequenceState last;
  last.above = INT64_MAX - 1;
  EXPECT_TRUE(StrideSequence(last, 64, 63).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(StrideSequence(last, 64, 62).status()));
  last.increment = INT64_MAX;
  EXPECT_TRUE(absl::IsFailedPrecondition(StrideSequence(last, 64, 1).status()));
}

TEST(StrideTest, ASequenceInBlocksKeepsItsAlignment) {
  SequenceState blocks{.increment = 50, .start = 1, .above = 1234};
  std::vector<int64_t> heads;
  for (int64_t number = 1; number <= 4; ++number) {
    const StridedSequence strided = StrideSequence(blocks, 4, number).value();
    EXPECT_EQ(strided.increment, 200);
    EXPECT_EQ(strided.next % 50, 1) << "the ORM's blocks begin at 1, 51, 101, ...";
    heads.push_back(strided.next);
  }
  EXPECT_THAT(heads, ElementsAre(1251, 1301, 1351, 1401)) << "no two branches have one block";
}

TEST(StrideTest, WhatIsLeftCountsTheNextValueToo) {
  SequenceState small{.maximum = 100};
  EXPECT_EQ(StrideSequence(small, 10, 3)->left, 10);  // 3, 13, ..., 93.
  small.above = 92;
  EXPECT_EQ(StrideSequence(small, 10, 3)->left, 1);
  small.above = 93;
  const absl::Status none = StrideSequence(small, 10, 3).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(none));
  EXPECT_THAT(std::string(none.message()), HasSubstr("larger type"));
  EXPECT_EQ(StrideSequence({.minimum = INT64_MIN + 1, .above = INT64_MIN}, 1, 1)->left, INT64_MAX);
}

TEST(StrideTest, WhatCannotBeStridedIsRefusedWithItsReason) {
  EXPECT_THAT(std::string(StrideSequence({.cycles = true}, 64, 1).status().message()), HasSubstr("CYCLE"));
  EXPECT_THAT(std::string(StrideSequence({.increment = -1}, 64, 1).status().message()), HasSubstr("counts down"));
}

// As ListSequences would find what StrideSequence made for branch 3 of 64.
FedSequence Strided(int64_t increment, int64_t start) {
  FedSequence sequence;
  sequence.state.increment = increment;
  sequence.state.start = start;
  const StridedSequence strided = StrideSequence(sequence.state, 64, 3).value();
  sequence.increment_now = strided.increment;
  sequence.start_now = strided.start;
  sequence.stride = 64;
  sequence.number = 3;
  return sequence;
}

TEST(StrayTest, ASequenceAsItWasStridedIsNone) {
  for (const int64_t increment : {1, 2, 50}) {
    for (const int64_t start : {1, 2, 7, 100, 1000}) {
      FedSequence sequence = Strided(increment, start);
      EXPECT_EQ(StrayBecause(sequence, 64, 3), "") << increment << " from " << start;
      sequence.last = sequence.start_now + 5 * sequence.increment_now;
      EXPECT_EQ(StrayBecause(sequence, 64, 3), "");
      EXPECT_NE(StrayBecause(sequence, 64, 4), "");
      EXPECT_NE(StrayBecause(sequence, 32, 3), "");
    }
  }
}

TEST(StrayTest, WhatTakesItOutOfItsClassIsNamed) {
  FedSequence moved = Strided(1, 1);
  moved.last = 130;
  EXPECT_THAT(StrayBecause(moved, 64, 3), HasSubstr("it stands at 130"));
  FedSequence stepped = Strided(1, 1);
  stepped.increment_now = 1;
  EXPECT_THAT(StrayBecause(stepped, 64, 3), HasSubstr("it steps by 1 in place of 64"));
  FedSequence restarted = Strided(1, 1);
  restarted.start_now = 1;
  EXPECT_THAT(StrayBecause(restarted, 64, 3), HasSubstr("it begins with 1 when it is restarted"));
  FedSequence fresh;
  fresh.increment_now = 1;
  EXPECT_THAT(StrayBecause(fresh, 64, 3), HasSubstr("as at every branch"));
}

}  // namespace
}  // namespace assay
