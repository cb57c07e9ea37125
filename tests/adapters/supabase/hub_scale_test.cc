// Goal: what a branch asks all the time costs the hub the same, however many branches there are and however long their
// chains.
// Method: a thousand branches made with SQL. Each call runs in a transaction of its own, which then tells what it read
// of which table and how: the plans, as they were.
#include <map>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "adapters/hub/frame.h"
#include "adapters/supabase/supabase_hub.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "log/annotate.h"
#include "tests/adapters/supabase/big_hub.h"
#include "tests/support/sql.h"

namespace assay::test {
namespace {

using ::testing::IsEmpty;

struct Reads {
  int64_t whole = 0;     // Rows that were read one after the other.
  int64_t by_index = 0;  // Rows that were found.
};

class HubScaleTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    supabase_ = SharedSupabase();
    if (supabase_ == nullptr) return;
    ASSERT_EQ(supabase_->ResetHub(), absl::OkStatus());
    ASSERT_EQ(Fill(*supabase_, big_), absl::OkStatus());
  }
  void SetUp() override {
    if (supabase_ == nullptr) GTEST_SKIP() << "no PostgreSQL";
  }

  // What `call` of branch 2 read, by table.
  std::map<std::string, Reads> ReadsOf(const std::string& call) {
    const auto result = [&]() -> absl::StatusOr<Rows> {
      // Of its own: what the transactions before it read may be among what is told.
      ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<SqlSession> session, SqlSession::Connect(supabase_->BranchUrl(2)));
      ASSAY_RETURN_IF_ERROR(session->Run("BEGIN").status());
      ASSAY_RETURN_IF_ERROR(session->Run("SELECT assay_hub." + call).status());
      ASSAY_ASSIGN_OR_RETURN(
          const Rows rows,
          session->Run("SELECT relname, seq_tup_read, coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_all_tables "
                       "WHERE schemaname = 'assay_hub' AND seq_scan + idx_scan > 0"));
      ASSAY_RETURN_IF_ERROR(session->Run("ROLLBACK").status());
      return rows;
    }();
    EXPECT_TRUE(result.ok()) << call.substr(0, 30) << result.status();
    std::map<std::string, Reads> reads;
    for (const auto& row : result.ok() ? *result : Rows()) {
      Reads& of = reads[row[0]];
      EXPECT_TRUE(absl::SimpleAtoi(row[1], &of.whole) && absl::SimpleAtoi(row[2], &of.by_index));
    }
    return reads;
  }
  static std::string Frame(const std::string& function, const std::string& bytes) {
    return absl::StrCat(function, "('\\x", HexEncode(bytes), "')");
  }
  static std::string Pull(int behind) {
    PullRequest request = BigHubRequest(big_);
    for (int n = 10; n < 10 + behind; ++n) --request.have[BigHubOrigin(n)].value;
    return Frame("pull", EncodePull(request));
  }
  // `since`: microseconds.
  static std::string Heartbeat(const std::string& since) {
    return absl::StrCat("heartbeat('{\"number\": \"2\", \"name\": \"\", \"state\": \"running\", \"origin\": \"",
                        BigHubOrigin(2).Hex(), "\", \"session\": \"", HexEncode(BigHubSession(2)), "\", \"since\": \"",
                        since, "\"}')");
  }
  static std::string OpenSession() {
    return absl::StrCat("open_session('{\"counter\": \"1\", \"known\": \"", HexEncode(BigHubSession(2)),
                        "\", \"session\": \"", std::string(32, 'b'), "\", \"last\": \"50\", \"shown\": \"50\", ",
                        "\"leaf\": \"", std::string(64, '0'), "\", \"replaces\": \"\", \"origin\": \"",
                        BigHubOrigin(2).Hex(), "\"}')");
  }

  static constexpr BigHub big_{.branches = 1'000, .segments = 50};
  inline static SupabaseServer* supabase_ = nullptr;
};

TEST_F(HubScaleTest, NoCallOfABranchReadsAllSegments) {
  const std::string since = SqlValue(supabase_->SuperUrl(), "SELECT (extract(epoch FROM now()) * 1000000)::bigint");
  const std::map<std::string, std::string> calls = {
      {"heads", "heads()"},
      {"whoami", "whoami()"},
      {"open_session", OpenSession()},
      {"push", Frame("push", *EncodePush(BigHubPush(big_, 2), nullptr))},
      {"pull with nothing new", Pull(0)},
      {"pull of what one has sent", Pull(1)},
      {"pull of all there is", Frame("pull", EncodePull({}))},
      {"heartbeat", Heartbeat(since)},
      {"first heartbeat", Heartbeat("")},
  };
  for (const auto& [name, call] : calls) {
    SCOPED_TRACE(name);
    std::map<std::string, Reads> reads = ReadsOf(call);
    for (const char* table : {"segment", "piece", "staged", "fork_evidence", "session"})
      EXPECT_EQ(reads[table].whole, 0) << table;
    // Whoever is told of all branches reads them; a chain is found by its name, but for a version vector of all.
    const bool tells_all = name.find("heartbeat") != std::string::npos;
    const bool by_vector = name.find("pull") != std::string::npos || name == "heads";
    EXPECT_TRUE(tells_all || reads["branch"].whole + reads["presence"].whole == 0);
    EXPECT_TRUE(by_vector || reads["origin"].whole == 0);
  }
}

TEST_F(HubScaleTest, ALivePullFindsOnlyWhatIsNew) {
  EXPECT_EQ(ReadsOf(Pull(0))["segment"].by_index, 0);
  EXPECT_LE(ReadsOf(Pull(1))["segment"].by_index, 4);
  EXPECT_LE(ReadsOf(Pull(100))["segment"].by_index, 400);
}

// Goal: under a gigabyte a month for each branch. A report every half minute is 86,400 a month.
TEST_F(HubScaleTest, AHeartbeatIsToldWhatIsNewInAFewBytes) {
  auto hub = SupabaseHub::Create({.url = supabase_->BranchUrl(2)}).value();
  const auto whole = hub->Heartbeat(BigHubReport(big_, 2), absl::InfinitePast());
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(whole->branches.size(), 1'000u);
  // All others report, and have sold.
  MustSql(supabase_->SuperUrl(),
          "UPDATE assay_hub.presence SET last_seen = clock_timestamp(), report = report || '{\"head\": \"77\"}'");
  // Without the minute that it tells again to be on the safe side.
  const auto next = hub->Heartbeat(BigHubReport(big_, 2), whole->hub_time + absl::Minutes(1));
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_FALSE(next->whole);
  EXPECT_THAT(next->branches, IsEmpty()) << "numbers are no news";
  EXPECT_FALSE(next->granted.has_value());
  int64_t bytes = 0;
  const std::string call = Heartbeat(absl::StrCat(absl::ToUnixMicros(next->hub_time)));
  ASSERT_TRUE(absl::SimpleAtoi(
      SqlValue(supabase_->BranchUrl(2), absl::StrCat("SELECT octet_length(assay_hub.", call, "::text)")), &bytes));
  EXPECT_LE(bytes, 1'000) << "its own state is news for a minute";
}

}  // namespace
}  // namespace assay::test
