// assayd as a program: how it begins, what it refuses, how it ends.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/child_process.h"
#include "tests/support/postgres_server.h"
#include "tests/support/sql.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using test::ChildProcess;
using test::PostgresServer;
using test::RunResult;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// A hub that takes connections and never says a word.
class SilentHub {
 public:
  SilentHub() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(fd_, 16), 0);
    socklen_t size = sizeof(address);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~SilentHub() { close(fd_); }
  int port() const { return port_; }

 private:
  int fd_;
  int port_;
};

class DaemonTest : public ::testing::Test {
 protected:
  void Prepare(PostgresServer& server) {
    url_ = server.Url("erp");
    test::MustSql(server.Url(), "CREATE DATABASE erp");
    test::MustSql(url_, "CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'ring')");
    Configure("");
    const RunResult init = Assay({"init"});
    ASSERT_EQ(init.exit_code, 0) << init.output;
  }
  void Configure(const std::string& more) {
    test::WriteFile(config_,
                    absl::StrCat("[branch]\nname = \"mumbai\"\nnumber = 1\nstate_dir = \"", directory_.path(),
                                 "/state\"\n[admin]\nlisten = \"unix:", directory_.path(),
                                 "/a.sock\"\n[postgres]\nurl = \"", url_, "\"\ntables = [\"public.*\"]\n", more),
                    0600);
  }
  RunResult Assay(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {ASSAY_PROGRAM, "--config", config_});
    return test::RunProgram(arguments);
  }
  std::unique_ptr<ChildProcess> StartDaemon() {
    auto daemon = ChildProcess::Start({ASSAYD_PROGRAM, "--config", config_}, {.output = directory_.path() + "/out"});
    EXPECT_TRUE(daemon.ok());
    return *std::move(daemon);
  }
  bool StatusSays(const std::string& text) {
    for (const absl::Time deadline = absl::Now() + absl::Seconds(20); absl::Now() < deadline;
         absl::SleepFor(absl::Milliseconds(100))) {
      if (absl::StrContains(Assay({"status", "--stages"}).output, text)) return true;
    }
    return false;
  }
  std::string Output() { return test::ReadFile(directory_.path() + "/out"); }

  test::TempDirectory directory_{"daemon"};
  const std::string config_ = directory_.path() + "/assay.toml";
  std::string url_;
};

TEST_F(DaemonTest, CapturesAndStopsWithinTwoSecondsWhateverTheHubDoes) {
  ASSAY_START_POSTGRES(server, {});
  Prepare(*server);
  SilentHub hub;
  Configure(absl::StrCat("[hub]\nurl = \"postgresql://b:hunter2canary@127.0.0.1:", hub.port(),
                         "/x?sslmode=disable\"\n[log]\nlevel = \"trace\"\n"));
  std::unique_ptr<ChildProcess> daemon = StartDaemon();
  ASSERT_TRUE(StatusSays("capture     working")) << Output() << Assay({"status"}).output;
  test::MustSql(url_, "UPDATE items SET name = 'band'");
  bool seen = false;
  for (int i = 0; i < 100 && !seen; ++i, absl::SleepFor(absl::Milliseconds(100))) {
    seen = absl::StrContains(Assay({"log", "ls"}).output, "name ring → band");
  }
  EXPECT_TRUE(seen);
  const absl::Time begin = absl::Now();
  daemon->Signal(SIGTERM);
  EXPECT_EQ(daemon->Wait(absl::Seconds(5)), 0);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(2));
  EXPECT_EQ(access((directory_.path() + "/a.sock").c_str(), F_OK), -1) << "its socket is gone";
  EXPECT_THAT(Output(), AllOf(HasSubstr("stopped"), Not(HasSubstr("hunter2canary"))));
}

TEST_F(DaemonTest, PostgresqlMayComeAndGo) {
  ASSAY_START_POSTGRES(server, {});
  Prepare(*server);
  ASSERT_TRUE(server->Stop().ok());
  std::unique_ptr<ChildProcess> daemon = StartDaemon();
  ASSERT_TRUE(StatusSays("next try 20")) << Assay({"status"}).output;
  ASSERT_TRUE(server->Start().ok());
  EXPECT_TRUE(StatusSays("capture     working")) << Assay({"status"}).output;
  ASSERT_TRUE(server->Kill().ok());
  EXPECT_TRUE(StatusSays("NOT WORKING")) << Assay({"status"}).output;
  ASSERT_TRUE(server->Start().ok());
  EXPECT_TRUE(StatusSays("capture     working")) << Assay({"status"}).output;
}

TEST_F(DaemonTest, RefusesWhatIsNotItsOwn) {
  ASSAY_START_POSTGRES(server, {});
  url_ = server->Url("erp");
  Configure("");
  RunResult result = test::RunProgram({ASSAYD_PROGRAM, "--config", config_});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, HasSubstr("assay init"));

  Prepare(*server);
  EXPECT_EQ(test::RunProgram({ASSAYD_PROGRAM, "--config", config_, "--check"}).exit_code, 0);
  std::unique_ptr<ChildProcess> daemon = StartDaemon();
  ASSERT_TRUE(StatusSays("capture     working")) << Output();
  result = test::RunProgram({ASSAYD_PROGRAM, "--config", config_});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, HasSubstr(absl::StrCat("(pid ", daemon->pid(), ")")));

  // Another branch with the same socket.
  const std::string config = test::ReadFile(config_);
  const std::string other = directory_.path() + "/other.toml";
  test::WriteFile(other, absl::StrReplaceAll(config, {{"/state\"", "/other\""}}), 0600);
  ASSERT_EQ(std::system(absl::StrCat("mkdir -m 700 ", directory_.path(), "/other && cd ", directory_.path(),
                                     "/other && cp ../state/signing.key . && cp ../state/log.db* .")
                            .c_str()),
            0);
  result = test::RunProgram({ASSAYD_PROGRAM, "--config", other});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, HasSubstr("somebody is listening on"));
  EXPECT_TRUE(StatusSays("capture     working")) << "the first goes on";
  daemon->Signal(SIGINT);
  EXPECT_EQ(daemon->Wait(absl::Seconds(5)), 0);

  test::WriteFile(other, absl::StrReplaceAll(config, {{"number = 1", "number = 2"}, {"mumbai", "delhi"}}), 0600);
  result = test::RunProgram({ASSAYD_PROGRAM, "--config", other});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, HasSubstr("is that of branch mumbai (number 1), and the config says delhi (number 2)"));
  test::WriteFile(other, "[branch]\nnmae = 1\n");
  EXPECT_EQ(test::RunProgram({ASSAYD_PROGRAM, "--config", other}).exit_code, 2);
}

}  // namespace
}  // namespace assay
