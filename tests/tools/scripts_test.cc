// Goal: every script under tools/ starts, and says what it is for; and what fails once is forgiven only where servers
// are needed. Method: run each with --help, and with what it cannot know.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::vector<std::string> Scripts() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(ASSAY_SOURCE_DIR "/tools")) {
    std::string first;
    if (!entry.is_regular_file() || !std::getline(std::ifstream(entry.path()), first)) continue;
    if (absl::StartsWith(first, "#!")) names.push_back(entry.path().filename());
  }
  return names;
}

TEST(ScriptsTest, AreFound) {
  for (const char* name : {"bench", "check", "demo", "test", "torture"}) EXPECT_THAT(Scripts(), Contains(name));
}

class ScriptTest : public ::testing::TestWithParam<std::string> {};

TEST_P(ScriptTest, TellsItsUsage) {
  const std::string script = absl::StrCat(ASSAY_SOURCE_DIR "/tools/", GetParam());
  for (const char* help : {"--help", "-h"}) {
    const test::RunResult result = test::RunProgram({script, help});
    EXPECT_EQ(result.exit_code, 0) << result.output;
    EXPECT_THAT(result.standard_output, StartsWith(absl::StrCat("usage: tools/", GetParam())));
    EXPECT_EQ(result.output, result.standard_output) << "a usage that was asked for is no error";
  }
}

TEST_P(ScriptTest, RefusesWhatItDoesNotKnow) {
  const test::RunResult result = test::RunProgram({absl::StrCat(ASSAY_SOURCE_DIR "/tools/", GetParam()), "--no-such"});
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.output, HasSubstr("--no-such"));
}

// Both answer before they install, configure or build anything, which takes minutes.
TEST(LabelsTest, OneThatThereIsNotIsRefusedAtOnce) {
  for (const char* script : {"tools/test", ".ci/run"}) {
    const test::RunResult result =
        test::RunProgram({absl::StrCat(ASSAY_SOURCE_DIR "/", script), "unit", "unti", "--", "-R", "log"});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_THAT(result.output, HasSubstr("there is no label unti; the labels are: check unit postgres"));
    EXPECT_EQ(result.standard_output, "");
  }
}

TEST(LabelsTest, AllThatThereAreAreTaken) {
  const test::RunResult known = test::RunProgram({"ctest", "--test-dir", ASSAY_BUILD_DIR, "--print-labels"});
  const std::string help = test::RunProgram({ASSAY_SOURCE_DIR "/tools/test", "--help"}).output;
  const std::string refusal = test::RunProgram({ASSAY_SOURCE_DIR "/tools/test", "unti"}).output;
  const std::string page = test::ReadFile(ASSAY_SOURCE_DIR "/CONTRIBUTING.md");
  int labels = 0;
  for (absl::string_view line : absl::StrSplit(known.standard_output, '\n')) {
    if (!absl::ConsumePrefix(&line, "  ")) continue;  // The rest are headings.
    ++labels;
    EXPECT_THAT(help, HasSubstr(absl::StrCat("\n  ", line, " ")));
    EXPECT_THAT(refusal, HasSubstr(absl::StrCat(" ", line)));
    EXPECT_THAT(page, HasSubstr(absl::StrCat("\n| `", line, "` |")));
  }
  EXPECT_GE(labels, 8) << known.output;
}

TEST(LabelsTest, WhatCiRunsTellsItsUsage) {
  const test::RunResult result = test::RunProgram({ASSAY_SOURCE_DIR "/.ci/run", "--help"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.standard_output, StartsWith("usage: .ci/run"));
  EXPECT_EQ(result.output, result.standard_output);
}

// A test that needs servers is run once more in CI, and says so; anywhere else, what fails has failed.
class SecondChanceTest : public ::testing::Test {
 protected:
  test::RunResult Run(const std::string& command, const std::string& chance) {
    return test::RunProgram({ASSAY_SOURCE_DIR "/tests/support/second_chance.sh", "bash", "-c", command},
                            absl::Seconds(20), {.environment = {{"ASSAY_SECOND_CHANCE", chance}}});
  }
  test::TempDirectory directory_{"chance"};
  const std::string fails_once_ = absl::StrCat("mkdir ", directory_.path(), "/a 2>/dev/null && exit 3; echo passed");
};

TEST_F(SecondChanceTest, RunsAgainWhatFailedOnce) {
  const test::RunResult result = Run(fails_once_, "1");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.standard_output, "passed\n");
  EXPECT_THAT(result.output, HasSubstr("FAILED ONCE with 3, TRIED AGAIN"));
}

TEST_F(SecondChanceTest, WhatFailsTwiceHasFailed) { EXPECT_EQ(Run("exit 4", "1").exit_code, 4); }

TEST_F(SecondChanceTest, IsNotGivenUnlessAskedFor) { EXPECT_EQ(Run(fails_once_, "").exit_code, 3); }

TEST_F(SecondChanceTest, SkippedTestStaysSkipped) {
  const test::RunResult result = Run("exit 77", "1");
  EXPECT_EQ(result.exit_code, 77);
  EXPECT_THAT(result.output, Not(HasSubstr("AGAIN")));
}

TEST_F(SecondChanceTest, IsGivenToServersAndToNothingElse) {
  const auto tests_of = [](const std::string& labels) {
    const test::RunResult result =
        test::RunProgram({"ctest", "--test-dir", ASSAY_BUILD_DIR, "--show-only=json-v1", "-L", labels});
    EXPECT_EQ(result.exit_code, 0) << result.output;
    return result.standard_output;
  };
  EXPECT_THAT(tests_of("^(postgres|torture)$"), HasSubstr("second_chance.sh"));
  EXPECT_THAT(tests_of("^(unit|simulation|check|fuzz)$"),
              AllOf(HasSubstr("simulation_test"), Not(HasSubstr("second_chance.sh"))));
}

INSTANTIATE_TEST_SUITE_P(Each, ScriptTest, ::testing::ValuesIn(Scripts()),
                         [](const auto& script) { return script.param; });

}  // namespace
}  // namespace assay
