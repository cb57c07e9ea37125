// Goal: what a flight is to do next follows from how far it is. Method: a table over the stages and what is known.
#include "engine/projection/flight.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/small_log.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using Stage = Flight::Stage;

class FlightTest : public ::testing::Test {
 protected:
  test::TempDirectory directory_{"flight"};
  test::SmallLog small_{directory_.path() + "/log.db"};
  const Stores stores_ = small_.open().stores();
  Flight flight_{small_.mumbai(), stores_.log, stores_.names, stores_.state};
};

TEST_F(FlightTest, TheNextStepFollowsFromTheStage) {
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  const absl::Time due = now, later = now + absl::Seconds(1), never = absl::InfinitePast();
  struct Case {
    const char* what;
    Stage stage;
    absl::Time not_before;
    bool read, may_plan, locked, shrink;
    FlightStep next;
  };
  const std::vector<Case> cases = {
      {"nothing has been gathered", Stage::kGather, never, false, false, false, false, FlightStep::kGather},
      {"it is to be read", Stage::kRead, due, false, false, false, false, FlightStep::kReadAgain},
      {"after a pause", Stage::kRead, later, false, false, false, false, FlightStep::kWaitUntil},
      {"and half of it", Stage::kRead, due, false, false, false, true, FlightStep::kShrink},
      {"half of it after a pause", Stage::kRead, later, false, false, false, true, FlightStep::kWaitUntil},
      {"no reply has come", Stage::kReading, due, false, false, false, false, FlightStep::kWait},
      {"no reply has come, under locks", Stage::kReading, due, false, false, true, false, FlightStep::kWait},
      {"what was read may not be in the log", Stage::kReading, due, true, false, false, false, FlightStep::kWait},
      {"it is", Stage::kReading, due, true, true, false, false, FlightStep::kPlan},
      {"it is, under locks", Stage::kReading, later, true, true, true, false, FlightStep::kPlan},
      {"locks are held for a while", Stage::kReading, later, true, false, true, false, FlightStep::kWaitUntil},
      {"and no longer", Stage::kReading, due, true, false, true, false, FlightStep::kLetGo},
      {"PostgreSQL is at work", Stage::kProjecting, due, false, false, false, false, FlightStep::kWait},
      {"in doubt, and asked", Stage::kAsking, never, false, false, false, false, FlightStep::kWait},
      {"asked in vain", Stage::kAsking, later, false, false, false, false, FlightStep::kWaitUntil},
      {"asked in vain a while ago", Stage::kAsking, due, false, false, false, false, FlightStep::kAsk},
      {"the one before it is still to land", Stage::kCommitted, due, false, false, false, false, FlightStep::kWait},
  };
  for (const Case& one : cases) {
    flight_.stage = one.stage;
    flight_.not_before = one.not_before;
    flight_.read.reset();
    if (one.read) flight_.read.emplace();
    flight_.locked = one.locked;
    flight_.shrink = one.shrink;
    EXPECT_EQ(NextStep(flight_, now, one.may_plan), one.next) << one.what;
  }
}

TEST_F(FlightTest, BeginsAnewButForItsBatchAndIntent) {
  flight_.stage = Stage::kCommitted;
  flight_.job = Flight::Job::kProbe;
  flight_.targets.emplace_back();
  flight_.attempts = 3;
  flight_.locked = flight_.begun = flight_.plan_tried = true;
  flight_.intent = OpenIntent::Make({}, {}).value();
  flight_.Begin();
  EXPECT_EQ(flight_.stage, Stage::kGather);
  EXPECT_EQ(flight_.job, Flight::Job::kFold);
  EXPECT_TRUE(flight_.targets.empty());
  EXPECT_EQ(flight_.attempts, 0u);
  EXPECT_FALSE(flight_.locked || flight_.begun || flight_.plan_tried);
  EXPECT_TRUE(flight_.intent.has_value());
}

}  // namespace
}  // namespace assay
