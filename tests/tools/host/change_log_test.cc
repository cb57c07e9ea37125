// Goal: the daemon's log has one line when something changed its state, and none for each try that failed again.
// Method: compare statuses made by hand.
#include "tools/host/change_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ChangeLogTest, OnlyChangesAreNews) {
  DaemonStatus before;
  before.engine.has_hub = true;
  before.engine.state = "running";
  DaemonStatus after = before;
  EXPECT_THAT(NewsBetween(before, after), IsEmpty());
  after.engine.state = "catching-up";
  EXPECT_THAT(NewsBetween(before, after), IsEmpty()) << "every change from elsewhere does that";
  after.engine.state = "offline";
  after.engine.hub_push = {absl::UnavailableError("no route"), absl::Now(), absl::InfinitePast(), 1};
  EXPECT_THAT(NewsBetween(before, after),
              ElementsAre(LogLine{LogLevel::kInfo, "state: offline"}, LogLine{LogLevel::kWarning, "push: no route"}));
  DaemonStatus again = after;
  again.engine.hub_push.failures = 2;
  again.engine.hub_push.status = absl::UnavailableError("timed out");
  EXPECT_THAT(NewsBetween(after, again), IsEmpty());
  EXPECT_THAT(NewsBetween(again, before), ElementsAre(LogLine{LogLevel::kInfo, "state: running"},
                                                      LogLine{LogLevel::kInfo, "push: the hub answers again"}));
}

TEST(ChangeLogTest, ALinkIsNewsWhenItFailsForAnotherReasonAndWhenItWorksAgain) {
  DaemonStatus untried;
  untried.engine.state = "running";
  untried.engine.capture.status = absl::UnavailableError("capture has not started yet");
  EXPECT_THAT(NewsBetween(untried, untried), IsEmpty()) << "not used yet: neither news nor trouble";
  DaemonStatus refused = untried;
  refused.engine.capture = {absl::UnavailableError("connection refused"), absl::InfinitePast(),
                            absl::UnixEpoch() + absl::Hours(1), 1};
  const std::vector<LogLine> news = NewsBetween(untried, refused);
  ASSERT_EQ(news.size(), 1u);
  EXPECT_EQ(news[0].level, LogLevel::kWarning);
  EXPECT_THAT(news[0].text, HasSubstr("capture: connection refused; next try at "));
  DaemonStatus lost = refused;
  lost.engine.capture.status = absl::FailedPreconditionError("the slot is lost");
  EXPECT_EQ(NewsBetween(refused, lost).size(), 1u) << "another reason";
  DaemonStatus works = lost;
  works.engine.capture = {};
  EXPECT_THAT(NewsBetween(lost, works), ElementsAre(LogLine{LogLevel::kInfo, "capture: streaming again"}));
}

TEST(ChangeLogTest, WithoutAnEngineTheStateIsStoppedAndTheReasonIsSaid) {
  DaemonStatus before;
  before.engine.state = "running";
  DaemonStatus after = before;
  after.engine_link = {absl::ResourceExhaustedError("log disk full"), absl::Now(), absl::InfinitePast(), 1};
  EXPECT_THAT(NewsBetween(before, after), ElementsAre(LogLine{LogLevel::kWarning, "engine: log disk full"},
                                                      LogLine{LogLevel::kInfo, "state: stopped"}));
  EXPECT_THAT(NewsBetween(after, before), ElementsAre(LogLine{LogLevel::kInfo, "engine: running again"},
                                                      LogLine{LogLevel::kInfo, "state: running"}));
}

TEST(ChangeLogTest, ParkedRowsStandingChainsAndFalseTagsAreSaidOnce) {
  DaemonStatus before;
  before.engine.origins.push_back({.branch_name = "delhi"});
  before.engine.origins[0].origin.bytes.fill(0xbb);
  DaemonStatus after = before;
  after.engine.parked = 3;
  after.engine.false_tags = 1;
  after.engine.origins[0].status = absl::DataLossError("a fork");
  const std::vector<LogLine> news = NewsBetween(before, after);
  ASSERT_EQ(news.size(), 3u);
  EXPECT_THAT(news[0].text, HasSubstr("assay parked"));
  EXPECT_EQ(news[1], (LogLine{LogLevel::kError, "chain bbbbbbbb of delhi stands still: a fork"}));
  EXPECT_EQ(news[2].level, LogLevel::kWarning);
  DaemonStatus more = after;
  more.engine.parked = 4;
  more.engine.false_tags = 9;
  EXPECT_THAT(NewsBetween(after, more), IsEmpty());
  DaemonStatus mended = more;
  mended.engine.parked = 0;
  mended.engine.origins[0].status = absl::OkStatus();
  EXPECT_THAT(NewsBetween(more, mended), ElementsAre(LogLine{LogLevel::kInfo, "no row is parked any more"},
                                                     LogLine{LogLevel::kInfo, "chain bbbbbbbb of delhi: goes on"}));
}

}  // namespace
}  // namespace assay
