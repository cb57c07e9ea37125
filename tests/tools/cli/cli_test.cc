// The `assay` program against an admin server in this process, with a scripted daemon and a real small log.
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "adapters/grpc/admin_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "log/local_state/notes.h"
#include "tests/adapters/grpc/scripted_operator.h"
#include "tests/support/child_process.h"
#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using test::RunResult;
using test::ScriptedOperator;
using test::SmallLog;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kCanary[] = "hunter2canary";

class CliTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<AdminServer>> server = AdminServer::Start({.listen = address_}, &daemon_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    test::WriteFile(
        config_,
        absl::StrCat("[branch]\nname = \"mumbai\"\nnumber = 1\nstate_dir = \"", directory_.path(),
                     "\"\n[postgres]\nurl = \"postgresql:///erp\"\ntables = [\"public.*\"]\n[admin]\nlisten = \"",
                     address_, "\"\n"));
  }
  RunResult Assay(std::vector<std::string> arguments, std::map<std::string, std::string> environment = {}) {
    arguments.insert(arguments.begin(), {ASSAY_PROGRAM, "--config", config_});
    return test::RunProgram(arguments, absl::Seconds(20), {.environment = std::move(environment)});
  }
  // The answer with --json as an object.
  google::protobuf::Struct AssayJson(std::vector<std::string> arguments) {
    arguments.push_back("--json");
    const RunResult result = Assay(arguments);
    google::protobuf::Struct object;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(result.standard_output, &object).ok()) << result.output;
    return object;
  }

  test::TempDirectory directory_{"cli"};
  const std::string address_ = absl::StrCat("unix:", directory_.path(), "/run/a.sock");
  const std::string config_ = directory_.path() + "/assay.toml";
  SmallLog log_{directory_.path() + "/log.db"};
  ScriptedOperator daemon_{directory_.path() + "/log.db"};
  std::unique_ptr<AdminServer> server_;
};

TEST_F(CliTest, StatusSaysInWordsWhatIsWrong) {
  daemon_.Set([](DaemonStatus& status) {
    status.engine.has_hub = true;
    status.state = "offline";
    status.problems = {{.kind = ProblemKind::kHubPasswordRefused,
                        .subject = "mumbai",
                        .detail = "no route to host \x1b[2J",
                        .since = absl::Now() - absl::Minutes(5),
                        .next_try = absl::Now() + absl::Seconds(30)},
                       {.kind = ProblemKind::kRowsWait, .count = 2}};
    status.engine.hub_push = {absl::UnavailableError("no route to host"), absl::Now() - absl::Minutes(5),
                              absl::Now() + absl::Seconds(30), 3};
  });
  const RunResult people = Assay({"status"});
  EXPECT_EQ(people.exit_code, 1);
  EXPECT_THAT(
      people.output,
      AllOf(HasSubstr("mumbai  The hub refuses the login of mumbai.\n"),
            HasSubstr("\n        Selling goes on. Next try in "), HasSubstr("1 more thing is wrong.\n"),
            HasSubstr("\n !! The hub refuses the login of mumbai.\n      since "), HasSubstr(", next try 20"),
            HasSubstr("\n      found: no route to host \\x1b[2J\n"), HasSubstr("\n    do: Correct user and password."),
            HasSubstr("\n  ! 2 rows cannot be written to PostgreSQL yet.\n    do: `assay parked`")));
  EXPECT_THAT(people.output, Not(HasSubstr("\x1b")));
  EXPECT_THAT(Assay({"status", "--stages"}).output, HasSubstr("NOT WORKING, see above"));
  google::protobuf::Struct json = AssayJson({"status"});
  EXPECT_EQ(json.fields().at("state").string_value(), "offline");
  EXPECT_EQ(json.fields().at("sentence").struct_value().fields().at("tone").string_value(), "BAD");
  ASSERT_EQ(json.fields().at("problems").list_value().values_size(), 2);
  const auto& problem = json.fields().at("problems").list_value().values(0).struct_value().fields();
  EXPECT_EQ(problem.at("kind").string_value(), "hub-password-refused");
  EXPECT_EQ(problem.at("severity").string_value(), "BAD");
  EXPECT_EQ(json.fields().at("push").struct_value().fields().at("code").string_value(), "UNAVAILABLE");
  EXPECT_EQ(json.fields().at("parked_rows").string_value(), "0") << "also what is zero is printed";
}

