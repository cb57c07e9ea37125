#include "tests/log/test_events.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

const OriginId kA = test::Origin(0xaa);

class KeptCheckpointTest : public ::testing::Test {
 protected:
  KeptCheckpointTest() { EXPECT_OK(Open(a_)); }

  absl::Status Open(TestLog& log) {
    TestTransaction opening = MakeTransaction(kA, 1, 1, {""});
    opening.events[0].mutable_origin_opened()->set_public_key(key_.public_key());
    ASSAY_RETURN_IF_ERROR(log.file->Begin());
    ASSAY_RETURN_IF_ERROR(AppendAll(*log.log, opening));
    return log.file->Commit();
  }
  std::string Sign(TestLog& log, uint64_t size) { return SignCheckpoint({kA, size, *log.log->RootAt(kA, size)}, key_); }
  absl::Status Keep(TestLog& log, const std::string& text) {
    EXPECT_OK(log.file->Begin());
    const absl::Status status = log.log->KeepCheckpoint(kA, text);
    EXPECT_OK(log.file->Commit());
    return status;
  }
  int64_t EvidenceCount(TestLog& log) {
    Statement count = *log.file->Prepare("SELECT count(*) FROM evidence");
    EXPECT_TRUE(*count.Step());
    return count.OnlyInt();
  }

  const SigningKey key_ = *SigningKey::Generate();
  TestLog a_;
};

TEST_F(KeptCheckpointTest, NewestIsKeptAndSurvivesReopening) {
  const std::string first = Sign(a_, 1);
  ASSERT_OK(a_.Commit(kA, {"t.a", "t.a"}));
  const std::string third = Sign(a_, 3);
  ASSERT_OK(Keep(a_, third));
  ASSERT_OK(Keep(a_, first)) << "older, and true";
  EXPECT_EQ(a_.log->NewestCheckpoint(kA), third);
  ASSERT_OK(a_.Reopen());
  EXPECT_EQ(a_.log->NewestCheckpoint(kA), third);
  EXPECT_EQ(EvidenceCount(a_), 0);
}

TEST_F(KeptCheckpointTest, ChainIsSignedWithItsOwnKeyOnly) {
  ASSERT_OK(a_.Commit(kA, {"t.a", "t.a"}));
  const std::string third = Sign(a_, 3);
  ASSERT_OK(a_.file->Begin());
  EXPECT_EQ(*a_.log->SignCheckpoint(kA, key_), third);
  const absl::Status other = a_.log->SignCheckpoint(kA, *SigningKey::Generate()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(other)) << other;
  EXPECT_THAT(other.message(), HasSubstr("put that chain's key file back"));
  EXPECT_TRUE(absl::IsNotFound(a_.log->SignCheckpoint(test::Origin(1), key_).status()));
  ASSERT_OK(a_.file->Commit());
  EXPECT_OK(VerifyCheckpoint(third, key_.public_key()).status());
  ASSERT_OK(a_.Reopen());
  EXPECT_EQ(a_.log->NewestCheckpoint(kA), third);
}

TEST_F(KeptCheckpointTest, ChainThatWasSignedOtherwiseIsNotSignedAgain) {
  ASSERT_OK(Keep(a_, SignCheckpoint({kA, 3, Sha256("as it was before the log was put back")}, key_)));
  ASSERT_OK(a_.Commit(kA, {"t.a", "t.a"}));
  ASSERT_OK(a_.file->Begin());
  EXPECT_TRUE(absl::IsDataLoss(a_.log->SignCheckpoint(kA, key_).status()));
  ASSERT_OK(a_.file->Commit());
  EXPECT_EQ(EvidenceCount(a_), 1);
}

