// Goal: the rows that PostgreSQL will not take are named, each with its cause and no other; and those pass that fail
// only by the order in which they are written. Method: projections into a real server (adapters/postgres/row_writer.h).
#include "adapters/postgres/row_writer.h"

#include <deque>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/adapters/postgres/projection_fixture.h"

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RowWriterTest : public ProjectionTest {};

// ---- Rows that cannot be written ----

TEST_F(RowWriterTest, EveryRowThatCannotBeWrittenIsNamedWithItsCause) {
  Enrol(
      "id int PRIMARY KEY, n int NOT NULL CHECK (n > 0), u text UNIQUE, s varchar(3), during int4range, "
      "EXCLUDE USING gist (during WITH &&)");
  Sql("INSERT INTO t VALUES (100, 1, 'taken', 'a', '[1,10)')");
  const uint32_t xmin = Xmin("100");
  std::deque<RowWrite> rows;
  for (int i = 0; i < 300; ++i)
    rows.push_back(Insert({absl::StrCat(1000 + i)}, {"1", absl::StrCat("u", i), "abc", std::nullopt}));
  rows[7] = Insert({"1"}, {std::nullopt, "a", "a", std::nullopt});
  rows[50] = Insert({"2"}, {"-1", "b", "a", std::nullopt});
  rows[51] = Insert({"3"}, {"1", "taken", "a", std::nullopt});
  rows[52] = Insert({"4"}, {"1", "c", "longer", std::nullopt});
  rows[200] = Insert({"five"}, {"1", "d", "a", std::nullopt});
  rows[201] = Insert({"6"}, {"one", "e", "a", std::nullopt});
  rows[202] = Insert({"7"}, {"1", "f", "a", "[5,6)"});
  rows[203] = Insert({"8"}, {"1", "\xff", "a", std::nullopt});
  rows[204] = Insert({"9"}, {"1", std::string("a\0b", 3), "a", std::nullopt});
  rows[299] = Update({"100"}, {"0", "g", "a", std::nullopt}, xmin);
  EXPECT_THAT(Refused(Project({"n", "u", "s", "during"}, rows)),
              ElementsAre("200:22P02", "201:22P02", "202:23P01", "203:22021", "204:22021", "299:23514", "50:23514",
                          "51:23505", "52:22001", "7:23502"));
  EXPECT_EQ(Value("SELECT count(*) FROM t"), "1");
  EXPECT_EQ(*database_->LastBatch(), 0u);
  // What PostgreSQL says about the constraint, and nothing of other rows.
  const ProjectReply reply = Project({"n", "u"}, {Insert({"3"}, {"1", "taken"})});
  ASSERT_EQ(reply.rows.size(), 1u);
  EXPECT_EQ(reply.rows[0].cause,
            "duplicate key value violates unique constraint \"t_u_key\": Key (u)=(taken) already exists");
}

TEST_F(RowWriterTest, UnknownTablesColumnsAndKeysAreRefused) {
  Enrol("id int PRIMARY KEY, v text, g int GENERATED ALWAYS AS (1) STORED");
  EXPECT_THAT(Refused(Project({"v", "later"}, {Insert({"1"}, {"a", "b"})})), ElementsAre("0:42703"));
  EXPECT_THAT(Refused(Project({"g"}, {Insert({"1"}, {"a"})})), ElementsAre("0:42703"));
  EXPECT_THAT(Refused(Project({"id"}, {Insert({"1"}, {"a"})})), ElementsAre("0:42703"));
  EXPECT_THAT(Refused(Project({"v\" = 'x'; --"}, {Insert({"1"}, {"a"})})), ElementsAre("0:42703"));
  EXPECT_THAT(Refused(Project({"v"}, {Insert({"1", "2"}, {"a"}), Insert({"3"}, {"a"}), Insert({}, {"a"})})),
              ElementsAre("0:42804", "2:42804"));
  EXPECT_THAT(Refused(Project({{{"public", "nowhere"}, {"v"}, {Insert({"1"}, {"a"})}}})), ElementsAre("0:42P01"));
  EXPECT_THAT(Refused(Project({{{"assay", "progress"}, {"batch"}, {Insert({"f"}, {"9"})}}})), ElementsAre("0:42P01"));
  EXPECT_EQ(Rows(), "");
}

