// Goal: what comes back from a write is what was meant, or the row is not written: whatever a type, a trigger or a rule
// makes of it. Method: tables whose objects change, skip or repeat what a projection writes, on a real server.
#include <deque>

#include "absl/strings/str_cat.h"
#include "adapters/postgres/plain_text.h"
#include "engine/written_as.h"
#include "tests/adapters/postgres/projection_fixture.h"

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class AnswersTest : public ProjectionTest {
 protected:
  // A trigger that fires for projections, too.
  void Trigger(const std::string& when, const std::string& body, const std::string& enable = "ALWAYS") {
    Sql(absl::StrCat("CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ", body,
                     " END $$; CREATE TRIGGER touch ", when, " ON t FOR EACH ROW EXECUTE FUNCTION touch();",
                     "ALTER TABLE t ENABLE ", enable, " TRIGGER touch"));
  }
  std::string CauseOf(const ProjectReply& reply) {
    EXPECT_EQ(reply.outcome, Outcome::kRefused) << reply.status;
    return reply.rows.empty() ? "" : reply.rows[0].cause;
  }
};

TEST_F(AnswersTest, ADomainOfAnotherScaleDoesNotRoundInSilence) {
  Sql("CREATE DOMAIN weight AS numeric(10,2); CREATE TYPE dims AS (l numeric(10,2), w numeric(10,2))");
  Enrol("id int PRIMARY KEY, w weight, d dims");
  const ProjectReply reply =
      Project({"w", "d"}, {Insert({"1"}, {"8.125", "(1.12,2.33)"}), Insert({"2"}, {"8.12", "(1.125,2.33)"}),
                           Insert({"3"}, {"8.12", "(1.12,2.33)"})});
  EXPECT_THAT(Refused(reply), ElementsAre("0:22000", "1:22000"));
  EXPECT_THAT(CauseOf(reply), AllOf(HasSubstr("\"w\""), HasSubstr("'8.125'"), HasSubstr("'8.13'")));
  EXPECT_EQ(Rows(), "");
  ASSERT_EQ(Project({"w", "d"}, {Insert({"3"}, {"8.12", "(1.12,2.33)"})}).outcome, Outcome::kCommitted);
  EXPECT_THAT(Refused(Project({"w"}, {Update({"3"}, {"8.125"}, Xmin("3"))})), ElementsAre("0:22000"));
}

TEST_F(AnswersTest, AValueInAnotherSpellingIsNotWritten) {
  Enrol("id int PRIMARY KEY, n numeric, z timestamptz, j jsonb");
  EXPECT_THAT(Refused(Project({"n", "z", "j"}, {Insert({"1"}, {"0088000", "2024-05-01 10:00:00+00", "{}"}),
                                                Insert({"2"}, {"88000", "2024-05-01 15:30:00+05:30", "{}"}),
                                                Insert({"3"}, {"88000", "2024-05-01 10:00:00+00", "{ }"}),
                                                Insert({"4"}, {"88000", "2024-05-01 10:00:00+00", "{}"})})),
              ElementsAre("0:22000", "1:22000", "2:22000"));
  std::deque<RowWrite> many;
  for (int id = 0; id < 100; ++id)
    many.push_back(Insert({absl::StrCat(id)}, {id == 42 ? "1e3" : "1000", "2024-05-01 10:00:00+00", "{}"}));
  EXPECT_THAT(Refused(Project({"n", "z", "j"}, many)), ElementsAre("42:22000")) << "and none of them is copied";
}

TEST_F(AnswersTest, WhatItsWriterHasConvertedSinceIsConvertedHereToo) {
  Enrol("id int PRIMARY KEY, n numeric(12,2)");
  const std::vector<TableWrites> writes = {
      {kT, {"n"}, {Insert({"1"}, {"007"})}, {std::string(kConvertedWhereItWasWritten)}}};
  EXPECT_EQ(Project(writes).outcome, Outcome::kCommitted);
  EXPECT_EQ(Rows(), "1,7.00");
}

