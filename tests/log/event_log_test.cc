#include "log/event_log.h"

#include "tests/log/test_events.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const OriginId kA = test::Origin(0xaa);
const OriginId kB = test::Origin(0xbb);

// Everything `from` holds of `origin`, into `to`, `bytes_max` at a time, as the engine would.
absl::Status PullAll(TestLog& from, TestLog& to, const OriginId& origin, size_t bytes_max = 1 << 20) {
  for (;;) {
    ASSAY_ASSIGN_OR_RETURN(const auto segments,
                           from.log->ReadSegments(origin, to.log->Head(origin).last.Next(), bytes_max, true));
    if (segments.empty()) return absl::OkStatus();
    ASSAY_RETURN_IF_ERROR(to.Pull(segments));
  }
}

std::vector<Segment> Segments(TestLog& log, uint64_t from = 1, bool complete_only = true) {
  absl::StatusOr<std::vector<Segment>> segments = log.log->ReadSegments(kA, {from}, 1 << 30, complete_only);
  EXPECT_OK(segments.status());
  return *segments;
}

class EventLogTest : public ::testing::Test {
 protected:
  TestLog a_, b_;
};

TEST_F(EventLogTest, WhatWasAppendedIsReadBackAsTheSameBytes) {
  const TestTransaction one = MakeTransaction(kA, 1, 10, {"public.a", "public.b", "public.a"});
  const TestTransaction two = MakeTransaction(kA, 4, 11, {""});
  ASSERT_OK(a_.file->Begin());
  ASSERT_OK(AppendAll(*a_.log, one));
  ASSERT_OK(AppendAll(*a_.log, two));
  std::vector<std::string> expected = Expected(one);
  for (const std::string& each : Expected(two)) expected.push_back(each);
  EXPECT_EQ(*ReadAll(*a_.log, kA), expected) << "before the commit";
  ASSERT_OK(a_.file->Commit());
  EXPECT_EQ(*ReadAll(*a_.log, kA), expected) << "after the commit";
  ASSERT_OK(a_.Reopen());
  EXPECT_EQ(*ReadAll(*a_.log, kA), expected) << "after reopening";
  EXPECT_EQ(a_.log->Head(kA).last, Sequence{4});
  EXPECT_EQ(a_.log->Head(kA).complete_stamp, HlcStamp{11});
  EXPECT_EQ(a_.log->EventCount(), 4);
  EXPECT_EQ(*a_.log->ReadEvent(kA, {2}), one.events[1].SerializeAsString());
  EXPECT_THAT(a_.log->Origins(), ElementsAre(kA));
}

TEST_F(EventLogTest, UnknownEventIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(a_.log->ReadEvent(kA, {1}).status()));
  ASSERT_OK(a_.Commit(kA, {"t.t"}));
  EXPECT_TRUE(absl::IsNotFound(a_.log->ReadEvent(kA, {2}).status()));
  EXPECT_TRUE(absl::IsNotFound(a_.log->ReadEvent(kA, {0}).status()));
  EXPECT_EQ(a_.log->Head(kB).last, Sequence{0});
  EXPECT_THAT(*ReadAll(*a_.log, kB), IsEmpty());
}

