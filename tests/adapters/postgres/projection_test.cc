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

}  // namespace
}  // namespace assay
