// Goal: a bad chain holds up itself alone, whoever pulls.
// Method: replies with two branches' chains, one of them garbled, with a clock of the test's own.
#include "engine/remotes/chain_intake.h"

#include "engine/problem.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class HandClock : public Clock {
 public:
  absl::Time Now() override { return now; }
  absl::Time now = absl::FromUnixSeconds(1'770'000'000);
};

class NoRandom : public Random {
 public:
  uint64_t Next() override { return 0; }
};

class ChainIntakeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 3; ++i) {
      for (const OriginId& origin : {bad(), good()})
        others_.Write(origin, v1::RowChange::INSERT, absl::StrCat(i), {{std::nullopt, "a"}});
    }
    Reload();
    file_ = LogFile::Open(folder_.path() + "/log.db", {}).value();
    log_ = EventLog::Open(file_.get()).value();
  }

  // What the others have written until now is what the hub has.
  void Reload() {
    others_log_.reset();
    others_file_ = LogFile::Open(others_path_, {}).value();
    others_log_ = EventLog::Open(others_file_.get()).value();
  }
  const OriginId& bad() const { return others_.mumbai(); }
  const OriginId& good() const { return others_.delhi(); }
  uint64_t Held(const OriginId& origin) const { return log_->Head(origin).last.value; }
  // What a hub with both chains answers to the intake's next request.
  PullReply Answer(ChainIntake& intake, bool garbled) {
    PullReply reply;
    const PullRequest request = intake.NextRequest();
    for (const OriginId& origin : {bad(), good()}) {
      const Sequence last = others_log_->Head(origin).last;
      reply.heads.heads[origin] = {.last = last, .complete = last};
      const auto have = request.have.find(origin);
      const Sequence held = have == request.have.end() ? Sequence{} : have->second;
      asked_for_[origin] = held < last;
      if (held >= last) continue;
      std::vector<Segment> segments = others_log_->ReadSegments(origin, held.Next(), 1 << 20, true).value();
      for (Segment& segment : segments) {
        if (garbled && origin == bad()) segment.parts.back().payload.back() ^= 1;
        reply.segments.push_back(std::move(segment));
      }
    }
    return reply;
  }
  bool Append(ChainIntake& intake, const PullReply& reply) {
    EXPECT_TRUE(file_->Begin().ok());
    const absl::StatusOr<bool> news = intake.Append(reply);
    EXPECT_TRUE(news.ok()) << news.status();
    EXPECT_TRUE(file_->Commit().ok());
    return news.value_or(false);
  }

  test::TempDirectory folder_{"intake"};
  HandClock clock_;
  NoRandom random_;
  std::string others_path_ = folder_.path() + "/others.db";
  test::SmallLog others_{others_path_};
  std::unique_ptr<LogFile> others_file_, file_;
  std::unique_ptr<EventLog> others_log_, log_;
  std::map<OriginId, bool> asked_for_;
};

TEST_F(ChainIntakeTest, ABadChainIsNamedAndLeftOutAndTheOthersGoOn) {
  ChainIntake intake(std::nullopt, log_.get(), &clock_, &random_);
  EXPECT_TRUE(Append(intake, Answer(intake, /*garbled=*/true)));
  EXPECT_EQ(Held(good()), 5u);
  EXPECT_LT(Held(bad()), 5u);
  ASSERT_THAT(intake.troubles(), SizeIs(1));
  EXPECT_TRUE(absl::IsDataLoss(intake.troubles().at(bad()).status));
  EXPECT_FALSE(Append(intake, Answer(intake, true))) << "there is nothing new in what is asked for";
  EXPECT_FALSE(asked_for_[bad()]);
  EXPECT_EQ(intake.troubles().at(bad()).failures, 1u);

  clock_.now = intake.NextRetry();
  EXPECT_TRUE(Append(intake, Answer(intake, /*garbled=*/false)));
  EXPECT_EQ(Held(bad()), 5u);
  EXPECT_THAT(intake.troubles(), IsEmpty());
  EXPECT_EQ(intake.NextRetry(), absl::InfiniteFuture());
}

TEST_F(ChainIntakeTest, ABadChainIsAskedForLessAndLessAndGivenUpAfterAWhile) {
  ChainIntake intake(std::nullopt, log_.get(), &clock_, &random_);
  const absl::Time begun = clock_.now;
  int tries = 0;
  for (; clock_.now < begun + absl::Hours(1); clock_.now = intake.NextRetry(), ++tries) {
    Append(intake, Answer(intake, true));
    EXPECT_TRUE(asked_for_[bad()]);
    if (tries == 0) {
      EXPECT_THAT(intake.GivenUp(), IsEmpty()) << "the causal order is kept for it";
    }
  }
  EXPECT_THAT(intake.GivenUp(), SizeIs(1));
  EXPECT_GT(tries, 15);
  EXPECT_LT(tries, 40);
  clock_.now = begun;  // Nothing is due.
  Answer(intake, true);
  EXPECT_FALSE(asked_for_[bad()]);
  intake.RetryNow();
  Answer(intake, true);
  EXPECT_TRUE(asked_for_[bad()]);
}

