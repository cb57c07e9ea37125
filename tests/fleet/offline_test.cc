// Offline is not a mode: capture goes on, the status says what is wrong since when, and the rest arrives when it can.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "tests/fleet/fleet.h"
#include "tests/fleet/log_reader.h"

namespace assay::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kSchema[] = "CREATE TABLE sales (id int PRIMARY KEY, amount numeric(12,2))";

// The ERP and capture never notice: a sale commits at once and is in the log.
void ExpectSalesAreCaptured(Branch& branch, int id) {
  absl::Time begin = absl::Now();
  MustSql(branch.Url(), absl::StrCat("INSERT INTO sales VALUES (", id, ", 1)"));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(2));
  EXPECT_TRUE(Eventually(absl::Seconds(45), [&] {
    absl::StatusOr<std::vector<LoggedRow>> log = ReadLog(branch.state_directory());
    if (!log.ok()) return false;
    for (const LoggedRow& row : *log)
      if (row.key == std::vector<std::string>{absl::StrCat(id)}) return true;
    return false;
  })) << branch.DaemonLog();
}

// The hub link that is not well, "push" or "pull"; empty when both are.
std::string BrokenLink(Branch& branch) {
  absl::StatusOr<google::protobuf::Struct> status = branch.Status();
  if (!status.ok()) return "";
  for (const char* link : {"push", "pull"}) {
    if (!JsonText(*status, absl::StrCat(link, ".message")).empty()) return link;
  }
  return "";
}

// The status says what is wrong, since when, and when it is tried again; and no secret.
void ExpectSaysSo(Branch& branch, const ::testing::Matcher<const std::string&>& message) {
  ASSERT_TRUE(Eventually(absl::Seconds(45), [&] { return !BrokenLink(branch).empty(); })) << branch.DaemonLog();
  std::string link = BrokenLink(branch);
  absl::StatusOr<google::protobuf::Struct> status = branch.Status();
  ASSERT_OK(status.status());
  EXPECT_NE(JsonText(*status, link + ".ok"), "true");
  EXPECT_THAT(JsonText(*status, link + ".message"), message);
  EXPECT_NE(JsonText(*status, link + ".since"), "");
  EXPECT_NE(JsonText(*status, link + ".next_try"), "");
  EXPECT_NE(branch.Problems(), "");
  EXPECT_THAT(branch.DaemonLog(), Not(HasSubstr(branch.hub_password()))) << "a secret in the log";
  EXPECT_THAT(branch.Assay({"status"}).output, Not(HasSubstr(branch.hub_password())));
}

TEST(OfflineTest, NoHubIsConfigured) {
  auto fleet = Fleet::Create(1, {.schema = kSchema}, /*start=*/false);
  if (MaySkipWithoutPostgres(fleet.status())) GTEST_SKIP();
  ASSERT_OK(fleet.status());
  Branch& branch = (*fleet)->branch(0);
  branch.WriteConfig((*fleet)->options(), "");
  ASSERT_OK(branch.Init());
  ASSERT_OK(branch.StartDaemon());
  ExpectSalesAreCaptured(branch, 1);
  absl::StatusOr<google::protobuf::Struct> status = branch.Status();
  ASSERT_OK(status.status());
  EXPECT_EQ(JsonText(*status, "state"), "local-only");
  EXPECT_NE(JsonText(*status, "has_hub"), "true");
}

TEST(OfflineTest, TheHubGoesAwayAndComesBack) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  ASSERT_OK(fleet->hub().Stop());
  for (int i = 0; i < 2; ++i) {
    ExpectSalesAreCaptured(fleet->branch(i), i + 1);
    ExpectSaysSo(fleet->branch(i), ::testing::A<const std::string&>());
    EXPECT_EQ(JsonText(*fleet->branch(i).Status(), "state"), "offline");
  }
  ASSERT_OK(fleet->hub().Start());
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));  // By itself, by the next try.
  EXPECT_EQ(SqlValue(fleet->branch(0).Url(), "SELECT count(*) FROM sales"), "2");
}

TEST(OfflineTest, AWrongPasswordIsNamed) {
  ASSAY_START_FLEET(fleet, 1, {.schema = kSchema});
  Branch& branch = fleet->branch(0);
  ASSERT_EQ(branch.StopDaemon(), 0);
  branch.WriteConfig(fleet->options(),
                     fleet->hub().TcpUrl("postgres", "assay_branch_1", branch.hub_password() + "-is-wrong"));
  ASSERT_OK(branch.StartDaemon());
  ExpectSalesAreCaptured(branch, 1);
  ExpectSaysSo(branch, HasSubstr("password"));
}

TEST(OfflineTest, AnAddressNobodyAnswersAtIsNamed) {
  ASSAY_START_FLEET(fleet, 1, {.schema = kSchema});
  Branch& branch = fleet->branch(0);
  ASSERT_EQ(branch.StopDaemon(), 0);
  branch.WriteConfig(fleet->options(),
                     absl::Substitute("postgresql://assay_branch_1:$1@127.0.0.1:$0/postgres?sslmode=disable",
                                      FreePort(), branch.hub_password()));
  ASSERT_OK(branch.StartDaemon());
  ExpectSalesAreCaptured(branch, 1);
  ExpectSaysSo(branch, HasSubstr("refused"));
}

