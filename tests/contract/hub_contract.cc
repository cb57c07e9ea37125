#include "tests/contract/hub_contract.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"

#define ASSERT_OK(expr)                                     \
  do {                                                      \
    const absl::Status assert_ok_status = (expr);           \
    ASSERT_TRUE(assert_ok_status.ok()) << assert_ok_status; \
  } while (false)

namespace assay::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::string_view kSalaries = "public.salaries";

// first..last of each segment, e.g. "1-3".
std::vector<std::string> Ranges(const std::vector<Segment>& segments) {
  std::vector<std::string> ranges;
  for (const Segment& segment : segments) ranges.push_back(absl::StrCat(segment.first.value, "-", segment.last.value));
  return ranges;
}

}  // namespace

void HubContract::SetUp() {
  hub_ = GetParam().make();
  if (hub_ == nullptr) GTEST_SKIP() << GetParam().name << " cannot run here";
}

TEST_P(HubContract, NewHubIsEmpty) {
  auto hub = hub_->Connect(1);
  auto heads = hub->Heads();
  ASSERT_TRUE(heads.ok()) << heads.status();
  EXPECT_THAT(heads->heads, IsEmpty());
  auto reply = hub->Pull({});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_THAT(reply->segments, IsEmpty());
  EXPECT_FALSE(reply->more);
}

TEST_P(HubContract, AnotherBranchPullsTheBytesThatWerePushed) {
  TestChain chain(0xA1);
  chain.Transaction(3);
  chain.Transaction(5, 3000);
  auto a = hub_->Connect(1), b = hub_->Connect(2);
  auto pushed = a->Push(chain.Push(chain.ByTransaction()));
  ASSERT_TRUE(pushed.ok()) << pushed.status();
  EXPECT_EQ(pushed->last, chain.head());

  auto segments = PullAll(*b, {});
  ASSERT_TRUE(segments.ok()) << segments.status();
  uint64_t sequence = 0;
  for (const Segment& segment : *segments) {
    EXPECT_EQ(segment.origin, chain.origin());
    EXPECT_TRUE(segment.ends_transaction);
    auto decoded = DecodedSegment::Decode(segment);
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    for (const StoredEvent& event : decoded->events()) {
      EXPECT_EQ(event.sequence.value, ++sequence);
      EXPECT_FALSE(event.masked);
      EXPECT_EQ(event.bytes, chain.bytes(sequence));
    }
  }
  EXPECT_EQ(sequence, chain.head().value);
}

// Goal: lengths above 64 KiB survive every encoding on the way. Method: leaf hashes of 128 kB, several such segments in
// one push.
TEST_P(HubContract, LargeSegmentsPassAsTheyAre) {
  TestChain chain(0xA1);
  for (int i = 0; i < 3; ++i) chain.Transaction(4000);
  auto a = hub_->Connect(1), b = hub_->Connect(2);
  auto pushed = a->Push(chain.Push(chain.ByTransaction()));
  ASSERT_TRUE(pushed.ok()) << pushed.status();
  EXPECT_EQ(pushed->last, chain.head());
  auto segments = PullAll(*b, {});
  ASSERT_TRUE(segments.ok()) << segments.status();
  EXPECT_EQ(segments->back().last, chain.head());
  EXPECT_TRUE(DecodedSegment::Decode(segments->back()).ok());
}

// Pushes all of it, however often it is told to go on.
absl::Status PushWhole(Hub& hub, const PushRequest& request) {
  for (PushRequest rest = request; !rest.segments.empty();) {
    const absl::StatusOr<PushReply> reply = hub.Push(rest);
    if (!reply.ok()) return reply.status();
    if (reply->arriving) continue;
    std::erase_if(rest.segments, [&](const Segment& segment) { return segment.last <= reply->last; });
  }
  return absl::OkStatus();
}

