// A hub that is away, wrong, slow or lying: each has its own words, none hangs, none tells a secret.
#include <sys/stat.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "adapters/supabase/supabase_hub.h"
#include "gmock/gmock.h"
#include "tests/adapters/supabase/supabase_server.h"
#include "tests/adapters/supabase/tcp_stub.h"
#include "tests/contract/test_chain.h"

namespace assay::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class HubSessionTest : public testing::Test {
 protected:
  void SetUp() override {
    supabase_ = SharedSupabase();
    if (supabase_ == nullptr) GTEST_SKIP();
    ASSERT_TRUE(supabase_->server().Start().ok());
    ASSERT_TRUE(supabase_->ResetHub().ok());
  }

  static std::string UrlAt(int port, const std::string& password = SupabaseServer::Password(1)) {
    return absl::StrCat("postgresql://assay_branch_1:", password, "@127.0.0.1:", port, "/postgres?sslmode=disable");
  }
  static std::unique_ptr<SupabaseHub> Connect(const std::string& url, std::shared_ptr<Interrupt> interrupt = nullptr) {
    return SupabaseHub::Create({.url = url,
                                .connect_timeout = absl::Seconds(2),
                                .call_timeout = absl::Seconds(2),
                                .interrupt = std::move(interrupt)})
        .value();
  }

  SupabaseServer* supabase_ = nullptr;
};

TEST_F(HubSessionTest, WrongPasswordIsNamedAndNotTold) {
  absl::Status status = Connect(UrlAt(supabase_->server().port(), "wr0ng-passw0rd"))->Heads().status();
  EXPECT_TRUE(absl::IsUnauthenticated(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("password authentication failed for user \"assay_branch_1\""));
  EXPECT_THAT(std::string(status.message()), HasSubstr("assay hub password"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("wr0ng")));
}

TEST_F(HubSessionTest, UnreachableHubIsUnavailable) {
  absl::Status status = Connect(UrlAt(FreePort()))->Heads().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("Connection refused"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("branch-secret")));
}

TEST_F(HubSessionTest, PausedProjectIsNamed) {
  TcpStub pooler(TcpStub::Answer(TcpStub::Fatal("XX000", "Tenant or user not found")));
  absl::Status status = Connect(UrlAt(pooler.port()))->Heads().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("the Supabase project is paused"));
}

TEST_F(HubSessionTest, FullPoolerAsksToSlowDown) {
  TcpStub pooler(
      TcpStub::Answer(TcpStub::Fatal("XX000", "MaxClientsInSessionMode: max clients reached in session mode")));
  absl::Status status = Connect(UrlAt(pooler.port()))->Heads().status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
}