TEST_F(CliTest, StatusExitsByWhatIsWrongAndAMonitorGetsItsOwnCodesAndOneLine) {
  const auto with = [&](std::vector<Problem> problems) {
    daemon_.Set([&](DaemonStatus& status) {
      status.engine.has_hub = true;
      status.problems = problems;
      status.engine.parked = 2;
    });
  };
  with({});
  EXPECT_EQ(Assay({"status"}).exit_code, 0);
  EXPECT_EQ(Assay({"status", "--check"}).exit_code, 0);
  EXPECT_THAT(Assay({"status", "--check"}).output, StartsWith("OK: "));
  with({{.kind = ProblemKind::kHubHintsMissing, .cause = "5 min"}});
  EXPECT_EQ(Assay({"status"}).exit_code, 0) << "a note is for reading";
  with({{.kind = ProblemKind::kHubUnreachable, .cause = "nobody answers"}});
  EXPECT_EQ(Assay({"status"}).exit_code, 1);
  const RunResult warning = Assay({"status", "--check"});
  EXPECT_EQ(warning.exit_code, 1);
  EXPECT_THAT(warning.output, AllOf(StartsWith("WARNING: "), HasSubstr(" | to_send="), HasSubstr(" rows_waiting=2\n")));
  EXPECT_EQ(std::count(warning.output.begin(), warning.output.end(), '\n'), 1);
  with({{.kind = ProblemKind::kHubUnreachable, .cause = "nobody answers"}, {.kind = ProblemKind::kGap}});
  EXPECT_EQ(Assay({"status"}).exit_code, 1);
  EXPECT_EQ(Assay({"status", "--check"}).exit_code, 2);
  server_ = nullptr;
  const RunResult unknown = Assay({"status", "--check"});
  EXPECT_EQ(unknown.exit_code, 3);
  EXPECT_THAT(unknown.output, StartsWith("UNKNOWN: "));
}

