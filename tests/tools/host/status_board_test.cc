// Goal: everyone sees the newest picture, and is told of every change once and in order.
// Method: publish from one or several threads, look from another.
#include "tools/host/status_board.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

class StatusBoardTest : public ::testing::Test {
 protected:
  void State(const std::string& state) {
    board_.Publish([&](DaemonStatus& status) { status.engine.state = state; });
  }
  static DaemonStatus First() {
    DaemonStatus status;
    status.engine.state = "starting";
    return status;
  }

  std::vector<std::pair<std::string, std::string>> changes_;
  StatusBoard board_{First(), [this](const DaemonStatus& before, const DaemonStatus& after) {
                       changes_.emplace_back(before.engine.state, after.engine.state);
                     }};
};

TEST_F(StatusBoardTest, APublishedPictureReplacesTheOneBeforeAndIsNumbered) {
  EXPECT_EQ(board_.Get().engine.state, "starting");
  EXPECT_EQ(board_.Get().change, 0u);
  const absl::Time begun = absl::Now();
  State("running");
  EXPECT_EQ(board_.Get().engine.state, "running");
  EXPECT_EQ(board_.Get().change, 1u);
  EXPECT_GE(board_.Get().as_of, begun) << "how old a picture is, is part of it";
  State("paused");
  EXPECT_THAT(changes_, ElementsAre(Pair("starting", "running"), Pair("running", "paused")));
}

TEST_F(StatusBoardTest, WhatIsSeenAlreadyIsWaitedPast) {
  State("running");
  EXPECT_EQ(board_.WaitForChange(0, absl::Minutes(5)).engine.state, "running") << "there is one that was not seen";
  const absl::Time begun = absl::Now();
  EXPECT_EQ(board_.WaitForChange(1, absl::Milliseconds(20)).change, 1u) << "none came: the newest there is";
  EXPECT_GE(absl::Now() - begun, absl::Milliseconds(20));
}

TEST_F(StatusBoardTest, WhoWaitsIsWokenByTheNextPicture) {
  std::string seen;
  const absl::Time begun = absl::Now();
  std::thread watcher([&] { seen = board_.WaitForChange(0, absl::Seconds(20)).engine.state; });
  absl::SleepFor(absl::Milliseconds(5));  // It waits by now, most likely.
  State("running");
  watcher.join();
  EXPECT_EQ(seen, "running");
  EXPECT_LT(absl::Now() - begun, absl::Seconds(10));
}

// Two threads that publish at once change one picture after the other: neither loses the other's change.
TEST_F(StatusBoardTest, ChangesOfSeveralThreadsAreMadeOneAfterAnother) {
  const auto count = [&] {
    for (int i = 0; i < 500; ++i) {
      board_.Publish([](DaemonStatus& status) { ++status.engine.parked; });
    }
  };
  std::thread other(count);
  count();
  other.join();
  EXPECT_EQ(board_.Get().engine.parked, 1000);
  EXPECT_EQ(board_.Get().change, 1000u);
  EXPECT_EQ(changes_.size(), 1000u);
}

}  // namespace
}  // namespace assay
