// Goal: the daemon's log has one line when a problem begins and one when it is over, and none for each try that failed
// again. Method: compare statuses made by hand.
#include "tools/host/change_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

DaemonStatus With(std::string state, std::vector<Problem> problems = {}) {
  DaemonStatus status;
  status.state = status.engine.state = std::move(state);
  status.problems = std::move(problems);
  return status;
}

Problem Unreachable(std::string detail) {
  return {.kind = ProblemKind::kHubUnreachable, .subject = "mumbai", .detail = std::move(detail)};
}

TEST(ChangeLogTest, OnlyChangesOfTheStateAreNews) {
  EXPECT_THAT(NewsBetween(With("running"), With("running")), IsEmpty());
  EXPECT_THAT(NewsBetween(With("running"), With("catching-up")), IsEmpty()) << "every change from elsewhere does that";
  EXPECT_THAT(NewsBetween(With("running"), With("paused")), ElementsAre(LogLine{LogLevel::kInfo, "state: paused"}));
}

TEST(ChangeLogTest, AProblemIsToldWhenItBeginsAndWhenItIsOverAndNotInBetween) {
  const DaemonStatus well = With("running"), offline = With("offline", {Unreachable("no route")});
  EXPECT_THAT(NewsBetween(well, offline),
              ElementsAre(LogLine{LogLevel::kInfo, "state: offline"},
                          LogLine{LogLevel::kWarning, "hub-unreachable: The hub cannot be reached. (no route)"}));
  EXPECT_THAT(NewsBetween(offline, With("offline", {Unreachable("timed out")})), IsEmpty()) << "another try";
  EXPECT_THAT(NewsBetween(offline, well), ElementsAre(LogLine{LogLevel::kInfo, "state: running"},
                                                      LogLine{LogLevel::kInfo, "hub-unreachable: over, mumbai"}));
}

TEST(ChangeLogTest, ALineHasTheLevelOfItsProblemAndTheNextTry) {
  Problem password{.kind = ProblemKind::kHubPasswordRefused, .subject = "mumbai"};
  password.next_try = absl::UnixEpoch() + absl::Hours(1);
  const std::vector<LogLine> news =
      NewsBetween(With("running"), With("running", {password, {.kind = ProblemKind::kHubHintsMissing, .cause = "5m"}}));
  ASSERT_EQ(news.size(), 2u);
  EXPECT_EQ(news[0].level, LogLevel::kError);
  EXPECT_THAT(news[0].text, AllOf(StartsWith("hub-password-refused: "), HasSubstr(" Next try at "), EndsWith(".")));
  EXPECT_EQ(news[1].level, LogLevel::kInfo);
}

TEST(ChangeLogTest, RowsThatJoinThoseThatWaitAreNoNewsAndAnotherBranchIs) {
  const Problem two{.kind = ProblemKind::kRowsWait, .count = 2}, three{.kind = ProblemKind::kRowsWait, .count = 3};
  EXPECT_THAT(NewsBetween(With("running", {two}), With("running", {three})), IsEmpty());
  const Problem pune{.kind = ProblemKind::kChainGarbled, .subject = "pune"},
      delhi{.kind = ProblemKind::kChainGarbled, .subject = "delhi"};
  const std::vector<LogLine> news = NewsBetween(With("running", {pune}), With("running", {delhi}));
  ASSERT_EQ(news.size(), 2u);
  EXPECT_THAT(news[0].text, HasSubstr("What the hub gives of delhi"));
  EXPECT_EQ(news[1], (LogLine{LogLevel::kInfo, "chain-garbled: over, pune"}));
}

// Nobody knows, while there is no engine, whether the rows still wait.
TEST(ChangeLogTest, WithoutAnEngineNothingIsSaidToBeOver) {
  const DaemonStatus before = With("running", {{.kind = ProblemKind::kRowsWait, .count = 2}});
  DaemonStatus after = With("stopped", {{.kind = ProblemKind::kDiskFull, .subject = "/log.db"}});
  after.engine_link.status = absl::ResourceExhaustedError("full");
  const std::vector<LogLine> news = NewsBetween(before, after);
  ASSERT_EQ(news.size(), 2u);
  EXPECT_EQ(news[0].text, "state: stopped");
  EXPECT_EQ(news[1].level, LogLevel::kError);
  EXPECT_THAT(news[1].text, StartsWith("disk-full: The disk of /log.db is full"));
  EXPECT_THAT(NewsBetween(after, With("running")), ElementsAre(LogLine{LogLevel::kInfo, "state: running"},
                                                               LogLine{LogLevel::kInfo, "disk-full: over, /log.db"}));
}

}  // namespace
}  // namespace assay
