// Names are only names: of schemas, tables, columns, types and labels, however they look.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/substitute.h"
#include "gmock/gmock.h"
#include "tests/fidelity/fidelity.h"

namespace assay::test {
namespace {

std::string Quoted(const std::string& name) {
  return absl::StrCat("\"", absl::StrReplaceAll(name, {{"\"", "\"\""}}), "\"");
}

// Names that mean something else to SQL, to Assay's own statements, to COPY, to a pattern, or to a careless printf.
const std::vector<std::string>& OddNames() {
  static const auto* names = new std::vector<std::string>{"MiXed Case",
                                                          "select",
                                                          "user",
                                                          "t",
                                                          "k",
                                                          "i",
                                                          "n",
                                                          "c1",
                                                          "a.b",
                                                          "a,b",
                                                          "{a}",
                                                          "*",
                                                          "%s%n",
                                                          "$1",
                                                          "\\x41",
                                                          "\\",
                                                          "tab\there",
                                                          "line\nbreak",
                                                          "say \"hi\"",
                                                          "it's",
                                                          "'; DROP TABLE victim; --",
                                                          "\"; DROP TABLE victim; --",
                                                          "); DELETE FROM victim; --",
                                                          "सोना",
                                                          "🪙",
                                                          "e\u0301",
                                                          " ",
                                                          "xmin_",
                                                          std::string(63, 'x'),
                                                          "assay",
                                                          "NULL",
                                                          "public.victim",
                                                          "-- comment",
                                                          "/* comment"};
  return *names;
}

TEST(NamesTest, NamesAreOnlyNames) {
  std::string schema = "CREATE TABLE victim (id int PRIMARY KEY, v text);";
  std::vector<std::string> columns, schemas = {"public", "My \"odd\" schema; DROP SCHEMA public; --", "स्कीमा", "UPPER"};
  for (const std::string& name : OddNames()) columns.push_back(absl::StrCat(Quoted(name), " text"));
  absl::SubstituteAndAppend(&schema, "CREATE TABLE every_column (id int PRIMARY KEY, $0);",
                            absl::StrJoin(columns, ", "));
  for (const std::string& name : schemas) {
    if (name != "public") absl::StrAppend(&schema, "CREATE SCHEMA ", Quoted(name), ";");
    absl::SubstituteAndAppend(
        &schema, "CREATE TYPE $0.\"My \"\"type\"\"\" AS ENUM ('a', '''; DROP TABLE victim; --', '\\', 'ü \"x\"');",
        Quoted(name));
  }
  std::vector<std::string> tables;
  for (size_t i = 0; i < OddNames().size(); ++i) {
    const std::string in = Quoted(schemas[i % schemas.size()]), name = Quoted(OddNames()[i]);
    tables.push_back(absl::StrCat(in, ".", name));
    absl::SubstituteAndAppend(
        &schema,
        "CREATE TABLE $0 ($1 text, \"Key 2\" $2.\"My \"\"type\"\"\", \"the value\" text, \"k.c1\" int GENERATED ALWAYS AS (1) STORED, PRIMARY KEY ($1, \"Key 2\"));",
        tables.back(), name, in);
  }
  ASSAY_START_FLEET_STOPPED(
      fleet, 2,
      {.schema = schema,
       .tables = {"public.*", "UPPER.*", "My \\\"odd\\\" schema; DROP SCHEMA public; --.*", "स्कीमा.*"}});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  for (Branch* branch : {&a, &b}) {
    ASSERT_OK(branch->Init());
    ASSERT_OK(branch->StartDaemon());
  }
  const auto for_all = [&](const std::string& each) {
    std::string sql = "BEGIN;";
    for (size_t i = 0; i < tables.size(); ++i) absl::SubstituteAndAppend(&sql, each, tables[i], Quoted(OddNames()[i]));
    return sql + "COMMIT";
  };
  MustApp(
      a,
      for_all(
          "INSERT INTO $0 VALUES ($$q$$ $0 $$q$$, 'a', 'x'), ('2', '''; DROP TABLE victim; --', '\\'), ('3', 'ü \"x\"', NULL);"));
  MustApp(a, absl::StrCat("INSERT INTO victim VALUES (1, 'alive'); INSERT INTO every_column VALUES (1",
                          std::string(OddNames().size() * 5, ' '), ", '",
                          absl::StrJoin(std::vector<std::string>(OddNames().size(), "v"), "', '"), "')"));
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(60)));
  MustApp(
      b,
      for_all(
          "UPDATE $0 SET \"the value\" = coalesce(\"the value\", '') || '!' WHERE $1 <> '2'; UPDATE $0 SET $1 = 'moved', \"Key 2\" = '\\' WHERE $1 = '2'; DELETE FROM $0 WHERE $1 = '3';"));
  std::vector<std::string> sets;
  for (size_t i = 0; i < OddNames().size(); i += 2) sets.push_back(absl::StrCat(Quoted(OddNames()[i]), " = 'B'"));
  MustApp(b, absl::StrCat("UPDATE every_column SET ", absl::StrJoin(sets, ", ")));
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(60)));
  EXPECT_EQ(SqlValue(a.Url(), absl::StrCat("SELECT count(*) FROM ", tables.back(), " WHERE \"the value\" IS NOT NULL")),
            "2");
  EXPECT_EQ(SqlValue(a.Url(), "SELECT v FROM victim"), "alive");
  EXPECT_EQ(a.Problems() + b.Problems(), "");
}

}  // namespace
}  // namespace assay::test