TEST_F(RowWriterTest, TableDroppedSinceItWasReadIsRefusedAndTheRestGoesOn) {
  Enrol("id int PRIMARY KEY, v text");
  branch_->Enrol("other", "id int PRIMARY KEY, v text");
  Read({{"1"}});
  Read({{"1"}}, {"public", "other"});
  Sql("ALTER TABLE t DROP COLUMN v");
  const std::vector<TableWrites> writes = {{kT, {"v"}, {Insert({"1"}, {"a"})}},
                                           {{"public", "other"}, {"v"}, {Insert({"1"}, {"a"})}}};
  EXPECT_THAT(Refused(Project(writes)), ElementsAre("0:42703"));
  EXPECT_EQ(Project({writes[1]}).outcome, Outcome::kCommitted);
}

// ---- Many at once ----

TEST_F(RowWriterTest, ManyNewRowsAreStoredAsTheyAre) {
  Enrol("id integer PRIMARY KEY, v text, n numeric(6,2) DEFAULT 7");
  int id = 0;
  for (const ColumnText& awkward : std::vector<ColumnText>{"a\tb", "a\nb", "a\rb", "\\", "\\N", "\\.", "\\t", "",
                                                           "NULL", std::nullopt, "'\"{},;", "größe 宝石", "\x01\x7f"}) {
    SCOPED_TRACE(awkward.value_or("NULL"));
    std::deque<RowWrite> rows;
    std::vector<RowKey> keys;
    for (int i = 0; i < 40; ++i) {
      rows.push_back(Insert({absl::StrCat(id++)}, {awkward}));
      keys.push_back(DecodeKey(rows.back().row.key()).value());
    }
    ASSERT_EQ(Project({"v"}, rows).outcome, Outcome::kCommitted);
    for (const ReadReply::Row& row : Read(keys).rows) {
      ASSERT_TRUE(row.exists);
      EXPECT_EQ(row.values[1], awkward);
      EXPECT_EQ(row.values[2], "7.00") << "the default of a column that is not named";
    }
  }
}

TEST_F(RowWriterTest, AmongManyNewRowsThoseThatAreThereHaveMovedAndNothingIsWritten) {
  Enrol("id integer PRIMARY KEY, v text UNIQUE");
  Sql("INSERT INTO t VALUES (7, 'ours'), (150, 'ours too')");
  std::deque<RowWrite> rows;
  for (int id = 0; id < 200; ++id) rows.push_back(Insert({absl::StrCat(id)}, {absl::StrCat("v", id)}));
  EXPECT_THAT(Moved(Project({"v"}, rows)), ElementsAre(7, 150));
  EXPECT_EQ(Rows(), "7,ours;150,ours too");
  Sql("DELETE FROM t; INSERT INTO t VALUES (1000, 'v7')");
  EXPECT_THAT(Refused(Project({"v"}, rows)), ElementsAre("7:23505"));
  EXPECT_EQ(Rows(), "1000,v7");
}

TEST_F(RowWriterTest, KeyAmongManyThatWouldBeStoredInAnotherSpellingIsNamed) {
  Enrol("id numeric(8,2) PRIMARY KEY, v text");
  std::deque<RowWrite> rows;
  for (int id = 0; id < 100; ++id) rows.push_back(Insert({absl::StrCat(id, id == 42 ? "" : ".00")}, {"v"}));
  EXPECT_THAT(Refused(Project({"v"}, rows)), ElementsAre("42:23505"));
  EXPECT_EQ(Rows(), "");
}

TEST_F(RowWriterTest, ManyRowsOfWhichOneCannotBeStoredNameThatOne) {
  Enrol("id integer PRIMARY KEY, v integer CHECK (v <> 13), w varchar(3)");
  std::deque<RowWrite> rows;
  for (int id = 0; id < 100; ++id)
    rows.push_back(Insert({absl::StrCat(id)}, {absl::StrCat(id), id == 50 ? "four" : "abc"}));
  EXPECT_THAT(Refused(Project({"v", "w"}, rows)), ElementsAre("13:23514", "50:22001"));
  EXPECT_EQ(Rows(), "");
}

