// Four chains, each pushed over two connections in batches that overlap, and a reader that polls: nothing lost,
// reordered or doubled.
#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "adapters/supabase/supabase_hub.h"
#include "gmock/gmock.h"
#include "tests/adapters/supabase/supabase_server.h"
#include "tests/contract/test_chain.h"

namespace assay::test {
namespace {

constexpr int kTransactions = 120;

// Pushes the chain in windows of one to five segments that begin up to two before where it thinks the head is.
void PushOverlapping(SupabaseHub& hub, const TestChain& chain, const std::vector<Segment>& segments, unsigned seed,
                     std::atomic<int>* failures) {
  std::mt19937 random(seed);
  size_t next = 0;
  while (next < segments.size()) {
    const size_t begin = next - std::min<size_t>(next, random() % 3);
    const size_t end = std::min(segments.size(), next + 1 + random() % 5);
    auto reply =
        hub.Push(chain.Push({segments.begin() + static_cast<long>(begin), segments.begin() + static_cast<long>(end)}));
    if (!reply.ok()) {
      ADD_FAILURE() << reply.status();
      ++*failures;
      return;
    }
    while (next < segments.size() && segments[next].last <= reply->last) ++next;
  }
}

// Through `pooler`; null: directly.
void Overlap(SupabaseServer* supabase, PgBouncer* pooler) {
  ASSERT_TRUE(supabase->ResetHub().ok());
  const auto connect = [&](int branch) {
    const std::string url =
        pooler == nullptr ? supabase->BranchUrl(branch) : pooler->Url("postgres", SupabaseServer::Role(branch));
    return SupabaseHub::Create({.url = url}).value();
  };
  std::vector<TestChain> chains;
  std::vector<std::vector<Segment>> segments;
  for (int i = 0; i < 4; ++i) {
    chains.emplace_back(static_cast<uint8_t>(0xA0 + i));
    for (int t = 0; t < kTransactions; ++t) chains.back().Transaction(1 + (t * 7 + i) % 12);
    segments.push_back(chains.back().ByTransaction());
  }

  std::atomic<int> failures{0}, pushing{8};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      auto hub = connect(1 + i % 4 % 2);
      PushOverlapping(*hub, chains[i % 4], segments[i % 4], static_cast<unsigned>(i), &failures);
      --pushing;
    });
  }
  // PullAll fails on a gap and on what it was given before; every segment here is a whole transaction.
  std::map<OriginId, Sequence> have;
  std::map<OriginId, std::vector<Segment>> got;
  auto reader = connect(2);
  for (bool last_round = false; !last_round;) {
    last_round = pushing == 0;
    auto pulled = PullAll(*reader, have, 20'000);
    EXPECT_TRUE(pulled.ok()) << pulled.status();
    if (!pulled.ok()) break;
    for (Segment& segment : *pulled) {
      EXPECT_TRUE(segment.ends_transaction);
      have[segment.origin] = segment.last;
      got[segment.origin].push_back(std::move(segment));
    }
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  for (const TestChain& chain : chains) {
    uint64_t sequence = 0;
    for (const Segment& segment : got[chain.origin()]) {
      auto decoded = DecodedSegment::Decode(segment);
      ASSERT_TRUE(decoded.ok()) << decoded.status();
      for (const StoredEvent& event : decoded->events()) EXPECT_EQ(event.bytes, chain.bytes(++sequence));
    }
    EXPECT_EQ(sequence, chain.head().value);
  }
  EXPECT_EQ(SqlValue(supabase->AdminUrl(), "SELECT count(*) FROM assay_hub.fork_evidence"), "0");
  EXPECT_EQ(SqlValue(supabase->SuperUrl(), "SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'"), "0");
}

TEST(HubConcurrencyTest, OverlappingPushesLoseAndReorderNothing) {
  SupabaseServer* supabase = SharedSupabase();
  if (supabase == nullptr) GTEST_SKIP();
  Overlap(supabase, nullptr);
}

TEST(HubConcurrencyTest, NorDoTheyThroughEitherPooler) {
  SupabaseServer* supabase = SharedSupabase();
  if (supabase == nullptr) GTEST_SKIP();
  for (const char* mode : {"session", "transaction"}) {
    SCOPED_TRACE(mode);
    absl::StatusOr<std::unique_ptr<PgBouncer>> pooler = supabase->Pooler(mode, /*pool_size=*/10);
    if (MaySkipWithoutPostgres(pooler.status())) GTEST_SKIP() << pooler.status();
    ASSERT_TRUE(pooler.ok()) << pooler.status();
    ASSERT_NO_FATAL_FAILURE(Overlap(supabase, pooler->get()));
  }
}

}  // namespace
}  // namespace assay::test
