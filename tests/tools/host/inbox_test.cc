// Goal: what the engine's thread gets, in which order, and who waits for whom.
// Method: post from the test's thread and take; a second thread only where somebody is to be woken.
#include "tools/host/inbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/time/clock.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(InboxTest, CaptureWaitsForTheEngineAndNobodyElseDoes) {
  Inbox inbox;
  inbox.Begin(5);
  const auto nothing = [](Engine&) {};
  EXPECT_TRUE(inbox.WaitForRoom(absl::ZeroDuration()));
  inbox.PostCapture(5, nothing, 40 << 20, 10);
  EXPECT_FALSE(inbox.WaitForRoom(absl::Milliseconds(1)));
  inbox.Post(5, nothing);
  inbox.Post(4, nothing);  // For an engine that is gone.
  EXPECT_EQ(inbox.Take(absl::InfinitePast()).size(), 2u);
  EXPECT_FALSE(inbox.WaitForRoom(absl::Milliseconds(1))) << "taken is not done";
  inbox.Done();
  EXPECT_TRUE(inbox.WaitForRoom(absl::ZeroDuration()));
  for (int i = 0; i < 10; ++i) inbox.PostCapture(5, nothing, 1, 2000);
  EXPECT_EQ(inbox.Take(absl::InfinitePast()).size(), 2u) << "what one step works off";
  inbox.Begin(0);
  inbox.Post(5, nothing);
  EXPECT_THAT(inbox.Take(absl::InfinitePast()), IsEmpty());
}

// Whose inputs are told apart by what they note. None of them looks at its engine, so there is none.
class InboxOrderTest : public ::testing::Test {
 protected:
  Inbox::Input Note(int number) {
    return [this, number](Engine&) { ran_.push_back(number); };
  }
  void Run() {
    alignas(Engine) char none[sizeof(Engine)];
    for (const Inbox::Input& input : inbox_.Take(absl::InfinitePast())) input(reinterpret_cast<Engine&>(none));
  }

  Inbox inbox_;
  std::vector<int> ran_;
};

TEST_F(InboxOrderTest, CapturedChangesKeepTheirOrderAndRepliesNeverWaitBehindThem) {
  inbox_.Begin(1);
  inbox_.PostCapture(1, Note(1), 1, 3000);
  inbox_.PostCapture(1, Note(2), 1, 3000);
  inbox_.PostCapture(1, Note(3), 1, 1);
  inbox_.Post(1, Note(10));
  Run();
  EXPECT_THAT(ran_, ElementsAre(10, 1, 2)) << "the reply first, and then what one step works off";
  inbox_.Post(1, Note(11));
  Run();
  EXPECT_THAT(ran_, ElementsAre(10, 1, 2, 11, 3));
}

TEST_F(InboxOrderTest, WhatWasMeantForAnEngineThatIsGoneIsDropped) {
  inbox_.Post(0, Note(1));
  EXPECT_EQ(inbox_.generation(), 0u);
  inbox_.Begin(1);
  inbox_.Post(1, Note(2));
  inbox_.PostCapture(1, Note(3), 40 << 20, 1);
  inbox_.Begin(2);
  EXPECT_EQ(inbox_.generation(), 2u);
  EXPECT_TRUE(inbox_.WaitForRoom(absl::ZeroDuration())) << "nor does it take up room";
  inbox_.Post(1, Note(4));
  inbox_.PostCapture(1, Note(5), 1, 1);
  Run();
  EXPECT_THAT(ran_, IsEmpty());
}

TEST(InboxTest, WhoWaitsIsWokenByAnInputByWakeAndByRoom) {
  Inbox inbox;
  inbox.Begin(1);
  size_t taken = 0;
  std::thread engine([&] { taken = inbox.Take(absl::InfiniteFuture()).size(); });
  absl::SleepFor(absl::Milliseconds(5));  // It waits by now, most likely.
  const absl::Time begun = absl::Now();
  inbox.Post(1, [](Engine&) {});
  engine.join();
  EXPECT_EQ(taken, 1u);

  inbox.Wake();
  EXPECT_THAT(inbox.Take(absl::InfiniteFuture()), IsEmpty());
  EXPECT_LT(absl::Now() - begun, absl::Seconds(1)) << "Wake holds for a Take that comes later, too";

  inbox.PostCapture(
      1, [](Engine&) {}, 40 << 20, 1);
  bool room = false;
  std::thread capture([&] { room = inbox.WaitForRoom(absl::Seconds(20)); });
  absl::SleepFor(absl::Milliseconds(5));
  EXPECT_EQ(inbox.Take(absl::InfinitePast()).size(), 1u);
  inbox.Done();
  capture.join();
  EXPECT_TRUE(room);
  EXPECT_LT(absl::Now() - begun, absl::Seconds(1)) << "Take alone looks every two seconds";
}

}  // namespace
}  // namespace assay