TEST_F(AnswersTest, ATriggerThatChangesARowOrSkipsItIsNamed) {
  Enrol("id int PRIMARY KEY, v text, updated_at text");
  Sql("INSERT INTO t VALUES (1, 'a', 'then'), (2, 'skip', 'then')");
  Trigger("BEFORE INSERT OR UPDATE OR DELETE",
          "IF TG_OP = 'DELETE' THEN RETURN NULL; END IF; IF NEW.v LIKE 'skip%' THEN RETURN NULL; END IF;"
          "IF NEW.v LIKE 'touch%' THEN NEW.updated_at = 'now'; END IF; RETURN NEW;");
  const ProjectReply reply = Project({"v"}, {Update({"1"}, {"touch"}, Xmin("1")), Insert({"3"}, {"plain"})});
  EXPECT_THAT(Refused(reply), ElementsAre("0:27000"));
  EXPECT_THAT(CauseOf(reply), AllOf(HasSubstr("\"updated_at\""), HasSubstr("'now'"), HasSubstr("'then'"),
                                    HasSubstr("trigger touch"), HasSubstr("ENABLE TRIGGER")));
  EXPECT_THAT(Refused(Project({"v"}, {Insert({"3"}, {"skip"}), Insert({"4"}, {"plain"})})), ElementsAre("0:27000"));
  EXPECT_THAT(CauseOf(Project({"v"}, {Insert({"3"}, {"skip"})})), HasSubstr("the row is not there"));
  EXPECT_THAT(Refused(Project({"v"}, {Update({"1"}, {"skip"}, Xmin("1"))})), ElementsAre("0:27000"));
  EXPECT_THAT(Refused(Project({}, {Delete({"1"}, Xmin("1"))})), ElementsAre("0:27000"));
  EXPECT_EQ(Rows(), "1,a,then;2,skip,then");
  // What it leaves alone passes; and what has moved is told as that, whatever the trigger would do.
  const uint32_t one = Xmin("1");
  EXPECT_EQ(Project({"v"}, {Update({"1"}, {"plain"}, one), Insert({"5"}, {"plain"})}).outcome, Outcome::kCommitted);
  EXPECT_THAT(Moved(Project({"v"}, {Update({"1"}, {"skip"}, one)})), ElementsAre(0));
  EXPECT_THAT(Moved(Project({"v"}, {Insert({"5"}, {"plain"})})), ElementsAre(0));
}

TEST_F(AnswersTest, ATriggerThatWritesTheRowOnceMoreIsNamed) {
  Enrol("id int PRIMARY KEY, v text");
  Trigger("AFTER INSERT", "UPDATE public.t SET v = 'after' WHERE id = NEW.id; RETURN NULL;", "REPLICA");
  std::deque<RowWrite> rows;
  for (int id = 0; id < 40; ++id) rows.push_back(Insert({absl::StrCat(id)}, {"a"}));
  EXPECT_EQ(Refused(Project({"v"}, rows)).size(), 40u);
  EXPECT_EQ(Rows(), "");
}

TEST_F(AnswersTest, ARuleThatDoesNothingInsteadIsNamed) {
  Enrol("id int PRIMARY KEY, v text");
  Sql("INSERT INTO t VALUES (1, 'a'); CREATE RULE keep AS ON DELETE TO t DO INSTEAD NOTHING;"
      "ALTER TABLE t ENABLE ALWAYS RULE keep");
  const ProjectReply reply = Project({}, {Delete({"1"}, Xmin("1"))});
  ASSERT_EQ(reply.outcome, Outcome::kRefused) << reply.status;
  EXPECT_EQ(Rows(), "1,a");
}

TEST_F(AnswersTest, OfATableThatAnswersOneRowThatCannotBeHadHoldsUpNoOther) {
  Enrol("id int PRIMARY KEY, v text CHECK (v <> 'bad')");
  Sql("INSERT INTO t VALUES (1, 'a')");
  Trigger("BEFORE INSERT", "RETURN NEW;");
  EXPECT_THAT(Refused(Project({"v"}, {Insert({"x"}, {"a"}), Insert({"2"}, {"bad"}), Insert({"3"}, {"a"})})),
              ElementsAre("0:22P02", "1:23514"));
}

// PostgreSQL's inheritance: the child has a key of its own, and rows that the parent's table does not have.
TEST_F(AnswersTest, ARowOfATableThatInheritsIsNobodysButItsOwn) {
  Enrol("id int PRIMARY KEY, v text");
  Sql("CREATE TABLE child () INHERITS (t); INSERT INTO child VALUES (1, 'child'); INSERT INTO t VALUES (1, 'parent'), "
      "(2, 'parent')");
  const ReadReply::Table table = Read({{"1"}, {"2"}});
  EXPECT_EQ(Show(table.rows[0]), "1,parent");
  ASSERT_EQ(Project({"v"}, {Update({"1"}, {"x"}, table.rows[0].xmin)}).outcome, Outcome::kCommitted);
  ASSERT_EQ(Project({}, {Delete({"1"}, Xmin("1"))}).outcome, Outcome::kCommitted);
  EXPECT_EQ(Rows("child"), "1,child");
  EXPECT_EQ(Rows("ONLY t"), "2,parent");
}

