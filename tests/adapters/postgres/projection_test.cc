// Projection against a real server: what is read is what PostgreSQL holds, and a batch is written whole, or nothing of
// it and why.
#include <deque>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "tests/adapters/postgres/projection_fixture.h"

namespace assay {
namespace {

using test::MustSql;
using test::SqlSession;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// ---- Reading ----

// Goal: a value read is byte for byte the value captured, or every row would look changed.
// Method: types whose cast to text differs from their own text, under strange settings, read and captured.
TEST_F(ProjectionTest, ReadsValuesAsCaptureSendsThem) {
  Sql(absl::StrCat("ALTER DATABASE ", branch_->slot(), " SET datestyle = 'SQL, DMY'; ALTER DATABASE ", branch_->slot(),
                   " SET timezone = 'Asia/Kolkata'; ALTER DATABASE ", branch_->slot(), " SET extra_float_digits = -3"));
  Enrol(
      "id int PRIMARY KEY, b bool, c char(5), i inet, h \"char\", d date, z timestamptz, f float8, y bytea, m money, "
      "a text[], x xml, v interval, bits bit(3)");
  branch_->Start();
  Sql("SET datestyle = 'ISO'; SET timezone = 'UTC'; INSERT INTO t VALUES (1, true, 'ab', '10.0.0.1', 'q', '2024-03-04', "
      "'2024-01-01 00:00+00', 0.1::float8 + 0.2, '\\x00ff', 12.5, ARRAY['a,b', NULL, 'NULL'], '<a>1</a>', '-1 mon +2 days', "
      "B'101')");
  const ReadReply::Table table = Read({{"1"}});
  EXPECT_EQ(Show(table.rows[0]),
            "1,t,ab   ,10.0.0.1,q,2024-03-04,2024-01-01 00:00:00+00,0.30000000000000004,\\x00ff,$12.50,"
            "{\"a,b\",NULL,\"NULL\"},<a>1</a>,-1 mons +2 days,101");
  std::string captured = "insert public.t (";
  for (size_t i = 0; i < table.shape->columns.size(); ++i) {
    absl::StrAppend(&captured, i == 0 ? "" : " ", table.shape->columns[i].name, "=",
                    table.rows[0].values[i].value_or("NULL"));
  }
  EXPECT_THAT(branch_->Captured(), ElementsAre(captured + ")"));
  // And written back, it is the same value.
  std::vector<std::string> columns;
  std::vector<ColumnText> values;
  for (size_t i = 1; i < table.shape->columns.size(); ++i) {
    columns.push_back(table.shape->columns[i].name);
    values.push_back(table.rows[0].values[i]);
  }
  ASSERT_EQ(Project(columns, {Insert({"2"}, values)}).outcome, Outcome::kCommitted);
  EXPECT_EQ(Show(Read({{"2"}}).rows[0]).substr(1), Show(table.rows[0]).substr(1));
}

TEST_F(ProjectionTest, ReadTellsShapeAndAbsence) {
  Enrol("v numeric(12,2), b int, a int, twice int GENERATED ALWAYS AS (b * 2) STORED, PRIMARY KEY (b, a)");
  Sql("INSERT INTO t VALUES (1.5, 1, 2)");
  // By the columns' names, a before b.
  const ReadReply::Table table = Read({{"2", "1"}, {"3", "1"}, {"2", "x"}, {"1"}, {"1", "99999999999"}});
  ASSERT_TRUE(table.shape.has_value()) << table.refusal;
  EXPECT_EQ(*table.shape, (TableShape{.name = kT,
                                      .columns = {{"v", "numeric(12,2)", false, false, 1},
                                                  {"b", "integer", true, false, 2},
                                                  {"a", "integer", true, false, 3},
                                                  {"twice", "integer", false, true, 4}},
                                      .key = {2, 1}}));
  ASSERT_EQ(table.rows.size(), 5u);
  EXPECT_EQ(Show(table.rows[0]), "1.50,1,2,NULL");
  for (int i = 1; i < 5; ++i) EXPECT_EQ(Show(table.rows[i]), "-") << i;
}

TEST_F(ProjectionTest, TablesThatTakeNoPartAreRefusedByName) {
  Enrol("id int PRIMARY KEY");
  Sql("CREATE TABLE apart (id int PRIMARY KEY); CREATE VIEW v AS SELECT 1 AS id; CREATE TABLE \"" +
      std::string(63, 'x') + "\" (id int PRIMARY KEY); ALTER PUBLICATION assay ADD TABLE \"" + std::string(63, 'x') +
      "\"");
  const auto refusal = [&](const TableName& name) {
    const ReadReply::Table table = Read({{"1"}}, name);
    EXPECT_FALSE(table.shape.has_value()) << name.ToString();
    return table.refusal;
  };
  EXPECT_THAT(refusal({"public", "nowhere"}), HasSubstr("no table public.nowhere"));
  EXPECT_THAT(refusal({"public", "apart"}), AllOf(HasSubstr("public.apart"), HasSubstr("assay init")));
  EXPECT_THAT(refusal({"public", "v"}), HasSubstr("takes part"));
  EXPECT_THAT(refusal({"assay", "progress"}), HasSubstr("takes part"));
  EXPECT_THAT(refusal({"pg_catalog", "pg_class"}), HasSubstr("takes part"));
  // Cut to 63 bytes it would be a table that exists.
  EXPECT_THAT(refusal({"public", std::string(70, 'x')}), HasSubstr("no table"));
  EXPECT_NE(refusal({"public", "\xff\xfe"}), "");
  EXPECT_NE(refusal({"public", std::string("t\0x", 3)}), "");
  EXPECT_THAT(refusal({"public", "t; DROP TABLE t"}), HasSubstr("no table"));
  EXPECT_TRUE(Read({{"1"}}).shape.has_value());
}

TEST_F(ProjectionTest, FenceFollowsEverythingTheReadSaw) {
  Enrol("id int PRIMARY KEY");
  branch_->Start();
  Sql("INSERT INTO t VALUES (1)");
  ASSERT_TRUE(database_->Read({.tables = {{kT, {{"1"}}}}, .fence = "nonce"}).ok());
  bool row = false, fence = false;
  for (int i = 0; i < 10 && !fence; ++i) {
    auto batch = branch_->capture().Next(absl::Seconds(1));
    ASSERT_TRUE(batch.ok());
    for (const CaptureItem& item : batch->items) {
      row |= item.kind == CaptureItem::Kind::kInsert;
      if (item.kind == CaptureItem::Kind::kMessage && item.prefix == kFencePrefix) {
        fence = true;
        EXPECT_EQ(item.content, "nonce");
        EXPECT_TRUE(row);
      }
    }
  }
  EXPECT_TRUE(fence);
}

TEST_F(ProjectionTest, RowsAreFoundByTheKeysIndex) {
  Sql("CREATE EXTENSION citext");
  Enrol("id citext PRIMARY KEY, v text");
  Sql("INSERT INTO t SELECT 'Key' || i, 'v' FROM generate_series(1, 20000) i; ANALYZE t");
  const ReadReply::Table table = Read({{"Key5"}, {"Key6"}, {"Key0"}});
  EXPECT_EQ(Show(table.rows[0]), "Key5,v");
  EXPECT_EQ(Show(table.rows[1]), "Key6,v");
  EXPECT_EQ(Show(table.rows[2]), "-");
  EXPECT_EQ(
      Project({"v"}, {Update({"Key5"}, {"new"}, table.rows[0].xmin), Delete({"Key6"}, table.rows[1].xmin)}).outcome,
      Outcome::kCommitted);
  EXPECT_EQ(Value("SELECT v FROM t WHERE id = 'key5'"), "new");
  absl::SleepFor(absl::Milliseconds(1100));  // Statistics are reported once a second.
  Read({});
  database_.reset();
  absl::SleepFor(absl::Milliseconds(200));
  EXPECT_LE(std::stoi(Value("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 't'")),
            2);  // ANALYZE, CREATE INDEX.
}

// Each statement has its time, however many rows a transaction has and however cold they are.
TEST_F(ProjectionTest, ManyRowsAreReadAFewThousandAtATime) {
  Enrol("id int PRIMARY KEY, v text");
  Sql("INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 10000, 7) i");
  Sql(absl::StrCat("ALTER DATABASE ", Value("SELECT current_database()"), " SET log_statement = 'all'"));
  database_ = std::make_unique<PostgresDatabase>(ProjectionOptions{.conninfo = branch_->url()});
  std::vector<RowKey> keys;
  for (int i = 1; i <= 10'000; ++i) keys.push_back({absl::StrCat(i)});
  const ReadReply::Table table = Read(keys);
  ASSERT_EQ(table.rows.size(), keys.size());
  for (int i = 1; i <= 10'000; ++i) {
    EXPECT_EQ(Show(table.rows[i - 1]), i % 7 == 1 ? absl::StrCat(i, ",v", i) : "-");
  }
  int statements = 0;
  for (const absl::string_view line : absl::StrSplit(server_->Log(), '\n')) {
    statements += absl::StrContains(line, "execute assay_") && absl::StrContains(line, "\"public\".\"t\"");
  }
  EXPECT_GE(statements, 3);
}

TEST_F(ProjectionTest, ChangedTableIsSeenByTheNextRead) {
  Enrol("id int PRIMARY KEY, v text");
  Sql("INSERT INTO t VALUES (1, 'a')");
  EXPECT_EQ(Show(Read({{"1"}}).rows[0]), "1,a");
  Sql("ALTER TABLE t DROP COLUMN v; ALTER TABLE t RENAME id TO number");
  EXPECT_EQ(Show(Read({{"1"}}).rows[0]), "1");  // At once, since what was known fails.
  Sql("ALTER TABLE t ADD COLUMN w int DEFAULT 7");
  absl::SleepFor(absl::Milliseconds(300));
  EXPECT_EQ(Show(Read({{"1"}}).rows[0]), "1,7");
}

TEST_F(ProjectionTest, RowsHiddenByAPolicyAreAnErrorAndNotAbsent) {
  Enrol("id int PRIMARY KEY");
  Sql("INSERT INTO t VALUES (1); ALTER TABLE t ENABLE ROW LEVEL SECURITY");
  const ReadReply::Table table = Read({{"1"}});
  EXPECT_FALSE(table.shape.has_value());
  EXPECT_THAT(table.refusal, HasSubstr("row-level security"));
}

// ---- Writing ----

TEST_F(ProjectionTest, BatchIsOneTransactionTaggedFirst) {
  Enrol("id int PRIMARY KEY, v text");
  Sql("INSERT INTO t VALUES (1, 'a'), (2, 'b')");
  branch_->Start();
  branch_->Captured();
  const ReadReply::Table table = Read({{"1"}, {"2"}});
  ASSERT_EQ(Project({"v"}, {Insert({"3"}, {"c"}), Update({"2"}, {std::nullopt}, table.rows[1].xmin),
                            Delete({"1"}, table.rows[0].xmin)})
                .outcome,
            Outcome::kCommitted);
  EXPECT_THAT(branch_->Captured(),
              ElementsAre("message assay.projection tag 1; delete public.t (id=1 v=a); "
                          "update public.t (id=2 v=b) to (id=2 v=NULL); insert public.t (id=3 v=c)"));
  EXPECT_EQ(Value("SELECT batch FROM assay.progress"), "1");
  EXPECT_EQ(*database_->LastBatch(), 1u);
}

TEST_F(ProjectionTest, EmptyBatchIsStillNotedAndTagged) {
  branch_->Start();
  EXPECT_EQ(Project(std::vector<TableWrites>{}).outcome, Outcome::kCommitted);
  EXPECT_THAT(branch_->Captured(), ElementsAre("message assay.projection tag 1"));
  EXPECT_EQ(*database_->LastBatch(), 1u);
}

TEST_F(ProjectionTest, AnyRowThatMovedStopsAllAndOneIsNamed) {
  Enrol("id int PRIMARY KEY, v text");
  Sql("INSERT INTO t SELECT i, 'old' FROM generate_series(1, 5) i");
  const ReadReply::Table table = Read({{"1"}, {"2"}, {"3"}, {"4"}});
  Sql("UPDATE t SET v = v WHERE id = 1; DELETE FROM t WHERE id = 2");
  const RowWrite update = Update({"3"}, {"x"}, table.rows[2].xmin), erase = Delete({"4"}, table.rows[3].xmin),
                 insert = Insert({"6"}, {"x"});
  EXPECT_THAT(Moved(Project({"v"}, {update, Delete({"2"}, table.rows[1].xmin), erase, insert})), ElementsAre(1));
  EXPECT_THAT(Moved(Project({"v"}, {Update({"1"}, {"x"}, table.rows[0].xmin), update, erase, insert})), ElementsAre(0));
  EXPECT_THAT(Moved(Project({"v"}, {update, erase, Insert({"5"}, {"x"}), insert})), ElementsAre(2));
  EXPECT_EQ(Rows(), "1,old;3,old;4,old;5,old");
  EXPECT_EQ(*database_->LastBatch(), 0u);
}

TEST_F(ProjectionTest, RowChangedWhileItsLockIsAwaitedHasMoved) {
  Enrol("id int PRIMARY KEY, v text");
  Sql("INSERT INTO t VALUES (1, 'old')");
  const uint32_t xmin = Xmin("1");
  auto app = Session();
  ASSERT_TRUE(app->Run("BEGIN; UPDATE t SET v = 'app' WHERE id = 1; INSERT INTO t VALUES (2, 'app')").ok());
  std::thread committing([&] {
    absl::SleepFor(absl::Milliseconds(80));
    EXPECT_TRUE(app->Run("COMMIT").ok());
  });
  EXPECT_THAT(Moved(Project({"v"}, {Update({"1"}, {"x"}, xmin)})), ElementsAre(0));
  committing.join();
  EXPECT_EQ(Rows(), "1,app;2,app");
}

TEST_F(ProjectionTest, InsertAwaitingAnotherInsertHasMoved) {
  Enrol("id int PRIMARY KEY, v text");
  auto app = Session();
  ASSERT_TRUE(app->Run("BEGIN; INSERT INTO t VALUES (1, 'app')").ok());
  std::thread committing([&] {
    absl::SleepFor(absl::Milliseconds(80));
    EXPECT_TRUE(app->Run("COMMIT").ok());
  });
  EXPECT_THAT(Moved(Project({"v"}, {Insert({"1"}, {"x"})})), ElementsAre(0));
  committing.join();
  EXPECT_EQ(Rows(), "1,app");
}

TEST_F(ProjectionTest, EveryRowThatCannotBeWrittenIsNamedWithItsCause) {
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

TEST_F(ProjectionTest, UnknownTablesColumnsAndKeysAreRefused) {
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

TEST_F(ProjectionTest, TableDroppedSinceItWasReadIsRefusedAndTheRestGoesOn) {
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

TEST_F(ProjectionTest, TriggersAndForeignKeysStayQuietAndGeneratedColumnsAreComputed) {
  branch_->Enrol("parent", "id int PRIMARY KEY");
  Enrol(
      "id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent int REFERENCES parent, n int, "
      "twice int GENERATED ALWAYS AS (n * 2) STORED, d text DEFAULT 'default'");
  Sql("CREATE TABLE fired (x int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO fired VALUES (1); "
      "RETURN NEW; END $$; CREATE TRIGGER f BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()");
  EXPECT_EQ(Project({"parent", "n"}, {Insert({"5"}, {"99", "21"})}).outcome, Outcome::kCommitted);
  EXPECT_EQ(Rows(), "5,99,21,42,default");
  EXPECT_EQ(Rows("fired"), "");
}

// The engine takes rows of that xmin for what it wrote: a trigger that answers us may have written them otherwise, or
// others with them.
TEST_F(ProjectionTest, NoXminIsToldWhereATriggerOrARuleAnswers) {
  Enrol("id int PRIMARY KEY, v text");
  EXPECT_NE(Project({"v"}, {Insert({"1"}, {"a"})}).xmin, 0u);
  Sql("CREATE TABLE audit (id int); GRANT ALL ON audit TO PUBLIC;"
      "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;"
      "CREATE TRIGGER shout BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION shout()");
  const auto told = [this](const std::string& sql, const char* key) {
    Sql(sql);
    absl::SleepFor(absl::Milliseconds(250));  // What is known of a table is looked at anew by then.
    Read({{key}});
    const ProjectReply reply = Project({"v"}, {Insert({key}, {"a"})});
    EXPECT_EQ(reply.outcome, Outcome::kCommitted) << reply.status;
    return reply.xmin;
  };
  EXPECT_NE(told("SELECT 1", "2"), 0u) << "it does not fire for us";
  EXPECT_EQ(told("ALTER TABLE t ENABLE ALWAYS TRIGGER shout", "3"), 0u);
  EXPECT_EQ(told("ALTER TABLE t ENABLE REPLICA TRIGGER shout", "4"), 0u);
  EXPECT_NE(told("DROP TRIGGER shout ON t", "5"), 0u);
  EXPECT_EQ(
      told(
          "CREATE RULE also AS ON DELETE TO t DO ALSO INSERT INTO audit VALUES (1); ALTER TABLE t ENABLE ALWAYS RULE also",
          "6"),
      0u);
  EXPECT_EQ(Rows(), "1,a;2,a;3,a;4,a;5,a;6,a");
}

TEST_F(ProjectionTest, NumbersAndTextsAreNotCutInSilence) {
  Enrol("id int PRIMARY KEY, s varchar(3), c char(3), b bit(3), n numeric(4,1)");
  EXPECT_THAT(Refused(Project({"s", "c", "b", "n"},
                              {Insert({"1"}, {"abcd", "a", "101", "1"}), Insert({"2"}, {"a", "abcd", "101", "1"}),
                               Insert({"3"}, {"a", "a", "1011", "1"}), Insert({"4"}, {"a", "a", "101", "1234.5"}),
                               Insert({"5"}, {"abc", "abc", "101", "123.5"})})),
              ElementsAre("0:22001", "1:22001", "2:22026", "3:22003"));
}

TEST_F(ProjectionTest, AValueOfAnotherTypeIsRefusedUnlessAllOfItIsHeld) {
  Enrol("id int PRIMARY KEY, n numeric(12,2), t timestamp(0), i int, c char(5), d date");
  const std::vector<std::string> types = {"numeric(14,4)", "timestamp(3) without time zone", "text",
                                          "character varying(9)", "timestamp without time zone"};
  const auto writes = [&](std::deque<RowWrite> rows) {
    return std::vector<TableWrites>{{kT, {"n", "t", "i", "c", "d"}, std::move(rows), types}};
  };
  const std::vector<ColumnText> fits = {"7.5000", "2024-05-01 10:00:00", "5", "ab", "2024-05-01 00:00:00"};
  const auto but = [&](size_t column, const std::string& value) {
    std::vector<ColumnText> values = fits;
    values[column] = value;
    return values;
  };
  EXPECT_THAT(Refused(Project(writes({Insert({"1"}, but(0, "7.5012")), Insert({"2"}, but(1, "2024-05-01 10:00:00.125")),
                                      Insert({"3"}, but(2, "05")), Insert({"4"}, but(4, "2024-05-01 10:00:00")),
                                      Insert({"5"}, fits)}))),
              ElementsAre("0:22000", "1:22000", "2:22000", "3:22000"));
  EXPECT_EQ(Project(writes({Insert({"5"}, fits), Insert({"6"}, but(0, "-100.0000"))})).outcome, Outcome::kCommitted);
  EXPECT_EQ(Rows(), "5,7.50,2024-05-01 10:00:00,5,ab   ,2024-05-01;6,-100.00,2024-05-01 10:00:00,5,ab   ,2024-05-01");
  EXPECT_THAT(Refused(Project(writes({Update({"5"}, but(0, "0.001"), Xmin("5"))}))), ElementsAre("0:22000"));
  EXPECT_EQ(Project(writes({Update({"5"}, but(0, "0.01"), Xmin("5"))})).outcome, Outcome::kCommitted);
  EXPECT_THAT(Refused(Project({"n"}, {Update({"5"}, {"0.001"}, Xmin("5"))})), ElementsAre("0:22000"))
      << "also where the types agree";
}

TEST_F(ProjectionTest, HostileNamesAndValuesAreOnlyNamesAndValues) {
  const std::string name = "é\"; DROP TABLE t; -- '" + std::string(40, 'x');
  const std::string quoted = "\"é\"\"; DROP TABLE t; -- '" + std::string(40, 'x') + "\"";
  Sql(absl::StrCat("CREATE SCHEMA ", quoted, "; GRANT USAGE ON SCHEMA ", quoted, " TO assay_projector"));
  branch_->Enrol(absl::StrCat(quoted, ".", quoted),
                 absl::StrCat(quoted, " text PRIMARY KEY, \"select\" text, \"A b\" text"));
  const std::vector<ColumnText> values = {"'; DROP TABLE t; --", "{\"a\\\",NULL} \\ $1 \n\t\r 😀"};
  ASSERT_EQ(
      Project({{{name, name}, {"select", "A b"}, {Insert({"NULL"}, values), Insert({""}, {"NULL", std::nullopt})}}})
          .outcome,
      Outcome::kCommitted);
  const ReadReply::Table table = Read({{"NULL"}, {""}, {"' OR true --"}}, {name, name});
  EXPECT_EQ(table.rows[0].values[1], values[0]);
  EXPECT_EQ(table.rows[0].values[2], values[1]);
  EXPECT_EQ(Show(table.rows[1]), ",NULL,NULL");
  EXPECT_EQ(table.rows[1].values[1], "NULL");
  EXPECT_FALSE(table.rows[2].exists);
}

// Enough new rows for COPY, which has an escaping of its own and no word for a row that is there already.
// Each text in rows of its own: one that COPY refuses sends all rows of its table the slow way, on which nothing is
// escaped.
TEST_F(ProjectionTest, ManyNewRowsAreStoredAsTheyAre) {
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

TEST_F(ProjectionTest, AmongManyNewRowsThoseThatAreThereHaveMovedAndNothingIsWritten) {
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

TEST_F(ProjectionTest, KeyAmongManyThatWouldBeStoredInAnotherSpellingIsNamed) {
  Enrol("id numeric(8,2) PRIMARY KEY, v text");
  std::deque<RowWrite> rows;
  for (int id = 0; id < 100; ++id) rows.push_back(Insert({absl::StrCat(id, id == 42 ? "" : ".00")}, {"v"}));
  EXPECT_THAT(Refused(Project({"v"}, rows)), ElementsAre("42:23505"));
  EXPECT_EQ(Rows(), "");
}

TEST_F(ProjectionTest, ManyRowsOfWhichOneCannotBeStoredNameThatOne) {
  Enrol("id integer PRIMARY KEY, v integer CHECK (v <> 13), w varchar(3)");
  std::deque<RowWrite> rows;
  for (int id = 0; id < 100; ++id)
    rows.push_back(Insert({absl::StrCat(id)}, {absl::StrCat(id), id == 50 ? "four" : "abc"}));
  EXPECT_THAT(Refused(Project({"v", "w"}, rows)), ElementsAre("13:23514", "50:22001"));
  EXPECT_EQ(Rows(), "");
}

TEST_F(ProjectionTest, PartitionedTableIsWrittenThroughItsRoot) {
  Sql("CREATE TABLE r (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE r1 PARTITION OF r FOR VALUES FROM (0) TO (10);"
      "CREATE TABLE r2 PARTITION OF r FOR VALUES FROM (10) TO (20); ALTER PUBLICATION assay ADD TABLE r;"
      "GRANT SELECT, INSERT, UPDATE, DELETE ON r TO assay_projector; INSERT INTO r VALUES (1, 'a'), (11, 'b')");
  const TableName r{"public", "r"};
  const ReadReply::Table table = Read({{"1"}, {"11"}, {"2"}}, r);
  ASSERT_EQ(
      Project({{r,
                {"v"},
                {Update({"1"}, {"x"}, table.rows[0].xmin), Delete({"11"}, table.rows[1].xmin), Insert({"12"}, {"c"})}}})
          .outcome,
      Outcome::kCommitted);
  EXPECT_EQ(Rows("r"), "1,x;12,c");
  EXPECT_THAT(Refused(Project({{r, {"v"}, {Insert({"99"}, {"no partition"})}}})), ElementsAre("0:23514"));
}

// ---- Values that depend on each other ----

class ExchangeTest : public ProjectionTest {
 protected:
  void SetUp() override {
    ProjectionTest::SetUp();
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

class DeferredTest : public ProjectionTest {
 protected:
  void SetUp() override {
    ProjectionTest::SetUp();
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
TEST_F(ProjectionTest, DeferredRuleTakesRowsThatSatisfyItTogetherAndNamesThoseThatDoNot) {
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
class SpellingTest : public ProjectionTest, public ::testing::WithParamInterface<std::vector<std::string>> {};

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

TEST_F(ProjectionTest, KeyThatWouldBeStoredInAnotherSpellingIsNamed) {
  Enrol("id numeric(8,2) PRIMARY KEY, v text");
  EXPECT_THAT(Refused(Project({"v"}, {Insert({"1"}, {"a"}), Insert({"2.00"}, {"b"})})), ElementsAre("0:23505"));
  EXPECT_EQ(Rows(), "");
}

// ---- Rights ----

TEST_F(ProjectionTest, LoginNeedsNoMoreThanTheProjectorsRole) {
  Enrol("id int PRIMARY KEY, v text");
  Sql("DO $$ BEGIN CREATE ROLE clerk LOGIN; EXCEPTION WHEN duplicate_object THEN END $$; GRANT assay_projector TO clerk;"
      "GRANT SET ON PARAMETER session_replication_role TO clerk");
  database_ = std::make_unique<PostgresDatabase>(ProjectionOptions{.conninfo = server_->Url(branch_->slot(), "clerk")});
  EXPECT_EQ(Project({"v"}, {Insert({"1"}, {"a"})}).outcome, Outcome::kCommitted);
  EXPECT_EQ(Show(Read({{"1"}}).rows[0]), "1,a");
  // A right that is missing refuses that table, and names it.
  Sql("REVOKE INSERT ON t FROM assay_projector");
  EXPECT_THAT(Refused(Project({"v"}, {Insert({"2"}, {"a"})})), ElementsAre("0:42501"));
  Sql("REVOKE ALL ON t FROM assay_projector");
  EXPECT_THAT(Read({{"1"}}).refusal, HasSubstr("permission denied for table t"));
}

TEST_F(ProjectionTest, MissingRoleNamesTheRemedy) {
  Sql("DO $$ BEGIN CREATE ROLE stranger LOGIN; EXCEPTION WHEN duplicate_object THEN END $$");
  PostgresDatabase database({.conninfo = server_->Url(branch_->slot(), "stranger")});
  const absl::Status status = database.LastBatch().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("assay doctor"));
}

TEST_F(ProjectionTest, TenThousandRowsGoThroughInABatch) {
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

TEST_F(ProjectionTest, HundredMegabytesGoThrough) {
  Enrol("id int PRIMARY KEY, v text");
  const ProjectReply reply = Project({"v"}, {Insert({"1"}, {std::string(100'000'000, 'x')}), Insert({"2"}, {"small"})});
  ASSERT_EQ(reply.outcome, Outcome::kCommitted) << reply.status;
  EXPECT_EQ(Read({{"1"}}).rows[0].values[1]->size(), 100'000'000u);
}

}  // namespace
}  // namespace assay
