// Goal: "sync now" ends when what was there as it began has arrived, says how far it is, and does not wait for what
// stands still. Method: statuses by hand, one after the other.
#include "adapters/grpc/sync_follower.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/origins.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

constexpr absl::Time kNow = absl::FromUnixSeconds(1'750'000'000);

OriginStatus Own(uint64_t complete, uint64_t at_hub) {
  OriginStatus own;
  own.origin = test::Origin(1);
  own.own = true;
  own.head = own.complete = own.projected = Sequence{complete};
  own.hub_head = Sequence{at_hub};
  return own;
}
OriginStatus Other(uint8_t number, uint64_t head, uint64_t projected, uint64_t at_hub) {
  OriginStatus other;
  other.origin = test::Origin(number);
  other.head = other.complete = Sequence{head};
  other.projected = Sequence{projected};
  other.hub_head = Sequence{at_hub};
  return other;
}
// Last pulled before it began, unless `pulled`.
DaemonStatus Status(std::vector<OriginStatus> origins, bool pulled = false) {
  DaemonStatus status;
  status.engine.has_hub = true;
  status.engine.last_pull = pulled ? kNow + absl::Seconds(1) : kNow - absl::Minutes(1);
  status.engine.origins = std::move(origins);
  return status;
}

class SyncFollowerTest : public ::testing::Test {
 protected:
  // Begins with 8 of its own 10 at the hub, and another's 20 here and written.
  SyncFollowerTest() : follower_(SyncFollower::Begin(Status({Own(10, 8), Other(2, 20, 20, 20)}), kNow).value()) {}

  admin::v1::SyncProgress Look(const DaemonStatus& status, absl::Duration after = absl::Seconds(2)) {
    const auto progress = follower_.Look(status, kNow + after);
    EXPECT_TRUE(progress.ok()) << progress.status();
    return progress.value_or(admin::v1::SyncProgress());
  }

  SyncFollower follower_;
};

TEST_F(SyncFollowerTest, ItIsDoneWhenTheHubWasHeardAndBothSidesHaveWhatWasThere) {
  admin::v1::SyncProgress progress = Look(Status({Own(10, 8), Other(2, 20, 20, 20)}));
  EXPECT_FALSE(progress.done()) << "the hub may have more, and was not asked yet";
  EXPECT_EQ(progress.pushed(), 0u);
  EXPECT_EQ(progress.push_total(), 2u);
  progress = Look(Status({Own(10, 10), Other(2, 20, 20, 25)}, /*pulled=*/true));
  EXPECT_FALSE(progress.done());
  EXPECT_EQ(progress.pushed(), 2u);
  EXPECT_EQ(progress.pull_total(), 5u);
  progress = Look(Status({Own(10, 10), Other(2, 25, 22, 25)}, true));
  EXPECT_FALSE(progress.done()) << "it is here, and not in the database";
  EXPECT_EQ(progress.pulled(), 5u);
  EXPECT_EQ(progress.projected(), 2u);
  EXPECT_EQ(progress.projected_total(), 5u);
  EXPECT_TRUE(Look(Status({Own(10, 10), Other(2, 25, 25, 25)}, true)).done());
}

TEST_F(SyncFollowerTest, WhatComesLaterIsNotWaitedFor) {
  Look(Status({Own(10, 10), Other(2, 20, 20, 22)}, /*pulled=*/true));
  const admin::v1::SyncProgress progress = Look(Status({Own(15, 10), Other(2, 22, 22, 90)}, true));
  EXPECT_TRUE(progress.done()) << "five more sales here, and many there";
  EXPECT_EQ(progress.push_total(), 2u);
  EXPECT_EQ(progress.pull_total(), 2u);
}

TEST_F(SyncFollowerTest, ABranchThatIsNewBeginsAtZero) {
  const admin::v1::SyncProgress progress =
      Look(Status({Own(10, 10), Other(2, 20, 20, 20), Other(3, 4, 1, 7)}, /*pulled=*/true));
  EXPECT_EQ(progress.pulled(), 4u);
  EXPECT_EQ(progress.pull_total(), 7u);
  EXPECT_EQ(progress.projected(), 1u);
  EXPECT_EQ(progress.projected_total(), 7u);
}

TEST_F(SyncFollowerTest, AChainThatStandsStillHoldsUpNobody) {
  OriginStatus stopped = Other(2, 20, 20, 90);
  stopped.status = absl::DataLossError("a fork");
  EXPECT_TRUE(Look(Status({Own(10, 10), stopped}, /*pulled=*/true)).done());
}

TEST_F(SyncFollowerTest, ATryThatFailsSinceItBeganEndsItWithTheLinksOwnError) {
  DaemonStatus status = Status({Own(10, 8)});
  status.engine.hub_pull = {absl::UnavailableError("no route to host"), kNow + absl::Seconds(1), kNow, 1};
  const absl::Status failed = follower_.Look(status, kNow + absl::Seconds(2)).status();
  EXPECT_TRUE(absl::IsUnavailable(failed));
  EXPECT_THAT(std::string(failed.message()), HasSubstr("pull"));
  status.engine.hub_pull = {};
  status.engine.projection = {absl::PermissionDeniedError("no rights"), kNow + absl::Seconds(1), kNow, 1};
  EXPECT_TRUE(absl::IsPermissionDenied(follower_.Look(status, kNow + absl::Seconds(2)).status()));
}

// Whoever asks for a sync wants to know whether the next try works.
TEST_F(SyncFollowerTest, AFailureFromBeforeIsNotItsOwnUntilItFailsAgain) {
  DaemonStatus status = Status({Own(10, 8)});
  status.engine.hub_push = {absl::UnavailableError("no route to host"), kNow - absl::Hours(1), kNow, 7};
  SyncFollower follower = SyncFollower::Begin(status, kNow).value();
  EXPECT_TRUE(follower.Look(status, kNow + absl::Seconds(1)).ok());
  status.engine.hub_push.failures = 8;
  EXPECT_TRUE(absl::IsUnavailable(follower.Look(status, kNow + absl::Seconds(2)).status()));
}

TEST_F(SyncFollowerTest, NothingThatMovesForAMinuteEndsIt) {
  Look(Status({Own(10, 8)}), absl::Seconds(59));
  Look(Status({Own(10, 9)}), absl::Seconds(60));
  Look(Status({Own(10, 9)}), absl::Seconds(119));
  EXPECT_TRUE(absl::IsDeadlineExceeded(follower_.Look(Status({Own(10, 9)}), kNow + absl::Seconds(121)).status()));
}

TEST_F(SyncFollowerTest, TheTimeLeftIsThatOfTheSlowestStage) {
  DaemonStatus status = Status({Own(10, 8), Other(2, 20, 20, 120)}, /*pulled=*/true);
  status.push.events_per_second = 1;
  status.pull.events_per_second = 50;
  status.projection.events_per_second = 10;
  const admin::v1::SyncProgress progress = Look(status);
  EXPECT_EQ(progress.time_left().seconds(), 10);
  EXPECT_EQ(progress.pulled_per_second(), 50);
  status.projection.events_per_second = 0;
  EXPECT_FALSE(Look(status).has_time_left()) << "nobody knows";
}

TEST(SyncFollowerBeginTest, WhereNothingCanComeOfItTheCauseIsTold) {
  DaemonStatus status = Status({Own(10, 8)});
  status.engine.paused = true;
  EXPECT_THAT(std::string(SyncFollower::Begin(status, kNow).status().message()), HasSubstr("assay sync resume"));
  status.engine.has_hub = false;
  EXPECT_TRUE(absl::IsFailedPrecondition(SyncFollower::Begin(status, kNow).status()));
  status.engine_link.status = absl::ResourceExhaustedError("the disk is full");
  EXPECT_TRUE(absl::IsUnavailable(SyncFollower::Begin(status, kNow).status()));
  SyncFollower follower = SyncFollower::Begin(Status({Own(10, 8)}), kNow).value();
  EXPECT_FALSE(follower.Look(status, kNow).ok()) << "the engine stopped meanwhile";
}

}  // namespace
}  // namespace assay