TEST_F(EventLogTest, NobodyReadsATransactionBeforeItsEnd) {
  ASSERT_OK(a_.Commit(kA, {"t.t"}));
  const TestTransaction transaction = a_.Next(kA, {"t.t", "t.t"});
  EventReader reader = a_.log->Read(kA, {2});
  ASSERT_OK(a_.file->Begin());
  ASSERT_OK(a_.log->Append(transaction.events[0], "t.t", transaction.events[0].SerializeAsString()));
  EXPECT_EQ(*reader.Next(), nullptr);
  EXPECT_THAT(Segments(a_, 2), IsEmpty());
  ASSERT_OK(a_.file->Commit());
  EXPECT_EQ(*reader.Next(), nullptr);
  EXPECT_EQ(a_.log->Head(kA).complete, Sequence{1});
  EXPECT_THAT(Segments(a_, 2, /*complete_only=*/false), SizeIs(1)) << "a push may bring a piece";
  ASSERT_OK(a_.Reopen());
  reader = a_.log->Read(kA, {2});
  EXPECT_EQ(*reader.Next(), nullptr);
  ASSERT_OK(a_.file->Begin());
  ASSERT_OK(a_.log->Append(transaction.events[1], "t.t", transaction.events[1].SerializeAsString()));
  ASSERT_OK_AND_ASSIGN(const StoredEvent* event, reader.Next());
  ASSERT_NE(event, nullptr);
  EXPECT_EQ(event->sequence, Sequence{2});
  EXPECT_FALSE(event->ends_transaction);
  EXPECT_TRUE((*reader.Next())->ends_transaction);
  EXPECT_EQ(*reader.Next(), nullptr);
  ASSERT_OK(a_.file->Commit());
}

TEST_F(EventLogTest, RollbackForgets) {
  ASSERT_OK(a_.Commit(kA, {"t.t"}, "kept"));
  const Hash root = a_.log->Root(kA);
  EventReader reader = a_.log->Read(kA, {2});
  ASSERT_OK(a_.file->Begin());
  ASSERT_OK(AppendAll(*a_.log, a_.Next(kA, {"t.t", "t.t"}, "forgotten")));
  ASSERT_OK(a_.log->IndexOf(kB).status());
  ASSERT_NE(*reader.Next(), nullptr);
  a_.file->Rollback();
  EXPECT_EQ(a_.log->Head(kA).last, Sequence{1});
  EXPECT_EQ(a_.log->Root(kA), root);
  EXPECT_THAT(a_.log->Origins(), ElementsAre(kA));
  EXPECT_TRUE(absl::IsNotFound(a_.log->ReadEvent(kA, {2}).status()));
  EXPECT_EQ(*reader.Next(), nullptr) << "a reader that saw what was taken back";
  ASSERT_OK(a_.Commit(kA, {"t.t", "t.t", "t.t"}, "other"));
  EXPECT_THAT((*reader.Next())->bytes, HasSubstr("other-3"));
}

TEST_F(EventLogTest, PulledChainIsTheSameChain) {
  for (int i = 0; i < 50; ++i) ASSERT_OK(a_.Commit(kA, {"public.a", "public.b"}));
  for (const size_t bytes_max : {1, 1000, 1 << 20}) {
    TestLog b;
    ASSERT_OK(PullAll(a_, b, kA, bytes_max));
    EXPECT_EQ(*ReadAll(*b.log, kA), *ReadAll(*a_.log, kA));
    EXPECT_EQ(b.log->Root(kA), a_.log->Root(kA));
    ASSERT_OK(b.Reopen());
    EXPECT_EQ(b.log->Root(kA), a_.log->Root(kA));
    EXPECT_EQ(*ReadAll(*b.log, kA), *ReadAll(*a_.log, kA));
  }
}

TEST_F(EventLogTest, SegmentsCutAnywhereGiveTheSameChain) {
  ASSERT_OK(a_.Commit(kA, {"t.a", "t.b", "t.a"}));
  ASSERT_OK(a_.Commit(kA, {"t.b"}));
  ASSERT_OK(a_.Commit(kA, {"t.b", "t.c", "t.c", "t.a"}));
  for (uint64_t from = 1; from <= 9; ++from) {
    const auto whole = Segments(a_, 1);
    const auto cut = Segments(a_, from);
    ASSERT_EQ(cut.empty(), from > 8);
    if (cut.empty()) continue;
    EXPECT_EQ(cut.front().first, Sequence{from});
    EXPECT_EQ(cut.back().last, Sequence{8});
    // A segment that begins inside a transaction ends with it.
    EXPECT_EQ(cut.front().last, Sequence{from == 2 || from == 3 ? 3u : 8u});
    TestLog b;
    ASSERT_OK(b.Pull(whole));
    ASSERT_OK(b.Pull(cut)) << "held already";
    EXPECT_EQ(b.log->EventCount(), 8);
  }
}