TEST_F(KeptCheckpointTest, OldRootIsFoundAtAnySize) {
  std::vector<Hash> roots = {MerkleTree().Root(), a_.log->Root(kA)};
  ASSERT_OK(a_.file->Begin());
  while (roots.size() <= 20000) {
    ASSERT_OK(AppendAll(*a_.log, a_.Next(kA, {"t.a"}, "v")));
    roots.push_back(a_.log->Root(kA));
  }
  ASSERT_OK(a_.file->Commit());
  for (const uint64_t size : {0, 1, 2, 4095, 4096, 8191, 8192, 8193, 16383, 16384, 16385, 19999, 20000}) {
    EXPECT_EQ(*a_.log->RootAt(kA, size), roots[size]) << size;
  }
  EXPECT_TRUE(absl::IsOutOfRange(a_.log->RootAt(kA, 20001).status()));
}

TEST_F(KeptCheckpointTest, AnotherHistoryIsRefusedWithEvidence) {
  ASSERT_OK(a_.Commit(kA, {"t.a"}, "ours"));
  ASSERT_OK(a_.Commit(kA, {"t.a"}, "ours"));
  TestLog forked;
  ASSERT_OK(Open(forked));
  ASSERT_OK(forked.Commit(kA, {"t.a"}, "theirs"));
  const absl::Status status = Keep(a_, Sign(forked, 2));
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_EQ(EvidenceCount(a_), 1);
  EXPECT_EQ(a_.log->NewestCheckpoint(kA), std::nullopt);
}

TEST_F(KeptCheckpointTest, TwoSignedHistoriesOfOneSizeAreRefused) {
  ASSERT_OK(Keep(a_, SignCheckpoint({kA, 100, Sha256("one")}, key_)));
  const absl::Status status = Keep(a_, SignCheckpoint({kA, 100, Sha256("two")}, key_));
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(status.message(), HasSubstr("two histories"));
  EXPECT_EQ(EvidenceCount(a_), 1);
}

TEST_F(KeptCheckpointTest, ChainThatContradictsWhatWasSignedBeforeIsNotAppended) {
  TestLog forked;
  ASSERT_OK(Open(forked));
  for (TestLog* log : {&a_, &forked}) {
    for (int i = 0; i < 3; ++i) ASSERT_OK(log->Commit(kA, {"t.a"}, log == &a_ ? "ours" : "theirs"));
  }
  TestLog b;
  const auto honest = *a_.log->ReadSegments(kA, {1}, 1 << 20, true);
  const auto other = *forked.log->ReadSegments(kA, {1}, 1 << 20, true);
  ASSERT_OK(Open(b));
  ASSERT_OK(Keep(b, Sign(a_, 3)));
  EXPECT_TRUE(absl::IsDataLoss(b.Pull(other)));
  EXPECT_EQ(b.log->EventCount(), 1);
  EXPECT_OK(b.Pull(honest));
}

TEST_F(KeptCheckpointTest, ASignedWordAboutTheVeryNextEventIsHeldAgainstIt) {
  TestLog forked;
  ASSERT_OK(Open(forked));
  ASSERT_OK(forked.Commit(kA, {"t.a"}, "theirs"));
  ASSERT_OK(Keep(a_, SignCheckpoint({kA, 2, Sha256("another history")}, key_)));
  const std::vector<Segment> segments = *forked.log->ReadSegments(kA, {2}, 1 << 20, true);
  ASSERT_OK(a_.file->Begin());
  EXPECT_TRUE(absl::IsDataLoss(a_.log->AppendPulled(segments.front())));
  EXPECT_EQ(a_.log->Head(kA).last.value, 1u) << "nothing of it was appended";
  ASSERT_OK(a_.file->Commit());
}

// ---- What a reply brings of one chain, with the newest signed word about it ----

