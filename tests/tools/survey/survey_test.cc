// What an application, an administrator or a dump may do to an enrolled database is found, named, and mended by the
// next init.
#include "tools/survey/survey.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/tools/setup/branch_harness.h"
#include "tools/setup/branch_log.h"

namespace assay {
namespace {

using test::MustSql;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class SurveyTest : public test::BranchTest {
 protected:
  void SetUp() override {
    BranchTest::SetUp();
    if (branch_ != nullptr) (void)test::Sql(server_->Url(), "CREATE ROLE daemon LOGIN");
  }

  // The second time with the daemon's rights, which are few.
  SurveyReport Take() {
    MustSql(server_->Url(), "GRANT assay_projector TO daemon");
    SurveyOptions options{.patterns = {branch_->options.tables, branch_->options.exclude}, .number = 3};
    options.sequences = branch_->options.sequences;
    options.policies = policies_;
    options.enrolled = EnrolledTables(branch_->log_path()).value();
    std::vector<std::string> seen[2];
    SurveyReport report;
    for (int i = 0; i < 2; ++i) {
      auto connection = Connection::Open(i == 0 ? branch_->url() : branch_->url_as("daemon"), {}).value();
      absl::StatusOr<SurveyReport> taken = TakeSurvey(*connection, options);
      EXPECT_TRUE(taken.ok()) << taken.status();
      if (!taken.ok()) return {};
      for (const Problem& problem : taken->problems) seen[i].push_back(SentenceOf(problem));
      report = *std::move(taken);
    }
    EXPECT_EQ(seen[0], seen[1]) << "an administrator and the daemon see the same";
    return report;
  }
  // "kind subject" of each.
  std::vector<std::string> Problems() {
    std::vector<std::string> found;
    for (const Problem& problem : Take().problems)
      found.push_back(absl::StrCat(ProblemName(problem.kind), " ", problem.subject));
    return found;
  }
  // The causes, by table.
  std::map<std::string, std::string> Missed() {
    std::map<std::string, std::string> causes;
    for (const auto& [table, missed] : Take().missed) causes[table] = missed.cause;
    return causes;
  }
  // Nothing is found after the next init, and that one says what it has mended.
  InitReport ExpectInitMends() {
    InitReport report = MustInit();
    EXPECT_THAT(Problems(), IsEmpty());
    EXPECT_THAT(Missed(), IsEmpty());
    EXPECT_THAT(Take().identities, IsEmpty());
    return report;
  }

  std::map<TableName, std::vector<std::string>> policies_;
};

constexpr char kItems[] =
    "CREATE TABLE items (id int PRIMARY KEY, v text); INSERT INTO items VALUES (1, 'a'), (2, 'b')";

TEST_F(SurveyTest, OfABranchAsInitLeavesItNothingIsFound) {
  branch_->Sql(kItems);
  branch_->Sql(
      "CREATE TABLE sales (id serial, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);"
      "CREATE TABLE sales_1 PARTITION OF sales FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');"
      "INSERT INTO sales (day) VALUES ('2026-01-01'); CREATE TABLE ident (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)");
  MustInit();
  branch_->Sql("INSERT INTO sales (day) VALUES ('2026-01-02'); INSERT INTO ident DEFAULT VALUES; ANALYZE");
  ExpectInitMends();
}

TEST_F(SurveyTest, ATableThatWasMadeAnewIsComparedAndNothingInItIsTakenForDeleted) {
  branch_->Sql(kItems);
  MustInit();
  branch_->Sql(
      "DROP TABLE items; CREATE TABLE items (id int PRIMARY KEY, v text); INSERT INTO items VALUES (2, 'new'), (3, 'c')");
  EXPECT_THAT(Missed(), ElementsAre(Pair("public.items", HasSubstr("made anew"))));
  EXPECT_TRUE(Take().missed["public.items"].made_anew);
  const InitReport report = ExpectInitMends();
  EXPECT_THAT(report.missed, ElementsAre(Pair("public.items", HasSubstr("made anew"))));
  EXPECT_EQ(report.compared.deleted, 0u);
  EXPECT_EQ(report.compared.absent, 1u) << "row 1 comes back";
  EXPECT_THAT(branch_->Changes(), Contains("reconcile update public.items (2) v=new"));
  EXPECT_THAT(branch_->Changes(), Contains("reconcile insert public.items (3) v=c"));
  branch_->Sql("UPDATE items SET v = 'later' WHERE id = 3");
  ASSERT_TRUE(branch_->CatchUp().ok());
  EXPECT_THAT(branch_->Changes(), Contains("live update public.items (3) v=later"));
}

TEST_F(SurveyTest, WhatWasDoneWhileATableWasNotPublishedIsRecordedByTheNextInit) {
  branch_->Sql(kItems);
  MustInit();
  branch_->Sql("ALTER PUBLICATION assay DROP TABLE items");
  branch_->Sql(
      "DELETE FROM items WHERE id = 1; UPDATE items SET v = 'x' WHERE id = 2; INSERT INTO items VALUES (3, 'c')");
  EXPECT_THAT(Missed(), ElementsAre(Pair("public.items", HasSubstr("not in the publication"))));
  const InitReport report = ExpectInitMends();
  EXPECT_EQ(report.compared.deleted, 1u);
  EXPECT_THAT(branch_->Changes(), Contains(HasSubstr("reconcile delete public.items (1)")));
  EXPECT_THAT(branch_->Changes(), Contains("reconcile update public.items (2) v=x"));
  EXPECT_THAT(MustInit().missed, IsEmpty()) << "compared once";
}

TEST_F(SurveyTest, APublicationThatWasDroppedOrNarrowedIsMadeWholeAndItsTablesCompared) {
  branch_->Sql(kItems);
  MustInit();
  branch_->Sql("DROP PUBLICATION assay; UPDATE items SET v = 'dropped' WHERE id = 1");
  EXPECT_THAT(Missed(), ElementsAre(Pair("public.items", HasSubstr("not in the publication"))));
  ExpectInitMends();
  EXPECT_THAT(branch_->Changes(), Contains("reconcile update public.items (1) v=dropped"));
  branch_->Sql("ALTER PUBLICATION assay SET (publish = 'insert'); UPDATE items SET v = 'no updates' WHERE id = 1");
  EXPECT_THAT(Missed(), ElementsAre(Pair("public.items", HasSubstr("every kind of change"))));
  ExpectInitMends();
  EXPECT_THAT(branch_->Changes(), Contains("reconcile update public.items (1) v=no updates"));
  if (branch_->Value("SELECT current_setting('server_version_num')::int >= 150000") == "t") {
    branch_->Sql(
        "ALTER PUBLICATION assay SET TABLE items WHERE (id > 1); UPDATE items SET v = 'filtered' WHERE id = 1");
    EXPECT_THAT(Missed(), ElementsAre(Pair("public.items", HasSubstr("row filter"))));
    ExpectInitMends();
    EXPECT_THAT(branch_->Changes(), Contains("reconcile update public.items (1) v=filtered"));
  }
}

TEST_F(SurveyTest, APartitionThatWasAttachedWithRowsIsComparedAndOneMadeInPlaceIsNot) {
  branch_->Sql("CREATE TABLE sales (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)");
  MustInit();
  branch_->Sql("CREATE TABLE s1 PARTITION OF sales FOR VALUES FROM (0) TO (10); INSERT INTO sales VALUES (1, 'here')");
  EXPECT_THAT(Missed(), IsEmpty());
  EXPECT_THAT(Take().identities, ElementsAre(Pair("public.s1", ReplicaIdentity::kDefault)));
  EXPECT_THAT(Problems(), ElementsAre("attribution-missing public.s1"));
  // In one transaction.
  branch_->Sql(
      "CREATE TABLE s2 (LIKE sales INCLUDING ALL); INSERT INTO s2 VALUES (11, 'before');"
      "ALTER TABLE sales ATTACH PARTITION s2 FOR VALUES FROM (10) TO (20)");
  EXPECT_THAT(Missed(), ElementsAre(Pair("public.sales", HasSubstr("public.s2 was attached"))));
  ExpectInitMends();
  EXPECT_THAT(branch_->Changes(), Contains("reconcile insert public.sales (11) v=before"));
  branch_->Sql("CREATE TABLE s3 (LIKE sales INCLUDING ALL); INSERT INTO s3 VALUES (21, 'long before')");
  branch_->Sql("ALTER TABLE sales ATTACH PARTITION s3 FOR VALUES FROM (20) TO (30)");
  EXPECT_THAT(Missed(), ElementsAre(Pair("public.sales", HasSubstr("public.s3 was attached"))));
  ExpectInitMends();
  EXPECT_THAT(branch_->Changes(), Contains("reconcile insert public.sales (21) v=long before"));
}

TEST_F(SurveyTest, APolicyThatIsMisspeltIsNamed) {
  branch_->Sql(kItems);
  MustInit();
  policies_ = {{{"public", "items"}, {"id", "v"}}};
  EXPECT_THAT(Problems(), IsEmpty());
  policies_ = {{{"public", "items"}, {"id", "vv"}}, {{"public", "itmes"}, {}}};
  EXPECT_THAT(Problems(),
              UnorderedElementsAre("policy-unknown column vv of public.items", "policy-unknown public.itmes"));
}

TEST_F(SurveyTest, WhatTheConfigurationMeansAndWhatExistsAreHeldAgainstEachOther) {
  branch_->Sql(kItems);
  MustInit();
  branch_->options.tables = {"public.*", "other.*"};
  branch_->Sql(
      "CREATE TABLE later (id int PRIMARY KEY); CREATE TABLE keyless (v text); ALTER TABLE items RENAME TO things");
  // Renamed, it is recorded all the same.
  EXPECT_THAT(Problems(), UnorderedElementsAre("table-not-enrolled public.later", "table-refused public.keyless",
                                               "pattern-empty other.*"));
  branch_->Sql("DROP TABLE things");
  EXPECT_THAT(Problems(), Contains("table-gone public.items"));
  branch_->Sql(kItems);
  branch_->options.tables = {"public.*"};
  branch_->options.exclude = {"public.keyless"};
  ExpectInitMends();
}

TEST_F(SurveyTest, ATriggerOrAnIdentityThatWasTakenAwayComesBack) {
  branch_->Sql(kItems);
  MustInit();
  branch_->Sql("DROP TRIGGER assay_attribution ON items; ALTER TABLE items REPLICA IDENTITY NOTHING");
  EXPECT_THAT(Problems(), ElementsAre("attribution-missing public.items"));
  EXPECT_THAT(Take().identities, ElementsAre(Pair("public.items", ReplicaIdentity::kNothing)));
  ExpectInitMends();
}

TEST_F(SurveyTest, ASequenceThatLeftItsClassIsNamedAndMovedOn) {
  branch_->Sql("CREATE TABLE cart (id serial PRIMARY KEY, v int)");
  MustInit();
  branch_->Sql("INSERT INTO cart (v) VALUES (1), (2); TRUNCATE cart RESTART IDENTITY; INSERT INTO cart (v) VALUES (3)");
  EXPECT_EQ(branch_->Value("SELECT id FROM cart"), "3") << "it begins in its own class again";
  EXPECT_THAT(Problems(), IsEmpty());
  branch_->Sql("INSERT INTO cart VALUES (70); SELECT setval('cart_id_seq', max(id)) FROM cart");
  EXPECT_THAT(Problems(), ElementsAre("sequence-stray public.cart_id_seq"));
  ExpectInitMends();
  EXPECT_EQ(branch_->Value("SELECT nextval('cart_id_seq')"), "131");
  branch_->Sql("ALTER SEQUENCE cart_id_seq INCREMENT BY 1");
  EXPECT_THAT(Problems(), ElementsAre("sequence-stray public.cart_id_seq"));
  ExpectInitMends();
  EXPECT_EQ(branch_->Value("SELECT nextval('cart_id_seq')"), "195");
}

TEST_F(SurveyTest, AShopMadeFromADumpOfAnotherStepsByTheStrideOnce) {
  branch_->Sql("CREATE TABLE cart (id serial PRIMARY KEY)");
  MustInit();
  branch_->Sql("INSERT INTO cart DEFAULT VALUES");
  // As pg_dump -n public leaves it: the step is there, and the note of it is not.
  branch_->Sql("DELETE FROM assay.sequences");
  EXPECT_THAT(Problems(), ElementsAre("sequence-stray public.cart_id_seq"));
  ExpectInitMends();
  EXPECT_EQ(branch_->Value("SELECT seqincrement FROM pg_sequence WHERE seqrelid = 'cart_id_seq'::regclass"), "64");
  EXPECT_EQ(branch_->Value("SELECT nextval('cart_id_seq')"), "67");
}

// Goal: a sequence behind no key is a question until the config has answered it, and a slip there is told.
TEST_F(SurveyTest, ASequenceThatNoColumnTakesNeedsAChoiceByName) {
  branch_->Sql(
      "CREATE TABLE cart (id serial PRIMARY KEY); CREATE SEQUENCE invoice_no; CREATE SEQUENCE party_no; "
      "CREATE SCHEMA elsewhere; CREATE SEQUENCE elsewhere.other");
  MustInit();
  const SurveyReport report = Take();
  EXPECT_THAT(Problems(), ElementsAre("sequence-open public.invoice_no", "sequence-open public.party_no"));
  EXPECT_THAT(RemedyOf(report.problems[0]), ::testing::AllOf(HasSubstr("`\"public.invoice_no\" = \"stride\"`"),
                                                             HasSubstr("`\"public.invoice_no\" = \"own\"`")));
  branch_->options.sequences = {.stride = {{"public", "party_no"}},
                                .own = {{"public", "invoice_no"}, {"public", "invoice_nos"}}};
  EXPECT_THAT(Problems(), ElementsAre("sequence-stray public.party_no", "sequence-unknown public.invoice_nos"));
  branch_->options.sequences.own.erase({"public", "invoice_nos"});
  ExpectInitMends();
  EXPECT_EQ(branch_->Value("SELECT nextval('party_no')"), "3");
  branch_->Sql("SELECT setval('party_no', 100)");
  EXPECT_THAT(Problems(), ElementsAre("sequence-stray public.party_no"));
  branch_->Sql("SELECT setval('invoice_no', 100)");
  ExpectInitMends();
  EXPECT_EQ(branch_->Value("SELECT nextval('invoice_no')"), "101") << "its own";
}

}  // namespace
}  // namespace assay