TEST_F(EventLogTest, OverlappingPullAppendsOnlyWhatIsNew) {
  for (int i = 0; i < 10; ++i) ASSERT_OK(a_.Commit(kA, {"t.a", "t.b"}));
  const auto first_half = Segments(a_);
  for (int i = 0; i < 10; ++i) ASSERT_OK(a_.Commit(kA, {"t.b", "t.c"}));
  ASSERT_OK(b_.Pull(first_half));
  ASSERT_OK(b_.Pull(Segments(a_)));
  ASSERT_OK(b_.Pull(first_half));
  EXPECT_EQ(*ReadAll(*b_.log, kA), *ReadAll(*a_.log, kA));
  EXPECT_EQ(b_.log->Root(kA), a_.log->Root(kA));
  // Stored without overlap: each begins after the one before.
  ASSERT_OK_AND_ASSIGN(Statement gaps,
                       b_.file->Prepare("SELECT count(*) FROM (SELECT first, lag(last, 1, 0) OVER (ORDER BY last) AS "
                                        "before FROM segment) WHERE first <> before + 1"));
  ASSERT_OK(gaps.Step().status());
  EXPECT_EQ(gaps.OnlyInt(), 0);
}

TEST_F(EventLogTest, GapIsOutOfRange) {
  ASSERT_OK(a_.Commit(kA, {"t.a"}));
  ASSERT_OK(a_.Commit(kA, {"t.a"}));
  EXPECT_TRUE(absl::IsOutOfRange(b_.Pull(Segments(a_, 2))));
  EXPECT_EQ(b_.log->EventCount(), 0);
}

TEST_F(EventLogTest, ForkIsRefusedAndKeptAsEvidence) {
  TestLog forked;
  ASSERT_OK(a_.Commit(kA, {"t.a", "t.a"}));
  ASSERT_OK(PullAll(a_, forked, kA));
  ASSERT_OK(a_.Commit(kA, {"t.a"}, "one"));
  ASSERT_OK(forked.Commit(kA, {"t.a"}, "another"));
  ASSERT_OK(forked.Commit(kA, {"t.a"}, "more"));
  ASSERT_OK(b_.Pull(Segments(a_)));
  ASSERT_OK(b_.file->Begin());
  absl::Status status;
  for (const Segment& segment : Segments(forked)) status.Update(b_.log->AppendPulled(segment));
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(status.message(), HasSubstr("aaaaaaaa…/3"));
  ASSERT_OK(b_.file->Commit());
  EXPECT_EQ(*ReadAll(*b_.log, kA), *ReadAll(*a_.log, kA)) << "nothing was appended";
  ASSERT_OK_AND_ASSIGN(Statement evidence, b_.file->Prepare("SELECT sequence, held, offered FROM evidence"));
  ASSERT_TRUE(*evidence.Step());
  EXPECT_EQ(evidence.Int("sequence"), 3);
  EXPECT_THAT(std::string(evidence.Blob("held")), HasSubstr("one-3"));
  EXPECT_THAT(std::string(evidence.Blob("offered")), HasSubstr("another-3"));
}

TEST_F(EventLogTest, StampThatDoesNotRiseIsRefused) {
  ASSERT_OK(a_.Commit(kA, {"t.a"}));
  ASSERT_OK(b_.Pull(Segments(a_)));
  // Another chain under the same name goes on from 1 with the stamp that event 1 had.
  SegmentBuilder builder(kA);
  for (const uint64_t stamp : {uint64_t{1}, uint64_t{0}}) {
    const v1::Event event = MakeTransaction(kA, 2, stamp, {"t.a"}).events[0];
    const std::string bytes = event.SerializeAsString();
    builder.Add({.origin = kA,
                 .sequence = {2},
                 .stamp = {stamp},
                 .ends_transaction = true,
                 .table = "t.a",
                 .bytes = bytes,
                 .leaf = LeafHash(bytes)});
    const absl::Status status = b_.Pull({builder.Finish(true)});
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(status.message(), HasSubstr("stamp"));
  }
}

