// Schedules that seeds once found, written out: what the app does between two steps of a projection.
#include <functional>
#include <memory>

#include "gtest/gtest.h"
#include "tests/simulation/sim_branch.h"

namespace assay {
namespace {

const TableName kPeople{"public", "people"};
const TableName kSettings{"public", "settings"};

class InterleavingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (uint32_t number = 1; number <= 2; ++number) {
      EngineConfig config;
      config.branch_name = absl::StrCat("branch-", number);
      config.branch_number = number;
      config.has_hub = true;
      hub_.Enrol(number, config.branch_name);
      branches_.push_back(std::make_unique<SimBranch>(number, config, WorkloadOptions(), FaultOptions(), number == 1,
                                                      12, &world_, &hub_, &random_));
      ASSERT_TRUE(branches_.back()->Start().ok());
    }
    Settle();
  }
  SimBranch& a() { return *branches_[0]; }
  SimBranch& b() { return *branches_[1]; }

  static void InOneTransaction(SimBranch& branch, const std::function<absl::Status(SimTransaction&)>& body) {
    SimTransaction transaction(&branch.database());
    ASSERT_EQ(body(transaction), absl::OkStatus());
    ASSERT_EQ(transaction.Commit(), absl::OkStatus());
  }
  static void Insert(SimBranch& branch, const TableName& table, const SimValues& values) {
    InOneTransaction(branch, [&](SimTransaction& t) { return t.Insert(table, values); });
  }
  static void Delete(SimBranch& branch, const TableName& table, const std::string& key) {
    InOneTransaction(branch, [&](SimTransaction& t) { return t.Delete(table, {key}); });
  }
  static std::optional<SimValues> Row(SimBranch& branch, const TableName& table, const std::string& key) {
    return SimTransaction(&branch.database()).Get(table, {key});
  }

