#include "adapters/hub/pieces.h"

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"

namespace assay {
namespace {

using ::testing::ElementsAre;

OriginId OriginOf(char c) {
  OriginId origin;
  origin.bytes.fill(static_cast<uint8_t>(c));
  return origin;
}

// A reply with one segment of one event a word: "a1" is chain a's first, "a2:9" its second, of which 9 bytes are
// awaited.
PulledFrame Reply(const std::vector<std::string>& words) {
  PulledFrame pulled;
  for (const std::string& word : words) {
    const Sequence at{static_cast<uint64_t>(word[1] - '0')};
    pulled.reply.segments.push_back({.origin = OriginOf(word[0]),
                                     .first = at,
                                     .last = at,
                                     .layout = {},
                                     .leaf_hashes = {},
                                     .parts = {{"t", 1, false, ""}}});
    if (word.size() > 2) {
      pulled.awaited.push_back(
          {.segment = pulled.reply.segments.size() - 1, .part = 0, .bytes = std::stoull(word.substr(3))});
    }
  }
  return pulled;
}

// As Reply has them; "a2=…" with what has come.
std::vector<std::string> Words(const absl::StatusOr<PullReply>& reply) {
  if (!reply.ok()) return {std::string(reply.status().message())};
  std::vector<std::string> words;
  for (const Segment& segment : reply->segments) {
    words.push_back(absl::StrCat(std::string(1, static_cast<char>(segment.origin.bytes[0])), segment.first.value));
    if (!segment.parts[0].payload.empty()) absl::StrAppend(&words.back(), "=", segment.parts[0].payload);
  }
  EXPECT_EQ(reply->arriving, reply->more);
  if (reply->arriving) words.push_back("…");
  return words;
}

class ArrivingPartsTest : public testing::Test {
 protected:
  // A turn of `pieces` pieces; the hub gives three bytes at a time, "012", "345" and so on.
  std::vector<std::string> Complete(const std::vector<std::string>& words, int pieces) {
    int left = pieces;
    const auto fetch = [&](const std::string& frame) -> absl::StatusOr<std::string> {
      if (asked_ == breaks_at_) return absl::UnavailableError("broken");
      ++asked_;
      --left;
      if (lie_.has_value()) return *lie_;
      const int number = frame.back();
      return absl::StrCat((3 * number) % 10, (3 * number + 1) % 10, (3 * number + 2) % 10);
    };
    return Words(arriving_.Complete(Reply(words), fetch, [&] { return left <= 0; }));
  }

  ArrivingParts arriving_;
  int asked_ = 0, breaks_at_ = -1;
  std::optional<std::string> lie_;
};

TEST_F(ArrivingPartsTest, WhatHasComeIsKeptForTheNextTurn) {
  EXPECT_THAT(Complete({"a1", "a2:9", "b1"}, 1), ElementsAre("a1", "b1", "…"));
  EXPECT_THAT(Complete({"a2:9"}, 1), ElementsAre("…"));
  EXPECT_THAT(Complete({"a2:9"}, 1), ElementsAre("a2=012345678"));
  EXPECT_EQ(asked_, 3) << "each piece once";
}

TEST_F(ArrivingPartsTest, AChainEndsBeforeWhatIsNotWhole) {
  EXPECT_THAT(Complete({"a1", "a2:9", "a3", "b1:3", "b2"}, 1), ElementsAre("a1", "…"));
  EXPECT_THAT(Complete({"a2:9", "a3", "b1:3", "b2"}, 9), ElementsAre("a2=012345678", "a3", "b1=012", "b2"));
}

TEST_F(ArrivingPartsTest, ABrokenLineCostsNoPieceThatHasCome) {
  breaks_at_ = 2;
  EXPECT_THAT(Complete({"a1:9"}, 9), ElementsAre("…")) << "it got on, and that is told";
  EXPECT_THAT(Complete({"a1:9"}, 9), ElementsAre("broken"));
  EXPECT_THAT(Complete({"a1:9", "b1"}, 9), ElementsAre("b1", "…")) << "others do not wait for it";
  breaks_at_ = -1;
  EXPECT_THAT(Complete({"a1:9"}, 9), ElementsAre("a1=012345678"));
  EXPECT_EQ(asked_, 3);
}

// What is new and what is asked for again take turns; a third begins only after one of them.
TEST_F(ArrivingPartsTest, TwoThatTakeTurnsBothArrive) {
  for (const char* name : {"a7:9", "b2:6", "a7:9"}) Complete({name, "c1:9", "d1:9"}, 1);
  EXPECT_THAT(Complete({"b2:6"}, 1), ElementsAre("b2=012345"));
  EXPECT_THAT(Complete({"a7:9"}, 1), ElementsAre("a7=012345678"));
  EXPECT_EQ(asked_, 5);
}

TEST_F(ArrivingPartsTest, AHubThatGivesNonsenseIsNamedAndAskedAnew) {
  Complete({"a1:7"}, 1);
  for (const std::string lie : {"", "too much"}) {
    lie_ = lie;
    EXPECT_THAT(Complete({"a1:7"}, 1)[0], testing::HasSubstr("that it speaks of"));
  }
  lie_ = "abc";
  EXPECT_THAT(Complete({"a1:6"}, 2), ElementsAre("a1=abcabc"));
}

class StagePayloadTest : public testing::Test {
 protected:
  // A payload of `pieces` pieces; the hub holds `held_` of them.
  absl::StatusOr<bool> Stage(int pieces, int turn) {
    int left = turn;
    const auto stage = [&](const std::string& frame) -> absl::StatusOr<uint32_t> {
      const bool asks = frame.size() < kPieceBytes / 2;
      if (!asks && sent_ == breaks_at_) return absl::UnavailableError("broken");
      if (asks) return held_;
      ++sent_;
      --left;
      if (!refuses_) ++held_;
      return held_;
    };
    return StagePayload({.origin = OriginOf('a'), .segments = {}, .checkpoint = "", .session = ""}, Hash{},
                        std::string(pieces * kPieceBytes - 100, 'x'), stage, [&] { return left <= 0; });
  }
  uint32_t held_ = 0;
  int sent_ = 0, breaks_at_ = -1;
  bool refuses_ = false;
};

TEST_F(StagePayloadTest, GoesOnFromWhatTheHubHolds) {
  EXPECT_FALSE(*Stage(5, 2));
  breaks_at_ = 4;
  EXPECT_FALSE(*Stage(5, 9)) << "it got on";
  EXPECT_TRUE(absl::IsUnavailable(Stage(5, 9).status()));
  breaks_at_ = -1;
  EXPECT_TRUE(*Stage(5, 9));
  EXPECT_TRUE(*Stage(5, 9)) << "the reply of the push behind it was lost";
  EXPECT_EQ(sent_, 5) << "each piece once";
  held_ = 0;  // The hub was restored from a backup.
  EXPECT_TRUE(*Stage(5, 9));
}

TEST_F(StagePayloadTest, AHubThatTakesNothingIsNamed) {
  refuses_ = true;
  EXPECT_TRUE(absl::IsInvalidArgument(Stage(5, 9).status()));
}

}  // namespace
}  // namespace assay
