// How many events a second a hub takes and gives, on loopback with a durable disk. Not part of a run of all tests
// (label bench).
#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "adapters/supabase/supabase_hub.h"
#include "gtest/gtest.h"
#include "log/annotate.h"
#include "tests/adapters/supabase/big_hub.h"
#include "tests/adapters/supabase/supabase_server.h"
#include "tests/contract/test_chain.h"
#include "tests/support/link.h"

namespace assay::test {
namespace {

void Print(const std::string& what, uint64_t events, size_t bytes, int calls, absl::Duration time) {
  std::printf("%-44s %8.0f events/s  %6.1f MB/s  %7.2f ms a call\n", what.c_str(),
              static_cast<double>(events) / absl::ToDoubleSeconds(time),
              static_cast<double>(bytes) / 1e6 / absl::ToDoubleSeconds(time), absl::ToDoubleMilliseconds(time) / calls);
}

TEST(HubRates, PushAndPull) {
  auto supabase =
      SupabaseServer::Create({.settings = {{"fsync", "on"}, {"shared_buffers", "256MB"}, {"max_wal_size", "2GB"}}});
  if (MaySkipWithoutPostgres(supabase.status())) GTEST_SKIP();
  ASSERT_TRUE(supabase.ok()) << supabase.status();
  ASSERT_TRUE((*supabase)->ResetHub().ok());
  auto writer = SupabaseHub::Create({.url = (*supabase)->BranchUrl(1)}).value();
  uint8_t seed = 1;
  for (auto [transaction, segments_a_push, pushes] :
       {std::tuple{1000, 1, 60}, {1000, 4, 15}, {10, 1, 300}, {1, 1, 300}}) {
    TestChain chain(seed++);
    for (int i = 0; i < pushes * segments_a_push; ++i) chain.Transaction(static_cast<size_t>(transaction), 250);
    const std::vector<Segment> segments = chain.ByTransaction();
    size_t bytes = 0;
    for (const Segment& segment : segments) bytes += segment.ByteSize();
    ASSERT_TRUE(writer->Push(chain.Push({segments[0]})).ok());
    const absl::Time begin = absl::Now();
    for (size_t at = 1; at < segments.size(); at += static_cast<size_t>(segments_a_push)) {
      auto reply = writer->Push(chain.Push(
          {segments.begin() + static_cast<long>(at), segments.begin() + static_cast<long>(at) + segments_a_push}));
      ASSERT_TRUE(reply.ok()) << reply.status();
    }
    Print(absl::StrCat("push ", segments_a_push, " segment(s) of ", transaction), chain.head().value, bytes, pushes,
          absl::Now() - begin);
    for (int branch : {2, 3}) {  // 3 reads half of it masked.
      auto reader = SupabaseHub::Create({.url = (*supabase)->BranchUrl(branch)}).value();
      ASSERT_TRUE(reader->Heads().ok());
      std::map<OriginId, Sequence> have;
      for (uint8_t other = 1; other < seed - 1; ++other) have[TestChain(other).origin()] = {1'000'000};
      uint64_t events = 0;
      size_t pulled = 0;
      int calls = 0;
      const absl::Time pull_begin = absl::Now();
      for (bool more = true; more; ++calls) {
        auto reply = reader->Pull({.have = have});
        ASSERT_TRUE(reply.ok()) << reply.status();
        for (const Segment& segment : reply->segments) {
          events += segment.last.value - segment.first.value + 1;
          pulled += segment.ByteSize();
          have[segment.origin] = segment.last;
        }
        more = reply->more;
      }
      Print(absl::StrCat(branch == 3 ? "pull, half of it masked, " : "pull ", "segments of ", transaction), events,
            pulled, calls, absl::Now() - pull_begin);
    }
  }
}

// A thousand branches with a million segments: how long each call takes, and what it costs the line from the hub.
TEST(HubRates, AThousandBranches) {
  auto supabase =
      SupabaseServer::Create({.settings = {{"fsync", "on"}, {"shared_buffers", "224MB"}, {"max_wal_size", "4GB"}}});
  if (MaySkipWithoutPostgres(supabase.status())) GTEST_SKIP();
  ASSERT_TRUE(supabase.ok()) << supabase.status();
  ASSERT_TRUE((*supabase)->ResetHub().ok());
  const BigHub big;
  ASSERT_EQ(Fill(**supabase, big), absl::OkStatus());
  Link link((*supabase)->server().port());
  const std::string url = absl::StrReplaceAll(
      (*supabase)->BranchUrl(2),
      {{absl::StrCat(":", (*supabase)->server().port(), "/"), absl::StrCat(":", link.port(), "/")}});
  auto hub = SupabaseHub::Create({.url = url}).value();
  auto writer = SupabaseHub::Create({.url = (*supabase)->BranchUrl(3)}).value();
  PullRequest request = BigHubRequest(big);
  for (int n = 1; n <= big.branches; ++n) request.checkpoints[BigHubOrigin(n)] = BigHubCheckpoint(big, n);
  const auto measure = [&](const char* what, int times, const std::function<absl::Status()>& call,
                           const std::function<absl::Status()>& before = nullptr) {
    std::vector<double> taken;
    uint64_t begun = 0;
    for (int i = -2; i < times; ++i) {
      if (i == 0) begun = link.bytes_to_client();
      ASSERT_EQ(before == nullptr ? absl::OkStatus() : before(), absl::OkStatus()) << what;
      const absl::Time begin = absl::Now();
      ASSERT_EQ(call(), absl::OkStatus()) << what;
      if (i >= 0) taken.push_back(absl::ToDoubleMilliseconds(absl::Now() - begin));
    }
    std::sort(taken.begin(), taken.end());
    std::printf("%-34s p50 %7.2f ms   p95 %7.2f ms   %9llu bytes from the hub\n", what, taken[taken.size() / 2],
                taken[taken.size() * 95 / 100],
                static_cast<unsigned long long>((link.bytes_to_client() - begun) / static_cast<uint64_t>(times)));
  };
  absl::Time since = absl::InfinitePast();
  const auto heartbeat = [&] {
    auto reply = hub->Heartbeat(BigHubReport(big, 2), since);
    if (reply.ok() && since != absl::InfinitePast()) since = reply->hub_time;
    return reply.status();
  };
  measure("heads", 200, [&] { return hub->Heads().status(); });
  measure("pull, nothing new", 200, [&] { return hub->Pull(request).status(); });
  PushRequest push = BigHubPush(big, 3);
  measure(
      "pull, live", 200, [&] { return hub->Pull(request).status(); },
      [&] {
        Segment& next = push.segments.front();
        const absl::Status pushed = writer->Push(push).status();
        request.have[next.origin] = {next.last.value - 1};
        next.first = next.last = next.last.Next();
        return pushed;
      });
  measure("heartbeat, of all", 50, heartbeat);
  auto first = hub->Heartbeat(BigHubReport(big, 2), absl::InfinitePast());
  ASSERT_TRUE(first.ok());
  since = first->hub_time + absl::Milliseconds(1);
  absl::SleepFor(absl::Milliseconds(2));
  measure("heartbeat", 200, heartbeat);
}

}  // namespace
}  // namespace assay::test