  static void StepAndCapture(SimBranch& branch) {
    while (branch.Capture()) {
    }
    do {
      ASSERT_TRUE(branch.Step().ok());
    } while (branch.engine().HasWork());
  }
  static void Answer(SimBranch& branch, Lane lane) {
    if (branch.HasCallToMake(lane)) branch.MakeCall(lane, false);
    if (branch.HasReplyToGive(lane)) branch.GiveReply(lane);
  }
  // Everybody does what is to be done, for a while.
  void Settle() {
    for (int round = 0; round < 200; ++round) {
      for (auto& branch : branches_) {
        StepAndCapture(*branch);
        for (Lane lane : {Lane::kDatabase, Lane::kHubPush, Lane::kHubPull}) Answer(*branch, lane);
      }
      world_.Advance(absl::Seconds(1));
      for (auto& branch : branches_) branch->engine().OnHubHint();
    }
  }
  // Both have k, of which A has written the value that it has, later than anything that B writes now.
  void WriteAtAWhatBHasAlready() {
    Insert(a(), kSettings, {"k", "a1", "a2", "a3"});
    Settle();
    b().clock().SetOffset(-absl::Hours(1));
    for (const char* value : {"x", "a1"}) {
      InOneTransaction(a(), [&](SimTransaction& t) { return t.Update(kSettings, {"k"}, {{"a", value}}); });
    }
  }
  // Goes on until `branch` asks its database for something.
  void RunToDatabaseCall(SimBranch& branch) {
    for (int round = 0; round < 100 && !branch.HasCallToMake(Lane::kDatabase); ++round) {
      branch.engine().OnHubHint();
      StepAndCapture(branch);
      for (Lane lane : {Lane::kHubPush, Lane::kHubPull}) Answer(branch, lane);
    }
    ASSERT_TRUE(branch.HasCallToMake(Lane::kDatabase));
  }
  // What is at the hub comes to `branch`, whose own stream stands still.
  static void PullWithoutCapture(SimBranch& branch) {
    for (int round = 0; round < 20; ++round) {
      branch.engine().OnHubHint();
      do {
        ASSERT_TRUE(branch.Step().ok());
      } while (branch.engine().HasWork());
      Answer(branch, Lane::kHubPull);
    }
  }
  // Two new rows of A's: the one is in B's PostgreSQL and has not come by in capture, the other is asked for.
  void RunToTwoOnTheirWay() {
    RunToCallForNewRow(kSettings, {"k1", "a1", "a2", "a3"}, {"k2", "a1", "a2", "a3"});
    Answer(b(), Lane::kDatabase);
    Insert(a(), kSettings, {"k3", "a1", "a2", "a3"});
    PushFrom(a());
    PullWithoutCapture(b());
    ASSERT_TRUE(b().HasCallToMake(Lane::kDatabase));
  }
  // A has changed k2 again, and added k3. The first k2 is in B's PostgreSQL and has not come by in capture; it has been
  // read for the next projection.
  void ReadARowThatIsOnItsWay() {
    RunToCallForNewRow(kSettings, {"k1", "a1", "a2", "a3"}, {"k2", "a1", "a2", "a3"});
    Answer(b(), Lane::kDatabase);
    InOneTransaction(a(), [](SimTransaction& t) { return t.Update(kSettings, {"k2"}, {{"a", "again"}}); });
    Insert(a(), kSettings, {"k3", "a1", "a2", "a3"});
    PushFrom(a());
    PullWithoutCapture(b());
    ASSERT_TRUE(b().HasCallToMake(Lane::kDatabase));
    Answer(b(), Lane::kDatabase);
  }
  // Everything is where it should be, and what B projected was not taken for changes of its own.
  void ExpectAllEqual() {
    for (const char* key : {"k1", "k2", "k3"}) {
      EXPECT_NE(Row(a(), kSettings, key), std::nullopt) << key;
      EXPECT_EQ(Row(a(), kSettings, key), Row(b(), kSettings, key)) << key;
    }
    absl::StatusOr<Statement> events = b().file()->Prepare("SELECT last FROM chain WHERE origin = ?1");
    ASSERT_TRUE(events.ok() && events->BindBlob(1, b().origin().AsBytes()).Step().ok());
    EXPECT_EQ(events->OnlyInt(), own_events_of_b_);
  }
  void PushFrom(SimBranch& branch) {
    for (int round = 0; round < 20; ++round) {
      StepAndCapture(branch);
      Answer(branch, Lane::kHubPush);
    }
  }
  // To B's call for a new row of A's, in a table that B has read for `earlier`.
  void RunToCallForNewRow(const TableName& table, const SimValues& earlier, const SimValues& row) {
    Insert(a(), table, earlier);
    Settle();
    Insert(a(), table, row);
    PushFrom(a());
    RunToDatabaseCall(b());
  }
  static int64_t Parked(SimBranch& branch) {
    absl::StatusOr<Statement> rows = branch.file()->Prepare("SELECT count(*) FROM unsettled");
    EXPECT_TRUE(rows.ok() && rows->Step().ok());
    return rows->OnlyInt();
  }
  static bool WasProjected(const SimBranch& branch, CaptureItem::Kind kind, const TableName& table,
                           const std::string& key) {
    for (const WalTransaction& transaction : branch.database().wal()) {
      for (const WalItem& item : transaction.items) {
        if (transaction.projected && item.kind == kind && item.relation != nullptr && item.relation->name == table &&
            KeyOf(*item.relation, item.new_values) == RowKey{key}) {
          return true;
        }
      }
    }
    return false;
  }

  const int64_t own_events_of_b_ = 1;  // The chain's opening.
  WorldClock world_;
  SeededRandom random_{1};
  SimHub hub_{&random_, &world_, false};
  std::vector<std::unique_ptr<SimBranch>> branches_;
};

