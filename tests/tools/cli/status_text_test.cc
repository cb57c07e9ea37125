#include "tools/cli/status_text.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "engine/audit/proto_text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/cli/terminal.h"
#include "tools/cli/text.h"

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class StatusTextTest : public ::testing::Test {
 protected:
  StatusTextTest() {
    status_.set_branch("mumbai-1");
    status_.set_has_hub(true);
    *status_.mutable_last_pull() = ToProto(absl::Now());
    status_.mutable_sentence()->set_headline("All is well: 2 branches are in step.");
    status_.mutable_sentence()->set_line("Last sync 3 min ago, at 14:32. Next look in 2 min.");
    admin::v1::Origin* own = status_.add_origins();
    own->set_own(true);
    own->set_head(50);
    own->set_hub_head(3);
    admin::v1::Origin* other = status_.add_origins();
    other->set_head(20);
    other->set_hub_head(1300);
    other->set_projected(8);
    Add("mumbai-1", "running")->set_self(true);
    Add("pune-1", "halted");
  }
  ~StatusTextTest() override { SetScreen(Terminal()); }
  admin::v1::Branch* Add(const std::string& name, const std::string& state) {
    admin::v1::Branch* branch = branches_.add_branches();
    branch->set_name(name);
    branch->set_state(state);
    branch->set_active(true);
    branch->set_online(true);
    return branch;
  }

  admin::v1::Status status_;
  admin::v1::ListBranchesReply branches_;
};

TEST_F(StatusTextTest, ItSaysHowItIsWhatWaitsAndHowTheOthersAre) {
  const std::string text = StatusText(status_, branches_, /*stages=*/false);
  EXPECT_THAT(text, AllOf(HasSubstr("mumbai-1  All is well: 2 branches are in step.\n"), HasSubstr("To send  47 "),
                          HasSubstr("To come  1,292 "), HasSubstr("\nmumbai-1 here  In step"),
                          HasSubstr("\npune-1         Halted")));
  EXPECT_THAT(text, Not(HasSubstr("STAGE")));
  EXPECT_THAT(StatusText(status_, branches_, /*stages=*/true),
              AllOf(HasSubstr("STAGE"), HasSubstr("CHAIN"), HasSubstr("47 to send"), HasSubstr("1,292 to come")));
}

TEST_F(StatusTextTest, ItFitsTheTerminalAndItsColoursAreMarks) {
  admin::v1::Problem* problem = status_.add_problems();
  problem->set_severity(admin::v1::Problem::BAD);
  problem->set_sentence(
      "The changes of nashik-1 are not taken further: they contradict what it sent before, and so on.");
  problem->set_remedy(
      "Keep this log: it is evidence. The head office sets the rest of it aside with `assay hub quarantine nashik-1`.");
  for (const int width : {60, 80}) {
    SetScreen({.live = true, .colours = true, .width = width});
    const std::string text = StatusText(status_, branches_, /*stages=*/true);
    for (const absl::string_view line : absl::StrSplit(text, '\n'))
      EXPECT_LE(TextWidth(line), static_cast<size_t>(width)) << line;
    EXPECT_THAT(text, AllOf(HasSubstr("\033[31m!!\033[0m"), HasSubstr("\033[32mAll is well\033[0m"),
                            HasSubstr("\033[31mHalted\033[0m"), HasSubstr("`assay hub quarantine nashik-1`")));
  }
}

TEST_F(StatusTextTest, NobodyIsInStepWhoIsNotHeardOrSwitchedOffOrGone) {
  admin::v1::Branch branch = branches_.branches(1);
  branch.set_state("running");
  EXPECT_EQ(BranchState(branch), "In step");
  branch.set_behind(3);
  EXPECT_EQ(BranchState(branch), "Syncing");
  branch.set_online(false);
  EXPECT_EQ(BranchState(branch), "Not heard");
  branch.set_state("shut-down");
  EXPECT_EQ(BranchState(branch), "Shut down") << "it said so itself";
  branch.set_active(false);
  EXPECT_EQ(BranchState(branch), "Switched off");
  branch.set_retired(true);
  EXPECT_EQ(BranchState(branch), "Retired");
}

}  // namespace
}  // namespace assay