// Goal: a large value is on its way in more than one call, whole in the end, and nobody waits for it meanwhile but its
// own chain. Method: 6 MB of noise between two sales, another branch's sale beside it, and a reader without a grant.
TEST_P(HubContract, ALargeValueComesInPiecesAndOthersPassIt) {
  TestChain chain(0xA1), other(0xB2);
  chain.Noise(6 << 20);
  chain.Transaction(1);
  other.Transaction(1);
  auto a = hub_->Connect(1), b = hub_->Connect(2);
  ASSERT_OK(PushWhole(*a, chain.Push(chain.ByTransaction())));
  EXPECT_EQ(a->Heads()->heads[chain.origin()].complete, chain.head());
  ASSERT_OK(b->Push(other.Push(other.ByTransaction())).status());

  for (const uint32_t reader : {1, 2, 3}) {
    SCOPED_TRACE(reader);
    auto hub = hub_->Connect(reader);
    auto segments = PullAll(*hub, {});
    ASSERT_OK(segments.status());
    std::map<OriginId, uint64_t> events;
    for (const Segment& segment : *segments) {
      auto decoded = DecodedSegment::Decode(segment);
      ASSERT_OK(decoded.status());
      for (const StoredEvent& event : decoded->events()) {
        EXPECT_EQ(event.sequence.value, ++events[event.origin]);
        if (event.origin != chain.origin()) continue;
        EXPECT_EQ(event.masked, reader == 3 && event.table == kSalaries);
        EXPECT_TRUE(event.masked || event.bytes == chain.bytes(event.sequence.value)) << event.sequence.value;
        EXPECT_EQ(event.leaf, chain.leaf(event.sequence.value));
      }
    }
    EXPECT_EQ(events[chain.origin()], chain.head().value);
    EXPECT_EQ(events[other.origin()], other.head().value);
  }
}

// Goal: of a part that is staged nothing is lost or mixed up when its branch begins another, and a whole one that is
// pushed twice is there once.
TEST_P(HubContract, ALargeValueIsPushedAgainLikeAnything) {
  TestChain chain(0xA1), fork(0xA1);
  chain.Noise(1 << 20, 1);
  fork.Noise(1 << 20, 2);
  auto hub = hub_->Connect(1);
  ASSERT_OK(PushWhole(*hub, chain.Push(chain.ByTransaction())));
  ASSERT_OK(PushWhole(*hub, chain.Push(chain.ByTransaction())));
  EXPECT_TRUE(absl::IsDataLoss(PushWhole(*hub, fork.Push(fork.ByTransaction()))));
  auto segments = PullAll(*hub_->Connect(2), {});
  ASSERT_OK(segments.status());
  EXPECT_THAT(Ranges(*segments), ElementsAre("1-1", "2-2"));
  EXPECT_EQ(DecodedSegment::Decode(segments->back())->events()[0].bytes, chain.bytes(2));
}

TEST_P(HubContract, HeadsTellWhatIsHeldAndWhatIsComplete) {
  TestChain chain(0xA1);
  chain.Transaction(10);
  auto hub = hub_->Connect(1);
  ASSERT_TRUE(hub->Push(chain.Push({chain.Cut(1, 1), chain.Cut(2, 6)})).ok());
  auto heads = hub_->Connect(2)->Heads();
  ASSERT_TRUE(heads.ok()) << heads.status();
  ASSERT_EQ(heads->heads.count(chain.origin()), 1u);
  EXPECT_EQ(heads->heads[chain.origin()].last.value, 6u);
  EXPECT_EQ(heads->heads[chain.origin()].complete.value, 1u);
}

TEST_P(HubContract, PushingTheSameTwiceChangesNothing) {
  TestChain chain(0xA1);
  chain.Transaction(3);
  auto hub = hub_->Connect(1);
  for (int i = 0; i < 2; ++i) {
    auto reply = hub->Push(chain.Push(chain.ByTransaction()));
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->last, chain.head());
  }
  auto segments = PullAll(*hub_->Connect(2), {});
  ASSERT_TRUE(segments.ok()) << segments.status();
  EXPECT_THAT(Ranges(*segments), ElementsAre("1-1", "2-4"));
}

TEST_P(HubContract, AnotherSegmentationOfTheSameEventsIsNoFork) {
  TestChain chain(0xA1);
  chain.Transaction(2);
  chain.Transaction(2);
  auto hub = hub_->Connect(1);
  ASSERT_TRUE(hub->Push(chain.Push({chain.Cut(1, 1), chain.Cut(2, 3)})).ok());
  ASSERT_TRUE(hub->Push(chain.Push({chain.Cut(1, 3)})).ok());
  // Half of it is held: the hub may store the rest or say how far it is, and then the rest is accepted from there.
  auto reply = hub->Push(chain.Push({chain.Cut(2, 5)}));
  ASSERT_TRUE(reply.ok()) << reply.status();
  if (reply->last < chain.head()) {
    EXPECT_EQ(reply->last.value, 3u);
    reply = hub->Push(chain.Push({chain.Cut(4, 5)}));
    ASSERT_TRUE(reply.ok()) << reply.status();
  }
  EXPECT_EQ(reply->last, chain.head());
  auto segments = PullAll(*hub_->Connect(2), {});
  ASSERT_TRUE(segments.ok()) << segments.status();
  EXPECT_EQ(segments->back().last, chain.head());
}

