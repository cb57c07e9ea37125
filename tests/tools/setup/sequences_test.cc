// Goal: keys that branches make without talking never collide, whatever the sequence was before; and leaving puts it
// back. Method: sequences of all kinds in a real database.
#include "tools/setup/sequences.h"

#include "absl/strings/str_cat.h"
#include "adapters/libpq/steady_time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/tools/setup/branch_harness.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SequencesTest : public test::BranchTest {
 protected:
  void TearDown() override {
    admin_.reset();
    BranchTest::TearDown();
  }

  InitReport MustInit() {
    InitReport report = BranchTest::MustInit();
    admin_ = Connection::Open(branch_->url(), {}).value();
    return report;
  }
  std::vector<std::string> Stride(int64_t number, const std::map<SequenceColumn, int64_t>& largest = {}) {
    const auto report = StrideSequences(*admin_, 64, number, choices_, largest, SteadyNow() + absl::Seconds(10));
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? report->strided : std::vector<std::string>{};
  }
  std::string Next(const std::string& sequence) { return branch_->Value("SELECT nextval('" + sequence + "')"); }

  std::unique_ptr<Connection> admin_;
  SequenceChoices choices_;
};

TEST_F(SequencesTest, SequencesStepByTheStrideInTheBranchsOwnClass) {
  branch_->Sql(R"(
    CREATE TABLE s (id serial PRIMARY KEY);  INSERT INTO s SELECT FROM generate_series(1, 100);
    CREATE TABLE ahead (id serial PRIMARY KEY);  INSERT INTO ahead VALUES (1000);
    CREATE TABLE ident (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number int);
    CREATE SEQUENCE shared; CREATE TABLE d (id int PRIMARY KEY DEFAULT nextval('shared'));
    CREATE SEQUENCE blocks INCREMENT BY 50 START 1; CREATE TABLE orm (id bigint PRIMARY KEY DEFAULT nextval('blocks'));
    CREATE TABLE small (id smallserial PRIMARY KEY);
    CREATE TABLE full_up (id smallserial PRIMARY KEY); INSERT INTO full_up VALUES (32760);
    CREATE SEQUENCE wheel CYCLE; CREATE TABLE w (id int PRIMARY KEY DEFAULT nextval('wheel'));
    CREATE SEQUENCE own;)");
  (void)test::Sql(server_->Url(), "CREATE ROLE clerk LOGIN");
  branch_->Sql("GRANT INSERT ON s TO clerk; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO clerk");
  const InitReport report = MustInit();
  EXPECT_EQ(Next("s_id_seq"), "131");
  EXPECT_EQ(Next("s_id_seq"), "195");
  EXPECT_EQ(Next("ahead_id_seq"), "1027");
  EXPECT_EQ(branch_->Value("INSERT INTO ident (number) VALUES (1) RETURNING id"), "3");
  EXPECT_EQ(Next("shared"), "3");
  EXPECT_EQ(Next("blocks"), "151") << "blocks of 50 beginning at 1: 1, 51, 101, 151 is the third branch's";
  EXPECT_EQ(Next("blocks"), "3351");
  EXPECT_EQ(Next("wheel"), "1");
  EXPECT_EQ(Next("own"), "1") << "no column uses it";
  test::MustSql(branch_->url_as("clerk"), "INSERT INTO s DEFAULT VALUES");
  EXPECT_THAT(report.sequences.problems,
              ElementsAre(HasSubstr("public.full_up_id_seq is not strided: it ends at 32767"),
                          HasSubstr("public.small_id_seq has 512 values left"),
                          HasSubstr("public.wheel is not strided: it starts over")));
}

// A machine whose place this one takes may have sold what nobody here knows of.
TEST_F(SequencesTest, WhatAnotherMachineMayHaveHandedOutIsLeftOutOrHalfOfWhatThereIs) {
  branch_->Sql("CREATE TABLE s (id serial PRIMARY KEY); CREATE TABLE small (id smallserial PRIMARY KEY)");
  MustInit();
  const auto report = StrideSequences(*admin_, 64, 3, choices_, {{{{"public", "s"}, "id"}, 131}},
                                      SteadyNow() + absl::Seconds(10), KeysOfOthers::kUnsent);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(Next("s_id_seq"), "64000195");
  EXPECT_EQ(Next("small_id_seq"), "16387");
  EXPECT_EQ(Next("small_id_seq"), "16451");
}