TEST_F(CliTest, StatusShowsHowCatchingUpGoesAndNothingOfItWhenThereIsNoneOrItIsNotKnown) {
  EXPECT_THAT(Assay({"status", "--stages"}).output,
              AllOf(Not(HasSubstr("CATCHING UP")), Not(HasSubstr("a second")), Not(HasSubstr("left"))));
  daemon_.Set([](DaemonStatus& status) {
    status.engine.has_hub = true;
    status.push = {.done = 470'000, .total = 1'000'000, .events_per_second = 12'300};
    status.pull = {.done = 47, .total = 100};
    status.projection = {.done = 1, .total = 100'000, .events_per_second = 0.001};
  });
  const std::string people = Assay({"status", "--stages"}).output;
  EXPECT_THAT(people, AllOf(HasSubstr("CATCHING UP"), HasSubstr("470,000 of 1,000,000, 12,300 a second, 44 s left\n"),
                            HasSubstr("47 of 100\n")));
  EXPECT_THAT(people, Not(HasSubstr(" 0 a second")));
  google::protobuf::Struct json = AssayJson({"status"});
  const auto& push = json.fields().at("push_progress").struct_value().fields();
  EXPECT_EQ(push.at("done").string_value(), "470000");
  EXPECT_EQ(push.at("total").string_value(), "1000000");
  EXPECT_EQ(push.at("events_per_second").number_value(), 12'300);
  EXPECT_EQ(push.at("time_left").string_value(), "44s");
  const auto& pull = json.fields().at("pull_progress").struct_value().fields();
  EXPECT_EQ(pull.at("events_per_second").number_value(), 0);
}

// A terminal shows one line, drawn anew; here `script` is the terminal.
TEST_F(CliTest, SyncNowDrawsProgressOnATerminal) {
  OriginStatus own{.own = true, .head = {100}, .complete = {100}, .hub_head = {0}, .projected = {100}};
  own.origin = log_.mumbai();
  daemon_.Set([&](DaemonStatus& status) {
    status.engine.has_hub = true;
    status.engine.origins = {own};
  });
  std::jthread engine([&] {
    const auto told = [&] { return !daemon_.commands().empty(); };
    for (int i = 0; i < 1000 && !told(); ++i) absl::SleepFor(absl::Milliseconds(10));
    daemon_.Set([](DaemonStatus& status) {
      status.engine.last_pull = absl::Now();
      status.engine.origins[0].hub_head = {47};
      status.push = {.done = 47, .total = 100, .events_per_second = 10};
    });
    absl::SleepFor(absl::Milliseconds(500));
    daemon_.Set([](DaemonStatus& status) { status.engine.origins[0].hub_head = {100}; });
  });
  const RunResult shown = test::RunProgram(
      {"script", "-qec", absl::StrCat("stty cols 120; ", ASSAY_PROGRAM, " --config ", config_, " sync now"),
       "/dev/null"},
      absl::Seconds(20));
  EXPECT_EQ(shown.exit_code, 0) << shown.output;
  EXPECT_THAT(shown.output, AllOf(HasSubstr("Sent 0 of 100"), HasSubstr("Sent 47 of 100 (10 a second)"),
                                  HasSubstr("6 s left"), HasSubstr("In step"), HasSubstr(": 100 changes sent")));
}

TEST_F(CliTest, CommandsReachTheDaemon) {
  log_.Park("7", "duplicate key");
  EXPECT_EQ(Assay({"sync", "pause"}).exit_code, 0);
  EXPECT_EQ(Assay({"sync", "resume", "--json"}).standard_output, "{}\n");
  EXPECT_EQ(Assay({"sync", "interval", "90s"}).exit_code, 0);
  EXPECT_EQ(Assay({"parked", "retry", "--table", "public.items"}).exit_code, 0);
  EXPECT_THAT(daemon_.commands(), ::testing::ElementsAre("pause", "resume", "interval 1m30s", "retry public.items"));
  const RunResult now = Assay({"sync", "now"});
  EXPECT_EQ(now.exit_code, 1);
  EXPECT_THAT(now.output, HasSubstr("no hub is configured"));
}

TEST_F(CliTest, LogVerbsShowOldAndNewValuesAndWho) {
  log_.Write(log_.mumbai(), v1::RowChange::UPDATE, "7", {{"ring", "band"}, {"100", {}}}, "asha");
  const RunResult list = Assay({"log", "ls", "--table", "public.items", "--key", "7"});
  EXPECT_EQ(list.exit_code, 0);
  EXPECT_THAT(list.output,
              AllOf(HasSubstr("mumbai/3"), HasSubstr("UPDATE"), HasSubstr("public.items"), HasSubstr("[id=7]"),
                    HasSubstr("name ring → band"), HasSubstr("price 100 → NULL"), HasSubstr("by asha")));
  EXPECT_THAT(Assay({"log", "show", "mumbai/3"}).output,
              AllOf(HasSubstr("band"), HasSubstr("asha"), HasSubstr("16/B374D848")));
  google::protobuf::Struct json = AssayJson({"log", "show", "aaaa/3"});
  EXPECT_EQ(json.fields().at("sequence").string_value(), "3");
  EXPECT_EQ(json.fields().at("operation").string_value(), "UPDATE");
  const RunResult lines = Assay({"log", "ls", "--json"});
  const std::vector<std::string> rows = absl::StrSplit(lines.standard_output, '\n', absl::SkipEmpty());
  EXPECT_EQ(rows.size(), 5u) << "one object a line";
}

TEST_F(CliTest, AnEventCannotWriteToTheTerminal) {
  log_.Write(log_.mumbai(), v1::RowChange::INSERT, "\x1b[2J",
             {{{}, "\x1b]0;owned\x07"},
              {{},
               "\xc2\x9b"
               "31m"}});
  for (const std::vector<std::string>& verb : {std::vector<std::string>{"log", "ls"}, {"log", "show", "mumbai/3"}}) {
    const RunResult result = Assay(verb);
    EXPECT_THAT(result.output, AllOf(Not(HasSubstr("\x1b")), Not(HasSubstr("\x07")), Not(HasSubstr("\xc2\x9b"))));
    EXPECT_THAT(result.output, HasSubstr("owned"));
  }
}

TEST_F(CliTest, ParkedAndConflictsAreTables) {
  log_.Park("7", "duplicate key");
  EXPECT_THAT(Assay({"parked"}).output,
              AllOf(HasSubstr("public.items"), HasSubstr("duplicate key (23505)"), HasSubstr("delhi/3")));
  const Sequence winner = log_.Write(log_.mumbai(), v1::RowChange::UPDATE, "7", {{"a", "a"}, {"1", "100"}}, "asha");
  const Sequence loser = log_.Write(log_.delhi(), v1::RowChange::UPDATE, "7", {{"a", "a"}, {"1", "90"}}, "ravi");
  log_.AddConflict("7", winner, loser);
  EXPECT_THAT(Assay({"conflicts"}).output, AllOf(HasSubstr("100 (mumbai/3, asha)"), HasSubstr("90 (delhi/3, ravi)")));
  EXPECT_EQ(AssayJson({"conflicts"}).fields().at("total").string_value(), "1");
}

TEST_F(CliTest, WhatWillNeverComeIsForgottenByTableOrByKey) {
  log_.Park("7", "relation public.items does not exist");
  EXPECT_THAT(Assay({"parked"}).output, HasSubstr("assay parked forget --table"));
  EXPECT_THAT(Assay({"parked", "forget", "--table", "public.items", "--key", "7"}).output,
              AllOf(HasSubstr("1 row of public.items will not be waited for"), HasSubstr("assay parked --forgotten")));
  const RunResult none = Assay({"parked", "forget", "--table", "public.other"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.output, HasSubstr("the log has no table public.other"));
  EXPECT_EQ(Assay({"parked", "forget"}).exit_code, 2) << "of which table?";
  EXPECT_EQ(Assay({"parked", "forget", "--key", "7"}).exit_code, 2);
  EXPECT_THAT(Assay({"parked", "forgte"}).output, HasSubstr("did you mean forget?"));
  EXPECT_THAT(Assay({"parked", "--forgotten"}).output, HasSubstr("No row is forgotten"));
}

// Goal: there are as many as there are, and not as many as fit into one answer of the daemon.
TEST_F(CliTest, AllConflictsCanBeListed) {
  constexpr int kCount = 1050;
  log_.AddConflicts(kCount);
  EXPECT_EQ(AssayJson({"conflicts", "--limit", "0"}).fields().at("conflicts").list_value().values_size(), kCount);
  const std::string page = Assay({"conflicts", "--limit", "1020"}).output;
  EXPECT_THAT(page, HasSubstr("1,050 conflicts"));
  const std::string hint = "--before ";
  const size_t at = page.rfind(hint);
  ASSERT_NE(at, std::string::npos);
  const std::string before = page.substr(at + hint.size(), page.find(',', at) - at - hint.size());
  EXPECT_EQ(AssayJson({"conflicts", "--before", before}).fields().at("conflicts").list_value().values_size(), 30);
  EXPECT_THAT(Assay({"conflicts", "--before", before}).output, Not(HasSubstr("For older ones")));
  EXPECT_THAT(Assay({"conflicts", "--before", "1"}).output, HasSubstr("No older conflict"));
}

TEST_F(CliTest, ExitCodesTellUsageFromAbsenceFromTrouble) {
  EXPECT_EQ(Assay({"statsu"}).exit_code, 2);
  EXPECT_EQ(Assay({"log", "ls", "--since", "yesterday-ish"}).exit_code, 2);
  EXPECT_EQ(Assay({"sync", "interval", "soon"}).exit_code, 2);
  EXPECT_EQ(Assay({"log", "show", "mumbai/99"}).exit_code, 1);
  EXPECT_EQ(test::RunProgram({ASSAY_PROGRAM, "--config", directory_.path() + "/none.toml", "status"}).exit_code, 2);
  server_ = nullptr;
  const RunResult nobody = Assay({"status"});
  EXPECT_EQ(nobody.exit_code, 3);
  EXPECT_THAT(nobody.output, AllOf(HasSubstr("no daemon is running"), HasSubstr("assayd --config")));
  const RunResult json = Assay({"status", "--json"});
  EXPECT_EQ(json.standard_output, "");
  EXPECT_THAT(json.output, AllOf(HasSubstr("\"code\":\"unavailable\""), HasSubstr("\"do\":\"assayd --config")));
}

TEST_F(CliTest, EveryVerbsHelpShowsAnExample) {
  for (const char* verb :
       {"status",      "sync now",     "sync pause",    "sync resume",    "sync interval", "branches", "parked",
        "parked ls",   "parked retry", "parked forget", "conflicts",      "log ls",        "log show", "log tail",
        "hub install", "hub enrol",    "hub retire",    "hub quarantine", "doctor",        "init",     "leave"}) {
    std::vector<std::string> arguments = absl::StrSplit(verb, ' ');
    arguments.push_back("--help");
    const RunResult help = Assay(arguments);
    EXPECT_EQ(help.exit_code, 0) << verb;
    EXPECT_THAT(help.output, AllOf(HasSubstr("Example"), HasSubstr("assay "))) << verb;
  }
}

TEST_F(CliTest, EveryCommandThatAProblemProposesIsThere) {
  std::set<std::string> verbs;
  for (const ProblemEntry& entry : ProblemCatalogue()) {
    const std::vector<std::string> parts = absl::StrSplit(RemedyOf({.kind = entry.kind, .subject = "PUNE"}), '`');
    for (size_t i = 1; i < parts.size(); i += 2) {
      const std::vector<std::string> words = absl::StrSplit(parts[i], ' ');
      if (words[0] != "assay") continue;
      // The verb is all that comes before a name or an option.
      const auto end = std::find_if(words.begin(), words.end(), [](const std::string& word) {
        return !std::all_of(word.begin(), word.end(), [](char c) { return absl::ascii_islower(c); });
      });
      verbs.insert(absl::StrJoin(words.begin() + 1, end, " "));
    }
  }
  EXPECT_GT(verbs.size(), 7u);
  for (const std::string& verb : verbs) {
    std::vector<std::string> arguments = absl::StrSplit(verb, ' ');
    arguments.push_back("--help");
    const RunResult help = Assay(arguments);
    EXPECT_EQ(help.exit_code, 0) << verb;
    EXPECT_THAT(help.output, HasSubstr(absl::StrCat("Usage: assay ", verb, " ["))) << "assay " << verb;
  }
}

TEST_F(CliTest, AWordThatIsNoVerbIsNamedAndTheNearestProposed) {
  EXPECT_THAT(Assay({"stauts"}).output, HasSubstr("\"stauts\" is no verb of assay; did you mean status?"));
  EXPECT_THAT(Assay({"log", "lss"}).output, HasSubstr("\"lss\" is no verb of assay log; did you mean ls?"));
  EXPECT_THAT(Assay({"sync"}).output, HasSubstr("assay sync what? One of: now, pause"));
  EXPECT_THAT(Assay({"log", "show"}).output, HasSubstr("event is required"));
  const RunResult bare = test::RunProgram({ASSAY_PROGRAM});
  EXPECT_EQ(bare.exit_code, 0);
  EXPECT_THAT(bare.output, HasSubstr("Subcommands:"));
}

TEST_F(CliTest, AnOptionThatThereIsNotIsNamedAndTheNearestProposed) {
  EXPECT_THAT(Assay({"status", "--wtach"}).output,
              HasSubstr("\"--wtach\" is no option of assay status; did you mean --watch?\n  do: assay status --help"));
  EXPECT_THAT(Assay({"log", "ls", "--tabel=x"}).output, HasSubstr("did you mean --table?"));
  EXPECT_THAT(Assay({"status", "--confg", "x"}).output, HasSubstr("did you mean --config?")) << "of all verbs";
  EXPECT_THAT(Assay({"sync", "now", "then"}).output, HasSubstr("does not know what \"then\" is to it"));
}

TEST_F(CliTest, AnAddressOnTheNetworkIsReachedWithTheConfigsCertificates) {
  const RunResult none = Assay({"--socket", "127.0.0.1:1", "status"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.output, HasSubstr("admin.tls_client_ca is not there"));
  EXPECT_THAT(Assay({"--socket", directory_.path() + "/run/a.sock", "status"}).output, HasSubstr("mumbai  "));
}

TEST_F(CliTest, HelpFitsTheTerminal) {
  const std::string top = Assay({"--help"}).output;
  EXPECT_THAT(top, HasSubstr("130 Ctrl-C"));
  for (const char* verb :
       {"", "status", "log ls", "hub enrol", "hub quarantine", "verify", "tables add", "repair", "init"}) {
    std::vector<std::string> arguments = absl::StrSplit(verb, ' ', absl::SkipEmpty());
    arguments.push_back("--help");
    for (absl::string_view line : absl::StrSplit(Assay(arguments).output, '\n')) EXPECT_LE(line.size(), 82u) << line;
  }
}

TEST_F(CliTest, WhatCannotBeReadIsJsonForWhoAsksForThat) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"statsu"},
                                                {"sync"},
                                                {"log", "ls", "--nosuch"},
                                                {"log", "ls", "--limit", "x"},
                                                {"log", "ls", "--since", "soon"},
                                                {"log", "show"}}) {
    std::vector<std::string> arguments = words;
    arguments.push_back("--json");
    const RunResult result = Assay(arguments);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_EQ(result.standard_output, "");
    google::protobuf::Struct object;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(result.output, &object).ok()) << result.output;
    EXPECT_EQ(object.fields().at("code").string_value(), "invalid_argument");
    EXPECT_NE(object.fields().at("message").string_value(), "");
  }
}

