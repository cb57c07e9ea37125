// Goal: what differs between a table and the log is found, by row and column, and nothing else is said to differ:
// whatever is on its way from the one to the other, waits by right, or is written otherwise and means the same.
// Method: a branch without its daemon. Rows are changed where no capture sees it; the fence's hook captures.
#include "tools/sentinel/sentinel.h"

#include <cstdio>
#include <cstdlib>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "log/local_state/open_stores.h"
#include "tests/support/temp_directory.h"
#include "tests/tools/setup/branch_harness.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class SentinelTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto server = test::PostgresServer::Create();
    if (!test::MaySkipWithoutPostgres(server.status())) server_ = std::move(server).value().release();
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  void SetUp() override {
    if (server_ == nullptr) GTEST_SKIP() << "no PostgreSQL";
  }
  void TearDown() override {
    if (branch_ == nullptr) return;
    EXPECT_TRUE(branch_->Leave().ok());
  }

  void Start(const std::string& schema) {
    static int count = 0;
    branch_ = std::make_unique<test::TestBranch>(*server_, absl::StrCat("s", ++count), 3);
    branch_->Sql(schema);
    ASSERT_TRUE(branch_->Init().ok());
  }
  // What capture does not see.
  void Unseen(const std::string& sql, const std::string& table = "t") {
    branch_->Sql(absl::StrCat("ALTER PUBLICATION assay DROP TABLE ", table));
    branch_->Sql(sql);
    ASSERT_TRUE(branch_->CatchUp().ok());
    branch_->Sql(absl::StrCat("ALTER PUBLICATION assay ADD TABLE ", table));
  }

  CheckRound Run(const CheckRequest& request) {
    checked_.clear();
    RoundHooks hooks;
    hooks.now = [this] { return absl::Now() + later_; };
    hooks.begun = [](size_t) {};
    hooks.checked = [this](const std::string& table, CheckedTable checked) { checked_[table] = std::move(checked); };
    hooks.check.await_fence = [this](const std::string&) {
      if (at_fence_) at_fence_();
      return branch_->CatchUp();
    };
    hooks.check.found = [this](FoundRows found) {
      if (at_found_) at_found_();
      branch_->found = std::move(found);
    };
    hooks.check.pause = [](absl::Duration pause) {
      absl::SleepFor(std::min(pause, absl::Milliseconds(50)));
      return absl::OkStatus();
    };
    hooks.check.progress = [this](const TableName&, uint64_t) {
      if (at_piece_) at_piece_();
    };
    if (sentinel_ == nullptr)
      sentinel_ = std::make_unique<Sentinel>(SentinelOptions{.url = branch_->url(),
                                                             .log_path = branch_->log_path(),
                                                             .state_dir = branch_->state_dir(),
                                                             .time_of_day = absl::Hours(3)});
    return sentinel_->Run(request, hooks);
  }
  // Compares all tables, and returns what is said of `table`.
  CheckedTable Check(const std::string& table = "public.t") {
    const CheckRound round = Run({.asked = true});
    EXPECT_TRUE(round.status.ok()) << round.status;
    EXPECT_THAT(round.not_compared, IsEmpty());
    return checked_[table];
  }
  static std::vector<std::string> Cells(const CheckedTable& checked) {
    std::vector<std::string> cells;
    for (const DifferingCell& cell : checked.cells_listed) {
      cells.push_back(absl::StrCat(absl::StrJoin(DecodeKey(cell.key).value(), ","), " ", cell.column, ": ",
                                   cell.here.value_or("-"), "/", cell.log.value_or("-")));
    }
    return cells;
  }

  inline static test::PostgresServer* server_ = nullptr;
  std::unique_ptr<test::TestBranch> branch_;
  std::unique_ptr<Sentinel> sentinel_;
  std::map<std::string, CheckedTable> checked_;
  std::function<void()> at_fence_, at_piece_, at_found_;
  absl::Duration later_;
};