TEST_F(ChainIntakeTest, WhoPullsOnceAsksForABadChainOnce) {
  ChainIntake intake(std::nullopt, log_.get(), &clock_, &random_, ChainIntake::Retry::kNever);
  EXPECT_TRUE(Append(intake, Answer(intake, true)));
  clock_.now += absl::Hours(24);
  intake.RetryNow();
  Answer(intake, true);
  EXPECT_FALSE(asked_for_[bad()]);
  EXPECT_THAT(intake.troubles(), SizeIs(1));
  EXPECT_THAT(intake.GivenUp(), SizeIs(1)) << "nobody waits for what never comes";
}

// One commit with a clock of 2099, or an event made by hand at the end of all stamps.
class AheadTest : public ChainIntakeTest, public ::testing::WithParamInterface<uint64_t> {};

INSTANTIATE_TEST_SUITE_P(Stamps, AheadTest,
                         ::testing::Values(HlcStamp::FromMillis(4'070'908'800'000).value, UINT64_MAX - 16, UINT64_MAX));

TEST_P(AheadTest, WhatIsStampedFarAheadWaitsByNameAndWhatIsBeforeItIsTaken) {
  v1::Event ahead = others_.Next(bad());
  test::SmallLog::Fill(v1::RowChange::INSERT, "9", {{{}, "ring"}}, ahead.mutable_row());
  ahead.set_stamp(GetParam());
  others_.AppendRaw(ahead, "public.items");
  Reload();
  ChainIntake intake(std::nullopt, log_.get(), &clock_, &random_);
  EXPECT_TRUE(Append(intake, Answer(intake, /*garbled=*/false)));
  EXPECT_EQ(Held(bad()), 5u) << "of the same segment";
  EXPECT_EQ(Held(good()), 5u);
  ASSERT_THAT(intake.troubles(), SizeIs(1));
  const LinkStatus& trouble = intake.troubles().at(bad());
  EXPECT_EQ(ProblemNamedBy(trouble.status)->kind, ProblemKind::kChainAhead);
  EXPECT_THAT(std::string(trouble.status.message()), HasSubstr(EventName(bad(), Sequence{6})));
  clock_.now = intake.NextRetry();
  EXPECT_TRUE(Append(intake, Answer(intake, false)));
  EXPECT_EQ(Held(bad()), 5u);
  EXPECT_LT(intake.NextRetry(), absl::InfiniteFuture()) << "its time comes";

  clock_.now = absl::FromUnixMillis(HlcStamp{GetParam()}.millis()) - kStampAheadMax + absl::Seconds(1);
  EXPECT_TRUE(Append(intake, Answer(intake, false)));
  EXPECT_EQ(Held(bad()), 6u);
  EXPECT_THAT(intake.troubles(), IsEmpty());
}

TEST_F(ChainIntakeTest, AnOwnClockThatIsBehindHoldsUpNobody) {
  clock_.now = absl::FromUnixSeconds(1);
  ChainIntake intake(std::nullopt, log_.get(), &clock_, &random_);
  PullReply reply = Answer(intake, false);
  reply.heads.hub_time = absl::FromUnixSeconds(1'770'000'000);
  EXPECT_TRUE(Append(intake, reply));
  EXPECT_THAT(intake.troubles(), IsEmpty());
}

TEST_F(ChainIntakeTest, TheOwnChainIsNeverTakenFromAHub) {
  ChainIntake intake(bad(), log_.get(), &clock_, &random_);
  EXPECT_TRUE(Append(intake, Answer(intake, /*garbled=*/false)));
  EXPECT_EQ(Held(bad()), 0u);
  EXPECT_EQ(Held(good()), 5u);
  ASSERT_THAT(intake.troubles(), SizeIs(1));
  EXPECT_THAT(std::string(intake.troubles().at(bad()).status.message()), HasSubstr("this branch has written 0"));
}

TEST_F(ChainIntakeTest, AHubThatGivesLessThanItSaysIsNamed) {
  ChainIntake intake(std::nullopt, log_.get(), &clock_, &random_);
  PullReply reply = Answer(intake, false);
  std::erase_if(reply.segments, [this](const Segment& segment) { return segment.origin == bad(); });
  EXPECT_TRUE(Append(intake, reply));
  ASSERT_THAT(intake.troubles(), SizeIs(1));
  EXPECT_THAT(std::string(intake.troubles().at(bad()).status.message()), HasSubstr("gives none after 0"));
  EXPECT_EQ(Held(good()), 5u);
}

// Goal: what the head office has set aside is no trouble any more, and nothing after it is taken, whatever comes.
TEST_F(ChainIntakeTest, OfAChainThatWasSetAsideNothingMoreIsTaken) {
  ChainIntake intake(std::nullopt, log_.get(), &clock_, &random_);
  EXPECT_TRUE(Append(intake, Answer(intake, /*garbled=*/true)));
  ASSERT_THAT(intake.troubles(), SizeIs(1));
  const uint64_t held = Held(bad());
  intake.SetAside({{bad(), {held + 1}, "mumbai"}});
  EXPECT_THAT(intake.troubles(), SizeIs(1)) << "up to there it is to be had, and is not";
  intake.SetAside({{bad(), {held}, "mumbai"}});
  EXPECT_THAT(intake.troubles(), IsEmpty());
  EXPECT_FALSE(Append(intake, Answer(intake, /*garbled=*/false)));
  EXPECT_EQ(Held(bad()), held);
  EXPECT_THAT(intake.troubles(), IsEmpty());
  intake.SetAside({});
  EXPECT_TRUE(Append(intake, Answer(intake, /*garbled=*/false)));
  EXPECT_EQ(Held(bad()), 5u);
}

}  // namespace
}  // namespace assay
