// Large values pay for progress, not for time: over a line that is slow and breaks, past a server that counts the time
// of a statement, and in a server's memory.
#include <atomic>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "adapters/hub/frame.h"
#include "adapters/supabase/supabase_hub.h"
#include "gmock/gmock.h"
#include "log/merkle_tree.h"
#include "tests/adapters/supabase/supabase_server.h"
#include "tests/contract/test_chain.h"
#include "tests/support/link.h"

namespace assay::test {
namespace {

using ::testing::ElementsAre;

class HubPiecesTest : public testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<SupabaseServer>> supabase =
        SupabaseServer::Create({.settings = {{"shared_buffers", "8MB"}}});
    if (MaySkipWithoutPostgres(supabase.status())) GTEST_SKIP();
    ASSERT_TRUE(supabase.ok()) << supabase.status();
    supabase_ = *std::move(supabase);
    ASSERT_TRUE(supabase_->ResetHub().ok());
  }

  std::unique_ptr<SupabaseHub> Connect(int branch) {
    return SupabaseHub::Create({.url = supabase_->BranchUrl(branch)}).value();
  }
  std::unique_ptr<SupabaseHub> ConnectOver(const Link& line, int branch) {
    const std::string url =
        absl::StrCat("postgresql://", SupabaseServer::Role(branch), ":", SupabaseServer::Password(branch),
                     "@127.0.0.1:", line.port(), "/postgres?sslmode=disable");
    return SupabaseHub::Create({.url = url}).value();
  }
  // As the daemon does, which waits a little after a failure, and comes back at once after progress.
  static absl::Status PushWhole(Hub& hub, PushRequest rest, absl::Time limit) {
    while (!rest.segments.empty()) {
      if (absl::Now() > limit) return absl::DeadlineExceededError("not pushed");
      const absl::StatusOr<PushReply> reply = hub.Push(rest);
      if (!reply.ok()) absl::SleepFor(absl::Milliseconds(100));
      if (!reply.ok() || reply->arriving) continue;
      std::erase_if(rest.segments, [&](const Segment& segment) { return segment.last <= reply->last; });
    }
    return absl::OkStatus();
  }
  static absl::Status PullWhole(Hub& hub, const TestChain& chain, absl::Time limit) {
    for (std::map<OriginId, Sequence> have; have[chain.origin()] < chain.head();) {
      if (absl::Now() > limit) return absl::DeadlineExceededError("not pulled");
      const absl::StatusOr<PullReply> reply = hub.Pull({.have = have});
      if (!reply.ok()) absl::SleepFor(absl::Milliseconds(100));
      if (!reply.ok()) continue;
      for (const Segment& segment : reply->segments) {
        if (absl::StatusOr<DecodedSegment> decoded = DecodedSegment::Decode(segment); !decoded.ok())
          return decoded.status();
        have[segment.origin] = segment.last;
      }
    }
    return absl::OkStatus();
  }
  // The most that the backend of `branch` has ever held, in MB.
  int64_t PeakMegabytes(int branch) {
    const Rows pids = *Sql(supabase_->SuperUrl(), absl::StrCat("SELECT pid FROM pg_stat_activity WHERE usename = '",
                                                               SupabaseServer::Role(branch), "'"));
    int64_t most = 0;
    for (const auto& pid : pids) {
      std::ifstream status(absl::StrCat("/proc/", pid[0], "/status"));
      for (std::string word; status >> word;) {
        int64_t kilobytes = 0;
        if (word == "VmHWM:" && status >> kilobytes) most = std::max(most, kilobytes / 1024);
      }
    }
    return most;
  }

  std::unique_ptr<SupabaseServer> supabase_;
};

