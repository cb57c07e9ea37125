// Goal: a repair changes nothing where nothing has happened or nobody has said --apply, brings log and rows together
// where something has, and never goes on with a chain that another may have gone on with. Method: a branch without its
// daemon, of which the slot, the log or the database is taken away.
#include "tools/setup/repair.h"

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "engine/own_chain.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "log/local_state/local_state.h"
#include "tests/support/child_process.h"
#include "tests/tools/setup/branch_harness.h"
#include "tools/setup/branch_key.h"
#include "tools/setup/branch_log.h"
#include "tools/survey/survey.h"

namespace assay {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class RepairTest : public test::BranchTest {
 protected:
  void SetUp() override {
    BranchTest::SetUp();
    if (branch_ == nullptr) return;
    branch_->Sql("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'ring')");
    ASSERT_TRUE(branch_->Init().ok());
    branch_->Sql("INSERT INTO t VALUES (2, 'chain')");
    ASSERT_TRUE(branch_->CatchUp().ok());
  }

  absl::StatusOr<RepairReport> TryRepair(bool apply) {
    RepairOptions options;
    options.engine = branch_->options.engine;
    options.url = branch_->options.url;
    options.admin_url = branch_->options.admin_url;
    options.tables = branch_->options.tables;
    options.state_dir = branch_->state_dir();
    options.apply = apply;
    return Repair(options, nullptr, &branch_->clock(), &random_);
  }
  RepairReport MustRepair(bool apply) {
    absl::StatusOr<RepairReport> report = TryRepair(apply);
    EXPECT_TRUE(report.ok()) << report.status();
    return report.value_or(RepairReport());
  }
  OriginId Own() {
    const auto file = LogFile::Open(branch_->log_path(), {.read_only = true}).value();
    const auto log = EventLog::Open(file.get()).value();
    return OwnOrigin(*LocalState::Open(file.get(), log.get()).value()).value();
  }
  RepairReport MustRepairAfterLosingTheLog() {
    for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(branch_->log_path() + end);
    return MustRepair(/*apply=*/true);
  }
  // What the slot had to keep is gone, and two rows are written that nobody captures.
  void LoseTheSlot() {
    branch_->Sql("SELECT pg_drop_replication_slot('assay')");
    branch_->Sql("INSERT INTO t VALUES (3, 'unseen'); UPDATE t SET v = 'sold' WHERE id = 1");
  }