// Goal: what is not there is told from what has nothing in it, by the exit code, too.
TEST_F(CliTest, ATableOrAKeyThatThereIsNotIsNoEmptyAnswer) {
  log_.Park("7", "duplicate key");
  log_.Write(log_.mumbai(), v1::RowChange::UPDATE, "7", {{"ring", "band"}, {"1", "2"}});
  for (const std::vector<std::string>& verb :
       {std::vector<std::string>{"log", "ls"}, {"log", "tail"}, {"parked"}, {"parked", "retry"}, {"conflicts"}}) {
    std::vector<std::string> arguments = verb;
    arguments.insert(arguments.end(), {"--table", "public.itesm"});
    const RunResult result = Assay(arguments);
    EXPECT_EQ(result.exit_code, 2) << absl::StrJoin(verb, " ");
    EXPECT_THAT(result.output, HasSubstr("the log has no table public.itesm; did you mean public.items?"));
  }
  EXPECT_THAT(daemon_.commands(), ::testing::IsEmpty()) << "nothing was tried again";
  const RunResult key = Assay({"log", "ls", "--table", "public.items", "--key", "GC-22"});
  EXPECT_EQ(key.exit_code, 1);
  EXPECT_THAT(key.output, HasSubstr("no row of public.items in the log has the key GC-22"));
  EXPECT_EQ(Assay({"log", "ls", "--table", "public.items", "--key", "7"}).exit_code, 0);
  EXPECT_EQ(Assay({"log", "ls", "--since", "1m"}).exit_code, 1) << "long ago";
}