// The row is read as absent; the app inserts it, and that is captured before the plan is made. The fold says deleted:
// nothing to do, it seems, for a row that is not there.
TEST_F(InterleavingTest, ARowInsertedAfterItWasReadAsAbsentIsLookedAtAgain) {
  b().clock().SetOffset(-absl::Hours(1));
  Insert(a(), kSettings, {"k", "a1", "a2", "a3"});
  Delete(a(), kSettings, "k");
  PushFrom(a());
  RunToDatabaseCall(b());
  b().database().set_between_read_and_fence([&] { Insert(b(), kSettings, {"k", "b1", "b2", "b3"}); });
  Settle();
  EXPECT_EQ(Row(a(), kSettings, "k"), std::nullopt);
  EXPECT_EQ(Row(b(), kSettings, "k"), std::nullopt);
}

// The row is read with the very value that is to be written, so nothing is; the app changes it, and that is captured
// before the plan is made.
TEST_F(InterleavingTest, ARowThatHadTheValueWhenItWasReadIsLookedAtAgain) {
  WriteAtAWhatBHasAlready();
  PushFrom(a());
  RunToDatabaseCall(b());
  b().database().set_between_read_and_fence([&] {
    InOneTransaction(b(), [&](SimTransaction& t) { return t.Update(kSettings, {"k"}, {{"a", "b1"}}); });
  });
  Settle();
  ASSERT_NE(Row(a(), kSettings, "k"), std::nullopt);
  EXPECT_EQ(Row(a(), kSettings, "k"), Row(b(), kSettings, "k"));
}

// A commit is decoded before it is visible, for long where a synchronous standby stalls. The log has it, the read does
// not see it, and what is read needs no writing.
TEST_F(InterleavingTest, AnUpdateThatIsCapturedAndNotYetVisibleIsWaitedFor) {
  WriteAtAWhatBHasAlready();
  SimTransaction shop(&b().database());
  ASSERT_EQ(shop.Update(kSettings, {"k"}, {{"a", "b1"}}), absl::OkStatus());
  ASSERT_EQ(shop.CommitRecord(), absl::OkStatus());
  StepAndCapture(b());
  Settle();
  shop.BecomeVisible();
  Settle();
  EXPECT_EQ(Row(b(), kSettings, "k"), (SimValues{"k", "a1", "a2", "a3"}));
  EXPECT_EQ(Row(a(), kSettings, "k"), Row(b(), kSettings, "k"));
}

TEST_F(InterleavingTest, AnInsertThatIsCapturedAndNotYetVisibleIsWaitedFor) {
  b().clock().SetOffset(-absl::Hours(1));
  Insert(a(), kSettings, {"k", "a1", "a2", "a3"});
  Delete(a(), kSettings, "k");
  PushFrom(a());
  SimTransaction shop(&b().database());
  ASSERT_EQ(shop.Insert(kSettings, {"k", "b1", "b2", "b3"}), absl::OkStatus());
  ASSERT_EQ(shop.CommitRecord(), absl::OkStatus());
  StepAndCapture(b());
  Settle();
  shop.BecomeVisible();
  Settle();
  EXPECT_EQ(Row(b(), kSettings, "k"), std::nullopt);
  EXPECT_EQ(Row(a(), kSettings, "k"), std::nullopt);
}

// The first projection needs not write the row; the app changes it, and the second projection, of another column, is
// planned before the first has landed. What is known of the row is then the change, and not what the first was to keep.
TEST_F(InterleavingTest, ARowThatMovedUnderOneProjectionIsNotPlannedUponByTheNext) {
  WriteAtAWhatBHasAlready();
  PushFrom(a());
  RunToDatabaseCall(b());
  b().database().set_between_read_and_fence([&] {
    InOneTransaction(b(), [&](SimTransaction& t) { return t.Update(kSettings, {"k"}, {{"a", "b1"}}); });
  });
  Answer(b(), Lane::kDatabase);
  StepAndCapture(b());
  InOneTransaction(a(), [&](SimTransaction& t) { return t.Update(kSettings, {"k"}, {{"b", "y2"}}); });
  PushFrom(a());
  for (int i = 0; i < 4; ++i) {
    if (b().HasCallToMake(Lane::kDatabase)) Answer(b(), Lane::kDatabase);
    PullWithoutCapture(b());
  }
  Settle();
  EXPECT_EQ(Row(b(), kSettings, "k"), (SimValues{"k", "a1", "y2", "a3"}));
  EXPECT_EQ(Row(a(), kSettings, "k"), Row(b(), kSettings, "k"));
}

