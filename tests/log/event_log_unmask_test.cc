// Goal: what was masked comes later and takes the place of its leaf hashes, if it is what they are of.
// Method: one log, another one that holds it with a table masked, and segments in the clear cut otherwise.
#include "tests/log/test_events.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const OriginId kA = test::Origin(0xaa);

class UnmaskTest : public ::testing::Test {
 protected:
  static std::vector<Segment> From(TestLog& log, uint64_t first, size_t bytes, absl::string_view masked) {
    std::vector<Segment> segments = log.log->ReadSegments(kA, {first}, bytes, true).value();
    for (Segment& segment : segments) {
      for (size_t i = 0; i < segment.parts.size(); ++i) {
        if (segment.parts[i].table == masked) {
          EXPECT_OK(MaskPart(&segment, i));
        }
      }
    }
    return segments;
  }
  static bool Everything(absl::string_view) { return true; }
  static bool NotSecret(absl::string_view table) { return table != "public.secret"; }
  std::vector<Sequence> Unmask(const std::vector<Segment>& segments, const EventLog::Granted& granted = Everything) {
    std::vector<Sequence> shown;
    EXPECT_OK(branch_.file->Begin());
    for (const Segment& segment : segments) {
      const absl::StatusOr<std::vector<Sequence>> some = branch_.log->Unmask(segment, granted);
      EXPECT_OK(some.status());
      shown.insert(shown.end(), some->begin(), some->end());
    }
    EXPECT_OK(branch_.file->Commit());
    return shown;
  }

  TestLog log_, branch_;
};

TEST_F(UnmaskTest, WhatIsGrantedLaterTakesItsPlace) {
  for (int i = 0; i < 40; ++i) ASSERT_OK(log_.Commit(kA, {"public.seen", "public.secret", "public.seen"}));
  ASSERT_OK(branch_.Pull(From(log_, 1, 1 << 20, "public.secret")));
  EXPECT_EQ(branch_.log->FirstToUnmask(kA, NotSecret), std::nullopt) << "it is not granted";
  EXPECT_EQ(branch_.log->FirstToUnmask(kA, Everything), Sequence{2});
  ASSERT_OK(branch_.Reopen());
  EXPECT_EQ(branch_.log->FirstToUnmask(kA, Everything), Sequence{2}) << "it is remembered";
  const auto masked = [&] { return branch_.log->MaskedEvents()["public.secret"]; };
  EXPECT_EQ(masked(), 40u);

  EventReader reader = branch_.log->Read(kA, {1});
  ASSERT_TRUE(reader.Next().ok());
  std::vector<Segment> some = From(log_, 2, 1, "");  // Cut in the middle of a transaction.
  ASSERT_THAT(some, SizeIs(1));
  const Sequence end = some[0].last;
  EXPECT_THAT(Unmask({some[0]}), SizeIs((end.value + 1) / 3));
  EXPECT_EQ(masked(), 40 - (end.value + 1) / 3);
  EXPECT_OK(branch_.log->ReadEvent(kA, {2}).status());
  EXPECT_FALSE(reader.Next().value()->masked) << "whoever reads there sees it";
  for (std::optional<Sequence> first; (first = branch_.log->FirstToUnmask(kA, Everything)).has_value();) {
    ASSERT_GT(*first, end);
    Unmask(From(log_, first->value, 1 << 20, ""));
  }
  EXPECT_EQ(*ReadAll(*branch_.log, kA), *ReadAll(*log_.log, kA));
  ASSERT_OK(branch_.Reopen());
  EXPECT_EQ(*ReadAll(*branch_.log, kA), *ReadAll(*log_.log, kA));
  EXPECT_EQ(branch_.log->Root(kA), log_.log->Root(kA));
  EXPECT_EQ(branch_.log->FirstToUnmask(kA, Everything), std::nullopt);
  EXPECT_THAT(branch_.log->MaskedEvents(), IsEmpty());
}

TEST_F(UnmaskTest, WhatIsNotOfTheHashesHeldIsNotTaken) {
  TestLog other(2);
  ASSERT_OK(log_.Commit(kA, {"public.seen", "public.secret"}, "true"));
  ASSERT_OK(other.Commit(kA, {"public.seen", "public.secret"}, "false"));
  ASSERT_OK(branch_.Pull(From(log_, 1, 1 << 20, "public.secret")));
  EXPECT_THAT(Unmask(From(other, 1, 1 << 20, "")), IsEmpty());
  EXPECT_TRUE(absl::IsPermissionDenied(branch_.log->ReadEvent(kA, {2}).status()));
}

TEST_F(UnmaskTest, WhatComesMaskedOnceMoreStaysAndIsAskedForAgain) {
  ASSERT_OK(log_.Commit(kA, {"public.seen", "public.secret"}));
  ASSERT_OK(branch_.Pull(From(log_, 1, 1 << 20, "public.secret")));
  EXPECT_THAT(Unmask(From(log_, 1, 1 << 20, "public.secret")), IsEmpty());
  EXPECT_EQ(branch_.log->FirstToUnmask(kA, Everything), Sequence{2});
  EXPECT_THAT(Unmask(From(log_, 1, 1 << 20, ""), NotSecret), IsEmpty());
  EXPECT_EQ(branch_.log->FirstToUnmask(kA, Everything), Sequence{2});
}

TEST_F(UnmaskTest, PiecesOfALargeTransactionStayPieces) {
  std::vector<std::string> tables(kSegmentEventsMax + 100, "public.seen");
  for (size_t i = 0; i < tables.size(); i += 7) tables[i] = "public.secret";
  ASSERT_OK(log_.Commit(kA, {"public.seen"}));
  ASSERT_OK(log_.Commit(kA, tables));
  ASSERT_OK(log_.Commit(kA, {"public.seen"}));
  ASSERT_OK(branch_.Pull(From(log_, 1, 1 << 30, "public.secret")));
  EXPECT_THAT(Unmask(From(log_, 2, 1 << 30, "")), SizeIs((tables.size() + 6) / 7));
  ASSERT_OK(branch_.Reopen());
  EXPECT_EQ(*ReadAll(*branch_.log, kA), *ReadAll(*log_.log, kA));
  ASSERT_OK(branch_.Commit(kA, {"public.seen"}));
}

TEST_F(UnmaskTest, WhatIsRolledBackIsMaskedAgain) {
  ASSERT_OK(log_.Commit(kA, {"public.seen", "public.secret"}));
  ASSERT_OK(branch_.Pull(From(log_, 1, 1 << 20, "public.secret")));
  ASSERT_OK(branch_.file->Begin());
  EXPECT_THAT(*branch_.log->Unmask(From(log_, 1, 1 << 20, "")[0], Everything), ElementsAre(Sequence{2}));
  branch_.file->Rollback();
  EXPECT_EQ(branch_.log->MaskedEvents()["public.secret"], 1u);
  EXPECT_TRUE(absl::IsPermissionDenied(branch_.log->ReadEvent(kA, {2}).status()));
  EXPECT_EQ(branch_.log->FirstToUnmask(kA, Everything), Sequence{2});
}

}  // namespace
}  // namespace assay