TEST_P(HubContract, PushBeyondTheHeadIsOutOfRangeAndStoresNothing) {
  TestChain chain(0xA1);
  chain.Transaction(2);
  chain.Transaction(2);
  auto hub = hub_->Connect(1);
  EXPECT_TRUE(absl::IsOutOfRange(hub->Push(chain.Push({chain.Cut(2, 3)})).status()));
  ASSERT_TRUE(hub->Push(chain.Push({chain.Cut(1, 1)})).ok());
  EXPECT_TRUE(absl::IsOutOfRange(hub->Push(chain.Push({chain.Cut(4, 5)})).status()));
  EXPECT_EQ(hub->Heads()->heads[chain.origin()].last.value, 1u);
}

TEST_P(HubContract, PushOfSegmentsThatDoNotFollowEachOtherStoresNone) {
  TestChain chain(0xA1);
  chain.Transaction(2);
  chain.Transaction(2);
  auto hub = hub_->Connect(1);
  EXPECT_FALSE(hub->Push(chain.Push({chain.Cut(1, 1), chain.Cut(4, 5)})).ok());
  auto heads = hub->Heads();
  ASSERT_TRUE(heads.ok()) << heads.status();
  EXPECT_EQ(heads->heads[chain.origin()].last.value, 0u);
}

TEST_P(HubContract, SecondContentUnderOneNameIsRefused) {
  TestChain chain(0xA1);
  chain.Transaction(4);
  auto hub = hub_->Connect(1);
  ASSERT_TRUE(hub->Push(chain.Push(chain.ByTransaction())).ok());
  TestChain fork = chain;
  fork.Tamper({3});
  fork.Transaction(1);
  absl::Status status = hub->Push(fork.Push(fork.ByTransaction())).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(EventName(chain.origin(), {3})));
  EXPECT_EQ(hub->Heads()->heads[chain.origin()].last.value, 5u);
  auto segments = PullAll(*hub_->Connect(2), {});
  ASSERT_TRUE(segments.ok()) << segments.status();
  EXPECT_EQ(DecodedSegment::Decode(segments->back())->events()[1].bytes, chain.bytes(3));
  // The chain itself goes on.
  chain.Transaction(1);
  EXPECT_TRUE(hub->Push(chain.Push({chain.Cut(6, 6)})).ok());
}

TEST_P(HubContract, AnotherBranchsChainIsRefused) {
  TestChain chain(0xA1);
  chain.Transaction(1);
  ASSERT_TRUE(hub_->Connect(1)->Push(chain.Push({chain.Cut(1, 1)})).ok());
  absl::Status status = hub_->Connect(2)->Push(chain.Push({chain.Cut(2, 2)})).status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_EQ(hub_->Connect(1)->Heads()->heads[chain.origin()].last.value, 1u);
}

TEST_P(HubContract, NobodyIsGivenPartOfATransaction) {
  TestChain chain(0xA1);
  chain.Transaction(9);
  auto a = hub_->Connect(1), b = hub_->Connect(2);
  for (auto [first, last] : {std::pair{1, 1}, {2, 4}, {5, 7}}) {
    ASSERT_TRUE(a->Push(chain.Push({chain.Cut(first, last)})).ok());
    auto segments = PullAll(*b, {});
    ASSERT_TRUE(segments.ok()) << segments.status();
    EXPECT_THAT(Ranges(*segments), ElementsAre("1-1"));
  }
  ASSERT_TRUE(a->Push(chain.Push({chain.Cut(8, 10)})).ok());
  auto segments = PullAll(*b, {});
  ASSERT_TRUE(segments.ok()) << segments.status();
  EXPECT_THAT(Ranges(*segments), ElementsAre("1-1", "2-4", "5-7", "8-10"));
  EXPECT_FALSE((*segments)[2].ends_transaction);
  EXPECT_TRUE((*segments)[3].ends_transaction);
}

