// Goal: calls are made one after another, in order, and none after Stop.
// Method: run the queue in the test's own thread, or in one that the test joins.
#include "tools/host/call_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "absl/time/clock.h"

namespace assay {
namespace {

using ::testing::ElementsAre;

TEST(CallQueueTest, CallsAreMadeInOrderAndNoneAfterStop) {
  CallQueue queue;
  std::vector<int> made;
  queue.Post([&] { made.push_back(1); });
  queue.Post([&] {
    made.push_back(2);
    queue.Post([&] { made.push_back(3); });  // A call may post: the lock is not held while it is made.
  });
  queue.Post([&] { queue.Stop(); });
  queue.Post([&] { made.push_back(4); });
  queue.Run();
  EXPECT_THAT(made, ElementsAre(1, 2)) << "what had not begun when it was stopped is forgotten";
  queue.Run();
  EXPECT_THAT(made, ElementsAre(1, 2)) << "it stays stopped";
}

TEST(CallQueueTest, AnIdleQueueIsWokenByAPostAndByStop) {
  CallQueue queue;
  std::atomic<int> made = 0;
  std::thread runner([&] { queue.Run(); });
  for (int i = 1; i <= 3; ++i) {
    absl::SleepFor(absl::Milliseconds(5));  // It waits by now, most likely.
    queue.Post([&] { ++made; });
    for (const absl::Time end = absl::Now() + absl::Seconds(20); made < i && absl::Now() < end;)
      std::this_thread::yield();
    EXPECT_EQ(made, i);
  }
  absl::SleepFor(absl::Milliseconds(5));
  queue.Stop();
  runner.join();
}

// What a call holds (a connection's buffers, a reply) is let go before the next one begins.
TEST(CallQueueTest, ACallIsDestroyedBeforeTheNextIsMade) {
  CallQueue queue;
  const auto held = std::make_shared<int>();
  long users_at_next = 0;
  queue.Post([held] {});
  queue.Post([&] { users_at_next = held.use_count(); });
  queue.Post([&] { queue.Stop(); });
  queue.Run();
  EXPECT_EQ(users_at_next, 1);
}

}  // namespace
}  // namespace assay
