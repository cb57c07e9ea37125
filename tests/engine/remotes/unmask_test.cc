// Goal: a table that is granted later comes whole: its rows are due, whatever was merged of them before.
// Method: mumbai writes, pune pulls with a table masked and merges what it can see; then the hub grants the table.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/fold/late_events.h"
#include "engine/remotes/chain_intake.h"
#include "tests/engine/recovery/recorded_branch.h"

namespace assay {
namespace {

using test::RecordedBranch;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class UnmaskedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    intake_.UnmaskUpTo([this](const OriginId&) { return merged_; });
  }
  // What a hub answers to the intake's next request.
  PullReply Answer(const PullRequest& request, bool granted) {
    PullReply reply;
    const Sequence last = mumbai_.log->Head(mumbai_.own).complete;
    reply.heads.heads[mumbai_.own] = {.last = last, .complete = last};
    const auto have = request.have.find(mumbai_.own);
    const Sequence from = have == request.have.end() ? Sequence{1} : have->second.Next();
    if (from > last) return reply;
    reply.segments = mumbai_.log->ReadSegments(mumbai_.own, from, 1, true).value();
    reply.more = reply.segments.back().last < last;
    for (Segment& segment : reply.segments) {
      for (size_t i = 0; i < segment.parts.size(); ++i) {
        if (!granted && !segment.parts[i].table.empty()) {
          EXPECT_TRUE(MaskPart(&segment, i).ok());
        }
      }
    }
    return reply;
  }
  void PullAll(bool granted) {
    PullReply reply;
    do {
      reply = Answer(intake_.NextRequest(), granted);
      ASSERT_TRUE(intake_.Append(reply).ok());
    } while (reply.more);
    ASSERT_THAT(intake_.troubles(), IsEmpty());
  }

  RecordedBranch mumbai_{1}, pune_{2};
  test::HandClock clock_;
  test::SeededRandom random_{7};
  ChainIntake intake_{pune_.own, pune_.log.get(), &clock_, &random_};
  Sequence merged_{1'000'000};
  LateEvents late_{{pune_.log.get(), pune_.names.get(), pune_.rows.get(), pune_.state.get(), pune_.unsettled.get(),
                    pune_.conflicts.get()},
                   &clock_};
};

