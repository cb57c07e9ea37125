// Goal: what the pusher believes of the hub, and what it tells people of it.
// Method: give it replies by hand, over a small real log.
#include "engine/remotes/pusher.h"

#include <gtest/gtest.h>

#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

class SetClock : public Clock {
 public:
  absl::Time Now() override { return now; }
  absl::Time now = absl::FromUnixSeconds(1'700'000'000);
};

class NoRandom : public Random {
 public:
  uint64_t Next() override { return 0; }
};

class PusherTest : public ::testing::Test {
 protected:
  PusherTest() { config.has_hub = true; }

  test::TempDirectory directory{"pusher"};
  const std::string path = directory.path() + "/log.db";
  test::SmallLog small{path};
  const std::unique_ptr<LogFile> file = LogFile::Open(path, {}).value();
  const std::unique_ptr<EventLog> log = EventLog::Open(file.get()).value();
  EngineConfig config;
  SetClock clock;
  NoRandom random;
  Pusher pusher{config, small.mumbai(), log.get(), &clock, &random};
};

// A pull that was answered before the last push, and a line that fails, make it ask again, but progress that was shown
// is not taken back.
TEST_F(PusherTest, WhatHasArrivedIsNotTakenBackUntilTheHubItselfSaysSo) {
  const auto told = [&](uint64_t last) {
    HubHeads heads;
    heads.heads[small.mumbai()].last = Sequence{last};
    return heads;
  };
  EXPECT_EQ(pusher.hub_heard(), std::nullopt);
  pusher.OnHeads(told(1));
  PushReply pushed;
  pushed.last = Sequence{2};
  pusher.OnPushed(pushed);
  EXPECT_EQ(pusher.hub_heard(), Sequence{2});
  pusher.OnHubHead(Sequence{1});
  EXPECT_EQ(pusher.hub_last(), std::nullopt) << "to be asked";
  EXPECT_EQ(pusher.hub_heard(), Sequence{2});
  pusher.OnPushed(absl::UnavailableError("no route to host"));
  EXPECT_EQ(pusher.hub_heard(), Sequence{2});
  pusher.OnHeads(told(1));
  EXPECT_EQ(pusher.hub_heard(), Sequence{1}) << "it was restored from a backup";
}

// What breaks a long push off is tried again soon, however often it has been so: it got on.
TEST_F(PusherTest, ALargeSegmentIsPushedAgainAsLongAsSomeOfItArrives) {
  const auto next = [&] {
    EXPECT_TRUE(file->Begin().ok());
    EXPECT_TRUE(pusher.Step(/*paused=*/false).ok());
    EXPECT_TRUE(file->Commit().ok());
    return pusher.TakeCall();
  };
  HubHeads heads;
  heads.heads[small.mumbai()].last = Sequence{1};
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(std::holds_alternative<HubGetHeads>(next().value()));
    pusher.OnHeads(heads);
    ASSERT_TRUE(std::holds_alternative<HubPush>(next().value()));
    pusher.OnPushed(PushReply{.last = Sequence{1}, .arriving = true});
    EXPECT_TRUE(pusher.link().status.ok());
    ASSERT_TRUE(std::holds_alternative<HubPush>(next().value())) << "at once";
    pusher.OnPushed(absl::UnavailableError("the line broke"));
    EXPECT_LE(pusher.link().next_try, clock.now + absl::Seconds(1));
    clock.now += absl::Seconds(1);
  }
}

}  // namespace
}  // namespace assay
