// Goal: whatever the hub gives for a chain's events, nothing false reaches PostgreSQL, nothing crashes, everything else
// flows on, the status says which chain and why, and what can heal heals by itself. Method: rewrite what one branch is
// given of another's chain on its way. Each lie lasts a simulated minute.
#include <zstd.h>

#include "log/bytes.h"
#include "tests/simulation/lying_hub_fixture.h"

namespace assay {
namespace {

using test::Build;
using test::Draft;
using test::DraftsOf;
using test::kSettings;
using test::LyingHubTest;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// `depth` groups, one in the other, of a field that no message has.
std::string NestedGroups(int depth) {
  std::string bytes;
  for (int i = 0; i < depth; ++i) PutVarint(&bytes, 100 << 3 | 3);
  for (int i = 0; i < depth; ++i) PutVarint(&bytes, 100 << 3 | 4);
  return bytes;
}

// ---- Bytes that were garbled ----

// Goal: there is no bit of a segment that could be flipped and be taken.
// Method: flip each in turn, in pull after pull; but for the few that mean nothing to zstd, where the same events come
// out.
TEST_F(LyingHubTest, NoFlippedBitIsTaken) {
  const Sequence held = HeldOfB();
  size_t bit = 0, bits = 1, meaningless = 0;
  lies_.pull = OfB([&](Segment& segment) {
    std::vector<char*> bytes;
    for (char& byte : segment.layout) bytes.push_back(&byte);
    for (SegmentPart& part : segment.parts) {
      for (char& byte : part.payload) bytes.push_back(&byte);
    }
    bits = bytes.size() * 8;
    const auto events = [](const Segment& some) {
      std::string all;
      const absl::StatusOr<DecodedSegment> decoded = DecodedSegment::Decode(some);
      if (decoded.ok())
        for (const StoredEvent& event : decoded->events()) absl::StrAppend(&all, event.bytes);
      return all;
    };
    const std::string honest = events(segment);
    for (bool harmless = true; harmless && bit < bits; ++bit) {
      char& byte = *bytes[bit / 8];
      byte = static_cast<char>(byte ^ (1 << bit % 8));
      harmless = events(segment) == honest;
      if (harmless) byte = static_cast<char>(byte ^ (1 << bit % 8)), ++meaningless;
    }
    if (bit == bits && events(segment) == honest) segment.layout.clear();
  });
  Sell(b(), "branch-2-second");
  for (int i = 0; i < 40; ++i) StepAndAnswer(b());
  while (bit < bits) {
    const size_t before = bit;
    a().engine().SyncNow();
    for (int i = 0; i < 8 && bit == before; ++i) StepAndAnswer(a());
    StepAndAnswer(a());
    ASSERT_GT(bit, before);
    ASSERT_EQ(HeldOfB(), held) << "bit " << before;
    world_.Advance(absl::Milliseconds(50));
  }
  EXPECT_GT(bits, 500u);
  EXPECT_LT(meaningless, bits / 100);
  ExpectHealsByItself();
}

TEST_F(LyingHubTest, AFlippedByteStandsStillAndHeals) {
  ExpectRefusedAndHeals(OfB([](Segment& segment) { segment.parts.back().payload[20] ^= 4; }),
                        HasSubstr("chain-garbled"));
}

TEST_F(LyingHubTest, AnotherLeafHashThanTheEventsIsRefused) {
  ExpectRefusedAndHeals(
      [this](PullReply& reply) {
        Rewrite([](std::vector<Draft>&) {}, true)(reply);  // Adds the hashes.
        OfB([](Segment& segment) { segment.leaf_hashes.back() ^= 1; })(reply);
      },
      HasSubstr("another hash than was sent with it"));
}

// It is well-formed, and hashed as it is: only its origin's signature tells.
TEST_F(LyingHubTest, ARewrittenEventIsRefusedByItsOriginsSignature) {
  ExpectRefusedAndHeals(Rewrite([this](auto& drafts) { CallRingBrass(drafts); }, true),
                        HasSubstr("signed another history"));
  EXPECT_EQ(EvidenceCount(), 1);
}

TEST_F(LyingHubTest, ALayoutOfAFormatToComeIsNamedAndStopsNothingElse) {
  ExpectRefusedAndHeals(OfB([](Segment& segment) { segment.layout[0] = 9; }), HasSubstr("install a newer Assay"));
}

TEST_F(LyingHubTest, APackingToComeIsNamedAndStopsNothingElse) {
  ExpectRefusedAndHeals(OfB([](Segment& segment) { segment.parts.back().payload[0] = 7; }),
                        HasSubstr("install a newer Assay"));
}

// ---- Sizes ----

TEST_F(LyingHubTest, ADeclaredSizeBeyondReasonIsRefused) {
  ExpectRefusedAndHeals(OfB([](Segment& segment) {
                          std::string payload("\x01\0\0\0\0", 5);
                          PutVarint(&payload, uint64_t{1} << 60);
                          segment.parts.back().payload = payload;
                        }),
                        HasSubstr("impossible size"));
}

TEST_F(LyingHubTest, ADeclaredSizeThatIsNotThereIsRefused) {
  ExpectRefusedAndHeals(OfB([](Segment& segment) {
                          std::string payload("\x01\0\0\0\0", 5), frame(1000, '\0');
                          PutVarint(&payload, uint64_t{1} << 29);
                          frame.resize(ZSTD_compress(frame.data(), frame.size(), "ring", 4, 1));
                          segment.parts.back().payload = payload + frame;
                        }),
                        HasSubstr("another size than it declares"));
}

TEST_F(LyingHubTest, AZstdBombIsRefused) {
  const std::string zeros(16 << 20, '\0');
  std::string bomb("\x01\0\0\0\0", 5), frame(ZSTD_compressBound(zeros.size()), '\0');
  PutVarint(&bomb, zeros.size());
  frame.resize(ZSTD_compress(frame.data(), frame.size(), zeros.data(), zeros.size(), 1));
  ASSERT_LT(frame.size(), size_t{100000});
  ExpectRefusedAndHeals(OfB([&](Segment& segment) { segment.parts.back().payload = bomb + frame; }),
                        HasSubstr("another origin"));
}

// ---- Messages that are none ----

TEST_F(LyingHubTest, GroupsNestedThousandsDeepAreRefused) {
  ExpectRefusedAndHeals(
      Rewrite([](auto& drafts) { drafts.back().bytes = drafts.back().event.SerializeAsString() + NestedGroups(20000); },
              true),
      HasSubstr("it is no event"));
}

// Inside a field, where the log does not look, and with no signature to refuse it by.
TEST_F(LyingHubTest, GroupsNestedInsideARowStopItsChain) {
  LieForAMinute(Rewrite(
                    [](auto& drafts) {
                      const std::string row = drafts.back().event.row().SerializeAsString() + NestedGroups(20000);
                      drafts.back().event.clear_row();
                      drafts.back().bytes = drafts.back().event.SerializeAsString();
                      PutVarint(&drafts.back().bytes, 10 << 3 | 2);
                      PutSized(&drafts.back().bytes, row);
                    },
                    false),
                HasSubstr("not a valid message"));
}

TEST_F(LyingHubTest, ARowOfASchemaThatIsNotThereStopsItsChain) {
  LieForAMinute(Rewrite([](auto& drafts) { drafts.back().event.mutable_row()->set_schema(9999); }, false),
                HasSubstr("9999"));
}

TEST_F(LyingHubTest, AnEventThatHadSeenNonsenseStopsItsChain) {
  LieForAMinute(
      Rewrite([](auto& drafts) { drafts.back().event.mutable_transaction()->add_seen()->set_origin("nonsense"); },
              false),
      HasSubstr("had seen"));
}

// Goal: rows that nobody can read hold up neither their chain nor anybody else, and are named.
// Method: a table is declared without a key after all, and the row is of that declaration.
TEST_F(LyingHubTest, RowsOfATableWithoutAKeyAreLeftOutByNameAndTheirChainGoesOn) {
  lies_.pull = Rewrite(
      [](auto& drafts) {
        for (size_t i = 0; i + 1 < drafts.size(); ++i) {
          v1::Event& box = drafts[i].event;
          v1::Event& ring = drafts[i + 1].event;
          if (box.row().columns_size() == 0 || box.row().columns(0).value() != "a steel box") continue;
          box.mutable_schema()->set_schema_name("public");
          box.mutable_schema()->set_table_name("settings");
          box.mutable_schema()->add_columns()->set_name("key");
          ring.mutable_row()->set_schema(box.sequence());
        }
      },
      false);
  SimTransaction sale(&b().database());
  for (const char* text : {"a steel box", "a gold ring", "a silver chain"})
    ASSERT_EQ(sale.Insert(kSettings, {absl::StrCat("branch-2, ", text), text, "", ""}), absl::OkStatus());
  ASSERT_EQ(sale.Commit(), absl::OkStatus());
  Run(absl::Minutes(1));
  EXPECT_FALSE(Has(a(), "branch-2, a gold ring"));
  EXPECT_TRUE(Has(a(), "branch-2, a silver chain")) << "its transaction goes on";
  EXPECT_THAT(Problems(),
              AllOf(HasSubstr("rows-unreadable, branch-2 to public.settings: "), Not(HasSubstr("chain-unreadable"))));
  Sell(b(), "branch-2-second");
  Run(absl::Seconds(20));
  EXPECT_TRUE(Has(a(), "branch-2-second"));
  a().Kill(/*power=*/false);
  ASSERT_TRUE(a().Start().ok());
  Run(absl::Seconds(30));
  EXPECT_THAT(Problems(), HasSubstr("rows-unreadable, branch-2 to public.settings: ")) << "known after a restart";
}

// ---- Stamps that are none ----

TEST_F(LyingHubTest, AStampAtTheEndOfAllStampsStopsNobodyAndWaitsByName) {
  LieForAMinute(Rewrite(
                    [](auto& drafts) {
                      for (Draft& draft : drafts) draft.event.set_stamp(UINT64_MAX - 16);
                    },
                    false),
                HasSubstr("chain-ahead"));
  for (auto& branch : branches_) EXPECT_LT(StampOf(*branch), world_.Now() + absl::Hours(1)) << branch->name();
  a().Kill(/*power=*/false);
  ASSERT_TRUE(a().Start().ok());
  ExpectHealsByItself();
}

TEST_F(LyingHubTest, AYearFromNowWaitsByNameAndRaisesNoClock) {
  const uint64_t stamp = HlcStamp::FromMillis(absl::ToUnixMillis(world_.Now() + absl::Hours(24 * 365))).value;
  LieForAMinute(Rewrite(
                    [stamp](auto& drafts) {
                      for (Draft& draft : drafts) draft.event.set_stamp(stamp);
                    },
                    false),
                HasSubstr("chain-ahead"));
  EXPECT_LT(StampOf(a()), world_.Now() + absl::Hours(1));
  ExpectHealsByItself();
}

// ---- Chains that are none ----

TEST_F(LyingHubTest, AGapIsNamedAndHeals) {
  ExpectRefusedAndHeals(Rewrite(
                            [this](auto& drafts) {
                              // What follows the last event held is left out.
                              for (Draft& draft : drafts) {
                                draft.event.set_sequence(draft.event.sequence() + 1);
                                draft.event.set_transaction_first(draft.event.transaction_first() + 1);
                              }
                              gap_ = Sequence{drafts.back().event.sequence()};
                            },
                            true),
                        HasSubstr("a gap"));
}

// What comes before a gap is taken, and what comes after it waits.
TEST_F(LyingHubTest, WhatComesBeforeAGapIsTaken) {
  const Sequence held = HeldOfB();
  bool lying = true;
  lies_.pull = [&](PullReply& reply) {
    if (!lying) return;
    std::erase_if(reply.segments,
                  [&](const Segment& s) { return s.origin == b().origin() && s.first == Sequence{held.value + 2}; });
  };
  a().set_partitioned(true);
  for (const char* sale : {"branch-2-second", "branch-2-third", "branch-2-fourth"}) {
    Sell(b(), sale);
    Run(absl::Seconds(5));
  }
  a().set_partitioned(false);
  Run(absl::Minutes(2));
  EXPECT_TRUE(Has(a(), "branch-2-second"));
  EXPECT_FALSE(Has(a(), "branch-2-third") || Has(a(), "branch-2-fourth"));
  EXPECT_THAT(Problems(), AllOf(HasSubstr("chain-garbled, branch-2: "), HasSubstr("a gap")));
  lying = false;
  Run(absl::Minutes(5));
  EXPECT_TRUE(Has(a(), "branch-2-third") && Has(a(), "branch-2-fourth"));
  EXPECT_THAT(Problems(), IsEmpty());
}

TEST_F(LyingHubTest, AChainPresentedAsAnothersIsRefused) {
  ExpectRefusedAndHeals(
      [this](PullReply& reply) {
        PullReply all = *hub_.Connect(3)->Pull({});
        std::erase_if(reply.segments, [&](const Segment& s) { return s.origin == b().origin(); });
        for (Segment& segment : all.segments) {
          if (segment.origin != c().origin()) continue;
          segment.origin = b().origin();
          reply.segments.push_back(segment);
          HubHead& head = reply.heads.heads[b().origin()];
          head.complete = std::max(head.complete, segment.last);
        }
      },
      HasSubstr("another place"));
}

TEST_F(LyingHubTest, StampsThatFallAreRefused) {
  ExpectRefusedAndHeals(Rewrite(
                            [](auto& drafts) {
                              for (Draft& draft : drafts) draft.event.set_stamp(5);
                            },
                            false),
                        HasSubstr("stamp does not rise"));
}

TEST_F(LyingHubTest, ATransactionThatNeverEndsIsNeverShown) {
  SimTransaction sale(&b().database());
  for (const char* key : {"branch-2-ring", "branch-2-box"}) {
    ASSERT_EQ(sale.Insert(kSettings, {key, "a gold ring", "", ""}), absl::OkStatus());
  }
  ASSERT_EQ(sale.Commit(), absl::OkStatus());
  const auto lie = [this](PullReply& reply) {
    std::vector<Segment> segments;
    bool ended = false;
    for (const Segment& segment : reply.segments) {
      if (segment.origin != b().origin()) {
        segments.push_back(segment);
        continue;
      }
      std::vector<Draft> begun;
      for (const Draft& draft : DraftsOf(segment)) {
        ended |= draft.event.transaction_first() < draft.event.sequence();  // The box.
        if (!ended) begun.push_back(draft);
      }
      if (!begun.empty()) segments.push_back(Build(begun).front());
    }
    reply.segments = std::move(segments);
  };
  LieForAMinute(lie, AllOf(HasSubstr("gives none after"), HasSubstr("inside the transaction")));
  EXPECT_FALSE(Has(a(), "branch-2-ring") || Has(a(), "branch-2-box"));
  ExpectAsksForBWithBackoff();
  ExpectHealsByItself();
  EXPECT_TRUE(Has(a(), "branch-2-ring") && Has(a(), "branch-2-box"));
}

// Goal: transactions are whole, also where the damage is found in the middle of one.
TEST_F(LyingHubTest, ATransactionThatIsDamagedInsideIsNotShownByHalf) {
  SimTransaction sale(&b().database());
  for (const char* key : {"branch-2-ring", "branch-2-box"}) {
    ASSERT_EQ(sale.Insert(kSettings, {key, "a gold ring", "", ""}), absl::OkStatus());
  }
  ASSERT_EQ(sale.Commit(), absl::OkStatus());
  LieForAMinute(Rewrite(
                    [](auto& drafts) {
                      for (Draft& draft : drafts) {
                        if (draft.event.transaction_first() < draft.event.sequence())
                          draft.event.mutable_row()->set_schema(9999);  // The box.
                      }
                    },
                    false),
                HasSubstr("9999"));
  EXPECT_FALSE(Has(a(), "branch-2-ring"));
  EXPECT_FALSE(Has(a(), "branch-2-box"));
}

TEST_F(LyingHubTest, EventsPastTheEndThatTheHubNamesAreRefused) {
  ExpectRefusedAndHeals([this](PullReply& reply) { reply.heads.heads[b().origin()].complete = {2}; },
                        HasSubstr("was said to end at 2"));
}

TEST_F(LyingHubTest, AChainThatDoesNotBeginWithItsOpeningIsRefused) {
  OriginId stranger;
  stranger.bytes.fill(0x5a);
  const auto lie = [&](bool opening, bool masked) {
    return [&, opening, masked](PullReply& reply) {
      Draft draft;
      draft.event.set_origin(std::string(stranger.AsBytes()));
      draft.event.set_sequence(1);
      draft.event.set_stamp(1);
      draft.event.set_transaction_first(1);
      draft.event.set_ends_transaction(true);
      draft.event.mutable_transaction();
      if (opening) draft.event.mutable_origin_opened()->set_branch_name("stranger");
      draft.masked = masked;
      reply.segments.push_back(Build({draft}).front());
      reply.heads.heads[stranger] = {{1}, {1}, {}};
    };
  };
  lies_.pull = lie(false, false);
  Run(absl::Minutes(1));
  EXPECT_THAT(Problems(), AllOf(HasSubstr("5a5a5a5a"), HasSubstr("does not open its chain")));
  EXPECT_EQ(HeadOf(stranger), Sequence{0});
  lies_.pull = lie(true, true);
  Run(absl::Minutes(2));
  EXPECT_THAT(Problems(), AllOf(HasSubstr("5a5a5a5a"), HasSubstr("which nobody is denied")));
  EXPECT_EQ(HeadOf(stranger), Sequence{0});
  Sell(b(), "branch-2-second");
  Run(absl::Seconds(10));
  EXPECT_TRUE(Has(a(), "branch-2-second"));
  lies_.pull = lie(true, false);
  Run(absl::Minutes(5));
  EXPECT_EQ(HeadOf(stranger), Sequence{1}) << "a branch that is new, at last";
  EXPECT_THAT(Problems(), IsEmpty());
}

}  // namespace
}  // namespace assay