// Goal: no text is taken for PostgreSQL's own that it would show differently. Method: every text in every type, tried.
TEST_F(AnswersTest, APlainTextIsShownAgainOrRefused) {
  const std::vector<std::string> types = {"text",
                                          "character varying",
                                          "character varying(4)",
                                          "character(4)",
                                          "json",
                                          "jsonb",
                                          "integer",
                                          "bigint",
                                          "smallint",
                                          "numeric",
                                          "numeric(6,2)",
                                          "numeric(6)",
                                          "boolean",
                                          "uuid",
                                          "date",
                                          "timestamp without time zone",
                                          "timestamp(0) without time zone",
                                          "timestamp with time zone",
                                          "bytea",
                                          "double precision",
                                          "inet",
                                          "interval"};
  const std::vector<std::string> texts = {"",
                                          "a",
                                          "abcd",
                                          "abcd  ",
                                          "abcdef",
                                          "größ",
                                          "0",
                                          "-0",
                                          "+1",
                                          "1",
                                          "01",
                                          "-1",
                                          "1.",
                                          ".5",
                                          "1.5",
                                          "1.50",
                                          "-0.00",
                                          "-0.50",
                                          "0.10",
                                          "1e3",
                                          "1234.56",
                                          "12345.67",
                                          "123456.78",
                                          "99999999999",
                                          "NaN",
                                          "Infinity",
                                          "t",
                                          "f",
                                          "true",
                                          "T",
                                          "{}",
                                          "{ }",
                                          "{\"a\": 1}",
                                          "{\"a\":1}",
                                          "2024-05-01",
                                          "2024-5-1",
                                          "2024-02-30",
                                          "0000-01-01",
                                          "0001-01-01",
                                          "12024-05-01",
                                          "2024-05-01 BC",
                                          "infinity",
                                          "2024-05-01 10:00:00",
                                          "2024-05-01 24:00:00",
                                          "2024-05-01 10:00:60",
                                          "2024-05-01 10:00",
                                          "2024-05-01T10:00:00",
                                          "2024-05-01 10:00:00.5",
                                          "2024-05-01 10:00:00.50",
                                          "2024-05-01 10:00:00.1234567",
                                          "2024-05-01 10:00:00+00",
                                          "2024-05-01 10:00:00.25+00",
                                          "2024-05-01 10:00:00+05:30",
                                          "2024-05-01 10:00:00",
                                          "\\x00ff",
                                          "\\x00FF",
                                          "\\x0",
                                          "\\x",
                                          "x",
                                          "6ec0bd7f-11c0-43da-975e-2a8ad9ebae0b",
                                          "6EC0BD7F-11c0-43da-975e-2a8ad9ebae0b",
                                          "{6ec0bd7f-11c0-43da-975e-2a8ad9ebae0b}",
                                          "10.0.0.1",
                                          "10.0.0.1/32"};
  Sql("CREATE FUNCTION shown(type text, value text) RETURNS text LANGUAGE plpgsql SET timezone = 'UTC' SET datestyle = 'ISO' "
      "AS $$ DECLARE shown text; BEGIN "
      "EXECUTE 'CREATE TEMP TABLE probe (v ' || type || ') ON COMMIT DROP';"
      "EXECUTE format('INSERT INTO probe VALUES (%L)', value); EXECUTE 'SELECT format(''%s'', v) FROM probe' INTO shown;"
      "RAISE EXCEPTION USING MESSAGE = 'shown ' || shown; EXCEPTION WHEN OTHERS THEN RETURN SQLERRM; END $$");
  size_t plain = 0;
  for (const std::string& type : types) {
    for (const std::string& text : texts) {
      if (!IsPlainText(type, text)) continue;
      ++plain;
      const std::string shown = Value(absl::StrCat("SELECT shown('", type, "', '", text, "')"));
      if (shown.rfind("shown ", 0) != 0) continue;
      EXPECT_EQ(shown, absl::StrCat("shown ", text)) << type;
    }
  }
  EXPECT_GT(plain, 150u);
}

}  // namespace
}  // namespace assay