// The first projection makes a row without looking for it; the app makes it, too, and takes it back before that, which
// comes by in capture. The second projection, of another column, is planned on what the log will know when the first
// has landed, and that is not what PostgreSQL has. What the first then finds out must not be forgotten by the second.
TEST_F(InterleavingTest, ARowThatCameAndWentUnderOneProjectionIsNotSettledByTheNext) {
  RunToCallForNewRow(kSettings, {"k1", "a1", "a2", "a3"}, {"k2", "a1", "a2", "a3"});
  world_.Advance(absl::Seconds(1));
  Insert(b(), kSettings, {"k2", "b1", "b2", "b3"});
  Delete(b(), kSettings, "k2");
  StepAndCapture(b());
  Answer(b(), Lane::kDatabase);
  world_.Advance(absl::Seconds(1));
  InOneTransaction(a(), [](SimTransaction& t) { return t.Update(kSettings, {"k2"}, {{"b", "y2"}}); });
  PushFrom(a());
  for (int i = 0; i < 4; ++i) {
    PullWithoutCapture(b());
    if (b().HasCallToMake(Lane::kDatabase)) Answer(b(), Lane::kDatabase);
  }
  Settle();
  EXPECT_EQ(Row(b(), kSettings, "k2"), (SimValues{"k2", "b1", "y2", "b3"}));
  EXPECT_EQ(Row(a(), kSettings, "k2"), Row(b(), kSettings, "k2"));
}

// A row that moves sends back half of the batch; the other rows do not wait, and nothing is written twice.
TEST_F(InterleavingTest, ABatchThatMeetsAMovedRowComesInSmallerPieces) {
  constexpr int kRows = 400;
  for (int i = 0; i < kRows; ++i) Insert(a(), kSettings, {absl::StrCat("k", i), "a1", "a2", "a3"});
  PushFrom(a());
  RunToDatabaseCall(b());
  b().database().set_between_read_and_fence([&] { Insert(b(), kSettings, {"k399", "b1", "b2", "b3"}); });
  const size_t before = b().database().wal().size();
  Settle();
  std::vector<size_t> written;  // Rows of each projection.
  for (size_t i = before; i < b().database().wal().size(); ++i) {
    const WalTransaction& transaction = b().database().wal()[i];
    size_t rows = 0;
    for (const WalItem& item : transaction.items) rows += item.relation != nullptr && item.relation->name == kSettings;
    if (transaction.projected && rows > 0) written.push_back(rows);
  }
  ASSERT_GE(written.size(), 2u);
  EXPECT_EQ(written[0], kRows / 2);
  for (int i = 0; i < kRows; ++i) {
    const std::string key = absl::StrCat("k", i);
    EXPECT_EQ(Row(a(), kSettings, key), Row(b(), kSettings, key)) << key;
    EXPECT_NE(Row(b(), kSettings, key), std::nullopt) << key;
  }
}

// The row is read as absent; the app inserts it before the plan, so the plan is to write it; and deletes it before it
// is written.
TEST_F(InterleavingTest, ARowDeletedBeforeItIsWrittenIsNotBroughtBack) {
  Insert(a(), kSettings, {"k", "a1", "a2", "a3"});
  PushFrom(a());
  RunToDatabaseCall(b());
  b().database().set_between_read_and_fence([&] { Insert(b(), kSettings, {"k", "b1", "b2", "b3"}); });
  Answer(b(), Lane::kDatabase);
  StepAndCapture(b());
  ASSERT_TRUE(b().HasCallToMake(Lane::kDatabase));
  Delete(b(), kSettings, "k");
  Settle();
  EXPECT_FALSE(WasProjected(b(), CaptureItem::Kind::kInsert, kSettings, "k"));
  EXPECT_EQ(Row(a(), kSettings, "k"), std::nullopt);
}