// Goal: a table that takes part is known before its first row.
TEST_F(CliTest, ATableThatHasNoRowYetIsNoSlip) {
  log_.Together([&] { ASSERT_TRUE(log_.open().state->Write(kEnrolledTablesNote, {"public.empty"}).ok()); });
  EXPECT_EQ(Assay({"parked", "--table", "public.empty"}).exit_code, 0);
  EXPECT_EQ(Assay({"conflicts", "--table", "public.empty"}).exit_code, 0);
  EXPECT_THAT(Assay({"parked", "--table", "public.emty"}).output, HasSubstr("did you mean public.empty?"));
}

TEST_F(CliTest, ALongListIsPagedAndNothingIsLeftOutBetweenPages) {
  log_.Together([&] {
    for (int i = 0; i < 12; ++i) log_.Write(log_.mumbai(), v1::RowChange::UPDATE, "7", {{"a", "b"}, {"1", "2"}});
    for (int i = 0; i < 12; ++i) log_.Write(log_.delhi(), v1::RowChange::UPDATE, "7", {{"a", "b"}, {"1", "2"}});
  });
  const auto lines = [](const std::string& text) {
    return std::vector<std::string>(absl::StrSplit(text, '\n', absl::SkipEmpty()));
  };
  for (const bool oldest_first : {false, true}) {
    std::vector<std::string> arguments = {"log", "ls", "--limit", "0"};
    if (oldest_first) arguments.push_back("--oldest-first");
    const std::vector<std::string> all = lines(Assay(arguments).standard_output);
    ASSERT_EQ(all.size(), 28u);
    arguments[3] = "5";
    std::vector<std::string> paged;
    for (int page = 0; page < 7; ++page) {
      const RunResult result = Assay(arguments);
      for (const std::string& line : lines(result.standard_output)) paged.push_back(line);
      const std::string hint = "--after ";
      const size_t at = result.output.rfind(hint);
      if (at == std::string::npos) break;
      arguments.resize(oldest_first ? 5 : 4);
      arguments.insert(
          arguments.end(),
          {"--after", result.output.substr(at + hint.size(), result.output.find('\n', at) - at - hint.size())});
    }
    EXPECT_EQ(paged, all);
  }
  EXPECT_EQ(Assay({"log", "ls", "--after", "mumbai"}).exit_code, 2);
  EXPECT_THAT(Assay({"log", "ls", "--after", "mumbai/999"}).output, HasSubstr("to go on after"));
}