TEST_P(HubContract, PullGivesWhatIsMissing) {
  TestChain chain(0xA1), other(0xB2);
  chain.Transaction(2);
  chain.Transaction(2);
  ASSERT_TRUE(hub_->Connect(1)->Push(chain.Push(chain.ByTransaction())).ok());
  ASSERT_TRUE(hub_->Connect(2)->Push(other.Push(other.ByTransaction())).ok());
  auto b = hub_->Connect(2);
  auto segments = PullAll(*b, {{chain.origin(), {3}}, {other.origin(), {1}}});
  ASSERT_TRUE(segments.ok()) << segments.status();
  EXPECT_THAT(Ranges(*segments), ElementsAre("4-5"));
  // In the middle of a segment: what is missing, possibly with what is held before it.
  segments = PullAll(*b, {{chain.origin(), {2}}, {other.origin(), {1}}});
  ASSERT_TRUE(segments.ok()) << segments.status();
  EXPECT_EQ(segments->back().last, chain.head());
  // More than the hub has, as after it was restored from a backup: nothing, and no error.
  segments = PullAll(*b, {{chain.origin(), {500}}, {other.origin(), {1}}});
  ASSERT_TRUE(segments.ok()) << segments.status();
  EXPECT_THAT(*segments, IsEmpty());
}

TEST_P(HubContract, PullIsBoundedAndGoesOn) {
  TestChain chain(0xA1), other(0xB2);
  for (int i = 0; i < 20; ++i) chain.Transaction(4, 4000);
  for (int i = 0; i < 5; ++i) other.Transaction(1);
  ASSERT_TRUE(hub_->Connect(1)->Push(chain.Push(chain.ByTransaction())).ok());
  ASSERT_TRUE(hub_->Connect(2)->Push(other.Push(other.ByTransaction())).ok());
  auto hub = hub_->Connect(2);
  auto first = hub->Pull({.have = {}, .bytes_max = 1});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_THAT(first->segments, SizeIs(1));
  EXPECT_TRUE(first->more);
  EXPECT_EQ(first->heads.heads[chain.origin()].last, chain.head());
  auto segments = PullAll(*hub, {}, 20'000);
  ASSERT_TRUE(segments.ok()) << segments.status();
  EXPECT_THAT(*segments, SizeIs(27));
  auto all = hub->Pull({});
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_THAT(all->segments, SizeIs(27));
  EXPECT_FALSE(all->more);
}

TEST_P(HubContract, TablesWithoutGrantComeAsLeafHashes) {
  TestChain chain(0xA1);
  chain.Transaction(7);
  ASSERT_TRUE(hub_->Connect(1)->Push(chain.Push({chain.Cut(1, 1), chain.Cut(2, 8)})).ok());
  auto segments = PullAll(*hub_->Connect(3), {});
  ASSERT_TRUE(segments.ok()) << segments.status();
  uint64_t sequence = 0;
  for (const Segment& segment : *segments) {
    auto decoded = DecodedSegment::Decode(segment);
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    for (const StoredEvent& event : decoded->events()) {
      ++sequence;
      EXPECT_EQ(event.masked, event.table == kSalaries) << sequence;
      EXPECT_EQ(event.bytes, event.masked ? "" : chain.bytes(sequence));
      EXPECT_EQ(event.leaf, chain.leaf(sequence)) << "what a masked reader verifies with";
    }
    for (const SegmentPart& part : segment.parts) EXPECT_EQ(part.masked, part.table == kSalaries);
  }
  EXPECT_EQ(sequence, chain.head().value);
}

TEST_P(HubContract, ABranchIsToldWhatItMayRead) {
  TestChain chain(0xA1);
  chain.Transaction(7);
  ASSERT_TRUE(hub_->Connect(1)->Push(chain.Push(chain.ByTransaction())).ok());
  for (const uint32_t branch : {2, 3}) {
    auto reply = hub_->Connect(branch)->Heartbeat(
        {.number = branch, .origin = {{static_cast<uint8_t>(0xB0 + branch)}}, .state = "running"},
        absl::InfinitePast());
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_TRUE(reply->granted->Has("public.products"));
    EXPECT_EQ(reply->granted->Has(kSalaries), branch == 2);
  }
}

TEST_P(HubContract, BranchIsGivenItsOwnChainInFull) {
  TestChain chain(0xC3);
  chain.Transaction(4);
  ASSERT_TRUE(hub_->Connect(3)->Push(chain.Push(chain.ByTransaction())).ok());
  auto segments = PullAll(*hub_->Connect(3), {});
  ASSERT_TRUE(segments.ok()) << segments.status();
  for (const Segment& segment : *segments) {
    for (const SegmentPart& part : segment.parts) EXPECT_FALSE(part.masked) << part.table;
  }
}

TEST_P(HubContract, NewestCheckpointIsKept) {
  TestChain chain(0xA1);
  chain.Transaction(2);
  auto hub = hub_->Connect(1);
  const std::string one = chain.Checkpoint(1), three = chain.Checkpoint(3);
  ASSERT_TRUE(hub->Push(chain.Push({chain.Cut(1, 1)}, one)).ok());
  EXPECT_EQ(hub->Heads()->heads[chain.origin()].checkpoint, one);
  // Of more than the hub has: it would vouch for what nobody can fetch.
  ASSERT_TRUE(hub->Push(chain.Push({}, three)).ok());
  EXPECT_EQ(hub->Heads()->heads[chain.origin()].checkpoint, one);
  auto reply = hub->Push(chain.Push({chain.Cut(2, 3)}, three));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(hub->Heads()->heads[chain.origin()].checkpoint, three);
  ASSERT_TRUE(hub->Push(chain.Push({}, one)).ok());
  auto pulled = hub_->Connect(2)->Pull({});
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_EQ(pulled->heads.heads[chain.origin()].checkpoint, three);
}

// Goal: a branch that pulls hears of every head and of every checkpoint that it has not got, however little a hub
// repeats.
TEST_P(HubContract, PullTellsOfAllHeadsAndOfOtherCheckpointsThanItNames) {
  TestChain chain(0xA1), other(0xB2), unknown(0xC3);
  chain.Transaction(2);
  const std::string three = chain.Checkpoint(3, 5);
  ASSERT_TRUE(hub_->Connect(1)->Push(chain.Push(chain.ByTransaction(), three)).ok());
  ASSERT_TRUE(hub_->Connect(2)->Push(other.Push(other.ByTransaction())).ok());
  auto b = hub_->Connect(2);
  PullRequest request{.have = {{chain.origin(), {3}}, {other.origin(), {1}}, {unknown.origin(), {5}}}};
  for (const bool named : {false, true}) {
    if (named) request.checkpoints[chain.origin()] = three;
    auto reply = b->Pull(request);
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_THAT(reply->segments, IsEmpty());
    ASSERT_THAT(reply->heads.heads, SizeIs(2)) << "not of the chain that the hub has not got";
    EXPECT_EQ(reply->heads.heads[chain.origin()].last.value, 3u);
    EXPECT_EQ(reply->heads.heads[chain.origin()].complete.value, 3u);
    EXPECT_THAT(reply->heads.heads[chain.origin()].checkpoint,
                named ? testing::AnyOf("", three) : testing::Matcher<std::string>(three));
    EXPECT_EQ(reply->heads.heads[other.origin()].last.value, 1u);
  }
  // Another root of the same size is for the reader to judge.
  request.checkpoints[chain.origin()] = chain.Checkpoint(3, 7);
  EXPECT_EQ(b->Pull(request)->heads.heads[chain.origin()].checkpoint, three);
  // Less than the branch has, as after the hub was restored from a backup, and more.
  request.checkpoints[chain.origin()] = three;
  for (const uint64_t have : {2, 4, 500}) {
    request.have[chain.origin()] = {have};
    auto reply = b->Pull(request);
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->heads.heads[chain.origin()].last.value, 3u);
  }
}

