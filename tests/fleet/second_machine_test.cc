// Goal: one branch number has one living machine. A second one with the same config changes nothing before a person has
// said that it takes the place; the first is fenced then, and what it had not sent is not lost.
// Method: two shops, and a third machine with an empty database and the config of the first.
#include <filesystem>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "engine/problem.h"
#include "gmock/gmock.h"
#include "tests/fleet/fleet.h"

namespace assay::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kSchema[] =
    "CREATE TABLE items (id int PRIMARY KEY, v text, n int); CREATE TABLE sales (id serial PRIMARY KEY, v text)";

class SecondMachineTest : public ::testing::Test {
 protected:
  Branch& a() { return fleet_->branch(0); }
  Branch& b() { return fleet_->branch(1); }
  Branch& second() { return fleet_->branch(2); }

  // Two shops, enrolled and running if `start`, and the second machine with the first's config.
  void StartFleet(bool start = true) {
    absl::StatusOr<std::unique_ptr<Fleet>> fleet = Fleet::Create(2, {.schema = kSchema}, start);
    if (MaySkipWithoutPostgres(fleet.status())) GTEST_SKIP() << fleet.status().message();
    ASSERT_OK(fleet.status());
    fleet_ = *std::move(fleet);
    if (start) {
      App(a(),
          "INSERT INTO items SELECT g, 'first', g FROM generate_series(1, 5) g; INSERT INTO sales (v) VALUES ('1')");
      ASSERT_OK(fleet_->WaitConverged(kPatience));
    }
    absl::StatusOr<Branch*> added = fleet_->AddBranch();
    ASSERT_OK(added.status());
    own_config_ = ReadFile(second().config_path());
    WriteFile(second().config_path(), ConfigAt(ReadFile(a().config_path()), a(), second()), 0600);
  }
  static std::string Folder(Branch& branch) { return branch.config_path().substr(0, branch.config_path().rfind('/')); }
  // `config`, of the machine `from`, for the machine `to`.
  static std::string ConfigAt(const std::string& config, Branch& from, Branch& to) {
    return absl::StrReplaceAll(
        config,
        {{from.state_directory(), to.state_directory()}, {from.AdminUrl(), to.AdminUrl()}, {Folder(from), Folder(to)}});
  }
  static void App(Branch& branch, const std::string& sql) { MustSql(branch.Url(), sql); }
  static std::string Row(Branch& branch, int id) {
    return SqlValue(branch.Url(), absl::StrCat("SELECT coalesce((SELECT v FROM items WHERE id = ", id, "), '-')"));
  }
  static bool IsUntouched(Branch& branch) {
    return SqlValue(branch.AdminUrl(),
                    "SELECT count(*) FROM pg_namespace n, pg_replication_slots s WHERE n.nspname = 'assay'") == "0" &&
           SqlValue(branch.AdminUrl(), "SELECT to_regnamespace('assay') IS NULL") == "t" &&
           SqlValue(branch.AdminUrl(), "SELECT increment_by FROM pg_sequences WHERE sequencename = 'sales_id_seq'") ==
               "1" &&
           !std::filesystem::exists(branch.state_directory() + "/log.db");
  }
  // Halted as replaced: the problem, with its detail.
  static std::string AwaitFenced(Branch& branch) {
    EXPECT_TRUE(Eventually(kPatience, [&] { return JsonText(*branch.Status(), "hazard") == "replaced"; }))
        << branch.Problems() << branch.DaemonLog();
    return branch.Problems();
  }
  static void AwaitCaptured(Branch& branch, int64_t events) {
    EXPECT_TRUE(Eventually(kPatience, [&] { return JsonNumber(*branch.Status(), "events_captured") >= events; }))
        << branch.Problems();
  }
  void ExpectHealthy() {
    ASSERT_OK(fleet_->WaitConverged(kPatience));
    for (int i = 0; i < fleet_->size(); ++i) {
      EXPECT_TRUE(Eventually(kPatience, [&] { return fleet_->branch(i).Problems().empty(); }))
          << fleet_->branch(i).Problems();
    }
  }

  std::unique_ptr<Fleet> fleet_;
  std::string own_config_;  // Of the second machine, as a branch of its own.
};