// Goal: a screen that is watched does not end with the daemon, and does not show what was as what is.
TEST_F(CliTest, WatchingGoesOnWithTheDaemonThatIsStartedNext) {
  const std::string shown = directory_.path() + "/shown";
  absl::StatusOr<std::unique_ptr<test::ChildProcess>> watch =
      test::ChildProcess::Start({ASSAY_PROGRAM, "--config", config_, "status", "--watch"}, {.output = shown});
  ASSERT_TRUE(watch.ok()) << watch.status();
  const auto shows = [&](const std::string& text) {
    for (int i = 0; i < 1000 && !absl::StrContains(test::ReadFile(shown), text); ++i)
      absl::SleepFor(absl::Milliseconds(10));
    return absl::StrContains(test::ReadFile(shown), text);
  };
  EXPECT_TRUE(shows(" running: ")) << test::ReadFile(shown);
  server_ = nullptr;
  EXPECT_TRUE(shows(" no news: the daemon was stopped")) << test::ReadFile(shown);
  daemon_.Set([](DaemonStatus& status) { status.state = "catching-up"; });
  absl::StatusOr<std::unique_ptr<AdminServer>> server = AdminServer::Start({.listen = address_}, &daemon_);
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  EXPECT_TRUE(shows(" catching-up: ")) << test::ReadFile(shown);
}