TEST_F(KeptCheckpointTest, WhatItsOriginContradictsIsTakenBackWhole) {
  ASSERT_OK(a_.Commit(kA, std::vector<std::string>(300, "t.a")));
  ASSERT_OK(a_.Commit(kA, {"t.b"}));
  const auto segments = *a_.log->ReadSegments(kA, {1}, 1 << 20, true);
  ASSERT_GT(segments.size(), 1u);
  TestLog b;
  const auto append = [&](const std::string& checkpoint) {
    std::vector<const Segment*> given;
    for (const Segment& segment : segments) given.push_back(&segment);
    EXPECT_OK(b.file->Begin());
    const EventLog::Refusal refusal = *b.log->AppendChain(kA, given, {302}, checkpoint);
    EXPECT_OK(b.file->Commit());
    return refusal;
  };
  const EventLog::Refusal refusal = append(SignCheckpoint({kA, 302, Sha256("another")}, key_));
  EXPECT_TRUE(absl::IsDataLoss(refusal.cause)) << refusal.cause;
  EXPECT_TRUE(refusal.signed_claim);
  EXPECT_FALSE(refusal.about_held) << "nothing was held";
  EXPECT_EQ(b.log->EventCount(), 0);
  EXPECT_EQ(EvidenceCount(b), 1) << "what is taken back leaves its evidence";
  ASSERT_OK(b.Reopen());
  ASSERT_OK(append(Sign(a_, 302)).cause);
  EXPECT_EQ(b.log->Root(kA), a_.log->Root(kA));
  EXPECT_EQ(*ReadAll(*b.log, kA), *ReadAll(*a_.log, kA));
  ASSERT_OK(b.Reopen());
  EXPECT_EQ(b.log->NewestCheckpoint(kA), Sign(a_, 302));
  EXPECT_TRUE(append(SignCheckpoint({kA, 302, Sha256("another")}, key_)).about_held);
}

TEST_F(KeptCheckpointTest, WhatCameBeforeABadSegmentIsTaken) {
  ASSERT_OK(a_.Commit(kA, std::vector<std::string>(300, "t.a")));
  auto segments = *a_.log->ReadSegments(kA, {1}, 1 << 20, true);
  ASSERT_EQ(segments.size(), 2u);
  segments[1].parts[0].payload.back() ^= 1;
  TestLog b;
  ASSERT_OK(b.file->Begin());
  const EventLog::Refusal refusal = *b.log->AppendChain(kA, {{&segments[0], &segments[1]}}, {301}, Sign(a_, 301));
  ASSERT_OK(b.file->Commit());
  EXPECT_TRUE(absl::IsDataLoss(refusal.cause)) << refusal.cause;
  EXPECT_FALSE(refusal.about_held);
  EXPECT_EQ(b.log->Head(kA).last, Sequence{1});
}

TEST_F(KeptCheckpointTest, AChainThatBeginsOtherwiseIsForgotten) {
  TestLog other, b;
  ASSERT_OK(other.Commit(kA, {"t.a"}));
  const auto segments = *other.log->ReadSegments(kA, {1}, 1 << 20, true);
  ASSERT_OK(b.file->Begin());
  EXPECT_THAT(b.log->AppendChain(kA, {{&segments[0]}}, {1}, "")->cause.message(), HasSubstr("does not open its chain"));
  ASSERT_OK(b.file->Commit());
  EXPECT_THAT(b.log->Origins(), ::testing::IsEmpty());
  ASSERT_OK(b.Commit(test::Origin(2), {"t.a"}));  // Its number is free again.
  ASSERT_OK(b.Reopen());
}

TEST_F(KeptCheckpointTest, AnothersSignatureIsRefused) {
  EXPECT_TRUE(absl::IsDataLoss(Keep(a_, SignCheckpoint({kA, 1, a_.log->Root(kA)}, *SigningKey::Generate()))));
  EXPECT_TRUE(absl::IsInvalidArgument(Keep(a_, SignCheckpoint({test::Origin(1), 1, a_.log->Root(kA)}, key_))));
  EXPECT_TRUE(absl::IsInvalidArgument(Keep(a_, "nonsense")));
}

TEST_F(KeptCheckpointTest, WithoutTheOpeningThereIsNoKeyToCheckBy) {
  TestLog b;
  EXPECT_TRUE(absl::IsNotFound(Keep(b, Sign(a_, 1))));
  ASSERT_OK(b.Commit(kA, {"t.a"}));
  EXPECT_TRUE(absl::IsDataLoss(b.log->Opening(kA).status())) << "event 1 is a row";
}

}  // namespace
}  // namespace assay
