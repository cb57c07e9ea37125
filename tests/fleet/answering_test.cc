// Triggers that run for rows of other branches, too, and write more: what turns in a circle through the fleet is
// stopped, by name, and everything else flows.
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/fleet/fleet.h"

namespace assay::test {
namespace {

using ::testing::HasSubstr;

// Writes the row of that id in `other` whenever one of `table` is written, by whomever.
std::string Answering(const std::string& table, const std::string& other) {
  return absl::StrCat("CREATE FUNCTION answer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE public.", other,
                      " SET n = n + 1 WHERE id = NEW.id; RETURN NULL; END $$; CREATE TRIGGER answer AFTER UPDATE ON ",
                      table, " FOR EACH ROW EXECUTE FUNCTION answer(); ALTER TABLE ", table,
                      " ENABLE ALWAYS TRIGGER answer;", "GRANT SELECT, UPDATE ON ", other, " TO assay_projector");
}

int Count(Branch& branch, const std::string& table) {
  return std::stoi(SqlValue(branch.Url(), absl::StrCat("SELECT n FROM ", table, " WHERE id = 1")));
}

TEST(AnsweringTest, WhatTurnsInACircleIsSetAsideByName) {
  ASSAY_START_FLEET(
      fleet, 2,
      {.schema = "CREATE TABLE ping (id int PRIMARY KEY, n int); CREATE TABLE pong (id int PRIMARY KEY, n int);"
                 "CREATE TABLE sales (id int PRIMARY KEY)"});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  MustSql(a.Url(), "INSERT INTO ping VALUES (1, 0); INSERT INTO pong VALUES (1, 0)");
  ASSERT_OK(fleet->WaitConverged(kPatience));
  MustSql(a.AdminUrl(), Answering("pong", "ping"));
  MustSql(b.AdminUrl(), Answering("ping", "pong"));
  MustSql(a.Url(), "UPDATE ping SET n = 1");

  const auto set_aside = [](Branch& branch) {
    return branch.Assay({"parked"}).output.find("again and again") != std::string::npos;
  };
  EXPECT_TRUE(Eventually(kPatience, [&] { return set_aside(a) || set_aside(b); })) << a.DaemonLog();
  const int before = Count(a, "ping") + Count(b, "pong");
  MustSql(a.Url(), "INSERT INTO sales VALUES (1)");
  MustSql(b.Url(), "INSERT INTO sales VALUES (2)");
  for (Branch* branch : {&a, &b}) {
    EXPECT_TRUE(Shows(*branch, "SELECT count(*) FROM sales", "2"));
  }
  absl::SleepFor(absl::Seconds(3));
  EXPECT_LE(Count(a, "ping") + Count(b, "pong"), before + 10) << "it goes on";
  Branch& aside = set_aside(a) ? a : b;
  EXPECT_THAT(aside.Assay({"parked"}).output, HasSubstr("trigger answer"));
  EXPECT_THAT(aside.Problems(), HasSubstr("rows-wait"));
  EXPECT_THAT(aside.Problems(), HasSubstr("mark-forged"));
}

// New rows are written without being looked for, by what their tables were known to be: before the triggers were made.
TEST(AnsweringTest, NewRowsThatTurnInACircleAreSetAsideToo) {
  ASSAY_START_FLEET(fleet, 2,
                    {.schema = "CREATE TABLE ping (id int PRIMARY KEY); CREATE TABLE pong (id int PRIMARY KEY)"});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  MustSql(a.Url(), "INSERT INTO ping VALUES (1)");
  MustSql(b.Url(), "INSERT INTO pong VALUES (1)");
  ASSERT_OK(fleet->WaitConverged(kPatience));
  const auto answer = [](const std::string& table, const std::string& other) {
    return absl::StrCat("CREATE FUNCTION answer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.",
                        other, " VALUES (NEW.id + 1); RETURN NULL; END $$; CREATE TRIGGER answer AFTER INSERT ON ",
                        table, " FOR EACH ROW EXECUTE FUNCTION answer(); ALTER TABLE ", table,
                        " ENABLE ALWAYS TRIGGER answer");
  };
  MustSql(a.AdminUrl(), answer("pong", "ping"));
  MustSql(b.AdminUrl(), answer("ping", "pong"));
  MustSql(a.Url(), "INSERT INTO ping VALUES (1000)");
  const auto set_aside = [](Branch& branch) {
    return branch.Assay({"parked"}).output.find("again and again") != std::string::npos;
  };
  EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return set_aside(a) || set_aside(b); }))
      << a.Problems() << b.Problems();
}

}  // namespace
}  // namespace assay::test