// The same of a row that was parked, and that the app's insert has settled before the plan.
TEST_F(InterleavingTest, AParkedRowDeletedBeforeItIsWrittenIsNotBroughtBack) {
  Insert(b(), kPeople, {"other", "b1", "6@x"});
  Insert(a(), kPeople, {"k", "a1", "6@x"});
  Settle();
  ASSERT_EQ(Parked(b()), 1);
  b().engine().RetryParked(std::nullopt);
  RunToDatabaseCall(b());
  b().database().set_between_read_and_fence([&] { Insert(b(), kPeople, {"k", "b1", std::nullopt}); });
  Answer(b(), Lane::kDatabase);
  StepAndCapture(b());
  Delete(b(), kPeople, "k");
  Settle();
  EXPECT_FALSE(WasProjected(b(), CaptureItem::Kind::kInsert, kPeople, "k"));
  EXPECT_EQ(Row(b(), kPeople, "k"), std::nullopt);
}

// Rows of a table that was read before, and that nobody here has heard of, are in PostgreSQL after one call.
TEST_F(InterleavingTest, NewRowsAreWrittenWithoutARead) {
  RunToCallForNewRow(kSettings, {"k1", "a1", "a2", "a3"}, {"k2", "a1", "a2", "a3"});
  Answer(b(), Lane::kDatabase);
  EXPECT_EQ(Row(b(), kSettings, "k2"), (SimValues{"k2", "a1", "a2", "a3"}));
}

TEST_F(InterleavingTest, NewRowsOfATableThatHasChangedSinceAreReadFirst) {
  RunToCallForNewRow(kShopProducts, {"k1", "ring", "8.2", "916", "6100", "note", "fine"},
                     {"k2", "ring", "8.2", "916", "6100", "note", "finer"});
  ASSERT_TRUE(AddLateColumn(&b().database()));
  Answer(b(), Lane::kDatabase);
  EXPECT_EQ(Row(b(), kShopProducts, "k2"), std::nullopt) << "it was planned for a table without that column";
  for (int call = 0; call < 2; ++call) {  // The read, and the projection.
    RunToDatabaseCall(b());
    Answer(b(), Lane::kDatabase);
  }
  EXPECT_EQ(Row(b(), kShopProducts, "k2"), Row(a(), kShopProducts, "k2"));
}

// The echo of one projection comes before its reply, and the next is planned by then: the reply is not taken for that
// one's.
TEST_F(InterleavingTest, AReplyThatComesAfterItsEchoIsNotTakenForThatOfTheNext) {
  RunToCallForNewRow(kSettings, {"k1", "a1", "a2", "a3"}, {"k2", "a1", "a2", "a3"});
  b().MakeCall(Lane::kDatabase, false);
  Insert(a(), kSettings, {"k3", "a1", "a2", "a3"});
  PushFrom(a());
  for (int round = 0; round < 20; ++round) {
    b().engine().OnHubHint();
    StepAndCapture(b());
    Answer(b(), Lane::kHubPull);
  }
  b().GiveReply(Lane::kDatabase);
  Insert(b(), kSettings, {"k3", "b1", "b2", "b3"});  // So that the next one does not commit.
  Settle();
  EXPECT_NE(Row(b(), kSettings, "k3"), std::nullopt);
  EXPECT_EQ(Row(a(), kSettings, "k3"), Row(b(), kSettings, "k3"));
}