TEST_F(UnmaskedTest, WhatIsGrantedLaterIsAskedForInPortionsAndItsRowsBecomeDue) {
  for (int i = 0; i < 20; ++i)
    mumbai_.Insert({absl::StrCat(i), "ring", std::string(20'000, static_cast<char>('a' + i))});
  mumbai_.Update({"3", "ring", "x"}, {"3", "chain", "x"});
  ASSERT_NO_FATAL_FAILURE(PullAll(/*granted=*/false));
  EXPECT_FALSE(intake_.HasMasked());
  intake_.SetGrants({{"public.others"}});
  EXPECT_FALSE(intake_.HasMasked()) << "another table";

  intake_.SetGrants({{"*"}});
  size_t events = 0;
  while (intake_.HasMasked()) {
    const PullReply reply = Answer(intake_.NextUnmaskRequest(), /*granted=*/true);
    ASSERT_TRUE(intake_.unmasking());
    ASSERT_TRUE(intake_.Append(reply).value()) << "it gets on with each reply";
    for (const ChainIntake::Unmasked& unmasked : intake_.TakeUnmasked()) {
      events += unmasked.events.size();
      ASSERT_TRUE(late_.Merge(unmasked.origin, unmasked.events).ok());
    }
  }
  EXPECT_EQ(events, 21u);
  EXPECT_EQ(pune_.unsettled->count(), 20) << "and each is due";
  const std::vector<UnsettledRow> due = pune_.unsettled->Due(test::kNowMs * 2, 100).value();
  ASSERT_THAT(due, SizeIs(20));
  for (const UnsettledRow& row : due) {
    EXPECT_TRUE(row.held_known);
    EXPECT_EQ(row.held, std::nullopt) << "PostgreSQL never had it";
    EXPECT_EQ(row.cause, "");
  }
  EXPECT_TRUE(pune_.Versions("3") == mumbai_.Versions("3"));
}

TEST_F(UnmaskedTest, WhatIsSaidToBeGrantedAndDoesNotComeIsNotAskedForForEver) {
  mumbai_.Insert({"1", "ring", "x"});
  ASSERT_NO_FATAL_FAILURE(PullAll(false));
  intake_.SetGrants({{"*"}});
  ASSERT_TRUE(intake_.HasMasked());
  EXPECT_FALSE(intake_.Append(Answer(intake_.NextUnmaskRequest(), /*granted=*/false)).value());
  EXPECT_FALSE(intake_.HasMasked()) << "before the hub says so once more";
  EXPECT_THAT(intake_.TakeUnmasked(), IsEmpty());
  EXPECT_THAT(intake_.Withheld(), IsEmpty()) << "it may have been taken away just then";

  for (int i = 0; i < 2; ++i) {
    intake_.SetGrants({{"*"}});
    ASSERT_TRUE(intake_.HasMasked());
    EXPECT_FALSE(intake_.Append(Answer(intake_.NextUnmaskRequest(), /*granted=*/false)).value());
  }
  EXPECT_THAT(intake_.Withheld(), ElementsAre(mumbai_.own)) << "and people are told";
  intake_.SetGrants({{"public.others"}});
  EXPECT_THAT(intake_.Withheld(), IsEmpty()) << "it was taken away";
  intake_.SetGrants({{"*"}});
  ASSERT_TRUE(intake_.Append(Answer(intake_.NextUnmaskRequest(), /*granted=*/true)).value());
  EXPECT_THAT(intake_.Withheld(), IsEmpty());
}

TEST_F(UnmaskedTest, WhatTheHubHasLostIsNotAskedForAllTheTimeAndNobodyWithholdsIt) {
  mumbai_.Insert({"1", "ring", "x"});
  ASSERT_NO_FATAL_FAILURE(PullAll(false));
  for (int i = 0; i < 5; ++i) {
    intake_.SetGrants({{"*"}});
    ASSERT_TRUE(intake_.HasMasked());
    (void)intake_.NextUnmaskRequest();
    EXPECT_FALSE(intake_.Append(PullReply()).value()) << "a hub that was put back to before the chain";
    EXPECT_FALSE(intake_.HasMasked()) << "before the hub's next word";
  }
  EXPECT_THAT(intake_.Withheld(), IsEmpty());
  intake_.SetGrants({{"*"}});
  EXPECT_TRUE(intake_.Append(Answer(intake_.NextUnmaskRequest(), /*granted=*/true)).value());
}

// Goal: what a hub withholds of one chain holds up that one alone.
TEST_F(UnmaskedTest, AChainThatDoesNotComeStandsBeforeNoOther) {
  RecordedBranch delhi{3};
  mumbai_.Insert({"1", "ring", "x"});
  delhi.Insert({"2", "ring", "x"});
  PullReply reply = Answer(intake_.NextRequest(), /*granted=*/false);
  const Sequence last = delhi.log->Head(delhi.own).complete;
  const auto give_delhi = [&](bool granted) {
    reply.heads.heads[delhi.own] = {.last = last, .complete = last};
    std::vector<Segment> segments = delhi.log->ReadSegments(delhi.own, {1}, 1 << 20, true).value();
    for (Segment& segment : segments) {
      for (size_t i = 0; i < segment.parts.size(); ++i) {
        if (!granted && !segment.parts[i].table.empty()) {
          EXPECT_TRUE(MaskPart(&segment, i).ok());
        }
      }
      reply.segments.push_back(std::move(segment));
    }
  };
  give_delhi(false);
  ASSERT_TRUE(intake_.Append(reply).ok());
  intake_.SetGrants({{"*"}});
  std::set<OriginId> asked;
  while (intake_.HasMasked()) {
    const PullRequest request = intake_.NextUnmaskRequest();
    const bool of_delhi = request.have.at(delhi.own) < last;
    ASSERT_TRUE(asked.insert(of_delhi ? delhi.own : mumbai_.own).second) << "once each";
    const bool comes = asked.size() == 2;  // The one that is asked for first does not.
    reply = Answer(request, comes);
    if (of_delhi) give_delhi(comes);
    ASSERT_TRUE(intake_.Append(reply).ok());
  }
  EXPECT_THAT(asked, SizeIs(2));
  EXPECT_THAT(intake_.TakeUnmasked(), SizeIs(1)) << "the second one";
}

// Goal: nobody sees a part of a transaction, and no batch that is on its way loses what it folded without.
TEST_F(UnmaskedTest, WhatIsStillArrivingIsAskedForAgain) {
  mumbai_.Insert({"1", "ring", "x"});
  ASSERT_NO_FATAL_FAILURE(PullAll(/*granted=*/false));
  intake_.SetGrants({{"*"}});
  PullReply reply = Answer(intake_.NextUnmaskRequest(), /*granted=*/true);
  reply.segments.clear();
  reply.more = reply.arriving = true;
  ASSERT_TRUE(intake_.Append(reply).ok());
  EXPECT_TRUE(intake_.HasMasked());
  ASSERT_TRUE(intake_.Append(Answer(intake_.NextUnmaskRequest(), /*granted=*/true)).value());
  EXPECT_FALSE(intake_.HasMasked());
}

TEST_F(UnmaskedTest, WhatIsNotMergedYetStaysMaskedUntilItIs) {
  mumbai_.Insert({"1", "ring", "x"});
  ASSERT_NO_FATAL_FAILURE(PullAll(false));
  intake_.SetGrants({{"*"}});
  merged_ = {2};
  EXPECT_FALSE(intake_.HasMasked());
  merged_ = mumbai_.log->Head(mumbai_.own).complete;
  EXPECT_TRUE(intake_.HasMasked());
}

// Method: an update of the row was merged before the table was granted, so that a fragment of it was parked or written.
TEST_F(UnmaskedTest, ARowOfWhichAPartWasThereBecomesWholeAndANewerEditStays) {
  mumbai_.Insert({"1", "ring", "x"});
  ASSERT_NO_FATAL_FAILURE(PullAll(false));
  mumbai_.Update({"1", "ring", "x"}, {"1", "chain", "x"});
  ASSERT_NO_FATAL_FAILURE(PullAll(true));
  ASSERT_TRUE(late_.Merge(mumbai_.own, {mumbai_.log->Head(mumbai_.own).complete}).ok());
  pune_.Insert({"9", "box", "x"});
  intake_.SetGrants({{"public.products"}});
  ASSERT_TRUE(intake_.Append(Answer(intake_.NextUnmaskRequest(), true)).value());
  const std::vector<ChainIntake::Unmasked> unmasked = intake_.TakeUnmasked();
  ASSERT_THAT(unmasked, SizeIs(1));
  ASSERT_THAT(unmasked[0].events, SizeIs(1));
  ASSERT_TRUE(late_.Merge(unmasked[0].origin, unmasked[0].events).ok());
  EXPECT_TRUE(pune_.Versions("1") == mumbai_.Versions("1"));
  const std::optional<UnsettledRow> due = pune_.unsettled->Find(pune_.Ref("1")).value();
  ASSERT_TRUE(due.has_value());
  ASSERT_TRUE(late_.Merge(unmasked[0].origin, unmasked[0].events).ok());
  EXPECT_EQ(pune_.unsettled->count(), 1);
}

}  // namespace
}  // namespace assay
