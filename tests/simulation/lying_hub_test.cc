// Goal: whatever the hub says of the chains it has, what was signed, where they end, what it stored, is believed only
// as far as the log bears it out; everything else flows on, and the status says which chain and why. Method: change the
// answers that one branch is given on their way.
#include "tests/simulation/lying_hub_fixture.h"

namespace assay {
namespace {

using test::Build;
using test::Draft;
using test::DraftsOf;
using test::LyingHubTest;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// ---- What was signed ----

TEST_F(LyingHubTest, ACheckpointWithABadSignatureIsRefused) {
  ExpectRefusedAndHeals(
      [this](PullReply& reply) {
        HubHead& head = reply.heads.heads[b().origin()];
        const Checkpoint claim = *ParseCheckpoint(head.checkpoint);
        head.checkpoint = SignCheckpoint(claim, keys_[2]);
      },
      HasSubstr("not signed by its key"));
}

TEST_F(LyingHubTest, ACheckpointThatIsNoneIsRefused) {
  ExpectRefusedAndHeals([this](PullReply& reply) { reply.heads.heads[b().origin()].checkpoint = "all is well"; },
                        HasSubstr("unreadable"));
}

TEST_F(LyingHubTest, ACheckpointOfAChainThatIsNotGivenHarmsNothing) {
  OriginId stranger;
  stranger.bytes.fill(0x5a);
  lies_.pull = [&](PullReply& reply) {
    reply.heads.heads[stranger] = {{9}, {0}, SignCheckpoint({stranger, 1, {}}, keys_[2])};
  };
  Sell(b(), "branch-2-second");
  Run(absl::Minutes(1));
  EXPECT_TRUE(Has(a(), "branch-2-second"));
}

TEST_F(LyingHubTest, TwoSignedRootsOfOneSizeStopTheChainForGood) {
  LieForAMinute(
      [this](PullReply& reply) {
        HubHead& head = reply.heads.heads[b().origin()];
        head.checkpoint = SignCheckpoint({b().origin(), HeldOfB().value, Hash{}}, keys_[1]);
      },
      HasSubstr("signed two histories"));
  EXPECT_EQ(EvidenceCount(), 1);
  ExpectStaysUntilRestart();
}

// ---- Two contents under one name ----

TEST_F(LyingHubTest, AForkStopsTheChainForGood) {
  LieForAMinute(
      [this](PullReply& reply) {
        // The chain from its beginning, with another content in it.
        PullReply all = *hub_.Connect(3)->Pull({});
        std::erase_if(reply.segments, [&](const Segment& s) { return s.origin == b().origin(); });
        for (const Segment& segment : all.segments) {
          if (segment.origin != b().origin()) continue;
          std::vector<Draft> drafts = DraftsOf(segment);
          CallRingBrass(drafts);
          reply.segments.push_back(Build(drafts).front());
        }
      },
      HasSubstr("fork"));
  EXPECT_EQ(EvidenceCount(), 1);
  ExpectStaysUntilRestart();
}

// ---- Our own chain ----

TEST_F(LyingHubTest, OurOwnChainIsNeverTakenFromTheHub) {
  const Sequence own = HeadOf(a().origin());
  const auto longer = [&](PullReply& reply) {
    Draft draft;
    draft.event.set_origin(std::string(a().origin().AsBytes()));
    draft.event.set_sequence(own.value + 5);
    draft.event.set_transaction_first(own.value + 5);
    draft.event.set_stamp(uint64_t{1} << 62);
    draft.event.set_ends_transaction(true);
    reply.segments.push_back(Build({draft}).front());
    reply.heads.heads[a().origin()].last = reply.heads.heads[a().origin()].complete = {own.value + 5};
  };
  lies_.pull = longer;
  lies_.pulls.clear();
  Run(absl::Minutes(1));
  EXPECT_EQ(HeadOf(a().origin()), own);
  EXPECT_THAT(Problems(), AllOf(HasSubstr("own-chain-differs"), HasSubstr(absl::StrCat(own.value + 5, " events")),
                                HasSubstr(absl::StrCat("has written ", own.value))));
  Sell(a(), "branch-1-second");
  Sell(b(), "branch-2-second");
  Run(absl::Seconds(10));
  EXPECT_TRUE(Has(b(), "branch-1-second")) << "it is pushed all the same";
  EXPECT_TRUE(Has(a(), "branch-2-second"));

  lies_.pull = [&](PullReply& reply) {
    const PullReply all = *hub_.Connect(3)->Pull({});
    for (const Segment& segment : all.segments) {
      if (segment.origin != a().origin()) continue;
      std::vector<Draft> drafts = DraftsOf(segment);
      CallRingBrass(drafts);
      reply.segments.push_back(Build(drafts).front());
    }
  };
  Run(absl::Minutes(5));
  EXPECT_THAT(Problems(), AllOf(HasSubstr("own-chain-differs"), HasSubstr("fork")));
  EXPECT_EQ(EvidenceCount(), 1);
  lies_.pull = nullptr;
  Run(absl::Minutes(6));
  EXPECT_THAT(Problems(), IsEmpty());
  ExpectNothingFalse();
}

// ---- Heads ----

TEST_F(LyingHubTest, HeadsThatClaimWhatIsNotGivenAreNamed) {
  lies_.pull = [this](PullReply& reply) {
    HubHead& head = reply.heads.heads[b().origin()];
    head.last = head.complete = {head.complete.value + 1'000'000};
  };
  lies_.pulls.clear();
  Run(absl::Minutes(1));
  EXPECT_THAT(Problems(), AllOf(HasSubstr(b().origin().Hex().substr(0, 8)), HasSubstr("gives none after")));
  ExpectAsksForBWithBackoff();
  Sell(b(), "branch-2-second");
  ExpectHealsByItself();
}

TEST_F(LyingHubTest, AHubThatAlwaysHasMoreIsAskedLessAndLess) {
  lies_.pull = [](PullReply& reply) { reply.more = true; };
  lies_.pulls.clear();
  Run(absl::Minutes(1), /*hints=*/false);
  a().engine().OnHubHint();
  Run(absl::Minutes(1), /*hints=*/false);
  EXPECT_LE(lies_.pulls.size(), 20u);
  EXPECT_THAT(Problems(), AllOf(HasSubstr("hub-disagrees"), HasSubstr("there is more, and gives nothing")));
  Sell(b(), "branch-2-second");
  Run(absl::Minutes(2));
  EXPECT_TRUE(Has(a(), "branch-2-second"));
  ExpectHealsByItself();
}

TEST_F(LyingHubTest, AHubThatNamesAThousandBadChainsDoesNotFillThePage) {
  lies_.pull = [this](PullReply& reply) {
    for (uint32_t i = 0; i < 1000; ++i) {
      OriginId stranger;
      for (size_t at = 0; at < sizeof(i); ++at) stranger.bytes[at] = static_cast<uint8_t>(i >> (8 * at));
      reply.heads.heads[stranger] = {{9}, {9}, {}};
    }
    // What is said of the own one counts, wherever it stands among them.
    HubHead& own = reply.heads.heads[a().origin()];
    own.last = own.complete = {own.last.value + 5};
  };
  Run(absl::Seconds(30));
  const std::vector<Problem> problems = a().engine().Status().problems;
  EXPECT_LE(problems.size(), 12u);
  EXPECT_THAT(Problems(), AllOf(HasSubstr("own-chain-differs"), HasSubstr("other branches: 1001 chains in all")));
}

// Every branch builds on what it has seen of every other: one chain that stands still must not hold up all.
TEST_F(LyingHubTest, OthersGoOnWithoutAChainThatStandsStillForLong) {
  lies_.pull = OfB([](Segment& segment) { segment.parts.back().payload[20] ^= 4; });
  Sell(b(), "branch-2-second");
  Run(absl::Seconds(10));
  ASSERT_TRUE(Has(c(), "branch-2-second"));
  Sell(c(), "branch-3-second");  // Having seen it.
  Run(absl::Seconds(10));
  EXPECT_FALSE(Has(a(), "branch-3-second")) << "a garbled reply is no reason to break the causal order";
  EXPECT_THAT(Problems(), HasSubstr("chain-waits, branch-3: waits for event"));
  Run(absl::Minutes(2));
  EXPECT_TRUE(Has(a(), "branch-3-second"));
  EXPECT_FALSE(Has(a(), "branch-2-second"));
  ExpectHealsByItself();
}

// A chain that is refused must not fill every reply, and hold up those that come after it in the hub's order.
TEST_F(LyingHubTest, AChainThatStandsStillIsLeftOutOfThePullsBetween) {
  lies_.pull = OfB([](Segment& segment) { segment.parts.back().payload[20] ^= 4; });
  Sell(b(), "branch-2-second");
  Run(absl::Minutes(1));
  lies_.pulls.clear();
  Run(absl::Seconds(10));
  EXPECT_GE(lies_.pulls.size(), 8u) << "the hints go on";
  EXPECT_LE(AsksFor(b().origin()), 1);
  // A person who has mended the hub does not wait.
  lies_.pull = nullptr;
  a().engine().SyncNow();
  Run(absl::Seconds(5));
  EXPECT_TRUE(Has(a(), "branch-2-second"));
}

// As a hub does that was restored from a backup: it gets again what it lost.
TEST_F(LyingHubTest, FewerHeadsThanYesterdayHarmNothing) {
  lies_.pull = [](PullReply& reply) {
    for (auto& [origin, head] : reply.heads.heads) {
      head.last = {head.last.value / 2};
      head.complete = {head.complete.value / 2};
      head.checkpoint.clear();
    }
    reply.segments.clear();
  };
  Run(absl::Minutes(1));
  EXPECT_THAT(Problems(), IsEmpty());
  Sell(a(), "branch-1-second");
  Run(absl::Seconds(10));
  EXPECT_TRUE(Has(b(), "branch-1-second"));
  Sell(b(), "branch-2-second");
  ExpectHealsByItself();
}

// ---- Pushes ----

TEST_F(LyingHubTest, APushThatIsSaidToHaveDoneNothingIsNotRepeatedAtOnce) {
  lies_.own = [](HubHead& head) { head.last = {1}; };
  lies_.pushes = 0;
  Sell(a(), "branch-1-second");
  Run(absl::Minutes(1));
  EXPECT_GE(lies_.pushes, 3u);
  EXPECT_LE(lies_.pushes, 15u);
  EXPECT_THAT(Problems(), AllOf(HasSubstr("hub-disagrees"), HasSubstr("says that it has 1 events")));
  Sell(b(), "branch-2-second");
  Run(absl::Seconds(10));
  EXPECT_TRUE(Has(a(), "branch-2-second")) << "pulls go on";
  lies_.own = nullptr;
  Run(absl::Minutes(2));
  EXPECT_THAT(Problems(), IsEmpty());
}

TEST_F(LyingHubTest, AHubThatTakesNoPushIsAskedLessAndLess) {
  lies_.refuse_push = absl::ResourceExhaustedError("its disk is full");
  lies_.pushes = 0;
  Sell(a(), "branch-1-second");
  Run(absl::Minutes(1));
  EXPECT_GE(lies_.pushes, 3u);
  EXPECT_LE(lies_.pushes, 15u);
  EXPECT_THAT(Problems(), HasSubstr("hub-full, branch-1: its disk is full"));
  lies_.refuse_push = absl::OkStatus();
  Run(absl::Minutes(2));
  EXPECT_TRUE(Has(b(), "branch-1-second"));
  EXPECT_THAT(Problems(), IsEmpty());
}

// Else everything up to that head would never be pushed, and nobody would know.
TEST_F(LyingHubTest, APushThatIsSaidToHaveStoredMoreThanThereIsIsNotBelieved) {
  lies_.own = [](HubHead& head) { head.last = {head.last.value + 100}; };
  Sell(a(), "branch-1-second");
  Run(absl::Minutes(1));
  EXPECT_THAT(Problems(), AllOf(HasSubstr("hub-has-more"), HasSubstr("the log itself only")));
  lies_.of_heads = false;  // Asked for its heads, it tells the truth.
  Sell(a(), "branch-1-third");
  Run(absl::Minutes(2));
  EXPECT_TRUE(Has(b(), "branch-1-third"));
  lies_.own = nullptr;
  Run(absl::Minutes(2));
  EXPECT_THAT(Problems(), IsEmpty());
}

}  // namespace
}  // namespace assay