  test::TestRandom random_;
};

TEST_F(RepairTest, WhereNothingHasHappenedNothingIsChanged) {
  const std::vector<std::string> before = branch_->Changes();
  const RepairReport report = MustRepair(/*apply=*/true);
  EXPECT_EQ(report.state, RestoreState::kNormal);
  EXPECT_FALSE(report.applied);
  EXPECT_EQ(report.new_origin, std::nullopt);
  EXPECT_THAT(report.lost, IsEmpty());
  EXPECT_EQ(branch_->Changes(), before);
}

TEST_F(RepairTest, APreviewTellsWhatItWouldDoAndDoesNothing) {
  LoseTheSlot();
  const std::vector<std::string> before = branch_->Changes();
  const RepairReport report = MustRepair(/*apply=*/false);
  EXPECT_EQ(report.state, RestoreState::kGap);
  EXPECT_FALSE(report.applied);
  EXPECT_EQ(report.rows.inserted, 1u);
  EXPECT_EQ(report.rows.updated, 1u);
  EXPECT_THAT(report.lost, Not(IsEmpty()));
  EXPECT_EQ(branch_->Changes(), before);
  EXPECT_EQ(branch_->Value("SELECT count(*) FROM pg_replication_slots"), "0");
}

TEST_F(RepairTest, AfterAGapTheLogGoesOnWithWhatTheTablesHave) {
  LoseTheSlot();
  const OriginId own = Own();
  const RepairReport report = MustRepair(/*apply=*/true);
  EXPECT_EQ(report.state, RestoreState::kGap);
  EXPECT_TRUE(report.applied);
  EXPECT_EQ(report.new_origin, std::nullopt);
  EXPECT_EQ(Own(), own);
  EXPECT_THAT(branch_->Changes(), Contains("reconcile insert public.t (3) v=unseen"));
  EXPECT_THAT(branch_->Changes(), Contains("reconcile update public.t (1) v=sold"));
  branch_->Sql("INSERT INTO t VALUES (4, 'live')");
  ASSERT_TRUE(branch_->CatchUp().ok()) << "it is captured again";
  EXPECT_EQ(branch_->Changes().back(), "live insert public.t (4) v=live");
  EXPECT_EQ(MustRepair(/*apply=*/true).state, RestoreState::kNormal) << "once is enough";
}

TEST_F(RepairTest, WhatAComparisonFoundIsRepairedAndThenComparedAnew) {
  branch_->Sql(
      "BEGIN; ALTER PUBLICATION assay DROP TABLE t; UPDATE t SET v = 'unseen' WHERE id = 2; ALTER PUBLICATION "
      "assay ADD TABLE t; COMMIT");
  ASSERT_TRUE(branch_->CatchUp().ok());
  EXPECT_EQ(MustRepair(/*apply=*/false).state, RestoreState::kNormal) << "nobody has seen it";
  const auto noted = [&](std::optional<CheckedTable> checked) {
    const auto file = LogFile::Open(branch_->log_path(), {}).value();
    const auto log = EventLog::Open(file.get()).value();
    const auto state = LocalState::Open(file.get(), log.get()).value();
    const absl::Status written =
        checked.has_value() ? state->Write(kCheckedNote, *checked, std::string("public.t")) : absl::OkStatus();
    EXPECT_TRUE(written.ok()) << written;
    return state->Read(kCheckedNote, std::string("public.t")).value();
  };
  noted(CheckedTable{.ended_ms = 1, .rows = 2, .differing = 1});
  const RepairReport shown = MustRepair(/*apply=*/false);
  EXPECT_EQ(shown.state, RestoreState::kGap);
  EXPECT_THAT(shown.cause, HasSubstr("1 row of public.t is not as the log has it"));
  EXPECT_EQ(noted({}).differing, 1u);
  EXPECT_EQ(MustRepair(/*apply=*/true).rows.updated, 1u);
  EXPECT_THAT(branch_->Changes(), Contains("reconcile update public.t (2) v=unseen"));
  EXPECT_EQ(noted({}), CheckedTable{}) << "as one that was never compared";
  EXPECT_EQ(MustRepair(/*apply=*/true).state, RestoreState::kNormal);
}

// Another machine may have the log, and go on with its chain.
TEST_F(RepairTest, ALogThatIsLostIsFollowedByAChainOfItsOwn) {
  const OriginId own = Own();
  ASSERT_TRUE(std::filesystem::remove(branch_->log_path()));
  std::filesystem::remove(branch_->log_path() + "-wal");
  std::filesystem::remove(branch_->log_path() + "-shm");
  EXPECT_EQ(EnrolledOrigin(branch_->url()), own) << "the database knows";
  EXPECT_EQ(MustRepair(/*apply=*/false).state, RestoreState::kLogBehind);
  EXPECT_FALSE(std::filesystem::exists(branch_->log_path()));
  const RepairReport report = MustRepair(/*apply=*/true);
  EXPECT_TRUE(report.applied);
  EXPECT_EQ(report.old_origin, own);
  ASSERT_TRUE(report.new_origin.has_value());
  EXPECT_NE(*report.new_origin, own);
  EXPECT_EQ(Own(), *report.new_origin);
  EXPECT_EQ(EnrolledOrigin(branch_->url()), report.new_origin);
  EXPECT_EQ(branch_->Changes().size(), 2u) << "the rows that are there";
  branch_->Sql("INSERT INTO t VALUES (4, 'live')");
  ASSERT_TRUE(branch_->CatchUp().ok());
  EXPECT_EQ(branch_->Changes().back(), "live insert public.t (4) v=live");
}

// As a dump of the ERP's tables alone puts it back, into a database made anew. Only the slot says whose it is.
TEST_F(RepairTest, ADatabaseRestoredWithoutWhatAssayInstalledIsABranchAgain) {
  const OriginId own = Own();
  const test::RunResult dump =
      test::RunProgram({test::PostgresBinaries().value() + "/pg_dump", "--table=public.*", "-d", branch_->url()});
  ASSERT_EQ(dump.exit_code, 0) << dump.output;
  branch_->Sql("INSERT INTO t VALUES (3, 'sold since')");
  ASSERT_TRUE(branch_->CatchUp().ok());
  const std::string database = branch_->Value("SELECT current_database()");
  branch_->Sql("SELECT pg_drop_replication_slot('assay')");
  test::MustSql(server_->Url(), absl::StrCat("DROP DATABASE ", database));
  ASSERT_TRUE(server_->CreateDatabase(database).ok());
  std::vector<std::string> statements = absl::StrSplit(dump.standard_output, '\n');
  std::erase_if(statements, [](const std::string& line) { return absl::StrContains(line, "assay."); });  // They fail.
  branch_->Restore(absl::StrJoin(statements, "\n"));
  branch_->Sql("SELECT pg_create_logical_replication_slot('assay', 'pgoutput')");
  EXPECT_EQ(MustRepair(/*apply=*/false).state, RestoreState::kDatabaseBehind);
  const RepairReport report = MustRepair(/*apply=*/true);
  EXPECT_TRUE(report.applied);
  EXPECT_EQ(report.new_origin, std::nullopt);
  EXPECT_EQ(report.rows.absent, 1u) << "what was sold since is to be written again";
  EXPECT_EQ(EnrolledOrigin(branch_->url()), own);
  branch_->Sql("INSERT INTO t VALUES (4, 'live')");
  ASSERT_TRUE(branch_->CatchUp().ok()) << "it is captured again";
  EXPECT_EQ(branch_->Changes().back(), "live insert public.t (4) v=live");
  SurveyOptions survey{.patterns = {branch_->options.tables, {}}, .number = 3};
  survey.enrolled = EnrolledTables(branch_->log_path()).value();
  const auto connection = Connection::Open(branch_->url(), {}).value();
  EXPECT_THAT(TakeSurvey(*connection, survey).value().problems, IsEmpty());
  EXPECT_EQ(MustRepair(/*apply=*/true).state, RestoreState::kNormal) << "once is enough";
}

// A value that no event had room for is missing in the log for ever, and is not missed by a repair.
TEST_F(RepairTest, AValueThatIsTooLargeForTheLogHoldsUpNoRepair) {
  branch_->options.engine.row_bytes_max = 1000;
  branch_->Sql(absl::StrCat("INSERT INTO t VALUES (5, '", std::string(2000, 'x'), "')"));
  ASSERT_TRUE(branch_->CatchUp().ok());
  LoseTheSlot();
  RepairReport report = MustRepair(/*apply=*/true);
  EXPECT_EQ(report.state, RestoreState::kGap);
  EXPECT_EQ(report.rows.inserted, 1u);
  EXPECT_EQ(report.rows.updated, 1u);
  EXPECT_EQ(report.rows.deleted, 0u);
  // A smaller one takes its place.
  branch_->Sql("UPDATE t SET v = 'small' WHERE id = 5");
  ASSERT_TRUE(branch_->CatchUp().ok());
  EXPECT_EQ(branch_->Changes().back(), "live update public.t (5) v=small");
  // And a log that is lost is no harder to follow.
  branch_->Sql(absl::StrCat("UPDATE t SET v = '", std::string(2000, 'y'), "' WHERE id = 5"));
  ASSERT_TRUE(branch_->CatchUp().ok());
  for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(branch_->log_path() + end);
  report = MustRepair(/*apply=*/true);
  EXPECT_EQ(report.state, RestoreState::kLogBehind);
  branch_->Sql("INSERT INTO t VALUES (6, 'live')");
  ASSERT_TRUE(branch_->CatchUp().ok());
  EXPECT_EQ(branch_->Changes().back(), "live insert public.t (6) v=live");
}

// Goal: a chain is signed by its own key or not at all.
TEST_F(RepairTest, AKeyThatIsLostOrAnothersEndsTheChainAndBeginsANewOne) {
  // Chains of tests have no key: this one gets its own.
  const std::string key = branch_->state_dir() + "/signing.key";
  ASSERT_TRUE(MustRepairAfterLosingTheLog().applied);
  const OriginId own = Own();
  EXPECT_EQ(MustRepair(/*apply=*/false).state, RestoreState::kNormal);
  ASSERT_TRUE(LoadBranchKey(branch_->state_dir()).ok());
  std::filesystem::remove(key);
  EXPECT_TRUE(absl::IsFailedPrecondition(LoadBranchKey(branch_->state_dir()).status()));
  ASSERT_TRUE(SigningKey::Generate()->Save(key).ok());
  const absl::Status another = LoadBranchKey(branch_->state_dir()).status();
  EXPECT_THAT(std::string(another.message()), HasSubstr("the key of another chain"));
  EXPECT_EQ(ProblemNamedBy(another)->kind, ProblemKind::kSigningKeyLost);
  branch_->Sql("UPDATE t SET v = 'not captured yet' WHERE id = 1");
  const RepairReport report = MustRepair(/*apply=*/true);
  EXPECT_EQ(report.state, RestoreState::kKeyLost);
  EXPECT_EQ(report.old_origin, own);
  EXPECT_NE(Own(), own);
  EXPECT_TRUE(LoadBranchKey(branch_->state_dir()).ok());
  EXPECT_EQ(MustRepair(/*apply=*/true).state, RestoreState::kNormal) << "once is enough";
}

TEST_F(RepairTest, WithoutTheHubThatIsConfiguredNothingIsTriedUnlessSomebodySaysSo) {
  LoseTheSlot();
  branch_->options.engine.has_hub = true;
  const absl::Status status = TryRepair(/*apply=*/true).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("--without-hub"));
  branch_->options.engine.has_hub = false;
}

TEST_F(RepairTest, ABranchThatIsNoneIsToldToInit) {
  ASSERT_TRUE(branch_->Leave().ok());
  EXPECT_EQ(EnrolledOrigin(branch_->url()), std::nullopt);
  const absl::Status left = TryRepair(/*apply=*/true).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(left)) << left;
  EXPECT_THAT(std::string(left.message()), HasSubstr("assay init"));
}

}  // namespace
}  // namespace assay