TEST_P(HubContract, SecondRootOfOneSizeIsAForkAndStoresNothing) {
  TestChain chain(0xA1);
  chain.Transaction(2);
  auto hub = hub_->Connect(1);
  const std::string one = chain.Checkpoint(1);
  ASSERT_TRUE(hub->Push(chain.Push({chain.Cut(1, 1)}, one)).ok());
  absl::Status status = hub->Push(chain.Push({chain.Cut(2, 3)}, chain.Checkpoint(1, 7))).status();
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  auto heads = hub->Heads();
  ASSERT_TRUE(heads.ok()) << heads.status();
  EXPECT_EQ(heads->heads[chain.origin()].last.value, 1u);
  EXPECT_EQ(heads->heads[chain.origin()].checkpoint, one);
}

// ---- Sessions: one daemon to a chain ----

std::string Nonce(char c) { return std::string(16, c); }
std::string Leaf(TestChain& chain, uint64_t sequence) { return chain.Cut(sequence, sequence).leaf_hashes; }

TEST_P(HubContract, SessionIsTakenOverByWhoeverKnowsTheOneThatIsOpen) {
  const OriginId origin = TestChain(0xA1).origin();
  auto hub = hub_->Connect(1);
  auto first = hub->OpenSession({origin, 0, {}, Nonce('a')});
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(first->opened());
  // The reply was lost and it is asked again; then a new run follows, which does not know whether it had been granted.
  EXPECT_TRUE(hub->OpenSession({origin, 0, {}, Nonce('a')})->opened());
  auto second = hub->OpenSession({origin, 0, {Nonce('a')}, Nonce('b')});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE(second->opened());
  EXPECT_GT(second->counter, first->counter);
  EXPECT_TRUE(hub->OpenSession({origin, second->counter, {Nonce('b'), Nonce('x')}, Nonce('c')})->opened());
}

