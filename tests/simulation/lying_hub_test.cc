// Goal: whatever the hub says of a chain, nothing false reaches PostgreSQL, nothing crashes, everything else flows on,
// the status says which chain and why, and what can heal heals by itself. Method: three whole branches; the first one's
// line to the hub is in the hands of the test. Each lie lasts a simulated minute.
#include <zstd.h>

#include <functional>
#include <memory>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "log/bytes.h"
#include "log/merkle_tree.h"
#include "tests/simulation/sim_branch.h"

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Matcher;
using ::testing::Not;

const TableName kSettings{"public", "settings"};

// What the test does to an answer on its way; empty: nothing.
struct Lies {
  std::function<void(PullReply&)> pull;
  std::function<void(HubHead&)> own;  // In answers to push and heads.
  std::vector<PullRequest> pulls;     // As they came.
  uint64_t pushes = 0;
  absl::Status refuse_push;
  bool of_heads = true;
  OriginId origin;  // Of the branch that is lied to.
};

class LyingHub : public Hub {
 public:
  LyingHub(std::unique_ptr<Hub> hub, Lies* lies) : hub_(std::move(hub)), lies_(lies) {}

  absl::StatusOr<HubHeads> Heads() override {
    absl::StatusOr<HubHeads> heads = hub_->Heads();
    if (heads.ok() && lies_->own && lies_->of_heads) lies_->own(heads->heads[lies_->origin]);
    return heads;
  }
  absl::StatusOr<PushReply> Push(const PushRequest& request) override {
    ++lies_->pushes;
    if (!lies_->refuse_push.ok()) return lies_->refuse_push;
    absl::StatusOr<PushReply> reply = hub_->Push(request);
    if (reply.ok() && lies_->own) {
      HubHead head{.last = reply->last};
      lies_->own(head);
      reply->last = head.last;
    }
    return reply;
  }
  absl::StatusOr<PullReply> Pull(const PullRequest& request) override {
    lies_->pulls.push_back(request);
    PullRequest all = request;
    all.checkpoints.clear();  // Of what is left out nobody could lie.
    absl::StatusOr<PullReply> reply = hub_->Pull(all);
    if (reply.ok() && lies_->pull) lies_->pull(*reply);
    return reply;
  }
  absl::StatusOr<HeartbeatReply> Heartbeat(const BranchReport& report) override { return hub_->Heartbeat(report); }
  absl::StatusOr<SessionReply> OpenSession(const SessionRequest& request) override {
    return hub_->OpenSession(request);
  }

 private:
  std::unique_ptr<Hub> hub_;
  Lies* lies_;
};

// An event as the test rewrites it.
struct Draft {
  v1::Event event;
  std::string table;
  std::string bytes;  // Instead of `event`, when not empty.
  bool masked = false;
};

std::vector<Draft> DraftsOf(const Segment& segment) {
  const absl::StatusOr<DecodedSegment> decoded = DecodedSegment::Decode(segment);
  std::vector<Draft> drafts;
  for (const StoredEvent& stored : decoded->events()) {
    Draft& draft = drafts.emplace_back();
    EXPECT_TRUE(draft.event.ParseFromArray(stored.bytes.data(), static_cast<int>(stored.bytes.size())));
    draft.table = std::string(stored.table);
  }
  return drafts;
}

// A well-formed segment of whatever the drafts say; each is hashed as it is.
std::vector<Segment> Build(const std::vector<Draft>& drafts) {
  const OriginId origin = *OriginId::FromBytes(drafts.front().event.origin());
  SegmentBuilder builder(origin, drafts.front().event.transaction_first() < drafts.front().event.sequence());
  for (const Draft& draft : drafts) {
    const std::string bytes = draft.bytes.empty() ? draft.event.SerializeAsString() : draft.bytes;
    builder.Add({origin, Sequence{draft.event.sequence()}, HlcStamp{draft.event.stamp()},
                 draft.event.ends_transaction(), draft.masked, draft.table, draft.masked ? absl::string_view() : bytes,
                 LeafHash(bytes)});
  }
  std::vector<Segment> segments;
  while (!builder.empty()) segments.push_back(builder.Finish(/*with_leaf_hashes=*/true));
  return segments;
}

// `depth` groups, one in the other, of a field that no message has.
std::string NestedGroups(int depth) {
  std::string bytes;
  for (int i = 0; i < depth; ++i) PutVarint(&bytes, 100 << 3 | 3);
  for (int i = 0; i < depth; ++i) PutVarint(&bytes, 100 << 3 | 4);
  return bytes;
}

class LyingHubTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (uint32_t number = 1; number <= 3; ++number) {
      EngineConfig config;
      config.branch_name = absl::StrCat("branch-", number);
      config.branch_number = number;
      config.has_hub = true;
      config.signing_key = keys_.emplace_back(SigningKey::Generate().value());
      hub_.Enrol(number, config.branch_name);
      branches_.push_back(std::make_unique<SimBranch>(number, config, WorkloadOptions(), FaultOptions(), false, 12,
                                                      &world_, &hub_, &random_));
    }
    a().WrapHub([this](std::unique_ptr<Hub> hub) { return std::make_unique<LyingHub>(std::move(hub), &lies_); });
    for (auto& branch : branches_) ASSERT_TRUE(branch->Start().ok());
    lies_.origin = a().origin();
    Run(absl::Seconds(5));
    for (auto& branch : branches_) Sell(*branch, branch->name() + "-first");
    Run(absl::Seconds(20));
    ASSERT_TRUE(Has(a(), "branch-2-first") && Has(a(), "branch-3-first") && Has(b(), "branch-1-first"));
    ASSERT_THAT(a().engine().Status().problems, IsEmpty());
  }
  // The one that is lied to, the one that is lied about, and the one that is not.
  SimBranch& a() { return *branches_[0]; }
  SimBranch& b() { return *branches_[1]; }
  SimBranch& c() { return *branches_[2]; }

  static void Sell(SimBranch& branch, const std::string& key) {
    SimTransaction sale(&branch.database());
    ASSERT_EQ(sale.Insert(kSettings, {key, "a gold ring", branch.name(), "sold"}), absl::OkStatus());
    ASSERT_EQ(sale.Commit(), absl::OkStatus());
  }
  static bool Has(SimBranch& branch, const std::string& key) {
    return SimTransaction(&branch.database()).Get(kSettings, {key}).has_value();
  }

  static void Answer(SimBranch& branch, Lane lane) {
    if (branch.HasCallToMake(lane)) branch.MakeCall(lane, false);
    if (branch.HasReplyToGive(lane)) branch.GiveReply(lane);
  }
  static void StepAndAnswer(SimBranch& branch) {
    while (branch.Capture()) {
    }
    int steps = 0;
    do {
      // Whatever the hub said, the log can be written and the engine goes on.
      const absl::Status status = branch.Step();
      ASSERT_TRUE(status.ok()) << branch.name() << ": " << status;
      ASSERT_LT(++steps, 1000) << branch.name() << " never rests";
    } while (branch.engine().HasWork());
    for (Lane lane : {Lane::kDatabase, Lane::kHubPush, Lane::kHubPull}) Answer(branch, lane);
  }
  // Everybody goes on, 20 rounds a second; `hints`: the hub calls every second.
  void Run(absl::Duration duration, bool hints = true) {
    const absl::Time end = world_.Now() + duration;
    for (int round = 0; world_.Now() < end && !HasFatalFailure(); ++round) {
      for (auto& branch : branches_) {
        if (hints && round % 20 == 0) branch->engine().OnHubHint();
        StepAndAnswer(*branch);
      }
      world_.Advance(absl::Milliseconds(50));
    }
  }

  // "chain-garbled, branch-2: chain 0a1b2c3d: a gap ...", a line each.
  std::string Problems() {
    std::string text;
    for (const Problem& problem : a().engine().Status().problems) {
      absl::StrAppend(&text, ProblemName(problem.kind), ", ", problem.subject, ": ", problem.detail, "\n");
    }
    return text;
  }
  Sequence HeldOfB() const { return HeadOf(branches_[1]->origin()); }
  // Of its newest own event.
  static absl::Time StampOf(SimBranch& branch) {
    Statement stamp = *branch.file()->Prepare("SELECT complete_stamp FROM chain WHERE origin = ?1");
    EXPECT_TRUE(*stamp.BindBlob(1, branch.origin().AsBytes()).Step());
    return absl::FromUnixMillis(HlcStamp{static_cast<uint64_t>(stamp.OnlyInt())}.millis());
  }
  Sequence HeadOf(const OriginId& origin) const {
    for (const OriginStatus& one : branches_[0]->engine().Status().origins) {
      if (one.origin == origin) return one.head;
    }
    return {};
  }
  // Pulls of the last minute that wanted something of that chain.
  int AsksFor(const OriginId& origin) const {
    int asks = 0;
    for (const PullRequest& request : lies_.pulls) {
      const auto have = request.have.find(origin);
      asks += have == request.have.end() || have->second.value < uint64_t{1} << 40;
    }
    return asks;
  }
  int64_t EvidenceCount() {
    Statement count = *a().file()->Prepare("SELECT count(*) FROM evidence");
    EXPECT_TRUE(*count.Step());
    return count.OnlyInt();
  }
  // Every row at `a` is as somebody sold it.
  void ExpectNothingFalse() {
    for (const auto& [name, table] : a().database().tables()) {
      for (const auto& [key, row] : table.rows) {
        bool sold = false;
        for (auto& branch : branches_) {
          const auto& rows = branch->database().Find(name)->rows;
          const auto found = rows.find(key);
          sold |= branch.get() != &a() && found != rows.end() && found->second.values == row.values;
        }
        EXPECT_TRUE(sold || key.front().starts_with("branch-1")) << name.ToString() << " [" << key.front() << "]";
      }
    }
  }

  // Does `lie` to the segments of b's chain.
  auto OfB(std::function<void(Segment&)> lie) {
    return [this, lie = std::move(lie)](PullReply& reply) {
      for (Segment& segment : reply.segments) {
        if (segment.origin == b().origin()) lie(segment);
      }
    };
  }
  // Rewrites the events of b's chain; `checkpoint`: b's signed word comes with them all the same.
  auto Rewrite(std::function<void(std::vector<Draft>&)> rewrite, bool checkpoint) {
    return [this, rewrite = std::move(rewrite), checkpoint](PullReply& reply) {
      std::vector<Segment> segments;
      for (const Segment& segment : reply.segments) {
        if (segment.origin != b().origin()) {
          segments.push_back(segment);
          continue;
        }
        std::vector<Draft> drafts = DraftsOf(segment);
        rewrite(drafts);
        for (Segment& built : Build(drafts)) segments.push_back(std::move(built));
      }
      reply.segments = std::move(segments);
      HubHead& head = reply.heads.heads[b().origin()];
      head.complete = std::max(head.complete, gap_);
      if (!checkpoint) head.checkpoint.clear();
    };
  }
  void CallRingBrass(std::vector<Draft>& drafts) {
    for (Draft& draft : drafts) {
      for (auto& column : *draft.event.mutable_row()->mutable_columns()) {
        if (column.value() == "a gold ring") column.set_value("a brass ring");
      }
    }
  }

  // A minute of `lie`, while everybody sells.
  void LieForAMinute(std::function<void(PullReply&)> lie, const Matcher<std::string>& cause) {
    lies_.pull = std::move(lie);
    lies_.pulls.clear();
    for (auto& branch : branches_) Sell(*branch, branch->name() + "-second");
    Run(absl::Minutes(1));
    EXPECT_FALSE(Has(a(), "branch-2-second"));
    EXPECT_TRUE(Has(a(), "branch-3-second")) << "the others flow on";
    EXPECT_TRUE(Has(b(), "branch-1-second")) << "and so does what is sold here";
    ExpectNothingFalse();
    EXPECT_THAT(Problems(), AllOf(HasSubstr(b().origin().Hex().substr(0, 8)), HasSubstr("branch-2"), cause));
    EXPECT_EQ(a().engine().Status().hub_pull.status, absl::OkStatus())
        << "the hub is there: only the one chain stands still";
  }
  // The chain is asked for again, and not all the time.
  void ExpectAsksForBWithBackoff() {
    EXPECT_GE(AsksFor(b().origin()), 3);
    EXPECT_LE(AsksFor(b().origin()), 12) << "of " << lies_.pulls.size() << " pulls";
  }
  void ExpectHealsByItself() {
    lies_.pull = nullptr;
    Sell(b(), "branch-2-third");
    Run(absl::Minutes(5));
    EXPECT_TRUE(Has(a(), "branch-2-second") && Has(a(), "branch-2-third"));
    EXPECT_THAT(Problems(), IsEmpty());
    ExpectNothingFalse();
  }
  void ExpectRefusedAndHeals(std::function<void(PullReply&)> lie, const Matcher<std::string>& cause) {
    LieForAMinute(std::move(lie), cause);
    ExpectAsksForBWithBackoff();
    ExpectHealsByItself();
  }
  // What is held contradicts what the hub says: no pull can mend that. Others flow on.
  void ExpectStaysUntilRestart() {
    lies_.pull = nullptr;
    lies_.pulls.clear();
    Run(absl::Minutes(6));
    a().engine().SyncNow();
    Sell(c(), "branch-3-third");
    Run(absl::Minutes(1));
    EXPECT_FALSE(Has(a(), "branch-2-second"));
    EXPECT_TRUE(Has(a(), "branch-3-third"));
    EXPECT_EQ(AsksFor(b().origin()), 0);
    EXPECT_THAT(Problems(), HasSubstr("chain-forked, branch-2: "));
    a().Kill(/*power=*/false);
    ASSERT_TRUE(a().Start().ok());
    Run(absl::Seconds(30));
    EXPECT_TRUE(Has(a(), "branch-2-second")) << "the hub is honest now, and what is held here was true";
    EXPECT_THAT(Problems(), IsEmpty());
    ExpectNothingFalse();
  }

  WorldClock world_;
  SeededRandom random_{1};
  SimHub hub_{&random_, &world_, false};
  std::vector<SigningKey> keys_;
  Lies lies_;
  Sequence gap_;  // Where rewritten events end, when that is past the chain's end.
  std::vector<std::unique_ptr<SimBranch>> branches_;
};

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
