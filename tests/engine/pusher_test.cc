// Goal: what the pusher believes of the hub, and what it tells people of it.
// Method: give it replies by hand, over a small real log.
#include "engine/pusher.h"

#include <gtest/gtest.h>

#include "tests/grpc/small_log.h"
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

// A pull that was answered before the last push, and a line that fails, make it ask again, but progress that was shown is not taken back.
TEST(PusherTest, WhatHasArrivedIsNotTakenBackUntilTheHubItselfSaysSo) {
  test::TempDirectory directory("pusher");
  const std::string path = directory.path() + "/log.db";
  test::SmallLog small(path);
  const std::unique_ptr<LogFile> file = LogFile::Open(path, {}).value();
  const std::unique_ptr<EventLog> log = EventLog::Open(file.get()).value();
  EngineConfig config;
  config.has_hub = true;
  SetClock clock;
  NoRandom random;
  Pusher pusher(config, small.mumbai(), log.get(), &clock, &random);
  const auto told = [&](uint64_t last) {
    HubHeads heads;
    heads.heads[small.mumbai()].last = Sequence{last};
    return heads;
  };
  EXPECT_EQ(pusher.hub_heard(), std::nullopt);
  pusher.OnHeads(told(1));
  PushReply pushed;
  pushed.head.last = Sequence{2};
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

// Each push costs the hub a sync, and the shop's machine its share of the line: a busy shop's commits share one, a quiet shop's does not wait.
TEST(PusherTest, AFewPushesGoAtOnceAndOfManyCloseTogetherSeveralAreOne) {
  test::TempDirectory directory("pusher");
  const std::string path = directory.path() + "/log.db";
  test::SmallLog small(path);
  for (int i = 0; i < 12; ++i) {
    v1::Event event = small.Next(small.mumbai());
    test::SmallLog::Fill(v1::RowChange::INSERT, std::to_string(i), {{{}, "ring"}}, event.mutable_row());
    small.AppendRaw(event, "public.items");
  }
  EngineConfig config;
  config.has_hub = true;
  SetClock clock;
  NoRandom random;
  const std::unique_ptr<LogFile> file = LogFile::Open(path, {}).value();
  const std::unique_ptr<EventLog> log = EventLog::Open(file.get()).value();
  const Sequence last = log->Head(small.mumbai()).last;
  ASSERT_GE(last.value, 10u);
  Pusher pusher(config, small.mumbai(), log.get(), &clock, &random);
  const auto pushes = [&] {
    EXPECT_TRUE(file->Begin().ok());
    EXPECT_TRUE(pusher.Step(/*paused=*/false).ok());
    EXPECT_TRUE(file->Commit().ok());
    const std::optional<HubCall> call = pusher.TakeCall();
    return call.has_value() && std::holds_alternative<HubPush>(*call);
  };
  HubHeads heads;
  heads.heads[small.mumbai()].last = Sequence{1};
  ASSERT_FALSE(pushes()) << "it asks first what the hub has";
  pusher.OnHeads(heads);
  PushReply pushed;
  const auto take_one = [&] {  // The rest is as if it had been committed since.
    pushed.head.last = pushed.head.last.Next();
    pusher.OnPushed(pushed);
  };
  pushed.head.last = Sequence{1};
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(pushes()) << i;
    take_one();
  }
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(pushes());
    EXPECT_EQ(pusher.NextWake(), clock.now + absl::Milliseconds(10));
    clock.now += absl::Milliseconds(10);
    EXPECT_TRUE(pushes());
    take_one();
  }
  clock.now += absl::Milliseconds(30);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(pushes()) << "after a rest";
    pushed.head.last = i == 0 ? pushed.head.last.Next() : last;
    pusher.OnPushed(pushed);
  }
  // A clock that was set back makes nobody wait for it to come round again.
  pusher.OnHubHead(Sequence{2});
  pusher.OnHeads(heads);
  clock.now -= absl::Hours(1);
  EXPECT_TRUE(pushes());
}

}  // namespace
}  // namespace assay
