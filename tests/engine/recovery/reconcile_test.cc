// Goal: what a database holds and what the log says are told apart, and the difference is written as promised in
// engine/recovery/reconcile.h. Method: a fleet's chain made by a Recorder, pulled into the log of a branch that joins
// with rows of its own.
#include "engine/recovery/reconcile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "engine/own_chain.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kNowMs = 1'700'000'000'000;

class NoEcho : public ProjectionEcho {
 public:
  bool Claims(absl::string_view, HlcStamp*) override { return false; }
  bool Meant(const RowRef&, ChangeKind, const TableShape&, absl::Span<const TupleValue>) override { return false; }
  absl::Status Landed() override { return absl::OkStatus(); }
};

class FixedClock : public Clock {
 public:
  absl::Time Now() override { return absl::FromUnixMillis(kNowMs); }
};

class SeededRandom : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : value_(seed) {}
  uint64_t Next() override { return value_ += 0x9e3779b97f4a7c15; }

 private:
  uint64_t value_;
};

using Row = std::vector<ColumnText>;

std::vector<TupleValue> Tuple(const Row& row) {
  std::vector<TupleValue> tuple;
  for (const ColumnText& text : row) {
    tuple.push_back(text.has_value() ? TupleValue{TupleValue::Kind::kText, *text} : TupleValue{});
  }
  return tuple;
}

std::shared_ptr<TableShape> Products() {
  auto shape = std::make_shared<TableShape>();
  shape->name = {"public", "products"};
  shape->columns = {{"id", "integer", true, false}, {"v", "text", false, false}, {"w", "text", false, false}};
  shape->key = {0};
  return shape;
}

// A log of its own with everything over it, inside one open transaction.
class Branch {
 public:
  explicit Branch(uint32_t number) {
    config_.branch_name = absl::StrCat("branch-", number);
    config_.branch_number = number;
    file = LogFile::Open(folder_.path() + "/log.db", {}).value();
    SeededRandom random(number);
    own = OpenBranchLog(config_, file.get(), &clock_, &random).value();
    log = EventLog::Open(file.get()).value();
    names = TableNames::Open(file.get(), log.get()).value();
    rows = RowVersionStore::Open(file.get(), log.get()).value();
    state = LocalState::Open(file.get(), log.get()).value();
    unsettled = UnsettledRows::Open(file.get(), log.get()).value();
    conflicts = Conflicts::Open(file.get(), log.get()).value();
    const Stores stores{log.get(), names.get(), rows.get(), state.get(), unsettled.get(), conflicts.get()};
    recorder = std::make_unique<Recorder>(config_, own, stores, &clock_, &echo_);
    EXPECT_TRUE(recorder->Load().ok());
    EXPECT_TRUE(file->Begin().ok());
  }
  ~Branch() {
    file->Rollback();
    recorder.reset();
  }

  void Record(CaptureItem::Kind kind, const Row& old_row, const Row& new_row, int64_t commit_ms = kNowMs) {
    CaptureItem item;
    item.kind = CaptureItem::Kind::kBegin;
    item.commit_lsn = {++lsn_};
    item.commit_time_us = commit_ms * 1000;
    ASSERT_TRUE(recorder->Record(item).ok());
    item.kind = kind;
    item.relation = shape;
    item.old_tuple = Tuple(old_row);
    item.new_tuple = Tuple(new_row);
    ASSERT_TRUE(recorder->Record(item).ok());
    item.kind = CaptureItem::Kind::kCommit;
    ASSERT_TRUE(recorder->Record(item).ok());
  }
  void Insert(const Row& row, int64_t commit_ms = kNowMs) { Record(CaptureItem::Kind::kInsert, {}, row, commit_ms); }
  void Update(const Row& before, const Row& after, int64_t commit_ms = kNowMs) {
    Record(CaptureItem::Kind::kUpdate, before, after, commit_ms);
  }
  void Delete(const Row& row) { Record(CaptureItem::Kind::kDelete, row, {}); }

  void PullFrom(Branch& other) {
    ASSERT_TRUE(other.file->Commit().ok());
    ASSERT_TRUE(other.file->Begin().ok());
    for (const OriginId& origin : other.log->Origins()) {
      while (true) {
        auto segments = other.log->ReadSegments(origin, log->Head(origin).last.Next(), 1 << 20, true);
        ASSERT_TRUE(segments.ok()) << segments.status();
        if (segments->empty()) break;
        for (const Segment& segment : *segments) ASSERT_TRUE(log->AppendPulled(segment).ok());
      }
    }
  }