// A database that was restored has lost rows that the log knows, and would hand out their keys again.
TEST_F(SequencesTest, WhatIsStridedAlreadyIsLeftAloneUnlessTheLogKnowsOfMore) {
  branch_->Sql("CREATE TABLE s (id serial PRIMARY KEY); CREATE TABLE u (id serial PRIMARY KEY)");
  MustInit();
  EXPECT_EQ(Next("s_id_seq"), "3");
  EXPECT_THAT(Stride(3), IsEmpty());
  const SequenceColumn column{{"public", "s"}, "id"};
  EXPECT_THAT(Stride(3, {{column, 2}}), IsEmpty()) << "it has passed that";
  EXPECT_THAT(Stride(3, {{column, 643}}), ElementsAre("public.s_id_seq goes on at 707, in steps of 64"));
  EXPECT_EQ(Next("s_id_seq"), "707");
  EXPECT_EQ(Next("u_id_seq"), "3");
}

TEST_F(SequencesTest, AnotherNumberIsAnotherClassAndNoKeyComesTwice) {
  branch_->Sql("CREATE TABLE s (id serial PRIMARY KEY)");
  MustInit();
  EXPECT_EQ(Next("s_id_seq"), "3");
  EXPECT_THAT(Stride(5), ElementsAre("public.s_id_seq goes on at 5, in steps of 64"));
  EXPECT_EQ(Next("s_id_seq"), "5");
  EXPECT_THAT(Stride(3), ElementsAre("public.s_id_seq goes on at 67, in steps of 64"));
  for (const int64_t number : {0, 65}) {
    EXPECT_TRUE(absl::IsInvalidArgument(StrideSequences(*admin_, 64, number, {}, {}, SteadyNow()).status())) << number;
  }
}

TEST_F(SequencesTest, TheColumnsThatAreFedAreToldWithTheirClass) {
  branch_->Sql(
      "CREATE TABLE s (id serial PRIMARY KEY, n int); CREATE SEQUENCE blocks INCREMENT BY 50 START 1; "
      "CREATE TABLE orm (id bigint PRIMARY KEY DEFAULT nextval('blocks')); CREATE TABLE plain (id int PRIMARY KEY)");
  MustInit();
  const auto classes = StridedColumns(*admin_, 64, 3).value();
  ASSERT_EQ(classes.size(), 2u);
  EXPECT_EQ((classes.at({{"public", "s"}, "id"}).modulus), 64);
  EXPECT_EQ((classes.at({{"public", "s"}, "id"}).residue), 3);
  EXPECT_EQ((classes.at({{"public", "orm"}, "id"}).modulus), 3200);
  EXPECT_EQ((classes.at({{"public", "orm"}, "id"}).residue), 151);
}

TEST_F(SequencesTest, RestoredItStepsAsBeforeAndGoesOnWhereItIs) {
  branch_->Sql(
      "CREATE TABLE s (id serial PRIMARY KEY); CREATE SEQUENCE blocks INCREMENT BY 50; "
      "CREATE TABLE orm (id bigint PRIMARY KEY DEFAULT nextval('blocks'))");
  MustInit();
  EXPECT_EQ(Next("s_id_seq"), "3");
  EXPECT_EQ(Next("blocks"), "151");
  EXPECT_TRUE(RestoreSequences(*admin_, SteadyNow() + absl::Seconds(10)).ok());
  EXPECT_EQ(Next("s_id_seq"), "4");
  EXPECT_EQ(Next("blocks"), "201");
  EXPECT_EQ(branch_->Value("SELECT count(*) FROM assay.sequences"), "0");
}

// A real ERP calls nextval by name, for bills and parties: nobody but its people knows what the numbers mean.
TEST_F(SequencesTest, ASequenceThatNoColumnTakesIsStridedWhenTheConfigSaysSoAndLeftAloneOtherwise) {
  branch_->Sql(
      "CREATE TABLE s (id serial PRIMARY KEY); CREATE SEQUENCE party_no; CREATE SEQUENCE invoice_no; "
      "SELECT nextval('party_no'), nextval('invoice_no')");
  MustInit();
  EXPECT_THAT(Stride(3), IsEmpty());
  EXPECT_EQ(Next("party_no"), "2");
  choices_ = {.stride = {{"public", "party_no"}}, .own = {{"public", "invoice_no"}, {"public", "s_id_seq"}}};
  EXPECT_THAT(Stride(3), ElementsAre("public.party_no goes on at 3, in steps of 64"));
  EXPECT_EQ(Next("party_no"), "3");
  EXPECT_EQ(Next("party_no"), "67");
  EXPECT_EQ(Next("invoice_no"), "2");
  EXPECT_EQ(Next("invoice_no"), "3") << "consecutive, as invoices must be";
}

}  // namespace
}  // namespace assay
