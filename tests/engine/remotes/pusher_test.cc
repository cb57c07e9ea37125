// Goal: what the pusher believes of the hub, and what it tells people of it.
// Method: give it replies by hand, over a small real log.
#include "engine/remotes/pusher.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
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

// Goal: what is too much for a line in one go is sent in smaller portions, and in larger ones once they pass.
TEST_F(PusherTest, PushesThatRunOutOfTimeBecomeSmallerAndGrowAgain) {
  constexpr int kRows = 40;  // Of 50 kB that do not shrink.
  for (int i = 0; i < kRows; ++i) {
    std::string value;
    for (uint64_t word = static_cast<uint64_t>(i + 1) << 32; value.size() < 50'000; ++word)
      absl::StrAppend(&value, absl::Hex(word * 0x9e3779b97f4a7c15, absl::kZeroPad16));
    small.Write(small.mumbai(), v1::RowChange::INSERT, absl::StrCat(i), {{std::nullopt, value}, {std::nullopt, "1"}});
  }
  const std::unique_ptr<LogFile> reopened = LogFile::Open(path, {}).value();
  const std::unique_ptr<EventLog> all = EventLog::Open(reopened.get()).value();
  Pusher careful{config, small.mumbai(), all.get(), &clock, &random};
  const auto next = [&] {
    clock.now += absl::Minutes(2);
    EXPECT_TRUE(reopened->Begin().ok());
    EXPECT_TRUE(careful.Step(/*paused=*/false).ok());
    EXPECT_TRUE(reopened->Commit().ok());
    std::optional<HubCall> call = careful.TakeCall();
    if (call.has_value() && std::holds_alternative<HubGetHeads>(*call)) {
      HubHeads heads;
      heads.heads[small.mumbai()].last = {1};
      careful.OnHeads(heads);
      return std::optional<PushRequest>();
    }
    return call.has_value() ? std::optional(std::get<HubPush>(*call).request) : std::nullopt;
  };
  const auto pushed = [&] {
    std::optional<PushRequest> request = next();
    if (!request.has_value()) request = next();
    EXPECT_TRUE(request.has_value());
    return request.value_or(PushRequest{});
  };
  PushRequest request = pushed();
  const size_t first = TransferSize::BytesIn(request.segments);
  for (int i = 0; i < 3; ++i) {
    const size_t before = TransferSize::BytesIn(request.segments);
    careful.OnPushed(absl::DeadlineExceededError("it took too long"));
    request = pushed();
    EXPECT_LT(TransferSize::BytesIn(request.segments), before);
  }
  const size_t least = TransferSize::BytesIn(request.segments);
  EXPECT_LT(least, first / 4);
  for (int i = 0; i < 7; ++i) {
    ASSERT_FALSE(request.segments.empty());
    careful.OnPushed(PushReply{.last = request.segments.back().last});
    request = pushed();
  }
  EXPECT_GT(TransferSize::BytesIn(request.segments), least);
}

}  // namespace
}  // namespace assay