TEST_P(HubContract, OlderCopyOfALogIsRefusedASession) {
  const OriginId origin = TestChain(0xA1).origin();
  auto hub = hub_->Connect(1);
  ASSERT_TRUE(hub->OpenSession({origin, 0, {}, Nonce('a')})->opened());
  ASSERT_TRUE(hub->OpenSession({origin, 1, {Nonce('a')}, Nonce('b')})->opened());
  auto copy = hub->OpenSession({origin, 1, {Nonce('a')}, Nonce('c')});
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_FALSE(copy->opened());
  EXPECT_EQ(copy->counter, 2u);
  EXPECT_FALSE(hub->OpenSession({origin, 2, {Nonce('z')}, Nonce('d')})->opened())
      << "the same counter, and another past";
  EXPECT_TRUE(hub->OpenSession({origin, 2, {Nonce('b')}, Nonce('e')})->opened()) << "the refused have changed nothing";
}

TEST_P(HubContract, HubWithAnOlderSessionFollowsTheLog) {
  const OriginId origin = TestChain(0xA1).origin();
  auto hub = hub_->Connect(1);
  ASSERT_TRUE(hub->OpenSession({origin, 0, {}, Nonce('a')})->opened());
  auto reply = hub->OpenSession({origin, 7, {Nonce('g')}, Nonce('h')});
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_TRUE(reply->opened());
  EXPECT_EQ(reply->counter, 8u);
}

// A machine that was put back to an image of itself knows the session: it is told by what it has of the chain.
TEST_P(HubContract, ALogThatDoesNotBeginAsTheHubHasItIsRefusedASession) {
  TestChain chain(0xA1), other(0xA1);
  chain.Transaction(2);
  chain.Transaction(1);
  other.Transaction(4);
  auto hub = hub_->Connect(1);
  ASSERT_TRUE(hub->OpenSession({chain.origin(), 0, {}, Nonce('a')})->opened());
  PushRequest push = chain.Push({chain.Cut(1, 3)});
  push.session = Nonce('a');
  ASSERT_TRUE(hub->Push(push).ok());
  const auto ask = [&](uint64_t last, uint64_t shown, const std::string& leaf) {
    return hub->OpenSession({chain.origin(), 1, {Nonce('a')}, Nonce('b'), {last}, {shown}, leaf}).value();
  };
  EXPECT_EQ(ask(2, 2, Leaf(chain, 2)).answer, SessionAnswer::kHubHasMore);
  EXPECT_EQ(ask(2, 2, Leaf(chain, 2)).last.value, 3u);
  EXPECT_EQ(ask(0, 0, "").answer, SessionAnswer::kHubHasMore);
  EXPECT_EQ(ask(4, 4, Leaf(other, 4)).answer, SessionAnswer::kShow);
  EXPECT_EQ(ask(4, 4, Leaf(other, 4)).last.value, 3u);
  EXPECT_EQ(ask(4, 3, Leaf(other, 3)).answer, SessionAnswer::kHubHasAnother);
  EXPECT_EQ(ask(3, 3, Leaf(chain, 2)).answer, SessionAnswer::kHubHasAnother);
  push = chain.Push({chain.Cut(1, 3)});
  push.session = Nonce('a');
  EXPECT_TRUE(hub->Push(push).ok()) << "the refused have taken nothing over";
  EXPECT_TRUE(ask(4, 3, Leaf(chain, 3)).opened()) << "with events that the hub has not yet";
}

TEST_P(HubContract, OnlyTheOpenSessionPushesAndReports) {
  TestChain chain(0xA1);
  chain.Transaction(1);
  chain.Transaction(1);
  auto hub = hub_->Connect(1);
  ASSERT_TRUE(hub->OpenSession({chain.origin(), 0, {}, Nonce('a')})->opened());
  PushRequest push = chain.Push({chain.Cut(1, 1)});
  push.session = Nonce('a');
  ASSERT_TRUE(hub->Push(push).ok());
  ASSERT_TRUE(hub->OpenSession({chain.origin(), 1, {Nonce('a')}, Nonce('b'), {2}, {1}, Leaf(chain, 1)})->opened());
  PushRequest next = chain.Push({chain.Cut(2, 2)});
  for (const std::string& session : {Nonce('a'), std::string()}) {
    next.session = session;
    EXPECT_TRUE(absl::IsAborted(hub->Push(next).status()));
    BranchReport report{.number = 1, .origin = chain.origin(), .session = session};
    EXPECT_TRUE(absl::IsAborted(hub->Heartbeat(report, absl::InfinitePast()).status()));
  }
  EXPECT_EQ(hub->Heads()->heads[chain.origin()].last.value, 1u);
  next.session = Nonce('b');
  EXPECT_TRUE(hub->Push(next).ok());
  EXPECT_TRUE(
      hub->Heartbeat({.number = 1, .origin = chain.origin(), .session = Nonce('b')}, absl::InfinitePast()).ok());
}