// A listener that answers every connection with bytes that are no PostgreSQL.
class Nonsense {
 public:
  Nonsense() : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), port_(FreePort()) {
    sockaddr_in address{.sin_family = AF_INET,
                        .sin_port = htons(static_cast<uint16_t>(port_)),
                        .sin_addr = {htonl(INADDR_LOOPBACK)},
                        .sin_zero = {}};
    if (bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 || listen(socket_, 16) != 0)
      std::abort();
    thread_ = std::thread([this] {
      int client;
      while ((client = accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0) {
        const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        (void)!write(client, answer, sizeof(answer) - 1);
        close(client);
      }
    });
  }
  ~Nonsense() {
    shutdown(socket_, SHUT_RDWR);
    close(socket_);
    thread_.join();
  }
  int port() const { return port_; }

 private:
  int socket_, port_;
  std::thread thread_;
};

TEST(OfflineTest, NonsenseFromTheHubIsOnlyAnError) {
  ASSAY_START_FLEET(fleet, 1, {.schema = kSchema});
  Branch& branch = fleet->branch(0);
  Nonsense nonsense;
  ASSERT_EQ(branch.StopDaemon(), 0);
  branch.WriteConfig(fleet->options(),
                     absl::Substitute("postgresql://assay_branch_1:$1@127.0.0.1:$0/postgres?sslmode=disable",
                                      nonsense.port(), branch.hub_password()));
  ASSERT_OK(branch.StartDaemon());
  ExpectSalesAreCaptured(branch, 1);
  ExpectSaysSo(branch, ::testing::A<const std::string&>());
  EXPECT_TRUE(branch.DaemonRunning());
}

TEST(OfflineTest, PausedMeansPaused) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  ASSERT_EQ(fleet->branch(0).Assay({"sync", "pause"}).exit_code, 0);
  ExpectSalesAreCaptured(fleet->branch(0), 1);
  absl::SleepFor(absl::Seconds(2));
  EXPECT_EQ(SqlValue(fleet->branch(1).Url(), "SELECT count(*) FROM sales"), "0");
  EXPECT_EQ(JsonText(*fleet->branch(0).Status(), "state"), "paused");
  ASSERT_EQ(fleet->branch(0).Assay({"sync", "resume"}).exit_code, 0);
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  EXPECT_EQ(SqlValue(fleet->branch(1).Url(), "SELECT count(*) FROM sales"), "1");
}

TEST(OfflineTest, SyncNowBringsWhatIsThere) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema, .realtime = false});
  MustSql(fleet->branch(0).Url(), "INSERT INTO sales SELECT g, g FROM generate_series(1, 100) g");
  ASSERT_TRUE(Eventually(absl::Seconds(45), [&] { return fleet->branch(0).Assay({"sync", "now"}).exit_code == 0; }));
  RunResult now = fleet->branch(1).Assay({"sync", "now"});
  EXPECT_EQ(now.exit_code, 0) << now.output;
  EXPECT_TRUE(Eventually(absl::Seconds(45),
                         [&] { return SqlValue(fleet->branch(1).Url(), "SELECT count(*) FROM sales") == "100"; }));
}

TEST(OfflineTest, ASessionPoolerBeforeTheHubWillDo) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema, .pooler = "session"});
  MustSql(fleet->branch(0).Url(), "INSERT INTO sales SELECT g, g FROM generate_series(1, 1000) g");
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  EXPECT_EQ(SqlValue(fleet->branch(1).Url(), "SELECT count(*) FROM sales"), "1000");
  EXPECT_TRUE(Eventually(absl::Seconds(45), [&] {
    return JsonText(*fleet->branch(1).Status(), "realtime.ok") == "true";
  })) << fleet->branch(1).Problems();
}

// A transaction pooler accepts LISTEN and never delivers: the daemon finds out, says so, and polls.
TEST(OfflineTest, ATransactionPoolerCostsTheHintsAndNoMore) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema, .interval = "2s", .pooler = "transaction"});
  MustSql(fleet->branch(0).Url(), "INSERT INTO sales SELECT g, g FROM generate_series(1, 1000) g");
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  EXPECT_EQ(SqlValue(fleet->branch(1).Url(), "SELECT count(*) FROM sales"), "1000");
  EXPECT_TRUE(
      Eventually(absl::Seconds(45), [&] { return JsonText(*fleet->branch(1).Status(), "realtime.ok") != "true"; }));
}

// Goal: SIGKILL at any moment loses nothing that was committed, and nothing arrives twice.
TEST(OfflineTest, AKilledDaemonGoesOnWhereItWas) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  for (int round = 0; round < 5; ++round) {
    MustSql(fleet->branch(0).Url(), absl::Substitute("INSERT INTO sales SELECT g, g FROM generate_series($0, $1) g",
                                                     round * 2000 + 1, round * 2000 + 2000));
    absl::SleepFor(absl::Milliseconds(30 * round));
    Branch& victim = fleet->branch(round % 2);
    victim.StopDaemon(9);
    ASSERT_OK(victim.StartDaemon());
  }
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  EXPECT_EQ(SqlValue(fleet->branch(1).Url(), "SELECT count(*) FROM sales"), "10000");
  absl::StatusOr<std::vector<LoggedRow>> log = ReadLog(fleet->branch(1).state_directory());
  ASSERT_OK(log.status());
  EXPECT_EQ(log->size(), 10000u);
}

}  // namespace
}  // namespace assay::test