  // What `assay init` does with the rows it reads.
  ReconcileReport Reconcile(const std::vector<Row>& held, DifferenceChoice choice, bool fresh_chain = true) {
    auto fold = FoldIndex::Build(file.get(), log.get(), names.get(), nullptr).value();
    EXPECT_TRUE(state->Write(kClockNote, std::max(state->Read(kClockNote).value(), fold->newest())).ok());
    EXPECT_TRUE(recorder->Load().ok());
    Reconciler reconciler({log.get(), names.get(), rows.get(), unsettled.get(), recorder.get()}, fold.get(), choice,
                          fresh_chain);
    for (const Reconciler::Pass pass : {Reconciler::Pass::kCompare, Reconciler::Pass::kWrite}) {
      EXPECT_TRUE(reconciler.BeginPass(pass, Lsn{100}, kNowMs * 1000).ok());
      EXPECT_TRUE(reconciler.BeginTable(shape).ok());
      for (const Row& row : held) EXPECT_TRUE(reconciler.Row(Tuple(row)).ok());
      EXPECT_TRUE(reconciler.EndPass().ok());
      if (reconciler.MustAsk()) break;
    }
    recorder->SetSource(v1::TransactionHeader::LIVE, false);
    return reconciler.report();
  }

  std::vector<v1::Event> Events() {
    std::vector<v1::Event> events;
    EventReader reader = log->Read(own, Sequence{2});
    while (const StoredEvent* stored = reader.Next().value()) {
      events.emplace_back();
      EXPECT_TRUE(events.back().ParseFromArray(stored->bytes.data(), static_cast<int>(stored->bytes.size())));
    }
    return events;
  }
  std::vector<v1::Event> RowEvents() {
    std::vector<v1::Event> events = Events();
    std::erase_if(events, [](const v1::Event& event) { return !event.has_row(); });
    return events;
  }
  RowRef Ref(const std::string& key) { return {names->IdOf(shape->name).value(), HashKey(RowKey{key})}; }
  RowVersions Versions(const std::string& key) {
    const RowVersions* versions = rows->Get(Ref(key)).value();
    return versions == nullptr ? RowVersions{} : *versions;
  }

  std::unique_ptr<LogFile> file;
  std::unique_ptr<EventLog> log;
  std::unique_ptr<TableNames> names;
  std::unique_ptr<RowVersionStore> rows;
  std::unique_ptr<LocalState> state;
  std::unique_ptr<UnsettledRows> unsettled;
  std::unique_ptr<Conflicts> conflicts;
  std::unique_ptr<Recorder> recorder;
  OriginId own;
  std::shared_ptr<TableShape> shape = Products();

 private:
  test::TempDirectory folder_{"reconcile"};
  EngineConfig config_;
  FixedClock clock_;
  NoEcho echo_;
  uint64_t lsn_ = 0;
};

class ReconcileTest : public ::testing::Test {
 protected:
  Branch fleet_{1}, here_{2};
};

TEST_F(ReconcileTest, AnEqualRowWritesNothingAndTakesOnTheFleetsVersions) {
  fleet_.Insert({"1", "a", std::nullopt});
  fleet_.Update({"1", "a", std::nullopt}, {"1", "b", std::nullopt});
  here_.PullFrom(fleet_);
  const ReconcileReport report = here_.Reconcile({{"1", "b", std::nullopt}}, DifferenceChoice::kAsk);
  EXPECT_EQ(report.equal, 1u);
  EXPECT_THAT(here_.RowEvents(), IsEmpty());
  EXPECT_EQ(Newest(here_.Versions("1")).origin, fleet_.own);
  // The next local write names what it replaces.
  here_.Update({"1", "b", std::nullopt}, {"1", "c", std::nullopt});
  const v1::Event event = here_.RowEvents().back();
  EXPECT_EQ(event.row().replaced(0).origin(), std::string(fleet_.own.AsBytes()));
  EXPECT_GT(event.stamp(), event.row().replaced(0).stamp());
}

TEST_F(ReconcileTest, NullAndEmptyAndDeletedAreToldApart) {
  fleet_.Insert({"1", "", "x"});
  fleet_.Insert({"2", std::nullopt, "x"});
  fleet_.Insert({"3", "v", "x"});
  fleet_.Delete({"3", "v", "x"});
  here_.PullFrom(fleet_);
  const ReconcileReport report = here_.Reconcile(
      {{"1", std::nullopt, "x"}, {"2", "", "x"}, {"3", "v", "x"}, {"4", "new", "x"}}, DifferenceChoice::kAsk);
  EXPECT_EQ(report.differing_rows, 3u);
  ASSERT_EQ(report.differences.size(), 3u);
  EXPECT_EQ(report.differences[0].here, std::nullopt);
  EXPECT_EQ(report.differences[0].fleet, "");
  EXPECT_EQ(report.differences[1].column, "v");
  EXPECT_EQ(report.differences[2].column, "");
  EXPECT_EQ(report.differences[2].fleet, "deleted");
  EXPECT_THAT(here_.RowEvents(), IsEmpty());
}

