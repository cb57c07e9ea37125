// Three whole branches, of which the first one's line to the hub is in the hands of the test.
//
// A test puts a lie into `lies_`, lets the world run, and looks at what the first branch has, says and asks for.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "log/merkle_tree.h"
#include "tests/simulation/sim_branch.h"

namespace assay::test {

inline const TableName kSettings{"public", "settings"};

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
  absl::StatusOr<HeartbeatReply> Heartbeat(const BranchReport& report, absl::Time since) override {
    return hub_->Heartbeat(report, since);
  }
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

inline std::vector<Draft> DraftsOf(const Segment& segment) {
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
inline std::vector<Segment> Build(const std::vector<Draft>& drafts) {
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
    ASSERT_THAT(a().engine().Status().problems, testing::IsEmpty());
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
  void LieForAMinute(std::function<void(PullReply&)> lie, const testing::Matcher<std::string>& cause) {
    lies_.pull = std::move(lie);
    lies_.pulls.clear();
    for (auto& branch : branches_) Sell(*branch, branch->name() + "-second");
    Run(absl::Minutes(1));
    EXPECT_FALSE(Has(a(), "branch-2-second"));
    EXPECT_TRUE(Has(a(), "branch-3-second")) << "the others flow on";
    EXPECT_TRUE(Has(b(), "branch-1-second")) << "and so does what is sold here";
    ExpectNothingFalse();
    EXPECT_THAT(Problems(), testing::AllOf(testing::HasSubstr(b().origin().Hex().substr(0, 8)),
                                           testing::HasSubstr("branch-2"), cause));
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
    EXPECT_THAT(Problems(), testing::IsEmpty());
    ExpectNothingFalse();
  }
  void ExpectRefusedAndHeals(std::function<void(PullReply&)> lie, const testing::Matcher<std::string>& cause) {
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
    EXPECT_THAT(Problems(), testing::HasSubstr("chain-forked, branch-2: "));
    a().Kill(/*power=*/false);
    ASSERT_TRUE(a().Start().ok());
    Run(absl::Seconds(30));
    EXPECT_TRUE(Has(a(), "branch-2-second")) << "the hub is honest now, and what is held here was true";
    EXPECT_THAT(Problems(), testing::IsEmpty());
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

}  // namespace assay::test
