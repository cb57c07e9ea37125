// Goal: whoever reads only the first sentence is not misled: the worst thing is in it, and nothing is called well that
// has not been heard. Method: a table of statuses, at one moment, in one zone.
#include "engine/status_sentence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/origins.h"

namespace assay {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Kind = ProblemKind;

// 29 Nov 2026, 14:35:07 in India.
const absl::TimeZone kZone = absl::FixedTimeZone(19'800);
const absl::Time kNow = absl::FromCivil(absl::CivilSecond(2026, 11, 29, 14, 35, 7), kZone);

// In step, with a hub that was heard three minutes ago.
DaemonStatus Well() {
  DaemonStatus status;
  status.state = status.engine.state = "running";
  status.as_of = kNow - absl::Seconds(1);
  status.engine.origin = test::Origin(1);
  status.engine.has_hub = true;
  status.engine.hub_interval = absl::Minutes(5);
  status.engine.last_pull = kNow - absl::Minutes(3);
  status.engine.next_pull = kNow + absl::Minutes(2);
  return status;
}

Problem Unreachable() {
  return {.kind = Kind::kHubUnreachable,
          .cause = "nobody answers there",
          .since = kNow - absl::Minutes(33),
          .next_try = kNow + absl::Seconds(12)};
}

void AddBranch(DaemonStatus& status, uint8_t origin, const std::string& name, const std::string& state,
               absl::Duration heard_ago = absl::Seconds(20), bool active = true) {
  BranchPresence branch;
  branch.report.name = name;
  branch.report.origin = test::Origin(origin);
  branch.report.state = state;
  branch.last_seen = kNow - heard_ago;
  branch.active = active;
  status.engine.branches.push_back(branch);
}

Sentence Of(const std::function<void(DaemonStatus&)>& change) {
  DaemonStatus status = Well();
  change(status);
  return StatusSentence(status, kNow, kZone);
}

struct Case {
  std::string name;
  std::function<void(DaemonStatus&)> change;
  Tone tone;
  std::string headline;
  std::string line;
};

const std::vector<Case>& Cases() {
  static const auto* const cases = new std::vector<Case>{
      {"in step", [](DaemonStatus&) {}, Tone::kOk, "All is well: this branch is in step with the hub.",
       "Last sync 3 min ago, at 14:32. Next look in 2 min."},
      {"what was not heard from the engine is old, whatever it says",
       [](DaemonStatus& s) { s.as_of = kNow - absl::Minutes(4), s.problems = {{.kind = Kind::kClone}}; }, Tone::kIdle,
       "No news since 14:31.", "What is below may be old."},
      {"an engine that is down is news, however long ago it went",
       [](DaemonStatus& s) {
         s.as_of = kNow - absl::Minutes(4);
         s.state = "stopped";
         s.engine_link = {absl::ResourceExhaustedError("full"), s.as_of};
         s.problems = {
             {.kind = Kind::kDiskFull, .subject = "/var/lib/assay/log.db", .next_try = kNow - absl::Seconds(1)}};
       },
       Tone::kBad,
       "The disk of /var/lib/assay/log.db is full: nothing is recorded, and PostgreSQL keeps the changes meanwhile.",
       "Selling goes on. It is being tried now."},
      {"halted comes before everything that is as bad",
       [](DaemonStatus& s) {
         s.state = "halted";
         s.problems = {{.kind = Kind::kDatabaseAway}, {.kind = Kind::kDatabaseBehindLog}, Unreachable()};
       },
       Tone::kBad, "Halted: this database was restored from an older copy: it lacks changes that are in the log.",
       "Selling goes on. Nothing is sent or received until somebody has looked. 2 more things are wrong."},
      {"bad comes before paused",
       [](DaemonStatus& s) {
         s.engine.paused = true;
         s.problems = {{.kind = Kind::kRowsWait, .count = 2}, {.kind = Kind::kChainForked, .subject = "pune-1"}};
       },
       Tone::kBad, "The changes of pune-1 are not taken further: they contradict what it sent before.",
       "Selling goes on. 1 more thing is wrong."},
      {"nobody promises that a shop sells without its database",
       [](DaemonStatus& s) { s.state = "stopped", s.problems = {{.kind = Kind::kDatabaseAway}}; }, Tone::kBad,
       "PostgreSQL cannot be reached.", ""},
      {"paused is a choice and no trouble",
       [](DaemonStatus& s) {
         s.state = "paused";
         s.engine.paused = true;
         s.engine.push_position = {100, 118};
       },
       Tone::kIdle, "Paused: nothing is sent or received.",
       "Selling goes on. Changes are recorded and sent later. 18 changes wait to be sent."},
      {"offline",
       [](DaemonStatus& s) {
         s.state = "offline";
         s.engine.push_position = {100, 147};
         s.problems = {{.kind = Kind::kRowsWait, .count = 2}, Unreachable()};
       },
       Tone::kWarn, "Offline since 14:02.",
       "Selling goes on. 47 changes wait to be sent; they go by themselves when the line is back. Next try in 12 s. 1 "
       "more thing is wrong."},
      {"offline for days has its day",
       [](DaemonStatus& s) {
         s.state = "offline";
         s.problems = {Unreachable()};
         s.problems[0].since = kNow - absl::Hours(48);
         s.problems[0].next_try = absl::InfinitePast();
       },
       Tone::kWarn, "Offline since 27 Nov 14:35.", "Selling goes on."},
      {"a hub that takes nothing more is no line that is down",
       [](DaemonStatus& s) {
         s.state = "offline";
         s.engine.push_position = {0, 1};
         s.problems = {{.kind = Kind::kHubFull, .cause = "its disk is full", .next_try = kNow + absl::Minutes(1)}};
       },
       Tone::kWarn, "The hub takes nothing more: its disk is full.",
       "Selling goes on. 1 change waits to be sent. Next try in 60 s."},
      {"rows wait", [](DaemonStatus& s) { s.problems = {{.kind = Kind::kRowsWait, .count = 2}}; }, Tone::kWarn,
       "2 rows cannot be written to PostgreSQL yet.", "Everything else flows on. Last sync 3 min ago, at 14:32."},
      {"a note colours nothing",
       [](DaemonStatus& s) { s.problems = {{.kind = Kind::kHubHintsMissing, .cause = "5m"}}; }, Tone::kOk,
       "All is well: this branch is in step with the hub.", "Last sync 3 min ago, at 14:32. Next look in 2 min."},
      {"starting", [](DaemonStatus& s) { s = DaemonStatus(), s.as_of = kNow - absl::Minutes(1); }, Tone::kBusy,
       "Starting.", "Selling goes on. Nothing that is sold is missed."},
      {"syncing",
       [](DaemonStatus& s) {
         s.state = "catching-up";
         s.push = {41, 60, 10};
         s.pull = {6, 40, 20};
         s.projection = {6, 40, 4};
       },
       Tone::kBusy, "Syncing: 47 of 100 changes.", "41 sent, 6 received, 6 written. About 9 s left."},
      {"syncing, and nobody knows how long",
       [](DaemonStatus& s) {
         s.state = "catching-up";
         s.projection = {6, 1'000'000, 0};
       },
       Tone::kBusy, "Syncing: 6 of 1,000,000 changes.", "0 sent, 0 received, 6 written."},
      {"on its own",
       [](DaemonStatus& s) {
         s.state = "local-only";
         s.engine.has_hub = false;
         s.engine.events_total = 4211;
       },
       Tone::kIdle, "This branch works on its own: no hub is configured.", "Changes are recorded here: 4,211 so far."},
      {"a hub that fell silent without a failure is not called well",
       [](DaemonStatus& s) { s.engine.last_pull = kNow - absl::Minutes(11); }, Tone::kIdle,
       "No news from the hub since 14:24.", "Selling goes on."},
      {"nor is one that was never heard", [](DaemonStatus& s) { s.engine.last_pull = absl::InfinitePast(); },
       Tone::kIdle, "The hub has not been heard yet.", "Selling goes on."},
      {"the whole fleet is in step",
       [](DaemonStatus& s) {
         AddBranch(s, 1, "mumbai-1", "running");
         AddBranch(s, 2, "pune-1", "running");
         AddBranch(s, 3, "surat-1", "running");
         AddBranch(s, 4, "old-shop", "", absl::Hours(2000), /*active=*/false);
       },
       Tone::kOk, "All is well: 3 branches are in step.", "Last sync 3 min ago, at 14:32. Next look in 2 min."},
      {"who is still catching up is not in step",
       [](DaemonStatus& s) {
         AddBranch(s, 2, "pune-1", "running");
         AddBranch(s, 3, "surat-1", "catching-up");
       },
       Tone::kOk, "This branch is in step. surat-1 is catching up; 1 other is in step.",
       "Last sync 3 min ago, at 14:32. Next look in 2 min."},
      {"another branch's trouble is named and does not colour this one",
       [](DaemonStatus& s) {
         AddBranch(s, 2, "nashik-1", "halted");
         AddBranch(s, 3, "pune-1", "running");
         AddBranch(s, 4, "surat-1", "running", absl::Hours(1));
         AddBranch(s, 5, "thane-1", "running");
       },
       Tone::kOk,
       "This branch is in step. nashik-1 is halted; surat-1 has not been heard lately; 2 others are in step.",
       "Last sync 3 min ago, at 14:32. Next look in 2 min."},
      {"who has shut down has said so, and is not searched for",
       [](DaemonStatus& s) {
         AddBranch(s, 2, "pune-1", "shut-down", absl::Hours(9));
         AddBranch(s, 3, "surat-1", "running", absl::Minutes(3));
       },
       Tone::kOk, "This branch is in step. pune-1 is shut down; surat-1 has not been heard lately.",
       "Last sync 3 min ago, at 14:32. Next look in 2 min."},
      {"a fleet that is down does not fill the page",
       [](DaemonStatus& s) {
         for (uint8_t i = 2; i < 12; ++i) AddBranch(s, i, absl::StrCat("b", i), "offline");
       },
       Tone::kOk, "This branch is in step. b2 is offline; b3 is offline; b4 is offline; 7 more are not in step.",
       "Last sync 3 min ago, at 14:32. Next look in 2 min."},
  };
  return *cases;
}

TEST(StatusSentenceTest, TheFirstThatAppliesWins) {
  for (const Case& one : Cases()) {
    const Sentence sentence = Of(one.change);
    EXPECT_EQ(sentence.tone, one.tone) << one.name;
    EXPECT_EQ(sentence.headline, one.headline) << one.name;
    EXPECT_EQ(sentence.line, one.line) << one.name;
  }
}

TEST(StatusSentenceTest, EveryKindHasASentenceOfItsToneAndNoneIsGreenButANote) {
  for (const ProblemEntry& entry : ProblemCatalogue()) {
    const Sentence sentence = Of([&](DaemonStatus& status) {
      status.problems = {{.kind = entry.kind, .subject = "pune-1", .cause = "x", .count = 2, .since = kNow}};
      if (!entry.state.empty()) status.state = std::string(entry.state);
    });
    const Tone tone = entry.severity == Severity::kBad    ? Tone::kBad
                      : entry.severity == Severity::kWarn ? Tone::kWarn
                                                          : Tone::kOk;
    EXPECT_EQ(sentence.tone, tone) << entry.name;
    EXPECT_THAT(sentence.headline, Not(HasSubstr("{"))) << entry.name;
    EXPECT_EQ(sentence.headline.back(), '.') << entry.name;
  }
}

TEST(TimeLeftTest, IsInWholeSecondsAndInfiniteWhenNothingMoves) {
  EXPECT_EQ(TimeLeft(0, 0), absl::ZeroDuration());
  EXPECT_EQ(TimeLeft(53, 10), absl::Seconds(6));
  EXPECT_EQ(TimeLeft(53, 0), absl::InfiniteDuration());
}

}  // namespace
}  // namespace assay
