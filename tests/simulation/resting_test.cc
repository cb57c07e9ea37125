// What the engine does when there is nothing to do: row versions that a busy time left in runs come into their table,
// segments of a sale each are packed together, and then it sleeps.
#include <memory>

#include "gtest/gtest.h"
#include "tests/simulation/sim_branch.h"

namespace assay {
namespace {

class RestingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    EngineConfig config;
    config.branch_name = "branch-1";
    config.branch_number = 1;
    config.row_versions = {.listed = 20, .runs = 1000};
    config.repack_events = 100;
    branch_ =
        std::make_unique<SimBranch>(1, config, WorkloadOptions(), FaultOptions(), true, 12, &world_, &hub_, &random_);
    ASSERT_TRUE(branch_->Start().ok());
  }
  void Insert(int count) {
    for (int i = 0; i < count; ++i) {
      SimTransaction transaction(&branch_->database());
      ASSERT_TRUE(transaction.Insert({"public", "settings"}, {absl::StrCat("k", ++inserted_), "a1", "a2", "a3"}).ok());
      ASSERT_TRUE(transaction.Commit().ok());
      StepAndCapture();
    }
  }
  void StepAndCapture() {
    do {
      while (branch_->Capture()) {
      }
      ASSERT_TRUE(branch_->Step().ok());
      for (const bool made : {false, true}) {
        if (!made && branch_->HasCallToMake(Lane::kDatabase)) branch_->MakeCall(Lane::kDatabase, false);
        if (made && branch_->HasReplyToGive(Lane::kDatabase)) branch_->GiveReply(Lane::kDatabase);
      }
    } while (branch_->engine().HasWork());
  }
  // As a host does, for so long. Returns how often it was woken.
  int Sleep(absl::Duration duration) {
    const absl::Time until = world_.Now() + duration;
    int woken = 0;
    for (;; ++woken) {
      const absl::Time wake = branch_->clock().InWorld(branch_->engine().NextWake());
      if (wake > until || woken == 100000) break;
      world_.AdvanceTo(wake);
      StepAndCapture();
    }
    world_.AdvanceTo(until);
    return woken;
  }
  int64_t Count(const std::string& sql) {
    absl::StatusOr<Statement> statement = branch_->file()->Prepare("SELECT count(*) FROM " + sql);
    return statement.ok() && statement->Step().ok() ? statement->OnlyInt() : -1;
  }

  WorldClock world_;
  SeededRandom random_{1};
  SimHub hub_{&random_, &world_, false};
  std::unique_ptr<SimBranch> branch_;
  int inserted_ = 0;
};

TEST_F(RestingTest, RunsComeIntoTheTableWhenItIsQuietAndNotBefore) {
  for (int second = 0; second < 60; ++second) {
    Insert(50);
    Sleep(absl::Seconds(1));
  }
  EXPECT_GT(Count("row_version_run"), 100);
  EXPECT_EQ(Count("row_version"), 0);
  Sleep(absl::Seconds(30));
  EXPECT_EQ(Count("row_version_run"), 0);
  EXPECT_GE(Count("row_version"), inserted_ - 20);
  // Then nothing is left to do but for the positions and the anchor.
  EXPECT_LT(Sleep(absl::Minutes(10)), 200);
}

TEST_F(RestingTest, SegmentsAreRepackedWhenItIsQuietAndNotBefore) {
  for (int second = 0; second < 20; ++second) {
    Insert(50);
    Sleep(absl::Seconds(1));
  }
  EXPECT_GT(Count("segment"), 1000);
  Sleep(absl::Minutes(2));
  EXPECT_LT(Count("segment"), 120);
}

TEST_F(RestingTest, SaleThatComesInBetweenWaitsForOnePortionAtMost) {
  for (int i = 0; i < 100; ++i) Insert(20);
  Sleep(absl::Milliseconds(5010));
  const int64_t left = Count("row_version_run");
  ASSERT_GT(left, 10) << "it was to be in the midst of it";
  Insert(1);
  EXPECT_GE(Count("row_version_run"), left - 30);
  EXPECT_GE(branch_->engine().NextWake(), branch_->clock().Now()) << "it goes on when it is quiet again";
  Sleep(absl::Seconds(4));
  EXPECT_GE(Count("row_version_run"), left - 30);
  Sleep(absl::Seconds(30));
  EXPECT_EQ(Count("row_version_run"), 0);
}

}  // namespace
}  // namespace assay