// The first was away for weeks with changes that it had not sent, and has made more keys. When it is back it is told
// what became of it; it joins as a branch of its own, and nothing that either of the two sold is lost.
TEST_F(SecondMachineTest, TakesThePlaceOnlyByAPersonsWordAndTheFirstKeepsWhatItHasNotSent) {
  StartFleet();
  if (fleet_ == nullptr) return;
  const RunResult refused = second().Assay({"init"}, absl::Minutes(1));
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_THAT(refused.output, AllOf(HasSubstr("branch \"shop-1\" (number 1) is another machine's already"),
                                    HasSubstr("nothing was changed here"), HasSubstr("assay hub enrol"),
                                    HasSubstr("--replaces-other")));
  EXPECT_TRUE(IsUntouched(second())) << refused.output;
  EXPECT_THAT(second().Assay({"doctor"}).output,
              AllOf(HasSubstr("replaced"), HasSubstr("assay init --replaces-other")));
  EXPECT_THAT(a().Assay({"doctor"}).output, Not(HasSubstr("replaced")));
  App(a(), "UPDATE items SET n = 50 WHERE id = 5");
  EXPECT_TRUE(Shows(b(), "SELECT n FROM items WHERE id = 5", "50")) << "the first goes on";

  // Sold and captured, and not sent; sold while the daemon was down.
  ASSERT_EQ(a().Assay({"sync", "pause"}).exit_code, 0);
  const int64_t captured = JsonNumber(*a().Status(), "events_captured");
  App(a(), "INSERT INTO sales (v) VALUES ('not sent'); UPDATE items SET v = 'not sent' WHERE id = 1");
  AwaitCaptured(a(), captured + 2);
  ASSERT_EQ(a().StopDaemon(), 0);
  App(a(), "INSERT INTO sales (v) VALUES ('not captured'); UPDATE items SET v = 'not captured' WHERE id = 2");

  const RunResult taken = second().Assay({"init", "--replaces-other"}, absl::Minutes(2));
  ASSERT_EQ(taken.exit_code, 0) << taken.output;
  ASSERT_OK(second().StartDaemon());
  EXPECT_TRUE(Shows(second(), "SELECT count(*) FROM items", "5")) << second().Problems();
  App(second(), "INSERT INTO sales (v) VALUES ('of the second'); UPDATE items SET v = 'of the second' WHERE id = 3");
  EXPECT_TRUE(Shows(b(), "SELECT v FROM items WHERE id = 3", "of the second"));

  ASSERT_OK(a().StartDaemon());
  AwaitCaptured(a(), 2);  // It is paused still, as it was: the hub is not asked yet.
  (void)a().Assay({"sync", "resume"});
  EXPECT_THAT(AwaitFenced(a()), HasSubstr("4 events of this log are not at the hub, and stay in this log"));
  App(a(), "UPDATE items SET v = 'while it was fenced' WHERE id = 4");
  EXPECT_EQ(Row(a(), 3), "first") << "nothing is projected";
  ASSERT_EQ(a().StopDaemon(), 0);
  EXPECT_NE(a().Assay({"init"}).exit_code, 0);
  const RunResult asks = a().Assay({"repair"});
  EXPECT_NE(asks.exit_code, 0);
  EXPECT_THAT(asks.output, AllOf(HasSubstr("replaced"), HasSubstr("--replaces-other")));
  // It goes on as a branch of its own: the remedy that its status prints.
  WriteFile(a().config_path(), ConfigAt(own_config_, second(), a()), 0600);
  const RunResult shown = a().Assay({"repair"}, absl::Minutes(1));
  EXPECT_THAT(shown.output, HasSubstr("To do this: assay repair --apply"));
  const RunResult repaired = a().Assay({"repair", "--apply"}, absl::Minutes(2));
  ASSERT_EQ(repaired.exit_code, 0) << repaired.output;
  EXPECT_THAT(repaired.output, HasSubstr("which only this copy has"));
  ASSERT_OK(a().StartDaemon());
  ExpectHealthy();
  EXPECT_EQ(Row(b(), 1), "not sent");
  EXPECT_EQ(Row(b(), 2), "not captured");
  EXPECT_EQ(Row(b(), 3), "of the second");
  EXPECT_EQ(Row(b(), 4), "while it was fenced");
  EXPECT_EQ(SqlValue(b().Url(), "SELECT string_agg(v, ', ' ORDER BY v) FROM sales"),
            "1, not captured, not sent, of the second");
}