// Goal: one branch number has one living chain. Two machines with one config, both orders, and the race.
TEST_P(HubContract, ASecondChainOfABranchIsRefusedUnlessItNamesTheOneThatItReplaces) {
  TestChain first(0xA1), second(0xA2), third(0xA3);
  for (TestChain* chain : {&first, &second, &third}) chain->Transaction(1);
  auto hub = hub_->Connect(1), other = hub_->Connect(2);
  EXPECT_FALSE(hub->Heads()->living.has_value());
  const auto open = [&](TestChain& chain, char nonce, const OriginId& replaces = {}) {
    return hub->OpenSession({.origin = chain.origin(), .session = Nonce(nonce), .last = {2}, .replaces = replaces})
        .value();
  };
  const auto push = [&](TestChain& chain, char nonce) {
    PushRequest request = chain.Push({chain.Cut(1, 2)});
    request.session = Nonce(nonce);
    return hub->Push(request).status();
  };
  ASSERT_TRUE(open(first, 'a').opened());
  EXPECT_EQ(hub->Heads()->living->origin, first.origin());
  EXPECT_FALSE(other->Heads()->living.has_value()) << "each hears of its own branch";

  const SessionReply refused = open(second, 'b');
  EXPECT_EQ(refused.answer, SessionAnswer::kReplaced);
  EXPECT_EQ(refused.living.origin, first.origin());
  EXPECT_GT(refused.living.heard, absl::UnixEpoch());
  EXPECT_TRUE(absl::IsAborted(push(second, 'b'))) << "nor without a session";
  EXPECT_EQ(open(second, 'b', third.origin()).answer, SessionAnswer::kReplaced) << "which is not there";
  EXPECT_EQ(push(first, 'a'), absl::OkStatus()) << "the refused have taken nothing over";

  // Two machines want its place: the second of them was given its word for a chain that is replaced by then.
  EXPECT_TRUE(open(second, 'b', first.origin()).opened());
  EXPECT_TRUE(open(second, 'b', first.origin()).opened()) << "the reply was lost";
  const SessionReply late = open(third, 'c', first.origin());
  EXPECT_EQ(late.answer, SessionAnswer::kReplaced);
  EXPECT_EQ(late.living.origin, second.origin());
  EXPECT_EQ(hub->Heads()->living->origin, second.origin());

  // The first is fenced, with what it has not sent; its next run, too. What it has sent stays.
  EXPECT_TRUE(absl::IsAborted(push(first, 'a')));
  const BranchReport report{.number = 1, .origin = first.origin(), .session = Nonce('a')};
  EXPECT_TRUE(absl::IsAborted(hub->Heartbeat(report, absl::InfinitePast()).status()));
  const auto again = hub->OpenSession({.origin = first.origin(),
                                       .counter = 1,
                                       .known = {Nonce('a')},
                                       .session = Nonce('d'),
                                       .last = {2},
                                       .shown = {2},
                                       .leaf = Leaf(first, 2)});
  EXPECT_EQ(again->answer, SessionAnswer::kReplaced);
  EXPECT_EQ(again->living.origin, second.origin());
  EXPECT_EQ(again->last.value, 2u);
  EXPECT_EQ(push(second, 'b'), absl::OkStatus());
  EXPECT_EQ(hub->Heads()->heads[first.origin()].last.value, 2u);
}

TEST_P(HubContract, SessionOfAnotherBranchsChainIsRefused) {
  TestChain chain(0xA1);
  chain.Transaction(1);
  ASSERT_TRUE(hub_->Connect(1)->Push(chain.Push({chain.Cut(1, 1)})).ok());
  const absl::Status status = hub_->Connect(2)->OpenSession({chain.origin(), 0, {}, Nonce('a')}).status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
}

