// Hints: told when another branch pushed, honest when they do not work.
#include "adapters/supabase/hub_hints.h"

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "adapters/supabase/supabase_hub.h"
#include "gmock/gmock.h"
#include "tests/adapters/supabase/supabase_server.h"
#include "tests/adapters/supabase/tcp_stub.h"
#include "tests/contract/test_chain.h"
#include "tests/support/hand_clock.h"

namespace assay::test {
namespace {

using ::testing::HasSubstr;

class HubHintsTest : public testing::Test {
 protected:
  void SetUp() override {
    supabase_ = SharedSupabase();
    if (supabase_ == nullptr) GTEST_SKIP();
    ASSERT_TRUE(supabase_->ResetHub().ok());
  }

  static std::unique_ptr<SupabaseHints> Listen(const std::string& url, std::shared_ptr<Interrupt> interrupt = nullptr) {
    return SupabaseHints::Create({.url = url, .connect_timeout = absl::Seconds(2), .interrupt = std::move(interrupt)},
                                 std::make_unique<CountingRandom>())
        .value();
  }
  // Pushes one more transaction as branch `number`.
  void Push(int number, TestChain& chain) {
    chain.Transaction(1);
    auto reply =
        SupabaseHub::Create({.url = supabase_->BranchUrl(number)}).value()->Push(chain.Push(chain.ByTransaction()));
    ASSERT_TRUE(reply.ok()) << reply.status();
  }
  static void ExpectHint(HubHints& hints, bool expected, absl::Duration wait) {
    auto hint = hints.Wait(wait);
    ASSERT_TRUE(hint.ok()) << hint.status();
    EXPECT_EQ(*hint, expected);
  }

  SupabaseServer* supabase_ = nullptr;
};

TEST_F(HubHintsTest, AnotherBranchsPushIsAHintAndOnesOwnIsNot) {
  TestChain own(0xA1), other(0xB2);
  auto hints = Listen(supabase_->BranchUrl(1));
  ExpectHint(*hints, true, absl::Seconds(5));  // What was pushed before it listened.
  ExpectHint(*hints, false, absl::Milliseconds(50));
  Push(1, own);
  ExpectHint(*hints, false, absl::Milliseconds(300));
  Push(2, other);
  const absl::Time begin = absl::Now();
  ExpectHint(*hints, true, absl::Seconds(5));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(1));
  ExpectHint(*hints, false, absl::Milliseconds(50));
}

TEST_F(HubHintsTest, NothingNewIsNoHint) {
  TestChain other(0xB2);
  Push(2, other);
  auto hints = Listen(supabase_->BranchUrl(1));
  ExpectHint(*hints, true, absl::Seconds(5));
  auto hub = SupabaseHub::Create({.url = supabase_->BranchUrl(2)}).value();
  ASSERT_TRUE(hub->Push(other.Push(other.ByTransaction())).ok());
  other.Transaction(9);
  ASSERT_TRUE(hub->Push(other.Push({other.Cut(3, 5)})).ok());  // A piece: nobody is given it yet.
  ExpectHint(*hints, false, absl::Milliseconds(300));
  ASSERT_TRUE(hub->Push(other.Push({other.Cut(6, 11)})).ok());
  ExpectHint(*hints, true, absl::Seconds(5));
}

TEST_F(HubHintsTest, SessionPoolerDelivers) {
  auto pooler = supabase_->Pooler("session");
  if (MaySkipWithoutPostgres(pooler.status())) GTEST_SKIP();
  ASSERT_TRUE(pooler.ok()) << pooler.status();
  TestChain other(0xB2);
  auto hints = Listen((*pooler)->Url("postgres", "assay_branch_1"));
  ExpectHint(*hints, true, absl::Seconds(5));
  Push(2, other);
  ExpectHint(*hints, true, absl::Seconds(5));
}

TEST_F(HubHintsTest, TransactionPoolerIsFoundOut) {
  for (int pool_size : {1, 3}) {  // With one server connection even the test's own NOTIFY comes out of it.
    auto pooler = supabase_->Pooler("transaction", pool_size);
    if (MaySkipWithoutPostgres(pooler.status())) GTEST_SKIP();
    ASSERT_TRUE(pooler.ok()) << pooler.status();
    auto hints = Listen((*pooler)->Url("postgres", "assay_branch_1"));
    auto hint = hints->Wait(absl::Seconds(5));
    EXPECT_TRUE(absl::IsUnavailable(hint.status())) << hint.status();
    EXPECT_THAT(std::string(hint.status().message()), HasSubstr("transaction pooler"));
    // It stays known, without asking again at once.
    const absl::Time begin = absl::Now();
    EXPECT_EQ(hints->Wait(absl::Milliseconds(200)).status(), hint.status());
    EXPECT_GE(absl::Now() - begin, absl::Milliseconds(200));
    EXPECT_LT(absl::Now() - begin, absl::Seconds(1));
  }
}

TEST_F(HubHintsTest, LostConnectionIsToldAndMended) {
  TcpStub line(TcpStub::Forward(supabase_->server().port()));
  auto hints = Listen("postgresql://assay_branch_1:branch-secret-1@127.0.0.1:" + std::to_string(line.port()) +
                      "/postgres?sslmode=disable");
  ExpectHint(*hints, true, absl::Seconds(5));
  line.Drop();
  auto hint = hints->Wait(absl::Seconds(5));
  EXPECT_TRUE(absl::IsUnavailable(hint.status())) << hint.status();
  ExpectHint(*hints, true, absl::Seconds(10));  // By itself, and whoever pushed meanwhile is not missed.
}

// A hub that goes away leaves its whole fleet at one moment.
TEST(HubHintsBackOffTest, ChancePutsEachNextTryOff) {
  TcpStub hub(TcpStub::Answer(TcpStub::Fatal("57P03", "the database system is starting up")));
  auto random = std::make_unique<CountingRandom>();
  const CountingRandom& drawn = *random;
  const uint64_t begun = drawn.last;
  auto hints =
      SupabaseHints::Create({.url = "postgresql://assay_branch_1:secret@127.0.0.1:" + std::to_string(hub.port()) +
                                    "/postgres?sslmode=disable"},
                            std::move(random))
          .value();
  for (uint64_t failures = 1; failures <= 2; ++failures) {
    EXPECT_TRUE(absl::IsUnavailable(hints->Wait(absl::Seconds(10)).status()));
    EXPECT_EQ(drawn.last, begun + failures);
  }
  EXPECT_TRUE(absl::IsUnavailable(hints->Wait(absl::ZeroDuration()).status()));  // It is not time yet.
  EXPECT_EQ(drawn.last, begun + 2);
}

TEST_F(HubHintsTest, InterruptEndsTheWait) {
  auto interrupt = std::make_shared<Interrupt>();
  auto hints = Listen(supabase_->BranchUrl(1), interrupt);
  ExpectHint(*hints, true, absl::Seconds(5));
  std::thread stop([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    interrupt->Trigger();
  });
  const absl::Time begin = absl::Now();
  EXPECT_TRUE(absl::IsCancelled(hints->Wait(absl::Minutes(5)).status()));
  stop.join();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(3));
  EXPECT_TRUE(absl::IsCancelled(hints->Wait(absl::Minutes(5)).status()));
}

}  // namespace
}  // namespace assay::test