// Goal: what a broken line costs is a piece, not the value. Method: 5 MB that do not shrink, 1.5 MB a second, and the
// line breaks every second and a half, there and back: no attempt has the time for all of it.
TEST_F(HubPiecesTest, ALargeValuePassesASlowLineThatBreaks) {
  constexpr size_t kBytes = 5 << 20;
  TestChain chain(0xA1);
  chain.Noise(kBytes);
  Link line(supabase_->server().port());
  line.Slow(1'500'000, absl::ZeroDuration());
  std::atomic<bool> done{false};
  int cuts = 0;
  std::thread breaker([&] {
    for (int tick = 0; !done; ++tick) {
      absl::SleepFor(absl::Milliseconds(100));
      const int phase = tick % 15;
      if (phase == 13) {
        line.Set(Link::State::kCut);
        ++cuts;
      }
      if (phase == 14) line.Set(Link::State::kOpen);
    }
  });
  auto a = ConnectOver(line, 1), b = ConnectOver(line, 2);
  const absl::Status pushed = PushWhole(*a, chain.Push(chain.ByTransaction()), absl::Now() + absl::Seconds(20));
  const absl::Status pulled =
      pushed.ok() ? PullWhole(*b, chain, absl::Now() + absl::Seconds(20)) : absl::UnknownError("not tried");
  done = true;
  breaker.join();
  EXPECT_TRUE(pushed.ok()) << pushed;
  EXPECT_TRUE(pulled.ok()) << pulled;
  EXPECT_GE(cuts, 2);
  EXPECT_LT(line.bytes_to_server(), 2 * kBytes) << "the same was sent over and over";
  EXPECT_LT(line.bytes_to_client(), 2 * kBytes) << "the same was fetched over and over";
}

// Goal: statement_timeout counts the time of the bytes on the line; it must count those of one piece only. Method: a
// role that is given 2 s, and a line that takes 4 s for the value.
TEST_F(HubPiecesTest, TheTimeOfAStatementIsThatOfAPiece) {
  MustSql(supabase_->SuperUrl(), "ALTER ROLE assay_branch_1 SET statement_timeout = '2s'");
  MustSql(supabase_->SuperUrl(), "ALTER ROLE assay_branch_2 SET statement_timeout = '2s'");
  TestChain chain(0xA1);
  chain.Noise(4 << 20);
  Link line(supabase_->server().port());
  line.Slow(1 << 20, absl::ZeroDuration());
  auto a = ConnectOver(line, 1), b = ConnectOver(line, 2);
  EXPECT_TRUE(PushWhole(*a, chain.Push(chain.ByTransaction()), absl::Now() + absl::Seconds(15)).ok());
  EXPECT_TRUE(PullWhole(*b, chain, absl::Now() + absl::Seconds(15)).ok());
}