TEST_F(SentinelTest, WhatIsAsTheLogHasItIsCountedAndNothingDiffers) {
  Start(
      "CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(12,2), at timestamptz, b bytea, g int GENERATED ALWAYS AS "
      "(id * 2) STORED); INSERT INTO t SELECT i, 'v' || i, i / 7.0, now(), decode(md5(i::text), 'hex') FROM "
      "generate_series(1, 3000) i");
  branch_->Sql(
      "UPDATE t SET v = NULL WHERE id % 7 = 0; DELETE FROM t WHERE id % 11 = 0; INSERT INTO t VALUES (9999, E'\\\\a\\t')");
  ASSERT_TRUE(branch_->CatchUp().ok());
  const CheckedTable checked = Check();
  EXPECT_EQ(absl::StrCat(checked.rows), branch_->Value("SELECT count(*) FROM t"));
  EXPECT_EQ(checked.cells, checked.rows * 4);
  EXPECT_EQ(checked.passed_over, 0u);
  EXPECT_EQ(checked.differing + checked.waiting + checked.restless, 0u);
  EXPECT_THAT(checked.cells_listed, IsEmpty());
}

TEST_F(SentinelTest, OneWrongCellAmongManyIsNamedByTableKeyAndColumn) {
  Start(
      "CREATE TABLE t (shop text, id int, v text, w text, PRIMARY KEY (shop, id)); INSERT INTO t SELECT 'a''' || i % 3, i, 'v', 'w' "
      "FROM generate_series(1, 20000) i; CREATE TABLE u (id int PRIMARY KEY)");
  Unseen("UPDATE t SET w = 'wrong' WHERE id = 12345");
  const CheckedTable checked = Check();
  EXPECT_EQ(checked.rows, 20'000u);
  EXPECT_EQ(checked.differing, 1u);
  EXPECT_THAT(Cells(checked), ElementsAre("12345,a'0 w: wrong/w"));
  EXPECT_EQ(checked_["public.u"].differing, 0u);
}

TEST_F(SentinelTest, RowsThatAreOnlyHereOrOnlyInTheLogAreFound) {
  Start("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' FROM generate_series(1, 5000) i");
  branch_->Sql("DELETE FROM t WHERE id = 7");
  ASSERT_TRUE(branch_->CatchUp().ok());
  Unseen("DELETE FROM t WHERE id IN (17, 4711); INSERT INTO t VALUES (-5, 'new'), (7, 'again')");
  const CheckedTable checked = Check();
  EXPECT_EQ(checked.differing, 4u);
  EXPECT_THAT(Cells(checked),
              UnorderedElementsAre("17 : -/present", "4711 : -/present", "-5 : present/-", "7 : present/deleted"));
}

TEST_F(SentinelTest, WhenEverythingDiffersItDoesNotLookAtEverything) {
  Start("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' FROM generate_series(1, 20000) i");
  Unseen("UPDATE t SET v = 'wrong'");
  const CheckedTable checked = Check();
  EXPECT_TRUE(checked.gave_up);
  EXPECT_GE(checked.differing, TableCheck::kDifferingMax);
  EXPECT_LT(checked.differing, 2 * TableCheck::kDifferingMax);
  EXPECT_EQ(checked.cells_listed.size(), CheckedTable::kCellsListed);
}

// Whoever compares looks at the two at different times.
TEST_F(SentinelTest, WhatIsOnItsWayIntoTheLogIsNoDifference) {
  Start("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' FROM generate_series(1, 6000) i");
  // Committed and not captured, before the first piece and after each.
  int written = 0;
  at_piece_ = [&] {
    ++written;
    branch_->Sql(absl::StrCat("INSERT INTO t VALUES (", 10'000 + written, ", 'sold'), (", -written,
                              ", 'sold'); UPDATE t SET v = v || 'x' WHERE id % 100 = ", written,
                              "; DELETE FROM t WHERE id = ", 50 * written));
  };
  branch_->Sql("UPDATE t SET v = 'sold' WHERE id < 300");
  const CheckedTable checked = Check();
  EXPECT_GT(written, 2);
  EXPECT_EQ(checked.differing, 0u) << absl::StrJoin(Cells(checked), "\n");
  EXPECT_EQ(checked.restless, 0u);
}

TEST_F(SentinelTest, ARowThatIsWrongIsFoundWhileItsNeighboursAreSold) {
  Start("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' FROM generate_series(1, 6000) i");
  Unseen("UPDATE t SET v = 'wrong' WHERE id = 3333");
  int sold = 0;
  at_fence_ = [&] {
    branch_->Sql(absl::StrCat("UPDATE t SET v = 'sold ", ++sold, "' WHERE id BETWEEN 3334 AND 3340"));
  };
  const CheckedTable checked = Check();
  EXPECT_THAT(Cells(checked), ElementsAre("3333 v: wrong/v"));
}

TEST_F(SentinelTest, ATableWhoseColumnHasJustComeIsComparedOnceItsRowsWereLookedAt) {
  Start("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'v')");
  const auto note = [&](bool waits) {
    const auto file = LogFile::Open(branch_->log_path(), {}).value();
    const OpenStores stores = OpenStores::Open(file.get()).value();
    const TableId table = stores.names->IdOf({"public", "t"}).value();
    ColumnNulls nulls;
    if (waits) nulls[{table, stores.names->ColumnIdOf(table, "v").value()}] = HlcStamp{1};
    ASSERT_TRUE(stores.state->Write(kNullsNote, nulls).ok());
  };
  note(true);
  EXPECT_THAT(Run({.asked = true}).not_compared, ElementsAre(HasSubstr("column v of public.t has just come")));
  EXPECT_THAT(checked_, IsEmpty());
  note(false);
  EXPECT_EQ(Check().cells, 1u);
}

TEST_F(SentinelTest, ARowThatIsChangedAtEachLookIsCountedAsThat) {
  Start("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'v'), (2, 'v')");
  Unseen("UPDATE t SET v = 'wrong' WHERE id = 1");
  int fences = 0;  // Before the first one nothing is looked at.
  at_fence_ = [&] {
    if (++fences > 1) branch_->Sql(absl::StrCat("UPDATE t SET v = 'sold ", fences, "' WHERE id = 1"));
  };
  const CheckedTable checked = Check();
  EXPECT_EQ(checked.restless, 1u);
  EXPECT_EQ(checked.differing, 0u);
}

TEST_F(SentinelTest, RowsThatWaitToBeWrittenAreCountedBeside) {
  Start("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'v'), (2, 'v')");
  Unseen("UPDATE t SET v = 'older'");
  {
    const auto file = LogFile::Open(branch_->log_path(), {}).value();
    const OpenStores stores = OpenStores::Open(file.get()).value();
    ASSERT_TRUE(file->Begin().ok());
    const RowRef row = RowOf(stores.names->IdOf({"public", "t"}).value(), KeyColumns({"id"}), RowKey{"1"});
    const OriginId own = stores.log->Origins().front();
    ASSERT_TRUE(stores.unsettled->MarkDifferent(row, {EncodeKey(RowKey{"1"}), own, {2}}, 0).ok());
    ASSERT_TRUE(file->Commit().ok());
  }
  const CheckedTable checked = Check();
  EXPECT_EQ(checked.waiting, 1u);
  EXPECT_THAT(Cells(checked), ElementsAre("2 v: older/v"));
}

TEST_F(SentinelTest, WhatIsWrittenOtherwiseAndMeansTheSameIsNoDifference) {
  Start(
      "CREATE TABLE t (id int PRIMARY KEY, n numeric, d date); INSERT INTO t VALUES (1, 1.5, '2026-11-30'), (2, 2, NULL)");
  branch_->Sql("ALTER TABLE t ALTER n TYPE numeric(12,3), ALTER d TYPE timestamp; INSERT INTO t VALUES (3, 3, now())");
  ASSERT_TRUE(branch_->CatchUp().ok());
  const CheckedTable checked = Check();
  EXPECT_EQ(checked.differing, 0u) << absl::StrJoin(Cells(checked), "\n");
  EXPECT_EQ(checked.cells, 6u);
}

// What ALTER computes comes by in no stream; what is only here, and columns of which two are called the same in turn,
// nobody can compare.
TEST_F(SentinelTest, AfterAColumnWasAddedRenamedOrMadeAnewNothingIsSaidToDifferThatNobodyCanTell) {
  Start("CREATE TABLE t (id int PRIMARY KEY, v text, w text); INSERT INTO t VALUES (1, 'v', 'w'), (2, 'v', 'w')");
  branch_->Sql(
      "ALTER TABLE t ADD COLUMN x int DEFAULT 5; ALTER TABLE t RENAME COLUMN w TO y; ALTER TABLE t DROP COLUMN v; ALTER "
      "TABLE t ADD COLUMN v text DEFAULT 'fresh'");
  CheckedTable checked = Check();
  EXPECT_EQ(checked.differing, 0u) << absl::StrJoin(Cells(checked), "\n");
  EXPECT_EQ(checked.cells, 0u);
  EXPECT_EQ(checked.passed_over, 6u);
  branch_->Sql("INSERT INTO t VALUES (3, 'y', 6, 'z'); UPDATE t SET y = 'sold' WHERE id = 1");
  ASSERT_TRUE(branch_->CatchUp().ok());
  checked = Check();
  EXPECT_EQ(checked.differing, 0u) << absl::StrJoin(Cells(checked), "\n");
}

TEST_F(SentinelTest, AValueOfADroppedColumnIsNotMissedInAnotherOfItsName) {
  Start("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'v'), (2, 'v'), (3, 'v')");
  branch_->Sql("ALTER TABLE t DROP v, ADD v int; INSERT INTO t VALUES (4, 4)");
  ASSERT_TRUE(branch_->CatchUp().ok());
  {
    // The daemon has looked at the rows of the column that was made anew: none of them could be written again.
    const auto file = LogFile::Open(branch_->log_path(), {}).value();
    const OpenStores stores = OpenStores::Open(file.get()).value();
    ASSERT_FALSE(stores.state->Read(kRemadeNote)->empty());
    ASSERT_TRUE(stores.state->Write(kRemadeNote, {}).ok());
  }
  CheckedTable checked = Check();
  EXPECT_EQ(checked.differing, 0u) << absl::StrJoin(Cells(checked), "\n");
  Unseen("UPDATE t SET v = 7 WHERE id IN (2, 4)");
  EXPECT_THAT(Cells(Check()), UnorderedElementsAre("2 v: 7/v", "4 v: 7/4"));
}

TEST_F(SentinelTest, WhatAlterComputedIsADifferenceUntilARepair) {
  Start("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'v')");
  branch_->Sql("ALTER TABLE t ALTER v TYPE varchar USING v || '!'; INSERT INTO t VALUES (2, 'w')");
  ASSERT_TRUE(branch_->CatchUp().ok());
  EXPECT_THAT(Cells(Check()), ElementsAre("1 v: v!/v"));
}

// Django's way to add a column: rows of other branches have it nowhere. No row needs to be written for it.
TEST_F(SentinelTest, WhatADefaultComputedIsRecordedOnceAndCompared) {
  Start("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' FROM generate_series(1, 2500) i");
  branch_->Sql(
      "ALTER TABLE t ADD taxed boolean DEFAULT true NOT NULL, ADD note text; ALTER TABLE t ALTER taxed DROP DEFAULT");
  int handed_in = 0;
  at_found_ = [&] { ++handed_in; };
  Check();
  EXPECT_EQ(handed_in, 3);
  std::vector<std::string> changes = branch_->Changes();
  ASSERT_EQ(changes.size(), 5000u);
  std::set<std::string> found(changes.begin() + 2500, changes.end());
  EXPECT_EQ(found.size(), 2500u);
  EXPECT_EQ(found.count("reconcile update public.t (7) taxed=t"), 1u);
  const CheckedTable checked = Check();
  EXPECT_EQ(handed_in, 3) << "once";
  EXPECT_EQ(checked.cells, 5000u);
  EXPECT_EQ(checked.passed_over, 2500u) << "the NULLs";
  EXPECT_EQ(checked.differing, 0u) << absl::StrJoin(Cells(checked), "\n");
  EXPECT_EQ(branch_->Changes().size(), 5000u);
  branch_->Sql("INSERT INTO t VALUES (9999, 'sold', false)");
  ASSERT_TRUE(branch_->CatchUp().ok());
  EXPECT_EQ(Check().declared, checked.declared) << "as the stream has it";
}

TEST_F(SentinelTest, WhatIsSoldWhileDefaultsAreRecordedWins) {
  Start("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'v' FROM generate_series(1, 20) i");
  branch_->Sql("ALTER TABLE t ADD taxed boolean DEFAULT true NOT NULL");
  int fences = 0, handed_in = 0;  // After it was read, and again after it was judged and before it is recorded.
  at_fence_ = [&] {
    if (++fences == 2) branch_->Sql("UPDATE t SET taxed = false WHERE id = 1; UPDATE t SET v = 'sold' WHERE id = 2");
  };
  at_found_ = [&] {
    if (++handed_in == 1) branch_->Sql("UPDATE t SET taxed = false WHERE id = 3; DELETE FROM t WHERE id = 4");
  };
  EXPECT_THAT(Run({.asked = true}).not_compared, ElementsAre(HasSubstr("altered while it was compared")))
      << "the sale has declared it";
  Check();
  const CheckedTable checked = Check();
  EXPECT_EQ(checked.differing, 0u) << absl::StrJoin(Cells(checked), "\n");
  EXPECT_EQ(checked.passed_over, 0u);
  int found = 0;
  for (const std::string& change : branch_->Changes()) {
    found += change.find("reconcile update") == 0;
    for (const char* sold : {"(1)", "(3)", "(4)"})
      EXPECT_FALSE(change.find("reconcile update") == 0 && change.find(sold) != std::string::npos) << change;
  }
  EXPECT_EQ(found, 17);
}

TEST_F(SentinelTest, PartitionsAreReadWithTheirRootAndChildrenThatInheritAreNot) {
  Start(
      "CREATE TABLE t (id int, day date, v text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day); CREATE TABLE t1 PARTITION OF "
      "t FOR VALUES FROM ('2026-01-01') TO ('2026-07-01'); CREATE TABLE t2 PARTITION OF t DEFAULT; INSERT INTO t SELECT "
      "i, date '2026-01-01' + i, 'v' FROM generate_series(1, 2000) i; CREATE TABLE p (id int PRIMARY KEY, v text); "
      "CREATE TABLE c (PRIMARY KEY (id)) INHERITS (p); INSERT INTO p VALUES (1, 'p'); INSERT INTO c VALUES (1, 'c')");
  Unseen("UPDATE t SET v = 'wrong' WHERE id = 700");
  EXPECT_THAT(Cells(Check()), ElementsAre("2027-12-02,700 v: wrong/v"));
  EXPECT_EQ(checked_["public.p"].rows, 1u);
}

TEST_F(SentinelTest, ATableThatCannotBeComparedIsNamedAndTheOthersAreCompared) {
  Start("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u VALUES (1)");
  branch_->Sql("DROP TABLE t");
  const CheckRound round = Run({.asked = true});
  EXPECT_TRUE(absl::IsFailedPrecondition(round.status)) << round.status;
  EXPECT_THAT(round.not_compared, ElementsAre(HasSubstr("public.t: there is no table public.t here")));
  EXPECT_EQ(round.compared, 1u);
  EXPECT_EQ(checked_["public.u"].rows, 1u);
}

// Also when it was killed in between: what it had compared by then is known, and the rest is due.
TEST_F(SentinelTest, ByItselfItComparesWhatIsDue) {
  Start("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)");
  EXPECT_EQ(Run({}).compared, 2u) << "never compared";
  const auto note = [&](const std::string& table) {
    const auto file = LogFile::Open(branch_->log_path(), {}).value();
    const OpenStores stores = OpenStores::Open(file.get()).value();
    ASSERT_TRUE(stores.state->Write(kCheckedNote, checked_[table], table).ok());
  };
  note("public.t");
  EXPECT_EQ(Run({}).compared, 1u);
  EXPECT_EQ(checked_.count("public.u"), 1u);
  note("public.u");
  EXPECT_EQ(Run({}).compared, 0u);
  later_ = absl::Hours(25);
  EXPECT_EQ(Run({}).compared, 2u) << "a night has passed";
  note("public.t");
  note("public.u");
  branch_->Sql("INSERT INTO t VALUES (1); ALTER TABLE t ADD COLUMN v text; INSERT INTO t VALUES (2)");
  ASSERT_TRUE(branch_->CatchUp().ok());
  EXPECT_EQ(Run({}).compared, 1u);
  EXPECT_EQ(checked_.count("public.t"), 1u) << "it was declared anew";
}

// No row may be written for long: the catalog tells.
TEST_F(SentinelTest, ATableThatWasAlteredIsDueOnceAlthoughNobodyWritesIt) {
  Start(
      "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'v'); CREATE DOMAIN price AS "
      "numeric(12,2); CREATE TABLE u (id int PRIMARY KEY, at timestamptz(3), p price, a int[], g int GENERATED ALWAYS AS "
      "(id) STORED)");
  const auto note = [&] {
    const auto file = LogFile::Open(branch_->log_path(), {}).value();
    const OpenStores stores = OpenStores::Open(file.get()).value();
    for (const auto& [table, checked] : checked_) ASSERT_TRUE(stores.state->Write(kCheckedNote, checked, table).ok());
  };
  EXPECT_EQ(Run({}).compared, 2u) << "never compared";
  note();
  EXPECT_EQ(Run({}).compared, 0u);
  branch_->Sql("ALTER TABLE t ADD note text, ALTER v TYPE varchar(20)");
  EXPECT_EQ(Run({}).compared, 1u);
  EXPECT_EQ(checked_.count("public.t"), 1u);
  note();
  EXPECT_EQ(Run({}).compared, 0u) << "although there was nothing to declare it for";
  branch_->Sql("ALTER TABLE t ADD taxed boolean DEFAULT true");
  EXPECT_EQ(Run({}).compared, 1u);
  note();
  EXPECT_EQ(Run({}).compared, 0u);
  EXPECT_EQ(branch_->Changes().back(), "reconcile update public.t (1) taxed=t");
  sentinel_ = nullptr;
  EXPECT_EQ(Run({}).compared, 0u) << "also of another process: all of it is declared";
}

int64_t StatusKb(const std::string& field) {
  const std::string status = test::ReadFile("/proc/self/status");
  const size_t at = status.find(field);
  int64_t kb = 0;
  return at != std::string::npos &&
                 absl::SimpleAtoi(status.substr(at + field.size(), status.find(" kB", at) - at - field.size()), &kb)
             ? kb
             : 0;
}

// Goal: memory does not grow with the table. ASSAY_SENTINEL_ROWS=1000000 measures: ten cells a row.
TEST_F(SentinelTest, OneWrongCellAmongMillionsInFlatMemory) {
  const char* size = std::getenv("ASSAY_SENTINEL_ROWS");
  const std::string rows = size == nullptr ? "30000" : size;
  Start(absl::StrCat(
      "CREATE TABLE t (id int PRIMARY KEY, a int, b text, c text, d numeric, e date, f text, g int, h int, i int, "
      "j text); INSERT INTO t SELECT i, i, 'item ' || i, 'c', i / 8.0, '2026-01-01', 'f', 1, 2, 3, 'j' FROM "
      "generate_series(1, ",
      rows, ") i"));
  Unseen(absl::StrCat("UPDATE t SET f = 'wrong' WHERE id = ", rows));
  const int64_t before = StatusKb("VmRSS:");
  int64_t most = before;
  at_piece_ = [&] { most = std::max(most, StatusKb("VmRSS:")); };
  const absl::Time begun = absl::Now();
  const CheckedTable checked = Check();
  EXPECT_THAT(Cells(checked), ElementsAre(absl::StrCat(rows, " f: wrong/f")));
  const int64_t grown = std::max(most, StatusKb("VmRSS:")) - before;
  std::printf("%s rows, %lld cells: %s, %lld MB more than before\n", rows.c_str(),
              static_cast<long long>(checked.cells), absl::FormatDuration(absl::Now() - begun).c_str(),
              static_cast<long long>(grown >> 10));
  EXPECT_LT(grown, 150 << 10);
}

}  // namespace
}  // namespace assay