TEST_F(HubSessionTest, WhatIsNoPostgresIsNotBelieved) {
  TcpStub web(TcpStub::Answer("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
  absl::Status status = Connect(UrlAt(web.port()))->Heads().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

TEST_F(HubSessionTest, SilentHubEndsInTime) {
  TcpStub silent(TcpStub::Silence());
  const absl::Time begin = absl::Now();
  absl::Status status = Connect(UrlAt(silent.port()))->Heads().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_LT(absl::Now() - begin, absl::Seconds(4));
}

TEST_F(HubSessionTest, LineCutWithoutAWordEndsInTimeAndMends) {
  TcpStub line(TcpStub::Forward(supabase_->server().port()));
  TestChain chain(0xA1);
  auto hub = Connect(UrlAt(line.port()));
  ASSERT_TRUE(hub->Heads().ok());
  line.Freeze();
  const absl::Time begin = absl::Now();
  absl::Status status = hub->Push(chain.Push(chain.ByTransaction())).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_LT(absl::Now() - begin, absl::Seconds(4));
  line.Freeze(false);
  auto reply = hub->Push(chain.Push(chain.ByTransaction()));  // It may have arrived: pushing again changes nothing.
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->last.value, 1u);
}

TEST_F(HubSessionTest, ConnectionClosedWhileIdleIsNotAnError) {
  TcpStub line(TcpStub::Forward(supabase_->server().port()));
  auto hub = Connect(UrlAt(line.port()));
  for (int i = 0; i < 3; ++i) {
    auto heads = hub->Heads();
    EXPECT_TRUE(heads.ok()) << heads.status();
    line.Drop();
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
  }
}

TEST_F(HubSessionTest, InterruptEndsACallThatWaits) {
  TcpStub silent(TcpStub::Silence());
  auto interrupt = std::make_shared<Interrupt>();
  auto hub =
      SupabaseHub::Create({.url = UrlAt(silent.port()), .connect_timeout = absl::Minutes(5), .interrupt = interrupt})
          .value();
  std::thread stop([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    interrupt->Trigger();
  });
  const absl::Time begin = absl::Now();
  absl::Status status = hub->Heads().status();
  stop.join();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_LT(absl::Now() - begin, absl::Seconds(3));
}

TEST_F(HubSessionTest, RestartedHubIsFoundAgain) {
  auto hub = Connect(supabase_->BranchUrl(1));
  ASSERT_TRUE(hub->Heads().ok());
  ASSERT_TRUE(supabase_->server().Stop().ok());
  EXPECT_TRUE(absl::IsUnavailable(hub->Heads().status()));
  ASSERT_TRUE(supabase_->server().Start().ok());
  auto heads = hub->Heads();
  EXPECT_TRUE(heads.ok()) << heads.status();
}

TEST_F(HubSessionTest, NonsenseIsRefused) {
  auto hub = Connect(supabase_->BranchUrl(1));
  auto replace = [&](const std::string& head, const std::string& body) {
    MustSql(supabase_->SuperUrl(),
            absl::StrCat("CREATE OR REPLACE FUNCTION assay_hub.", head, " LANGUAGE sql VOLATILE RETURN ", body));
  };
  for (const std::string answer :
       {"'[]'", "'\"x\"'", "'{}'", "'{\"origins\": {\"zz\": {}}}'",
        "'{\"origins\": {\"000102030405060708090a0b0c0d0e0f\": {\"last\": \"-1\", \"complete\": \"0\"}}}'"}) {
    replace("heads() RETURNS json", absl::StrCat(answer, "::json"));
    EXPECT_TRUE(absl::IsInvalidArgument(hub->Heads().status())) << answer << " " << hub->Heads().status();
  }
  replace("heads() RETURNS json", "NULL::json");
  EXPECT_TRUE(absl::IsInvalidArgument(hub->Heads().status()));
  TestChain chain(0xA1);
  replace("push(frame bytea) RETURNS jsonb", "'{\"last\": \"many\"}'::jsonb");
  EXPECT_TRUE(absl::IsInvalidArgument(hub->Push(chain.Push(chain.ByTransaction())).status()));
  for (const std::string answer : {"'\\x'", "'\\x01'", "'\\x0100ff'", "'\\x01000000000000000000ffffffff'"}) {
    replace("pull(frame bytea) RETURNS bytea", absl::StrCat(answer, "::bytea"));
    EXPECT_TRUE(absl::IsInvalidArgument(hub->Pull({}).status())) << answer << " " << hub->Pull({}).status();
  }
}

TEST_F(HubSessionTest, ReadOnlyHubAsksToSlowDown) {
  MustSql(supabase_->SuperUrl(), "ALTER ROLE assay_branch_1 SET default_transaction_read_only = on");
  TestChain chain(0xA1);
  auto hub = Connect(supabase_->BranchUrl(1));
  absl::Status status = hub->Push(chain.Push(chain.ByTransaction())).status();
  auto pulled = hub->Pull({});
  MustSql(supabase_->SuperUrl(), "ALTER ROLE assay_branch_1 RESET default_transaction_read_only");
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_TRUE(pulled.ok()) << "reading needs no writing: " << pulled.status();
}

// A hub whose certificate is not the one expected gets no password; the right one is talked to.
TEST_F(HubSessionTest, OnlyTheHubsOwnCertificateWillDo) {
  PostgresServer& server = supabase_->server();
  const std::string key = server.data_directory() + "/server.key",
                    certificate = server.data_directory() + "/server.crt";
  auto make = [](const std::string& key_path, const std::string& certificate_path) {
    return RunProgram({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                       "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key_path, "-out",
                       certificate_path});
  };
  RunResult made = make(key, certificate);
  ASSERT_EQ(made.exit_code, 0) << made.output;
  ChownToServerUser(key);
  ChownToServerUser(certificate);
  ASSERT_EQ(chmod(key.c_str(), 0600), 0);
  server.Configure("ssl", "on");
  ASSERT_TRUE(server.Reload().ok());
  TempDirectory directory("tls");
  ASSERT_EQ(make(directory.path() + "/other.key", directory.path() + "/other.crt").exit_code, 0);
  auto status = [&](const std::string& host, const std::string& root) {
    const std::string url = absl::StrCat("host=", host, " hostaddr=127.0.0.1 port=", server.port(),
                                         " user=assay_branch_1 password=", SupabaseServer::Password(1),
                                         " dbname=postgres sslmode=verify-full sslrootcert=", root);
    absl::Status result;
    const absl::Time deadline = absl::Now() + absl::Seconds(5);  // A reload takes a moment.
    do result = Connect(url)->Heads().status();
    while (absl::StrContains(result.message(), "does not support SSL") && absl::Now() < deadline);
    return result;
  };
  EXPECT_EQ(status("localhost", certificate), absl::OkStatus());
  for (const auto& [host, root, word] :
       {std::tuple{"localhost", directory.path() + "/other.crt", "not the hub's certificate"},
        {"localhost", directory.path() + "/none.crt", "add sslrootcert="},
        {"db.example.co", certificate, "whoever answered is not the hub"}}) {
    absl::Status refused = status(host, root);
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr(word));
    EXPECT_THAT(std::string(refused.message()), Not(HasSubstr("branch-secret")));
  }
  server.Configure("ssl", "off");
  ASSERT_TRUE(server.Reload().ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(status("localhost", certificate))) << "a hub without TLS";
}

TEST_F(HubSessionTest, EveryCallIsOneStatementWithoutSessionState) {
  auto hub = Connect(supabase_->BranchUrl(1));
  TestChain chain(0xA1);
  ASSERT_TRUE(hub->Push(chain.Push(chain.ByTransaction())).ok());
  ASSERT_TRUE(hub->Pull({}).ok());
  ASSERT_TRUE(hub->Heartbeat({.number = 1, .origin = chain.origin()}, absl::InfinitePast()).ok());
  auto other = SqlSession::Connect(supabase_->SuperUrl()).value();
  auto rows = other->Run("SELECT query, state FROM pg_stat_activity WHERE usename = 'assay_branch_1'");
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_THAT((*rows)[0][0], HasSubstr("heartbeat"));
  EXPECT_EQ((*rows)[0][1], "idle");
}

// What the hub holds of a line that broke is let go when the next one is there, or a bad evening fills the login's
// limit.
TEST_F(HubSessionTest, ANewSessionEndsThoseBeforeItOfItsLane) {
  const auto before = [&](const std::string& name) {
    return SqlSession::Connect(absl::StrCat(supabase_->BranchUrl(1), "&application_name=assay%20", name)).value();
  };
  auto push = before("push"), pull = before("pull");
  auto hub = SupabaseHub::Create({.url = supabase_->BranchUrl(1), .lane = "push"}).value();
  ASSERT_TRUE(hub->Heads().ok());
  EXPECT_FALSE(push->Run("SELECT 1").ok());
  EXPECT_TRUE(pull->Run("SELECT 1").ok());
  ASSERT_TRUE(hub->Heads().ok()) << "and not itself";
  auto one_of_many = Connect(supabase_->BranchUrl(1));
  ASSERT_TRUE(one_of_many->Heads().ok());
  EXPECT_EQ(SqlValue(supabase_->SuperUrl(),
                     "SELECT count(*) FROM pg_stat_activity WHERE usename = 'assay_branch_1' AND application_name LIKE "
                     "'assay%'"),
            "3");
}

TEST_F(HubSessionTest, APasswordThatWasChangedIsReadAtTheNextConnection) {
  std::string password = "not-yet";
  auto hub = SupabaseHub::Create({.url = supabase_->BranchUrl(1),
                                  .password = [&]() -> absl::StatusOr<std::string> { return password; }})
                 .value();
  EXPECT_TRUE(absl::IsUnauthenticated(hub->Heads().status()));
  password = SupabaseServer::Password(1);
  EXPECT_EQ(hub->Heads().status(), absl::OkStatus());
}

}  // namespace
}  // namespace assay::test