TEST_F(EventLogTest, MaskedTableKeepsTheChainWhole) {
  ASSERT_OK(a_.Commit(kA, {"public.seen", "public.secret", "public.seen"}));
  ASSERT_OK(a_.Commit(kA, {"public.secret"}));
  std::vector<Segment> segments = Segments(a_);
  for (Segment& segment : segments) {
    for (size_t i = 0; i < segment.parts.size(); ++i) {
      if (segment.parts[i].table == "public.secret") {
        ASSERT_OK(MaskPart(&segment, i));
      }
    }
    segment.leaf_hashes.clear();  // What the hub hands out.
  }
  ASSERT_OK(b_.Pull(segments));
  EXPECT_EQ(b_.log->Root(kA), a_.log->Root(kA));
  EXPECT_EQ(b_.log->Head(kA).complete, Sequence{4});
  ASSERT_OK_AND_ASSIGN(const auto seen, ReadAll(*b_.log, kA));
  EXPECT_THAT(seen, ElementsAre(HasSubstr("value-1"), "2|1|0|public.secret|masked", HasSubstr("value-3"),
                                "4|2|1|public.secret|masked"));
  EXPECT_TRUE(absl::IsPermissionDenied(b_.log->ReadEvent(kA, {2}).status()));
  // The clear form of what is held masked is the same event, and is not an error.
  ASSERT_OK(b_.Pull(Segments(a_)));
  EXPECT_THAT(b_.log->ReadSegments(kA, {1}, 1 << 20, true)->front().leaf_hashes,
              a_.log->ReadSegments(kA, {1}, 1 << 20, true)->front().leaf_hashes);
}

TEST_F(EventLogTest, LargeTransactionTravelsInPiecesAndIsSeenWhole) {
  const std::vector<std::string> tables(10000, "public.a");
  ASSERT_OK(a_.Commit(kA, {"public.b"}));
  ASSERT_OK(a_.Commit(kA, tables));
  ASSERT_OK(a_.Commit(kA, {"public.b"}));
  const auto segments = Segments(a_);
  ASSERT_GT(segments.size(), 3u);
  for (size_t i = 0; i < segments.size(); ++i) {
    SCOPED_TRACE(i);
    ASSERT_OK(b_.Pull({segments[i]}));
    ASSERT_OK(b_.Reopen());
    const Sequence complete = b_.log->Head(kA).complete;
    EXPECT_TRUE(complete == Sequence{1} || complete == Sequence{10001} || complete == Sequence{10002})
        << complete.value;
    EXPECT_EQ(ReadAll(*b_.log, kA)->size(), complete.value);
  }
  EXPECT_EQ(b_.log->Root(kA), a_.log->Root(kA));
}

TEST_F(EventLogTest, ReaderInAnotherConnectionFollowsTheWriter) {
  ASSERT_OK_AND_ASSIGN(const auto file, LogFile::Open("log.db", {.vfs = a_.vfs.name(), .read_only = true}));
  ASSERT_OK_AND_ASSIGN(const auto log, EventLog::Open(file.get()));
  EventReader reader = log->Read(kA, {1});
  EXPECT_EQ(*reader.Next(), nullptr);
  for (uint64_t i = 1; i <= 5; ++i) {
    ASSERT_OK(a_.Commit(kA, {"t.a"}));
    EXPECT_EQ(*reader.Next(), nullptr) << "nothing moves under a reader before it asks";
    ASSERT_OK(log->Refresh());
    ASSERT_OK_AND_ASSIGN(const StoredEvent* event, reader.Next());
    ASSERT_NE(event, nullptr);
    EXPECT_EQ(event->sequence, Sequence{i});
    EXPECT_EQ(log->Root(kA), a_.log->Root(kA));
  }
  EXPECT_TRUE(absl::IsNotFound(log->IndexOf(kB).status()));
}