// A terminal of 60 and 80 characters, with and without colours; `script` is the terminal.
TEST_F(CliTest, ATerminalIsFilledAndNotOverrun) {
  log_.Park("a very long key of a row that nobody would have guessed",
            "a cause that is longer than a line of a terminal");
  log_.Write(log_.mumbai(), v1::RowChange::UPDATE, "7", {{std::string(200, 'a'), "b"}, {"1", "2"}}, "asha");
  daemon_.Set([](DaemonStatus& status) {
    status.engine.has_hub = true;
    status.problems = {{.kind = ProblemKind::kRowsWait, .count = 1}};
  });
  for (const char* verb : {"status", "status --stages", "branches", "parked", "log ls", "conflicts"}) {
    for (const char* columns : {"60", "80"}) {
      const auto on_terminal = [&](absl::string_view environment) {
        return test::RunProgram({"script", "-qec",
                                 absl::StrCat("stty cols ", columns, "; TERM=xterm ", environment, " ", ASSAY_PROGRAM,
                                              " --config ", config_, " ", verb, " 2>/dev/null"),
                                 "/dev/null"},
                                absl::Seconds(20))
            .output;
      };
      const std::string plain = on_terminal("NO_COLOR=1");
      EXPECT_THAT(plain, Not(HasSubstr("\x1b"))) << verb;
      for (absl::string_view line : absl::StrSplit(plain, absl::ByAnyChar("\r\n"))) {
        const auto width = std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xc0) != 0x80; });
        EXPECT_LE(width, std::atoi(columns)) << verb << ": " << line;
      }
      if (absl::StartsWith(verb, "status")) {
        EXPECT_THAT(on_terminal(""), HasSubstr("\x1b[33m !"));
      }
    }
  }
}

