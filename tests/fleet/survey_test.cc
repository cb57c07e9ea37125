// What the stream cannot tell, because it is only silent, is named by the status, outlives its cause, and ends with the
// command that the status names.
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/fleet/fleet.h"

namespace assay::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr absl::Duration kPatience = absl::Seconds(90);
constexpr char kSchema[] =
    "CREATE TABLE items (id int PRIMARY KEY, v text); CREATE TABLE sales (id serial PRIMARY KEY, v text)";

// A survey is taken soon after `assay sync now`; and each minute without it.
std::string ProblemsSoon(Branch& branch, const std::string& expected) {
  (void)branch.Assay({"sync", "now"});
  EXPECT_TRUE(Eventually(
      kPatience, [&] { return branch.Problems().find(expected) != std::string::npos; }, absl::Milliseconds(200)))
      << expected << "\n"
      << branch.Problems();
  return branch.Problems();
}

TEST(SurveyTest, ATableThatIsNoLongerPublishedIsNamedUntilItWasCompared) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  MustSql(a.Url(), "INSERT INTO items VALUES (1, 'a'), (2, 'b'), (3, 'c')");
  ASSERT_OK(fleet->WaitConverged(kPatience));
  MustSql(a.AdminUrl(), "ALTER PUBLICATION assay DROP TABLE items");
  MustSql(
      a.Url(),
      "DELETE FROM items WHERE id = 1; UPDATE items SET v = 'edited' WHERE id = 2; INSERT INTO items VALUES (4, 'd')");
  EXPECT_THAT(ProblemsSoon(a, "table-unrecorded"),
              AllOf(HasSubstr("public.items"), HasSubstr("not in the publication")));
  // Put back by hand: what was missed is missing all the same, also after a restart.
  MustSql(a.AdminUrl(), "ALTER PUBLICATION assay ADD TABLE items");
  EXPECT_EQ(a.StopDaemon(), 0);
  ASSERT_OK(a.StartDaemon());
  ProblemsSoon(a, "table-unrecorded");
  EXPECT_EQ(a.StopDaemon(), 0);
  const RunResult applied = a.Assay({"repair", "--apply"});
  ASSERT_EQ(applied.exit_code, 0) << applied.output;
  ASSERT_OK(a.StartDaemon());
  ASSERT_OK(fleet->WaitConverged(kPatience));
  EXPECT_EQ(SqlValue(b.Url(), "SELECT string_agg(concat(id, v), ',' ORDER BY id) FROM items"), "2edited,3c,4d");
  EXPECT_THAT(a.Problems(), IsEmpty());
}

TEST(SurveyTest, ATableMadeAnewIsNotAThousandDeletionsAndInitTakesItUpAgain) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  MustSql(a.Url(), "INSERT INTO items SELECT i, 'v' FROM generate_series(1, 1000) i");
  ASSERT_OK(fleet->WaitConverged(kPatience));
  // As pg_restore --clean of a table does it, from a dump that is older.
  MustSql(
      a.Url(),
      "DROP TABLE items; CREATE TABLE items (id int PRIMARY KEY, v text); INSERT INTO items VALUES (1, 'v'), (2000, 'new')");
  EXPECT_THAT(ProblemsSoon(a, "table-unrecorded"), AllOf(HasSubstr("public.items"), HasSubstr("made anew")));
  EXPECT_EQ(a.StopDaemon(), 0);
  const RunResult init = a.Assay({"init", "--admin-url", a.AdminUrl()});
  ASSERT_EQ(init.exit_code, 0) << init.output;
  EXPECT_THAT(init.output, AllOf(HasSubstr("Changes of public.items had been missed"), HasSubstr("0 were deleted here"),
                                 HasSubstr("999 come back")));
  ASSERT_OK(a.StartDaemon());
  MustSql(a.Url(), "UPDATE items SET v = 'sold' WHERE id = 2000");
  ASSERT_OK(fleet->WaitConverged(kPatience));
  EXPECT_EQ(SqlValue(a.Url(), "SELECT count(*) FROM items"), "1001");
  EXPECT_EQ(SqlValue(b.Url(), "SELECT v FROM items WHERE id = 2000"), "sold");
  EXPECT_THAT(a.Problems(), IsEmpty());
}

TEST(SurveyTest, APublicationThatWasDroppedComesBackWithItsTablesAndWhatTheyMissed) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  MustSql(a.Url(), "INSERT INTO items VALUES (1, 'a'), (2, 'b')");
  ASSERT_OK(fleet->WaitConverged(kPatience));
  EXPECT_EQ(a.StopDaemon(), 0);
  MustSql(a.AdminUrl(), "DROP PUBLICATION assay");
  MustSql(a.Url(),
          "DELETE FROM items WHERE id = 1; INSERT INTO items VALUES (3, 'c'); INSERT INTO sales (v) VALUES ('s')");
  const RunResult init = a.Assay({"init", "--admin-url", a.AdminUrl()});
  ASSERT_EQ(init.exit_code, 0) << init.output;
  EXPECT_THAT(init.output, HasSubstr("1 were deleted here"));
  ASSERT_OK(a.StartDaemon());
  ASSERT_OK(fleet->WaitConverged(kPatience));
  EXPECT_EQ(SqlValue(b.Url(), "SELECT string_agg(concat(id, v), ',' ORDER BY id) FROM items"), "2b,3c");
  EXPECT_EQ(SqlValue(b.Url(), "SELECT count(*) FROM sales"), "1");
  EXPECT_THAT(a.Problems(), IsEmpty());
}

TEST(SurveyTest, TablesThatAreNotTakenAndSequencesThatLeftTheirClassAreNamedAndInitMendsThem) {
  ASSAY_START_FLEET(fleet, 1, {.schema = kSchema, .may_differ = true});
  Branch& a = fleet->branch(0);
  ASSERT_OK(fleet->WaitConverged(kPatience));
  EXPECT_THAT(a.Problems(), IsEmpty());
  MustSql(a.Url(),
          "CREATE TABLE later (id int PRIMARY KEY); CREATE TABLE keyless (v text); INSERT INTO sales VALUES (70, '');"
          "SELECT setval('sales_id_seq', max(id)) FROM sales");
  const std::string problems = ProblemsSoon(a, "sequence-stray");
  EXPECT_THAT(problems, AllOf(HasSubstr("table-not-enrolled"), HasSubstr("public.later"), HasSubstr("table-refused"),
                              HasSubstr("public.keyless"), HasSubstr("no primary key"), HasSubstr("it stands at 70")));
  const RunResult doctor = a.Assay({"doctor", "--admin-url", a.AdminUrl()});
  EXPECT_NE(doctor.exit_code, 0);
  EXPECT_THAT(doctor.output, AllOf(HasSubstr("sequence-stray"), HasSubstr("table-not-enrolled")));
  MustSql(a.Url(), "ALTER TABLE keyless ADD PRIMARY KEY (v)");
  ASSERT_OK(a.Init());
  EXPECT_TRUE(Eventually(kPatience, [&] { return a.Problems().empty(); })) << a.Problems();
  EXPECT_EQ(SqlValue(a.Url(), "INSERT INTO sales (v) VALUES ('') RETURNING id % 64"), "1");
}

}  // namespace
}  // namespace assay::test
