// Goal: one call at a time, a reply for who asked and for nobody else, and no lock that is forgotten.
// Method: calls and replies by hand.
#include "engine/projection/database_lane.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

DatabaseCall Read(bool lock = false) {
  DatabaseRead read;
  read.request.lock = lock;
  return read;
}
DatabaseReply Shown(uint64_t session) { return absl::StatusOr<ReadReply>(ReadReply{.session = session}); }

TEST(DatabaseLaneTest, OneCallIsUnderWayUntilItIsAnswered) {
  DatabaseLane lane;
  EXPECT_TRUE(lane.May(Read(), /*early=*/false));
  lane.Begin(Read());
  EXPECT_TRUE(lane.busy());
  EXPECT_FALSE(lane.May(Read(), /*early=*/false));
  EXPECT_FALSE(lane.has_reply());
  lane.OnReply(Shown(7));
  EXPECT_FALSE(lane.busy());
  ASSERT_TRUE(lane.has_reply());
  EXPECT_EQ(std::get<absl::StatusOr<ReadReply>>(*lane.TakeReply())->session, 7u);
  EXPECT_FALSE(lane.TakeReply().has_value()) << "once";
}

TEST(DatabaseLaneTest, AnAbandonIsNotAnswered) {
  DatabaseLane lane;
  lane.Begin(DatabaseAbandon{});
  EXPECT_FALSE(lane.busy());
}

// What rests on the log's being durable must wait; and a lock that a failure makes everybody forget would be held for
// hours.
TEST(DatabaseLaneTest, EarlyGoesWhatRestsOnNothingOrIsHeldBackByItself) {
  DatabaseLane lane;
  EXPECT_TRUE(lane.May(Read(), /*early=*/true));
  EXPECT_TRUE(lane.May(DatabaseProject{}, /*early=*/true));
  EXPECT_FALSE(lane.May(Read(/*lock=*/true), /*early=*/true));
  EXPECT_FALSE(lane.May(DatabaseLastBatch{}, /*early=*/true));
  EXPECT_FALSE(lane.May(DatabaseAbandon{}, /*early=*/true));
  EXPECT_TRUE(lane.May(Read(/*lock=*/true), /*early=*/false));
}

TEST(DatabaseLaneTest, TheReplyToAForgottenCallIsDroppedAndItsLocksAreLetGo) {
  DatabaseLane lane;
  lane.Begin(Read(/*lock=*/true));
  lane.Forget();
  EXPECT_FALSE(lane.May(Read(), /*early=*/false)) << "it is still under way";
  EXPECT_FALSE(lane.must_abandon()) << "it may not have its locks yet";
  lane.OnReply(Shown(7));
  EXPECT_FALSE(lane.has_reply());
  EXPECT_TRUE(lane.must_abandon());
  EXPECT_FALSE(lane.May(Read(), /*early=*/true)) << "what is abandoned goes first";
  EXPECT_TRUE(lane.TakeAbandon());
  EXPECT_FALSE(lane.TakeAbandon()) << "once";
  lane.Begin(Read());
  lane.OnReply(Shown(8));
  EXPECT_TRUE(lane.has_reply()) << "the next one has its reply again";
}

TEST(DatabaseLaneTest, AReplyThatHadComeIsForgottenWithoutAWord) {
  DatabaseLane lane;
  lane.Begin(Read());
  lane.OnReply(Shown(7));
  lane.Forget();
  EXPECT_FALSE(lane.has_reply());
  EXPECT_FALSE(lane.must_abandon());
  EXPECT_TRUE(lane.May(Read(), /*early=*/true));
}

}  // namespace
}  // namespace assay
