// How many events a second a hub takes and gives, on loopback with a durable disk. Not part of a run of all tests
// (label bench).
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "adapters/supabase/supabase_hub.h"
#include "gtest/gtest.h"
#include "tests/adapters/supabase/supabase_server.h"
#include "tests/contract/test_chain.h"

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

}  // namespace
}  // namespace assay::test