// PostgreSQL need not wait until the log has seen the last projection come by.
TEST_F(InterleavingTest, NewRowsAreWrittenWhileThoseBeforeAreStillToLand) {
  ASSERT_NO_FATAL_FAILURE(RunToTwoOnTheirWay());
  Answer(b(), Lane::kDatabase);
  EXPECT_EQ(Row(b(), kSettings, "k3"), (SimValues{"k3", "a1", "a2", "a3"}));
  // A third one has to wait, whatever is known of it.
  Insert(a(), kSettings, {"k4", "a1", "a2", "a3"});
  PushFrom(a());
  PullWithoutCapture(b());
  EXPECT_FALSE(b().HasCallToMake(Lane::kDatabase));
  Settle();
  ExpectAllEqual();
  EXPECT_NE(Row(b(), kSettings, "k4"), std::nullopt);
}

TEST_F(InterleavingTest, TwoProjectionsOnTheirWayOutliveACrash) {
  ASSERT_NO_FATAL_FAILURE(RunToTwoOnTheirWay());
  b().MakeCall(Lane::kDatabase, false);  // It commits, and nobody hears of it.
  b().Kill(/*power=*/true);
  ASSERT_TRUE(b().Start().ok());
  Settle();
  ExpectAllEqual();
}

TEST_F(InterleavingTest, OfTwoProjectionsOnTheirWayTheSecondMayNotHaveCommitted) {
  ASSERT_NO_FATAL_FAILURE(RunToTwoOnTheirWay());
  b().database().set_fault(DatabaseFault::kUnavailable);
  b().MakeCall(Lane::kDatabase, false);
  b().Kill(/*power=*/false);
  ASSERT_TRUE(b().Start().ok());
  Settle();
  ExpectAllEqual();
}

// What comes after it may need no writing; the cursors still move in order, since a crash may ask how it ended.
TEST_F(InterleavingTest, CursorsDoNotPassAProjectionThatIsStillToLand) {
  const auto cursor = [this] {
    absl::StatusOr<Statement> projected = b().file()->Prepare("SELECT max(sequence) FROM projected");
    return projected.ok() && projected->Step().ok() ? projected->OnlyInt() : -1;
  };
  RunToCallForNewRow(kSettings, {"k1", "a1", "a2", "a3"}, {"k2", "a1", "a2", "a3"});
  b().clock().SetOffset(absl::Hours(1));
  InOneTransaction(b(), [](SimTransaction& t) { return t.Update(kSettings, {"k1"}, {{"a", "later"}}); });
  StepAndCapture(b());
  const int64_t before = cursor();
  Answer(b(), Lane::kDatabase);
  InOneTransaction(a(), [](SimTransaction& t) { return t.Update(kSettings, {"k1"}, {{"a", "earlier"}}); });
  PushFrom(a());
  PullWithoutCapture(b());
  EXPECT_FALSE(b().HasCallToMake(Lane::kDatabase)) << "it has lost already";
  EXPECT_EQ(cursor(), before);
  Settle();
  EXPECT_GT(cursor(), before + 1);
  EXPECT_EQ(Row(a(), kSettings, "k1"), (SimValues{"k1", "later", "a2", "a3"}));
  EXPECT_EQ(Row(b(), kSettings, "k1"), Row(a(), kSettings, "k1"));
  EXPECT_EQ(Row(b(), kSettings, "k2"), Row(a(), kSettings, "k2"));
}

// It is not unknown, though the log has not got it yet. Nobody else has written it, as its xmin says: so there is
// nothing to wait for.
TEST_F(InterleavingTest, ARowOfAProjectionThatIsStillToLandIsReadBeforeItIsWrittenAgain) {
  ASSERT_NO_FATAL_FAILURE(ReadARowThatIsOnItsWay());
  EXPECT_EQ(Row(b(), kSettings, "k3"), std::nullopt) << "it was to be read first";
  PullWithoutCapture(b());
  ASSERT_TRUE(b().HasCallToMake(Lane::kDatabase));
  Answer(b(), Lane::kDatabase);
  EXPECT_EQ(Row(b(), kSettings, "k2"), (SimValues{"k2", "again", "a2", "a3"}));
  StepAndCapture(b());
  EXPECT_EQ(Parked(b()), 0) << "both have landed as they were planned";
  Settle();
  ExpectAllEqual();
}