TEST_F(ReconcileTest, TheFoldTakesTheNewestOfEachColumnWhateverChainComesFirst) {
  Branch third(3);
  fleet_.Insert({"1", "a", "a"}, kNowMs);
  third.PullFrom(fleet_);
  third.Reconcile({{"1", "a", "a"}}, DifferenceChoice::kAsk);
  third.Update({"1", "a", "a"}, {"1", "third", "a"}, kNowMs + 2000);
  fleet_.Update({"1", "a", "a"}, {"1", "fleet", "fleet"}, kNowMs + 1000);
  here_.PullFrom(fleet_);
  here_.PullFrom(third);
  EXPECT_EQ(here_.Reconcile({{"1", "third", "fleet"}}, DifferenceChoice::kAsk).equal, 1u);
}

TEST_F(ReconcileTest, ChoosingHereBeatsEvenAFleetThatLivesInTheFuture) {
  fleet_.Insert({"1", "a", "a"}, kNowMs + 80LL * 365 * 86'400'000);
  here_.PullFrom(fleet_);
  here_.Reconcile({{"1", "mine", "a"}}, DifferenceChoice::kHere);
  const std::vector<v1::Event> events = here_.RowEvents();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].row().operation(), v1::RowChange::UPDATE);
  ASSERT_EQ(events[0].row().columns_size(), 1) << "only what differs";
  EXPECT_EQ(events[0].row().columns(0).value(), "mine");
  EXPECT_EQ(events[0].row().columns(0).old_value(), "a");
  EXPECT_GT(events[0].stamp(), events[0].row().replaced(0).stamp());
  EXPECT_EQ(Newest(here_.Versions("1")).origin, here_.own);
  EXPECT_EQ(here_.unsettled->count(), 0);
}

TEST_F(ReconcileTest, EvidenceForTheFleetsChoiceIsStampedBeforeEverythingAndLoses) {
  fleet_.Insert({"1", "a", "a"}, 1);  // The oldest a clock can say.
  here_.PullFrom(fleet_);
  const uint64_t fleets = fleet_.RowEvents()[0].stamp();
  here_.Reconcile({{"1", "mine", "a"}, {"2", "new", "n"}}, DifferenceChoice::kFleet);
  const std::vector<v1::Event> events = here_.RowEvents();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].row().key(0), "1");
  EXPECT_LT(events[0].stamp(), fleets);
  EXPECT_GE(events[1].stamp(), static_cast<uint64_t>(kNowMs) << 16);
  // The row's versions are those of what PostgreSQL holds, so everything of the fleet's is newer and will be written.
  EXPECT_EQ(Newest(here_.Versions("1")).origin, here_.own);
  EXPECT_LT(Newest(here_.Versions("1")).stamp.value, fleets);
}

TEST_F(ReconcileTest, OnAChainThatHasBegunTheFleetsChoiceMakesTheRowDue) {
  fleet_.Insert({"1", "a", "a"});
  here_.Insert({"9", "x", "x"});
  here_.PullFrom(fleet_);
  here_.Reconcile({{"1", "mine", "a"}}, DifferenceChoice::kFleet, /*fresh_chain=*/false);
  EXPECT_EQ(here_.RowEvents().size(), 1u);
  const auto due = here_.unsettled->Find(here_.Ref("1")).value();
  ASSERT_TRUE(due.has_value());
  EXPECT_FALSE(due->held_known);
  EXPECT_EQ(Newest(here_.Versions("1")).origin, fleet_.own);
}

TEST_F(ReconcileTest, AFoldLargerThanItsCacheIsWhole) {
  constexpr int kRows = 60'000;
  for (int i = 0; i < kRows; ++i) fleet_.Insert({std::to_string(i), "v", std::nullopt});
  for (int i = 0; i < kRows; i += 1000)
    fleet_.Update({std::to_string(i), "v", std::nullopt}, {std::to_string(i), "new", std::nullopt});
  here_.PullFrom(fleet_);
  std::vector<Row> rows;
  for (int i = 0; i < kRows; ++i) rows.push_back({std::to_string(i), i % 1000 == 0 ? "new" : "v", std::nullopt});
  rows[7][1] = "other";
  const ReconcileReport report = here_.Reconcile(rows, DifferenceChoice::kHere);
  EXPECT_EQ(report.equal, kRows - 1u);
  EXPECT_EQ(report.differing_rows, 1u);
}

TEST_F(ReconcileTest, TransactionsAreBoundedByBytesAsWell) {
  const std::string large(3 << 20, 'x');
  here_.Reconcile({{"1", large, "a"}, {"2", large, "a"}, {"3", large, "a"}, {"4", large, "a"}}, DifferenceChoice::kAsk);
  std::vector<uint64_t> ends;
  for (const v1::Event& event : here_.Events()) {
    if (event.ends_transaction()) ends.push_back(event.sequence());
  }
  EXPECT_THAT(ends, ElementsAre(5, 6)) << "opening, schema, three rows; one row";
}

}  // namespace
}  // namespace assay