// Goal: what others have passes a large value that is on its way, and so do heartbeats: a call ends with its turn.
TEST_F(HubPiecesTest, OthersPassAValueThatTakesLong) {
  TestChain chain(0xA1), other(0xC3);
  chain.Noise(4 << 20);
  ASSERT_TRUE(PushWhole(*Connect(1), chain.Push(chain.ByTransaction()), absl::Now() + absl::Seconds(15)).ok());
  ASSERT_TRUE(Connect(3)->Push(other.Push(other.ByTransaction())).ok());
  Link line(supabase_->server().port());
  line.Slow(500'000, absl::ZeroDuration());
  auto b = ConnectOver(line, 2);
  const absl::Time begun = absl::Now();
  const absl::StatusOr<PullReply> first = b->Pull({});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_LT(absl::Now() - begun, absl::Seconds(7));
  EXPECT_TRUE(first->arriving);
  EXPECT_TRUE(first->more);
  std::map<OriginId, Sequence> have;
  for (const Segment& segment : first->segments) have[segment.origin] = segment.last;
  EXPECT_EQ(have[chain.origin()].value, 1u) << "what is before the value, and nothing of it";
  EXPECT_EQ(have[other.origin()], other.head());
  EXPECT_EQ(first->heads.heads.at(chain.origin()).complete, chain.head());
  line.Slow(0, absl::ZeroDuration());
  EXPECT_TRUE(PullWhole(*b, chain, absl::Now() + absl::Seconds(15)).ok());
}

// Goal: the hub's memory for a value is that of a piece, whoever takes or gives it.
TEST_F(HubPiecesTest, TheHubNeedsNoMemoryForALargeValue) {
  TestChain chain(0xA1);
  chain.Noise(44 << 20);
  auto a = Connect(1), b = Connect(2);
  ASSERT_TRUE(PushWhole(*a, chain.Push(chain.ByTransaction()), absl::Now() + absl::Seconds(60)).ok());
  ASSERT_TRUE(PullWhole(*b, chain, absl::Now() + absl::Seconds(60)).ok());
  std::printf("the hub's peak for a value of 44 MB: %ld MB to take it, %ld MB to give it\n", PeakMegabytes(1),
              PeakMegabytes(2));
  EXPECT_LT(PeakMegabytes(1), 64);
  EXPECT_LT(PeakMegabytes(2), 64);
}

// ---- What a branch that is hostile, broken or stolen can do with it ----

class HubPiecesSecurityTest : public HubPiecesTest {
 protected:
  static absl::StatusOr<std::string> Stage(SqlSession& session, const TestChain& chain, absl::string_view content,
                                           uint32_t number, absl::string_view bytes) {
    const std::string frame = EncodeStage({.origin = chain.origin(), .segments = {}, .checkpoint = "", .session = ""},
                                          Sha256(content), number, bytes);
    const absl::StatusOr<Rows> rows =
        session.Run("SELECT assay_hub.stage(decode($1, 'hex')) ->> 'pieces'", {absl::BytesToHexString(frame)});
    if (!rows.ok()) return rows.status();
    return (*rows)[0][0];
  }
  static std::string Piece(SqlSession& session, const TestChain& chain, uint64_t last, uint32_t number) {
    const std::string frame = absl::BytesToHexString(EncodePieceRequest(chain.origin(), {last}, number));
    const absl::StatusOr<Rows> rows = session.Run("SELECT assay_hub.piece(decode($1, 'hex'))", {frame});
    return rows.ok() ? "given" : SqlState(rows.status());
  }
  std::unique_ptr<SqlSession> Branch(int number) { return SqlSession::Connect(supabase_->BranchUrl(number)).value(); }
};

TEST_F(HubPiecesSecurityTest, PiecesAreHeldInOrderAndOneContentAtATime) {
  TestChain chain(0xA1);
  auto session = Branch(1);
  EXPECT_EQ(*Stage(*session, chain, "one", 0, ""), "0");
  EXPECT_EQ(*Stage(*session, chain, "one", 1, "b"), "0") << "a gap";
  EXPECT_EQ(*Stage(*session, chain, "one", 0, "a"), "1");
  EXPECT_EQ(*Stage(*session, chain, "one", 0, "x"), "1") << "its reply was lost: what is held stays";
  EXPECT_EQ(*Stage(*session, chain, "one", 1, "b"), "2");
  EXPECT_EQ(*Stage(*session, chain, "two", 0, ""), "0") << "another takes its place";
  EXPECT_EQ(*Stage(*session, chain, "one", 0, ""), "0");
  EXPECT_EQ(SqlState(Stage(*session, chain, "one", 0, std::string((1 << 20) + 1, 'x')).status()), "ZA002");
  const std::string frames[] = {"", "01", "0100", "02" + std::string(106, '0'), "01" + std::string(104, '0')};
  for (const std::string& frame : frames) {
    EXPECT_EQ(SqlState(session->Run("SELECT assay_hub.stage(decode($1, 'hex'))", {frame}).status()), "ZA002") << frame;
    EXPECT_EQ(SqlState(session->Run("SELECT assay_hub.piece(decode($1, 'hex'))", {frame}).status()), "ZA002") << frame;
  }
}

TEST_F(HubPiecesSecurityTest, NobodyStagesForAnother) {
  TestChain chain(0xB2);
  ASSERT_TRUE(Connect(2)->Push(chain.Push(chain.ByTransaction())).ok());
  auto two = Branch(2), one = Branch(1);
  ASSERT_EQ(*Stage(*two, chain, "x", 0, "a"), "1");
  for (const std::string bytes : {"", "b"}) {
    EXPECT_EQ(SqlState(Stage(*one, chain, "y", 0, bytes).status()), "42501");
  }
  EXPECT_EQ(*Stage(*two, chain, "x", 0, ""), "1") << "nothing of it was taken away";
  const std::string leaf = chain.Cut(1, 1).leaf_hashes;
  ASSERT_TRUE(Connect(2)->OpenSession({chain.origin(), 0, {}, std::string(16, 's'), {1}, {1}, leaf})->opened());
  EXPECT_EQ(SqlState(Stage(*two, chain, "x", 1, "b").status()), "ZA008") << "another daemon's session is open";
  // Nor does the functions' owner, should one of them be wrong.
  MustSql(supabase_->SuperUrl(), "GRANT assay_hub_owner TO assay_branch_1");
  MustSql(supabase_->SuperUrl(), "UPDATE assay_hub.staged SET staged_at = now() - interval '23 hours'");
  auto owner = Branch(1);
  ASSERT_TRUE(owner->Run("SET ROLE assay_hub_owner").ok());
  EXPECT_TRUE(owner->Run("DELETE FROM assay_hub.staged WHERE true RETURNING 1")->empty());
  const std::string origin = absl::StrCat("'\\x", chain.origin().Hex(), "'");
  for (const std::string& sql :
       {absl::StrCat("INSERT INTO assay_hub.staged (origin, number, content, bytes) VALUES (", origin,
                     ", 9, decode(repeat('00', 32), 'hex'), 'x')"),
        absl::StrCat("INSERT INTO assay_hub.piece VALUES (", origin, ", 1, 0, 'x')"),
        std::string("UPDATE assay_hub.piece SET number = 1 WHERE true"),
        std::string("DELETE FROM assay_hub.piece WHERE true"), std::string("TRUNCATE assay_hub.piece")}) {
    EXPECT_EQ(SqlState(owner->Run(sql).status()), "42501") << sql;
  }
}

TEST_F(HubPiecesSecurityTest, PiecesAreGivenToWhomThePartIs) {
  TestChain chain(0xA1);
  chain.Transaction(1);
  chain.Noise(1 << 20);  // Event 3, of public.salaries.
  ASSERT_TRUE(PushWhole(*Connect(1), chain.Push(chain.ByTransaction()), absl::Now() + absl::Seconds(20)).ok());
  auto one = Branch(1), two = Branch(2), three = Branch(3);
  EXPECT_EQ(Piece(*one, chain, 3, 0), "given");
  EXPECT_EQ(Piece(*two, chain, 3, 3), "given");
  EXPECT_EQ(Piece(*two, chain, 3, 99), "ZA002");
  EXPECT_EQ(Piece(*two, chain, 2, 0), "ZA002");
  EXPECT_EQ(Piece(*three, chain, 3, 0), "ZA002") << "without a grant";
  // Inside a transaction whose end is not there yet.
  MustSql(supabase_->SuperUrl(),
          "SET session_replication_role = replica; ALTER TABLE assay_hub.origin DISABLE TRIGGER USER;"
          "UPDATE assay_hub.origin SET complete = 2; ALTER TABLE assay_hub.origin ENABLE ALWAYS TRIGGER only_forward");
  EXPECT_EQ(Piece(*two, chain, 3, 0), "ZA002");
}

TEST_F(HubPiecesSecurityTest, APushOfWhatIsNotStagedStoresNothing) {
  TestChain chain(0xA1);
  chain.Noise(1 << 20);
  const std::vector<Segment> segments = chain.ByTransaction();
  auto hub = Connect(1);
  ASSERT_TRUE(hub->Push(chain.Push({segments[0]})).ok());
  const PushRequest request = chain.Push({segments[1]});
  const StagedPart staged{.part = 0, .content = Sha256(segments[1].parts[0].payload)};
  auto session = Branch(1);
  const auto push = [&] {
    return SqlState(
        session
            ->Run("SELECT assay_hub.push(decode($1, 'hex'))", {absl::BytesToHexString(*EncodePush(request, &staged))})
            .status());
  };
  EXPECT_EQ(push(), "ZA009");
  ASSERT_EQ(*Stage(*session, chain, segments[1].parts[0].payload, 0, "not all of it"), "1");
  EXPECT_EQ(push(), "ZA009");
  EXPECT_EQ(hub->Heads()->heads[chain.origin()].last.value, 1u);
  EXPECT_EQ(SqlValue(supabase_->SuperUrl(), "SELECT count(*) FROM assay_hub.piece"), "0");
}

TEST_F(HubPiecesSecurityTest, WhatNobodyGoesOnWithIsSweptAfterADay) {
  TestChain left(0xB2), chain(0xA1), going(0xB3);
  auto two = Branch(2);
  for (const uint32_t number : {0, 1}) {
    ASSERT_TRUE(Stage(*two, left, "x", number, "a").ok());
    ASSERT_TRUE(Stage(*two, going, "x", number, "a").ok());
  }
  const auto origins = [&] {
    return *Sql(supabase_->SuperUrl(), "SELECT DISTINCT encode(origin, 'hex') FROM assay_hub.staged ORDER BY 1");
  };
  MustSql(supabase_->SuperUrl(),
          "UPDATE assay_hub.staged SET staged_at = now() - interval '25 hours' "
          "WHERE number = 0");
  auto one = Branch(1);
  ASSERT_TRUE(Stage(*one, chain, "y", 0, "").ok());
  EXPECT_EQ(origins().size(), 2u) << "begun long ago, and going on";
  MustSql(supabase_->SuperUrl(), absl::StrCat("UPDATE assay_hub.staged SET staged_at = now() - interval '25 hours' "
                                              "WHERE origin = '\\x",
                                              left.origin().Hex(), "'"));
  ASSERT_TRUE(Stage(*one, chain, "y", 0, "").ok());
  EXPECT_THAT(origins(), ElementsAre(ElementsAre(going.origin().Hex())));
}

}  // namespace
}  // namespace assay::test