// PostgreSQL has not got what the log will have of it.
TEST_F(InterleavingTest, ARowThatAProjectionOnItsWayLeavesOutIsNotPlannedUpon) {
  Insert(a(), kPeople, {"k1", "Asha", "old@x"});
  Settle();
  Insert(b(), kPeople, {"k9", "Binu", "taken@x"});
  InOneTransaction(a(), [](SimTransaction& t) { return t.Update(kPeople, {"k1"}, {{"email", "taken@x"}}); });
  PushFrom(a());
  RunToDatabaseCall(b());
  // Until it was refused, and something was written without it.
  for (uint64_t before = b().database().last_batch();
       b().database().refused().empty() || b().database().last_batch() == before;) {
    if (b().database().refused().empty()) before = b().database().last_batch();
    StepAndCapture(b());
    ASSERT_TRUE(b().HasCallToMake(Lane::kDatabase));
    Answer(b(), Lane::kDatabase);
  }
  InOneTransaction(a(), [](SimTransaction& t) { return t.Update(kPeople, {"k1"}, {{"name", "Asha Rao"}}); });
  PushFrom(a());
  PullWithoutCapture(b());
  ASSERT_TRUE(b().HasCallToMake(Lane::kDatabase));
  Answer(b(), Lane::kDatabase);
  PullWithoutCapture(b());
  EXPECT_FALSE(b().HasCallToMake(Lane::kDatabase)) << "its fence has not come by";
  Settle();
  Delete(b(), kPeople, "k9");
  Settle();
  EXPECT_EQ(Row(b(), kPeople, "k1"), (SimValues{"k1", "Asha Rao", "taken@x"}));
  EXPECT_EQ(Row(a(), kPeople, "k1"), Row(b(), kPeople, "k1"));
}

// The shop was writing the row when the read before asked for its fence, and has committed since: what it wrote is not
// in the log yet.
TEST_F(InterleavingTest, ARowThatSomebodyWasWritingWaitsForItsFence) {
  RunToCallForNewRow(kSettings, {"k1", "a1", "a2", "a3"}, {"k2", "a1", "a2", "a3"});
  Settle();
  SimTransaction shop(&b().database());
  ASSERT_EQ(shop.Update(kSettings, {"k1"}, {{"a", "shop"}}), absl::OkStatus());
  InOneTransaction(a(), [](SimTransaction& t) { return t.Update(kSettings, {"k2"}, {{"a", "read"}}); });
  PushFrom(a());
  Settle();  // Its xid is older than that of the projection and of the read's fence by now.
  ASSERT_EQ(Row(b(), kSettings, "k2"), (SimValues{"k2", "read", "a2", "a3"}));
  InOneTransaction(a(), [](SimTransaction& t) { return t.Update(kSettings, {"k1"}, {{"a", "older"}}); });
  PushFrom(a());
  world_.Advance(absl::Seconds(1));
  ASSERT_EQ(shop.Commit(), absl::OkStatus());
  PullWithoutCapture(b());
  ASSERT_TRUE(b().HasCallToMake(Lane::kDatabase));
  Answer(b(), Lane::kDatabase);
  PullWithoutCapture(b());
  EXPECT_FALSE(b().HasCallToMake(Lane::kDatabase)) << "its fence has not come by";
  EXPECT_EQ(Row(b(), kSettings, "k1"), (SimValues{"k1", "shop", "a2", "a3"}));
  Settle();
  EXPECT_EQ(Row(a(), kSettings, "k1"), (SimValues{"k1", "shop", "a2", "a3"}));
  EXPECT_EQ(Row(b(), kSettings, "k1"), Row(a(), kSettings, "k1"));
}

