#include "engine/projection/xid_horizon.h"

#include "gtest/gtest.h"

namespace assay {
namespace {

TEST(XidHorizonTest, CoversWhatHadEndedOnceTheFenceHasComeBy) {
  XidHorizon horizon;
  EXPECT_FALSE(horizon.Covers(1, 99)) << "nothing is known";
  horizon.OnRead("a", 1, 100);
  EXPECT_FALSE(horizon.Covers(1, 99)) << "the fence has not come by";
  horizon.OnFence("a");
  EXPECT_TRUE(horizon.Covers(1, 99));
  EXPECT_FALSE(horizon.Covers(1, 100));
  EXPECT_TRUE(horizon.Covers(1, 2)) << "FrozenTransactionId";
}

TEST(XidHorizonTest, TheFenceMayComeByBeforeTheReply) {
  XidHorizon horizon;
  horizon.OnFence("a");
  EXPECT_FALSE(horizon.Covers(1, 99));
  horizon.OnRead("a", 1, 100);
  EXPECT_TRUE(horizon.Covers(1, 99));
}

TEST(XidHorizonTest, FencesMayComeByLateAndNeverMoveItBack) {
  XidHorizon horizon;
  horizon.OnRead("a", 1, 100);
  horizon.OnRead("b", 1, 200);
  horizon.OnFence("b");
  horizon.OnFence("a");
  EXPECT_TRUE(horizon.Covers(1, 150));
  horizon.OnRead("c", 1, 0);  // Not told.
  horizon.OnFence("c");
  EXPECT_TRUE(horizon.Covers(1, 150));
}

TEST(XidHorizonTest, CoversOurOwnProjections) {
  XidHorizon horizon;
  horizon.OnRead("a", 1, 100);
  horizon.OnFence("a");
  horizon.OnCommitted(1, 120);
  EXPECT_TRUE(horizon.Covers(1, 120));
  EXPECT_FALSE(horizon.Covers(1, 110));
  EXPECT_FALSE(horizon.Covers(1, 121));
  horizon.OnCommitted(1, 0);
  EXPECT_FALSE(horizon.Covers(1, 0));
}

// Somebody's transaction stays open for weeks, and nothing that came after it is known to have ended.
TEST(XidHorizonTest, OfVeryManyProjectionsTheLastAreRemembered) {
  XidHorizon horizon;
  for (uint32_t xmin = 1000; xmin < 2000; ++xmin) horizon.OnCommitted(1, xmin);
  EXPECT_TRUE(horizon.Covers(1, 1999));
  EXPECT_FALSE(horizon.Covers(1, 1000));
}

TEST(XidHorizonTest, NothingHoldsInAnotherSession) {
  XidHorizon horizon;
  horizon.OnRead("a", 1, 100);
  horizon.OnFence("a");
  horizon.OnCommitted(1, 120);
  EXPECT_FALSE(horizon.Covers(2, 99));
  EXPECT_FALSE(horizon.Covers(2, 120));
  horizon.OnCommitted(2, 50);
  EXPECT_TRUE(horizon.Covers(2, 50));
  EXPECT_FALSE(horizon.Covers(2, 49)) << "what had ended is known of the session before";
  EXPECT_FALSE(horizon.Covers(1, 120));
  horizon.OnRead("b", 3, 60);
  horizon.OnFence("b");
  EXPECT_TRUE(horizon.Covers(3, 59));
  EXPECT_FALSE(horizon.Covers(3, 120));
}

TEST(XidHorizonTest, XidsWrapAround) {
  XidHorizon horizon;
  horizon.OnRead("a", 1, 10);
  horizon.OnFence("a");
  EXPECT_TRUE(horizon.Covers(1, 4294967290u)) << "it is 16 transactions older";
  EXPECT_FALSE(horizon.Covers(1, 10 + (1u << 30)));
}

}  // namespace
}  // namespace assay