// The other way round, while both run: the first takes its place back, by the same word.
TEST_F(SecondMachineTest, TheFirstTakesItsPlaceBackAndTheSecondIsFenced) {
  StartFleet();
  if (fleet_ == nullptr) return;
  ASSERT_EQ(second().Assay({"init", "--replaces-other"}, absl::Minutes(2)).exit_code, 0);
  ASSERT_OK(second().StartDaemon());
  EXPECT_TRUE(Shows(second(), "SELECT count(*) FROM items", "5"));
  App(a(), "UPDATE items SET v = 'of the first' WHERE id = 1");
  const std::string problems = AwaitFenced(a());
  EXPECT_THAT(problems, HasSubstr(RemedyOf({.kind = ProblemKind::kReplaced, .subject = "shop-1"})));
  EXPECT_THAT(a().Assay({"status"}).exit_code, 1);
  App(second(), "UPDATE items SET v = 'of the second' WHERE id = 2");
  EXPECT_TRUE(Shows(b(), "SELECT v FROM items WHERE id = 2", "of the second"));

  ASSERT_EQ(a().StopDaemon(), 0);
  EXPECT_NE(a().Assay({"repair"}).exit_code, 0);
  const RunResult repaired = a().Assay({"repair", "--replaces-other", "--apply"}, absl::Minutes(2));
  ASSERT_EQ(repaired.exit_code, 0) << repaired.output;
  ASSERT_OK(a().StartDaemon());
  App(second(), "UPDATE items SET v = 'after it was stopped for good' WHERE id = 3");
  AwaitFenced(second());
  EXPECT_TRUE(Shows(b(), "SELECT v FROM items WHERE id = 1", "of the first"));
  EXPECT_TRUE(Shows(a(), "SELECT v FROM items WHERE id = 2", "of the second"));
  EXPECT_EQ(JsonText(*a().Status(), "state"), "running") << a().Problems();

  ASSERT_EQ(second().StopDaemon(), 0);
  WriteFile(second().config_path(), own_config_, 0600);
  const RunResult joined = second().Assay({"repair", "--apply"}, absl::Minutes(2));
  ASSERT_EQ(joined.exit_code, 0) << joined.output;
  ASSERT_OK(second().StartDaemon());
  ExpectHealthy();
  EXPECT_EQ(Row(a(), 3), "after it was stopped for good");
}

// Goal: of two machines that are set up at the same time one is enrolled, and the other one is not touched.
TEST_F(SecondMachineTest, OfTwoThatAreSetUpAtOnceOneIsRefused) {
  StartFleet(/*start=*/false);
  if (fleet_ == nullptr) return;
  RunResult results[2];
  std::thread other([&] { results[1] = second().Assay({"init"}, absl::Minutes(2)); });
  results[0] = a().Assay({"init"}, absl::Minutes(2));
  other.join();
  ASSERT_NE(results[0].exit_code == 0, results[1].exit_code == 0) << results[0].output << results[1].output;
  const int lost = results[0].exit_code == 0 ? 1 : 0;
  Branch& loser = lost == 0 ? a() : second();
  Branch& winner = lost == 0 ? second() : a();
  EXPECT_THAT(results[lost].output, HasSubstr("is another machine's already"));
  EXPECT_TRUE(IsUntouched(loser)) << results[lost].output;
  ASSERT_OK(winner.StartDaemon());
  ASSERT_OK(b().Init());
  ASSERT_OK(b().StartDaemon());
  App(winner, "INSERT INTO sales (v) VALUES ('1')");
  EXPECT_TRUE(Shows(b(), "SELECT count(*) FROM sales", "1"));
  // With a name, a number and a login of its own the other one joins.
  WriteFile(loser.config_path(), ConfigAt(own_config_, second(), loser), 0600);
  ASSERT_OK(loser.Init());
  ASSERT_OK(loser.StartDaemon());
  ExpectHealthy();
}

}  // namespace
}  // namespace assay::test
