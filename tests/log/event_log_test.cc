#include "log/event_log.h"

#include "log/annotate.h"
#include "tests/log/test_events.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const OriginId kA = TestOrigin(0xaa);
const OriginId kB = TestOrigin(0xbb);

class EventLogTest : public ::testing::Test {
 protected:
  TempFolder folder_;
  TestLog a_{folder_ / "a.db"};
  TestLog b_{folder_ / "b.db"};

  // Pulls everything `from` has of `origin` into `to`, `bytes_max` at a time, as the engine would.
  static absl::Status PullAll(TestLog& from, TestLog& to, const OriginId& origin, size_t bytes_max = 1 << 20) {
    for (;;) {
      ASSAY_ASSIGN_OR_RETURN(const auto segments, from.log->ReadSegments(origin, to.log->Head(origin).last.Next(), bytes_max, true));
      if (segments.empty()) return absl::OkStatus();
      ASSAY_RETURN_IF_ERROR(to.file->Begin());
      for (const Segment& segment : segments) ASSAY_RETURN_IF_ERROR(to.log->AppendPulled(segment));
      ASSAY_RETURN_IF_ERROR(to.file->Commit());
    }
  }
};

TEST_F(EventLogTest, WhatWasAppendedIsReadBackAsTheSameBytes) {
  const TestTransaction one = MakeTransaction(kA, 1, 10, {"public.a", "public.b", "public.a"});
  const TestTransaction two = MakeTransaction(kA, 4, 11, {"public.b"});
  ASSERT_OK(a_.file->Begin());
  ASSERT_OK(AppendAll(*a_.log, one));
  ASSERT_OK(AppendAll(*a_.log, two));
  std::vector<std::string> expected = Expected(one);
  for (const std::string& each : Expected(two)) expected.push_back(each);
  EXPECT_EQ(*ReadAll(*a_.log, kA), expected) << "before the commit";
  ASSERT_OK(a_.file->Commit());
  EXPECT_EQ(*ReadAll(*a_.log, kA), expected) << "after the commit";
  a_.Reopen();
  EXPECT_EQ(*ReadAll(*a_.log, kA), expected) << "after reopening";
  EXPECT_EQ(a_.log->Head(kA).last, Sequence{4});
  EXPECT_EQ(a_.log->Head(kA).complete_stamp, HlcStamp{11});
}

TEST_F(EventLogTest, PulledChainIsTheSameChain) {
  for (int i = 0; i < 50; ++i) ASSERT_OK(a_.Commit(kA, {"public.a", "public.b"}));
  ASSERT_OK(PullAll(a_, b_, kA, 1000));
  EXPECT_EQ(*ReadAll(*b_.log, kA), *ReadAll(*a_.log, kA));
  EXPECT_EQ(b_.log->Root(kA), a_.log->Root(kA));
  b_.Reopen();
  EXPECT_EQ(b_.log->Root(kA), a_.log->Root(kA));
}

}  // namespace
}  // namespace assay