TEST_F(EventLogTest, DamagedSegmentIsDataLossNotAWrongEvent) {
  ASSERT_OK(a_.Commit(kA, {"t.a", "t.b"}, "some value long enough to be found again"));
  ASSERT_OK(a_.file->Execute("UPDATE segment SET body = CAST(replace(body, 'found', 'wound') AS BLOB)"));
  ASSERT_OK(a_.Reopen());
  EXPECT_TRUE(absl::IsDataLoss(ReadAll(*a_.log, kA).status()));
  EXPECT_TRUE(absl::IsDataLoss(a_.log->ReadEvent(kA, {1}).status()));
  EXPECT_TRUE(absl::IsDataLoss(a_.log->ReadSegments(kA, {1}, 1 << 20, true).status()));
}

TEST_F(EventLogTest, MissingSegmentIsDataLoss) {
  for (int i = 0; i < 3; ++i) ASSERT_OK(a_.Commit(kA, {"t.a"}));
  ASSERT_OK(a_.file->Execute("DELETE FROM segment WHERE last = 2"));
  ASSERT_OK(a_.Reopen());
  EXPECT_TRUE(absl::IsDataLoss(ReadAll(*a_.log, kA).status()));
  ASSERT_OK(a_.file->Execute("DELETE FROM segment WHERE last = 3"));
  EXPECT_TRUE(absl::IsDataLoss(a_.Reopen())) << "at the end it is seen at once";
}

TEST_F(EventLogTest, ChangedHeadIsDataLoss) {
  ASSERT_OK(a_.Commit(kA, {"t.a"}));
  ASSERT_OK(a_.Commit(kA, {"t.a"}));
  ASSERT_OK(a_.file->Execute("UPDATE chain SET complete = 1"));
  EXPECT_TRUE(absl::IsDataLoss(a_.Reopen()));
}

// Goal: a segment of our own making is whole transactions or a piece of one, however a peer had cut the chain.
// Method: a peer sends the rest of a large transaction together with the transaction after it.
TEST_F(EventLogTest, PeersOddCutsAreMended) {
  ASSERT_OK(a_.Commit(kA, std::vector<std::string>(1000, "t.a")));
  ASSERT_OK(a_.Commit(kA, {"t.b"}));
  SegmentBuilder builders[] = {SegmentBuilder(kA), SegmentBuilder(kA)};
  EventReader reader = a_.log->Read(kA, {1});
  for (int i = 1; i <= 1001; ++i) builders[i <= 500 ? 0 : 1].Add(**reader.Next());
  ASSERT_OK(b_.Pull({builders[0].Finish(true)}));
  ASSERT_OK(b_.Pull({builders[1].Finish(true)}));
  EXPECT_EQ(*ReadAll(*b_.log, kA), *ReadAll(*a_.log, kA));
  std::vector<std::string> cuts;
  ASSERT_OK_AND_ASSIGN(Statement rows, b_.file->Prepare("SELECT first, last FROM segment ORDER BY last"));
  while (*rows.Step()) cuts.push_back(absl::StrCat(rows.Int("first"), "-", rows.Int("last")));
  EXPECT_THAT(cuts, ElementsAre("1-500", "501-1000", "1001-1001"));
}

TEST_F(EventLogTest, OriginNumbersSurviveReopening) {
  ASSERT_OK(a_.file->Begin());
  ASSERT_OK_AND_ASSIGN(const OriginIndex b, a_.log->IndexOf(kB));
  ASSERT_OK_AND_ASSIGN(const OriginIndex a, a_.log->IndexOf(kA));
  ASSERT_OK(a_.file->Commit());
  ASSERT_OK(a_.Reopen());
  EXPECT_EQ(*a_.log->IndexOf(kA), a);
  EXPECT_EQ(*a_.log->IndexOf(kB), b);
  EXPECT_EQ(a_.log->OriginOf(b), kB);
  EXPECT_TRUE(a_.log->HasIndex(1));
  EXPECT_FALSE(a_.log->HasIndex(2));
}

}  // namespace
}  // namespace assay