TEST_P(HubContract, HeartbeatTellsEveryoneAboutEveryone) {
  TestChain chain(0xA1), other(0xB2);
  BranchReport report{.number = 1,
                      .origin = chain.origin(),
                      .head = {9'007'199'254'740'993},  // 2^53 + 1: what a double cannot hold.
                      .written = 9'007'199'254'740'995,
                      .parked = 3,
                      .state = "running",
                      .version = "0.1.0 \"quoted\" \\ ✓"};
  auto a = hub_->Connect(1), b = hub_->Connect(2);
  auto first = a->Heartbeat(report, absl::InfinitePast());
  ASSERT_TRUE(first.ok()) << first.status();
  BranchReport mine{.number = 2, .origin = other.origin(), .head = {1}, .state = "offline"};
  auto reply = b->Heartbeat(mine, absl::InfinitePast());
  ASSERT_TRUE(reply.ok()) << reply.status();
  auto of = [&](uint32_t number) {
    return std::find_if(reply->branches.begin(), reply->branches.end(),
                        [&](const BranchPresence& presence) { return presence.report.number == number; });
  };
  ASSERT_NE(of(1), reply->branches.end());
  ASSERT_NE(of(2), reply->branches.end());
  const BranchPresence& presence = *of(1);
  EXPECT_TRUE(presence.active);
  EXPECT_LE(presence.last_seen, reply->hub_time);
  EXPECT_GE(presence.last_seen, first->hub_time - absl::Seconds(1));
  EXPECT_EQ(presence.report.origin, report.origin);
  EXPECT_EQ(presence.report.head, report.head);
  EXPECT_EQ(presence.report.written, report.written);
  EXPECT_EQ(presence.report.parked, 3);
  EXPECT_EQ(presence.report.state, "running");
  EXPECT_EQ(presence.report.version, report.version);
  EXPECT_EQ(of(2)->report.state, "offline");
}

// Goal: twice a minute is told what is new, and not all of it again: with 1,000 branches that were 20 GB a month each.
TEST_P(HubContract, HeartbeatTellsAgainOnlyWhatHasChanged) {
  TestChain chain(0xA1), other(0xB2);
  auto a = hub_->Connect(1), b = hub_->Connect(2);
  BranchReport report{.number = 1, .origin = chain.origin(), .head = {1}, .state = "running"};
  const BranchReport mine{.number = 2, .origin = other.origin(), .head = {1}, .state = "running"};
  ASSERT_TRUE(a->Heartbeat(report, absl::InfinitePast()).ok());
  const auto whole = b->Heartbeat(mine, absl::InfinitePast());
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_TRUE(whole->whole);
  EXPECT_TRUE(whole->granted.has_value());
  // What is told of the first branch to one whose last reply is so old.
  const auto told_after = [&](absl::Duration age) -> std::optional<BranchPresence> {
    const absl::Time now = b->Heartbeat(mine, absl::InfinitePast())->hub_time;
    const HeartbeatReply reply = b->Heartbeat(mine, now - age).value();
    EXPECT_FALSE(reply.whole);
    EXPECT_GE(reply.hub_time, now);
    for (const BranchPresence& branch : reply.branches) {
      if (branch.report.number == 1) return branch;
    }
    return std::nullopt;
  };
  hub_->Advance(absl::Seconds(70));
  report.head = {2};
  report.written = 7;
  ASSERT_TRUE(a->Heartbeat(report, absl::InfinitePast()).ok());
  EXPECT_FALSE(told_after(absl::Seconds(5)).has_value()) << "numbers are no news";
  report.state = "halted";
  ASSERT_TRUE(a->Heartbeat(report, absl::InfinitePast()).ok());
  const auto told = told_after(absl::Seconds(5));
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->report.state, "halted");
  EXPECT_EQ(told->report.head.value, 2u);
  // That it is not heard any more is told once, with when it was.
  hub_->Advance(absl::Seconds(100));
  const auto quiet = told_after(absl::Seconds(30));
  ASSERT_TRUE(quiet.has_value());
  EXPECT_LT(quiet->last_seen, b->Heartbeat(mine, absl::InfinitePast())->hub_time - absl::Seconds(99));
  hub_->Advance(absl::Minutes(5));
  EXPECT_FALSE(told_after(absl::Minutes(1)).has_value());
  // It is back, as it was.
  ASSERT_TRUE(a->Heartbeat(report, absl::InfinitePast()).ok());
  EXPECT_TRUE(told_after(absl::Seconds(30)).has_value());
  // From the future, as when the hub's clock was set back: all of it.
  const absl::Time now = b->Heartbeat(mine, absl::InfinitePast())->hub_time;
  EXPECT_TRUE(b->Heartbeat(mine, now + absl::Hours(1))->whole);
}

}  // namespace assay::test