// An update by the shop that its own server has, and that no fence has followed yet.
TEST_F(InterleavingTest, ARowThatTheShopHasJustWrittenWaitsForItsFence) {
  RunToTwoOnTheirWay();
  Answer(b(), Lane::kDatabase);
  InOneTransaction(a(), [](SimTransaction& t) { return t.Update(kSettings, {"k2"}, {{"a", "older"}}); });
  PushFrom(a());
  world_.Advance(absl::Seconds(1));
  InOneTransaction(b(), [](SimTransaction& t) { return t.Update(kSettings, {"k2"}, {{"a", "shop"}}); });
  PullWithoutCapture(b());
  while (b().HasCallToMake(Lane::kDatabase)) {
    Answer(b(), Lane::kDatabase);
    PullWithoutCapture(b());
  }
  EXPECT_EQ(Row(b(), kSettings, "k2"), (SimValues{"k2", "shop", "a2", "a3"}));
  Settle();
  EXPECT_EQ(Row(a(), kSettings, "k2"), (SimValues{"k2", "shop", "a2", "a3"}));
  EXPECT_EQ(Row(b(), kSettings, "k2"), Row(a(), kSettings, "k2"));
}

// It was written by a projection that has not landed, and by one that was planned upon that; then the power fails.
TEST_F(InterleavingTest, ARowOfTwoProjectionsSurvivesTheProcess) {
  ASSERT_NO_FATAL_FAILURE(ReadARowThatIsOnItsWay());
  PullWithoutCapture(b());
  ASSERT_TRUE(b().HasCallToMake(Lane::kDatabase));
  b().MakeCall(Lane::kDatabase, false);
  b().Kill(/*power=*/true);
  ASSERT_TRUE(b().Start().ok());
  Settle();
  ExpectAllEqual();
  EXPECT_EQ(Parked(b()), 0);
}

// It was planned without a read; the app inserts and deletes it before it is written. It comes back for a moment, and
// no longer.
TEST_F(InterleavingTest, ANewRowThatCameAndWentBeforeItIsWrittenGoesAgain) {
  RunToCallForNewRow(kSettings, {"k1", "a1", "a2", "a3"}, {"k", "a1", "a2", "a3"});
  Insert(b(), kSettings, {"k", "b1", "b2", "b3"});
  Delete(b(), kSettings, "k");
  Answer(b(), Lane::kDatabase);
  EXPECT_NE(Row(b(), kSettings, "k"), std::nullopt);
  Settle();
  EXPECT_EQ(Row(a(), kSettings, "k"), std::nullopt);
  EXPECT_EQ(Row(b(), kSettings, "k"), std::nullopt);
}

TEST_F(InterleavingTest, TruncateSparesTheRowsThatWereParked) {
  Insert(a(), kPeople, {"k1", "Asha", "same@x"});
  Insert(b(), kPeople, {"k2", "Binu", "same@x"});
  Settle();
  ASSERT_EQ(Row(b(), kPeople, "k1"), std::nullopt) << "the e-mail address is taken";
  InOneTransaction(b(), [](SimTransaction& t) { return t.Truncate(kPeople); });
  Settle();
  for (auto& branch : branches_) {
    EXPECT_EQ(Row(*branch, kPeople, "k1"), (SimValues{"k1", "Asha", "same@x"})) << branch->name();
    EXPECT_EQ(Row(*branch, kPeople, "k2"), std::nullopt) << branch->name();
  }
}

// A row that is brought back has all its columns, also those that this branch has never heard of.
TEST_F(InterleavingTest, ARowBornAgainHereGetsItsUnknownColumnsOnceTheyAreHere) {
  Insert(a(), kShopProducts, {"k", "ring", "8.2", "916", "6100", "note", "fine"});
  Settle();
  Delete(b(), kShopProducts, "k");
  Settle();
  Insert(b(), kShopProducts, {"k", "ring", "8.2", "916", "6100", "again"});
  Settle();
  ASSERT_TRUE(AddLateColumn(&b().database()));
  b().engine().RetryParked(std::nullopt);
  Settle();
  EXPECT_EQ(Row(b(), kShopProducts, "k"), Row(a(), kShopProducts, "k"));
  EXPECT_EQ(Row(b(), kShopProducts, "k")->back(), "fine");
}

}  // namespace
}  // namespace assay