TEST_F(CliTest, EnrolRefusesWhatTheBranchsConfigWould) {
  const std::map<std::string, std::string> hub = {{"SUPABASE_DB_URL", "postgresql://x@127.0.0.1:1/x"}};
  const auto enrol = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"hub", "enrol"});
    return Assay(arguments, hub);
  };
  RunResult result = enrol({"mumbai 1", "--number", "1"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.output, HasSubstr("\"mumbai 1\" cannot be a branch's name"));
  EXPECT_THAT(enrol({"mumbai-1", "--number", "70000"}).output, HasSubstr("must be from 1 to 65536"));
  EXPECT_THAT(enrol({"mumbai-1", "--number", "1", "--tables", "products"}).output, HasSubstr("write schema.table"));
  EXPECT_THAT(enrol({"mumbai-1", "--number", "1", "--tables", "public.*"}).output, HasSubstr("* for all of them"));
  // Before the hub is asked: a branch that is enrolled without its password needs a new one.
  result = enrol({"mumbai-1", "--number", "1", "--password-file", "/nonexistent/password"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.output, HasSubstr("cannot create /nonexistent/password"));
  const std::string file = directory_.path() + "/password";
  result = enrol({"mumbai-1", "--number", "1", "--password-file", file});
  EXPECT_THAT(result.output, HasSubstr("no server is running there"));
  EXPECT_NE(access(file.c_str(), F_OK), 0) << "nothing came of it";
}

// Goal: the doctor does not call well what the status calls halted, and says whether there is a daemon at all.
TEST_F(CliTest, TheDoctorAsksTheDaemon) {
  daemon_.Set([](DaemonStatus& status) {
    status.state = "halted";
    status.problems = {{.kind = ProblemKind::kClone, .subject = "mumbai"},
                       {.kind = ProblemKind::kRowsWait, .count = 3},
                       {.kind = ProblemKind::kHubHintsMissing, .cause = "5 min"}};
  });
  const RunResult halted = Assay({"doctor"});
  EXPECT_EQ(halted.exit_code, 1);
  EXPECT_THAT(halted.output,
              AllOf(HasSubstr("FAIL  clone "), HasSubstr("`assay repair`"), HasSubstr("warn  rows-wait "),
                    Not(HasSubstr("hub-hints-missing")), Not(HasSubstr("ok    "))));
  EXPECT_THAT(halted.output, HasSubstr(" ok (--all shows them)\n"));
  EXPECT_THAT(Assay({"doctor", "--all"}).output, HasSubstr("ok    daemon "));
  server_ = nullptr;
  EXPECT_THAT(Assay({"doctor"}).output,
              AllOf(HasSubstr("warn  daemon "), HasSubstr("nothing is recorded until it does")));
}

TEST_F(CliTest, PasswordsOnTheCommandLineAreRefusedAndNeverRepeated) {
  const std::string url =
      absl::StrCat("postgresql://postgres:", kCanary, "@127.0.0.1:1/x?sslmode=disable&connect_timeout=1");
  for (const std::vector<std::string>& verb :
       {std::vector<std::string>{"hub", "--url", url, "install"}, {"doctor", "--admin-url", url}}) {
    const RunResult result = Assay(verb);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.output, AllOf(HasSubstr("command line"), Not(HasSubstr(kCanary))));
  }
  const RunResult hub = Assay({"hub", "install"}, {{"SUPABASE_DB_URL", url}});
  EXPECT_EQ(hub.exit_code, 1) << "the hub, not the daemon, is not there";
  EXPECT_THAT(hub.output, Not(HasSubstr(kCanary)));
  const RunResult doctor = Assay({"doctor"}, {{"ASSAY_POSTGRES_URL", url}, {"ASSAY_HUB_URL", url}});
  EXPECT_EQ(doctor.exit_code, 1);
  EXPECT_THAT(doctor.output, Not(HasSubstr(kCanary)));
}

}  // namespace
}  // namespace assay