TEST_F(RowWriterTest, TenThousandRowsGoThroughInABatch) {
  Enrol("id int PRIMARY KEY, v text");
  std::deque<RowWrite> rows;
  std::vector<RowKey> keys;
  for (int i = 0; i < 10'000; ++i) {
    keys.push_back({absl::StrCat(i)});
    rows.push_back(Insert(keys.back(), {"value"}));
  }
  ASSERT_EQ(Project({"v"}, rows).outcome, Outcome::kCommitted);
  const ReadReply::Table table = Read(keys);
  for (int i = 0; i < 10'000; ++i) rows[i] = Update(keys[i], {"new"}, table.rows[i].xmin);
  ASSERT_EQ(Project({"v"}, rows).outcome, Outcome::kCommitted);
  EXPECT_EQ(Value("SELECT count(*) FROM t WHERE v = 'new'"), "10000");
}

TEST_F(RowWriterTest, HundredMegabytesGoThrough) {
  Enrol("id int PRIMARY KEY, v text");
  const ProjectReply reply = Project({"v"}, {Insert({"1"}, {std::string(100'000'000, 'x')}), Insert({"2"}, {"small"})});
  ASSERT_EQ(reply.outcome, Outcome::kCommitted) << reply.status;
  EXPECT_EQ(Read({{"1"}}).rows[0].values[1]->size(), 100'000'000u);
}

// ---- Values that depend on each other ----

class ExchangeTest : public RowWriterTest {
 protected:
  void SetUp() override {
    RowWriterTest::SetUp();
    if (IsSkipped()) return;
    Enrol("id int PRIMARY KEY, u text UNIQUE, note text, n int GENERATED ALWAYS AS (1) STORED");
    Sql("INSERT INTO t VALUES (1, 'a', 'one'), (2, 'b', 'two'), (3, 'c', 'three'), (4, 'd', 'four')");
    for (int i = 1; i <= 4; ++i) xmin_[i] = Xmin(absl::StrCat(i));
  }
  RowWrite To(int id, const std::string& u) { return Update({absl::StrCat(id)}, {u}, xmin_[id]); }
  uint32_t xmin_[5] = {};
};

TEST_F(ExchangeTest, TwoRowsSwap) {
  ASSERT_EQ(Project({"u"}, {To(1, "b"), To(2, "a")}).outcome, Outcome::kCommitted);
  EXPECT_EQ(Rows(), "1,b,one,1;2,a,two,1;3,c,three,1;4,d,four,1");
  EXPECT_EQ(*database_->LastBatch(), 1u);
}

TEST_F(ExchangeTest, ThreeRowsRotateAndANewOneTakesAFreedValue) {
  ASSERT_EQ(Project({"u"}, {To(1, "b"), To(2, "c"), To(3, "a"), To(4, "e"), Insert({"5"}, {"d"})}).outcome,
            Outcome::kCommitted);
  EXPECT_EQ(Rows(), "1,b,one,1;2,c,two,1;3,a,three,1;4,e,four,1;5,d,NULL,1");
}

TEST_F(ExchangeTest, ChainGoesInTheOrderThatWorks) {
  ASSERT_EQ(Project({"u"}, {To(1, "b"), To(2, "c"), To(3, "d"), To(4, "e")}).outcome, Outcome::kCommitted);
  EXPECT_EQ(Rows(), "1,b,one,1;2,c,two,1;3,d,three,1;4,e,four,1");
}

TEST_F(ExchangeTest, SwapAcrossDifferentColumnSets) {
  ASSERT_EQ(Project({{kT, {"u"}, {To(1, "b")}}, {kT, {"note", "u"}, {Update({"2"}, {"new", "a"}, xmin_[2])}}}).outcome,
            Outcome::kCommitted);
  EXPECT_EQ(Rows(), "1,b,one,1;2,a,new,1;3,c,three,1;4,d,four,1");
}

TEST_F(ExchangeTest, AnIdentityColumnTakesItsValueFromAnInsert) {
  Sql("ALTER TABLE t ADD serial int GENERATED ALWAYS AS IDENTITY");
  absl::SleepFor(absl::Milliseconds(300));  // Until the catalog is read anew.
  for (int i = 1; i <= 2; ++i) xmin_[i] = Xmin(absl::StrCat(i));
  auto reply = Project({"serial"}, {To(1, "21"), To(2, "22")});
  ASSERT_EQ(reply.outcome, Outcome::kCommitted)
      << (reply.rows.empty() ? std::string("-") : reply.rows[0].sqlstate + " " + reply.rows[0].cause);
  EXPECT_EQ(Rows(), "1,a,one,1,21;2,b,two,1,22;3,c,three,1,3;4,d,four,1,4");
}

TEST_F(ExchangeTest, SwapBesideARowThatCannotPassNamesOnlyThatRow) {
  EXPECT_THAT(Refused(Project({"u"}, {To(1, "b"), To(2, "a"), To(3, "d")})), ElementsAre("2:23505"));
  EXPECT_EQ(Rows(), "1,a,one,1;2,b,two,1;3,c,three,1;4,d,four,1");
}

TEST_F(ExchangeTest, HalfASwapIsRefused) { EXPECT_THAT(Refused(Project({"u"}, {To(1, "b")})), ElementsAre("0:23505")); }

TEST_F(ExchangeTest, SwapOfARowThatMovedHasMoved) {
  Sql("UPDATE t SET note = 'app' WHERE id = 2");
  const ProjectReply reply = Project({"u"}, {To(1, "b"), To(2, "a")});
  EXPECT_NE(reply.outcome, Outcome::kCommitted);
  EXPECT_EQ(Rows(), "1,a,one,1;2,b,app,1;3,c,three,1;4,d,four,1");
}

// ---- Constraints that are checked late ----

class DeferredTest : public RowWriterTest {
 protected:
  void SetUp() override {
    RowWriterTest::SetUp();
    if (IsSkipped()) return;
    Enrol(
        "id int PRIMARY KEY, u text UNIQUE DEFERRABLE INITIALLY DEFERRED, w text UNIQUE DEFERRABLE, r int4range, "
        "EXCLUDE USING gist (r WITH &&) DEFERRABLE INITIALLY DEFERRED");
    Sql("INSERT INTO t VALUES (1, 'a', 'aa', '[1,5)'), (2, 'b', 'bb', NULL)");
  }
  // As enrolment does.
  void CheckAlways() {
    Sql("DO $$ DECLARE g name; BEGIN FOR g IN SELECT tgname FROM pg_trigger WHERE tgrelid = 't'::regclass AND tgisinternal LOOP "
        "EXECUTE format('ALTER TABLE t ENABLE ALWAYS TRIGGER %I', g); END LOOP; END $$");
  }
};

// What makes the enabling necessary: PostgreSQL takes duplicates, deferred or not, up to and over COMMIT.
TEST_F(DeferredTest, ReplicaRoleWouldNotCheckThemAtAll) {
  auto session = Session();
  ASSERT_TRUE(
      session->Run("SET session_replication_role = replica; INSERT INTO t VALUES (3, 'a', 'aa', '[2,3)')").ok());
  EXPECT_TRUE(
      session->Run("BEGIN; INSERT INTO t VALUES (4, 'a', 'aa', '[2,3)'); SET CONSTRAINTS ALL IMMEDIATE; COMMIT").ok());
  EXPECT_EQ(Value("SELECT count(*) FROM t WHERE u = 'a' AND w = 'aa'"), "3");
}

TEST_F(DeferredTest, TableWhoseDuplicatesNobodyWouldSeeIsRefused) {
  EXPECT_THAT(Read({{"1"}}).refusal, AllOf(HasSubstr("t_r_excl"), HasSubstr("run `assay init` as a superuser")));
  const ProjectReply reply = Project({"u"}, {Insert({"3"}, {"a"})});
  EXPECT_THAT(Refused(reply), ElementsAre("0:42P01"));
  CheckAlways();
  EXPECT_EQ(Read({{"1"}}).refusal, "");
  EXPECT_EQ(Project({"u"}, {Insert({"3"}, {"c"})}).outcome, Outcome::kCommitted);
}

TEST_F(DeferredTest, EachRowThatBreaksOneIsNamedAndTheOthersPass) {
  CheckAlways();
  std::deque<RowWrite> rows;
  for (int i = 0; i < 100; ++i) {
    rows.push_back(Insert({absl::StrCat(100 + i)}, {absl::StrCat("u", i), absl::StrCat("w", i), std::nullopt}));
  }
  rows[20] = Insert({"3"}, {"a", "c", std::nullopt});
  rows[50] = Insert({"4"}, {"d", "bb", std::nullopt});
  rows[77] = Insert({"5"}, {"e", "e", "[4,6)"});
  EXPECT_THAT(Refused(Project({"u", "w", "r"}, rows)), ElementsAre("20:23505", "50:23505", "77:23P01"));
  EXPECT_EQ(Value("SELECT count(*) FROM t"), "2");
  for (int bad : {77, 50, 20}) rows.erase(rows.begin() + bad);
  EXPECT_EQ(Project({"u", "w", "r"}, rows).outcome, Outcome::kCommitted);
  EXPECT_EQ(Value("SELECT count(*) FROM t"), "99");
}

TEST_F(DeferredTest, ExchangePassesAndBesideABadRowOnlyThatIsNamed) {
  CheckAlways();
  const std::deque<RowWrite> swap = {Update({"1"}, {"b", "bb"}, Xmin("1")), Update({"2"}, {"a", "aa"}, Xmin("2"))};
  std::deque<RowWrite> rows = swap;
  rows.push_back(Insert({"3"}, {"a", "c"}));
  EXPECT_THAT(Refused(Project({"u", "w"}, rows)), ElementsAre("2:23505"));
  EXPECT_EQ(Project({"u", "w"}, swap).outcome, Outcome::kCommitted);
  EXPECT_EQ(Value("SELECT string_agg(id || u || w, ' ' ORDER BY id) FROM t"), "1bbb 2aaa");
}

TEST_F(DeferredTest, UnderLocksTheRowIsNamedToo) {
  CheckAlways();
  ASSERT_TRUE(database_->Read({.tables = {{kT, {{"3"}, {"4"}}}}, .fence = "f", .lock = true, .tag = "locked"}).ok());
  EXPECT_THAT(Refused(Project({"u"}, {Insert({"3"}, {"c"}), Insert({"4"}, {"a"})}, /*locked=*/true)),
              ElementsAre("1:23505"));
}

// Goal: a rule of the shop's own that looks at COMMIT, as "the postings of a day come to nothing", is no way to stop
// everything.
TEST_F(RowWriterTest, DeferredRuleTakesRowsThatSatisfyItTogetherAndNamesThoseThatDoNot) {
  Enrol("id int PRIMARY KEY, day int, n int");
  Sql("CREATE FUNCTION even() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF (SELECT sum(n) FROM public.t WHERE day = NEW.day) <> 0 "
      "THEN RAISE 'day % is uneven', NEW.day; END IF; RETURN NULL; END $$; CREATE CONSTRAINT TRIGGER even AFTER INSERT OR UPDATE ON t "
      "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION even(); ALTER TABLE t ENABLE ALWAYS TRIGGER even");
  const std::deque<RowWrite> day1 = {Insert({"1"}, {"1", "7"}), Insert({"2"}, {"1", "-7"})};
  EXPECT_EQ(Project({"day", "n"}, day1).outcome, Outcome::kCommitted);
  const ProjectReply reply =
      Project({"day", "n"}, {Insert({"3"}, {"2", "0"}), Insert({"4"}, {"2", "5"}), Insert({"5"}, {"3", "0"})});
  EXPECT_THAT(Refused(reply), ElementsAre("1:P0001"));
  ASSERT_EQ(reply.rows.size(), 1u);
  EXPECT_EQ(reply.rows[0].cause, "day 2 is uneven");
  // Beside a row that only fails for itself, in another table of the batch.
  branch_->Enrol("other", "id int PRIMARY KEY, v int CHECK (v > 0)");
  const TableWrites other{{"public", "other"}, {"v"}, {Insert({"1"}, {"-1"})}};
  EXPECT_THAT(Refused(Project({{kT, {"day", "n"}, {Insert({"6"}, {"4", "7"}), Insert({"7"}, {"4", "-7"})}}, other})),
              ElementsAre("0:23514"));
}

// ---- Keys that are equal and not the same ----

// Goal: where PostgreSQL holds two keys to be equal that the log tells apart, neither row is written over the other,
// nor is a batch tried for ever: the one that is there stays, the other is refused by name until the key is free.
class SpellingTest : public RowWriterTest, public ::testing::WithParamInterface<std::vector<std::string>> {};

TEST_P(SpellingTest, TheRowThatIsThereStaysAndTheOtherIsNamed) {
  const std::string type = GetParam()[0], one = GetParam()[1], other = GetParam()[2];
  Sql("CREATE EXTENSION IF NOT EXISTS citext; "
      "CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)");
  Enrol(absl::StrCat("id ", type, " PRIMARY KEY, v text"));
  Sql(absl::StrCat("INSERT INTO t VALUES ('", one, "', 'a')"));
  const ReadReply::Table table = Read({{other}, {one}});
  EXPECT_EQ(Show(table.rows[0]), "-");
  EXPECT_EQ(Show(table.rows[1]), absl::StrCat(one, ",a"));
  for (int i = 0; i < 2; ++i) {
    const ProjectReply reply = Project({"v"}, {Insert({other}, {"b"})});
    EXPECT_THAT(Refused(reply), ElementsAre("0:23505"));
    ASSERT_EQ(reply.rows.size(), 1u);
    EXPECT_THAT(reply.rows[0].cause, HasSubstr("another spelling"));
  }
  EXPECT_EQ(Rows(), absl::StrCat(one, ",a"));
  auto locked = database_->Read({.tables = {{kT, {{other}}}}, .fence = "f", .lock = true, .tag = "locked"});
  ASSERT_TRUE(locked.ok()) << locked.status();
  EXPECT_FALSE(locked->tables[0].rows[0].exists);
  EXPECT_THAT(Refused(Project({"v"}, {Insert({other}, {"b"})}, /*locked=*/true)), ElementsAre("0:23505"));
  // The key gets another spelling here, or is free: both come as a delete and an insert.
  EXPECT_EQ(Project({"v"}, {Insert({other}, {"b"}), Delete({one}, table.rows[1].xmin)}).outcome, Outcome::kCommitted);
  EXPECT_EQ(Rows(), absl::StrCat(other, ",b"));
}

TEST_P(SpellingTest, OfTwoInOneBatchOneIsNamed) {
  const std::string type = GetParam()[0], one = GetParam()[1], other = GetParam()[2];
  Sql("CREATE EXTENSION IF NOT EXISTS citext; "
      "CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)");
  Enrol(absl::StrCat("id ", type, " PRIMARY KEY, v text"));
  EXPECT_THAT(Refused(Project({"v"}, {Insert({one}, {"a"}), Insert({other}, {"b"})})), ElementsAre("1:23505"));
  EXPECT_EQ(Project({"v"}, {Insert({one}, {"a"})}).outcome, Outcome::kCommitted);
  EXPECT_EQ(Rows(), absl::StrCat(one, ",a"));
}

INSTANTIATE_TEST_SUITE_P(Keys, SpellingTest,
                         ::testing::Values(std::vector<std::string>{"citext", "Ring", "RING"},
                                           std::vector<std::string>{"text COLLATE caseless", "Ring", "RING"},
                                           std::vector<std::string>{"numeric", "1.0", "1.00"},
                                           std::vector<std::string>{"interval", "24:00:00", "1 day"}));

TEST_F(RowWriterTest, KeyThatWouldBeStoredInAnotherSpellingIsNamed) {
  Enrol("id numeric(8,2) PRIMARY KEY, v text");
  EXPECT_THAT(Refused(Project({"v"}, {Insert({"1"}, {"a"}), Insert({"2.00"}, {"b"})})), ElementsAre("0:23505"));
  EXPECT_EQ(Rows(), "");
}

}  // namespace
}  // namespace assay
