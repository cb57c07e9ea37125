// Goal: nothing is believed before database and log were found to belong together, and what halts goes on doing so
// until a server shows that it is mended. Method: evidence and items by hand, over a real log (what is judged, and how,
// is restore_check_test's).
#include "engine/recovery/restore_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/open_log.h"
#include "tests/support/origins.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::HasSubstr;

class RestoreGateTest : public ::testing::Test {
 protected:
  RestoreGateTest() {
    log_.InTransaction([&] { ASSERT_TRUE(log_.state->Write(kCapturedNote, captured_).ok()); });
  }
  // Of a server whose slot stands at `confirmed`.
  static DatabaseEvidence Server(uint64_t confirmed = 0x540) {
    return {.known = true,
            .slot_there = true,
            .slot_confirmed = {confirmed},
            .flushed = {0x10000},
            .server = "cluster/5",
            .timeline = 1,
            .next_xid = 950,
            .batch = 0,
            .origin = test::Origin(1)};
  }
  static DatabaseEvidence OtherLogs() {
    DatabaseEvidence evidence = Server();
    evidence.origin = test::Origin(9);
    return evidence;
  }
  std::optional<Lsn> Judge(bool streaming = true) {
    std::optional<Lsn> position;
    log_.InTransaction([&] { position = gate_.Judge(streaming).value(); });
    return position;
  }
  void See(CaptureItem item) {
    log_.InTransaction([&] { ASSERT_EQ(gate_.See(item), absl::OkStatus()); });
  }
  static CaptureItem Begins(uint64_t lsn, uint32_t xid) {
    return {.kind = CaptureItem::Kind::kBegin, .commit_lsn = {lsn}, .commit_time_us = 1000, .xid = xid};
  }
  static CaptureItem Ends(uint64_t lsn) {
    return {.kind = CaptureItem::Kind::kCommit, .commit_lsn = {lsn}, .end_lsn = {lsn + 0x40}};
  }

  test::TempDirectory directory_{"restore_gate"};
  test::OpenLog log_{directory_.path() + "/log.db"};
  const CapturedPosition captured_{{0x500}, {0x540}, 1000, 900, {0x540}};
  RestoreGate gate_{test::Origin(1), log_.log.get(), log_.state.get()};
};

TEST_F(RestoreGateTest, NothingIsKnownBeforeTheDatabaseHasBeenAsked) {
  EXPECT_EQ(gate_.state(), RestoreState::kUnverified);
  EXPECT_FALSE(gate_.asked());
  EXPECT_FALSE(gate_.Halts());
  gate_.OnStopped({});
  EXPECT_TRUE(gate_.asked()) << "it was found not to be there";
  EXPECT_FALSE(gate_.has_evidence());
}

TEST_F(RestoreGateTest, EvidenceThatIsEnoughByItselfOpensIt) {
  gate_.OnStarted(Server());
  EXPECT_TRUE(gate_.has_evidence());
  EXPECT_EQ(gate_.state(), RestoreState::kUnverified) << "not judged yet";
  EXPECT_EQ(Judge(), Lsn{0x540});
  EXPECT_FALSE(gate_.has_evidence());
  EXPECT_FALSE(gate_.checking());
  EXPECT_EQ(gate_.state(), RestoreState::kNormal);
}

TEST_F(RestoreGateTest, AStreamFromFurtherBackMustShowTheLastCapturedTransaction) {
  gate_.OnStarted(Server(0x100));
  EXPECT_EQ(Judge(), Lsn{0x100}) << "what this server has confirmed, and no position that was known before";
  EXPECT_TRUE(gate_.checking());
  EXPECT_EQ(gate_.state(), RestoreState::kUnverified);
  See(Begins(0x400, 899));
  See(Ends(0x400));
  See(Begins(0x500, 900));
  EXPECT_TRUE(gate_.checking()) << "until its end";
  See(Ends(0x500));
  EXPECT_FALSE(gate_.checking());
  EXPECT_EQ(gate_.state(), RestoreState::kNormal);
}

TEST_F(RestoreGateTest, AStreamThatHasSomethingElseInItsPlaceHalts) {
  gate_.OnStarted(Server(0x100));
  Judge();
  See(Begins(0x500, 901));
  EXPECT_FALSE(gate_.checking());
  EXPECT_TRUE(gate_.Halts());
  EXPECT_EQ(gate_.state(), RestoreState::kDatabaseBehind);
  EXPECT_THAT(gate_.cause(), HasSubstr("transaction 900")) << "what is missing";
}

TEST_F(RestoreGateTest, WhatHaltsGoesOnUntilAServerHasShownThatItIsMended) {
  gate_.OnStarted(OtherLogs());
  Judge();
  EXPECT_EQ(gate_.state(), RestoreState::kOtherDatabase);
  EXPECT_NE(gate_.cause(), "");
  gate_.OnStopped({});
  EXPECT_EQ(gate_.state(), RestoreState::kOtherDatabase) << "a line that breaks mends nothing";
  gate_.OnStarted(Server(0x100));
  Judge();
  EXPECT_TRUE(gate_.checking());
  EXPECT_EQ(gate_.state(), RestoreState::kOtherDatabase) << "nor does a server of which nothing is proved yet";
  See(Begins(0x500, 900));
  See(Ends(0x500));
  EXPECT_EQ(gate_.state(), RestoreState::kNormal);
  EXPECT_EQ(gate_.cause(), "");
}

// Capture could not be started: what the server shows may still be wrong, but proves nothing.
TEST_F(RestoreGateTest, WithoutAStreamEvidenceMayHaltAndNeverOpens) {
  gate_.OnStopped(Server());
  EXPECT_EQ(Judge(/*streaming=*/false), std::nullopt);
  EXPECT_EQ(gate_.state(), RestoreState::kUnverified);
  EXPECT_FALSE(gate_.checking());
  gate_.OnStopped(OtherLogs());
  Judge(/*streaming=*/false);
  EXPECT_EQ(gate_.state(), RestoreState::kOtherDatabase);
}

TEST_F(RestoreGateTest, AStreamThatEndsHasToProveItselfAgain) {
  gate_.OnStarted(Server());
  Judge();
  gate_.OnStopped({});
  EXPECT_EQ(gate_.state(), RestoreState::kUnverified);
}

TEST_F(RestoreGateTest, TheServerThatWasFoundToBeTheRightOneIsRemembered) {
  gate_.OnStarted(OtherLogs());
  Judge();
  EXPECT_EQ(ReadLogEvidence(test::Origin(1), *log_.log, *log_.state).value().server, "") << "not a wrong one";
  gate_.OnStarted(Server(0x100));
  Judge();
  EXPECT_EQ(ReadLogEvidence(test::Origin(1), *log_.log, *log_.state).value().server, "") << "not proved yet";
  See(Begins(0x500, 900));
  See(Ends(0x500));
  const LogEvidence evidence = ReadLogEvidence(test::Origin(1), *log_.log, *log_.state).value();
  EXPECT_EQ(evidence.server, "cluster/5");
  EXPECT_EQ(evidence.timeline, 1u);
}

}  // namespace
}  // namespace assay
