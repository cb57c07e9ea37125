// Goal: what nothing else has seen is found by comparing the tables with the log: by the daemon itself, and for whoever
// asks; beside a shop that sells, where nothing is said to differ that does not; and the remedy that is shown mends it.
#include <csignal>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "tests/fleet/actor.h"
#include "tests/fleet/fleet.h"

namespace assay::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kSchema[] =
    "CREATE TABLE items (id int PRIMARY KEY, v text, price numeric(12,2)); CREATE TABLE sales (id serial PRIMARY KEY, v "
    "text, at timestamptz DEFAULT now())";

// In one transaction, so that nobody sees the table without its publication; and capture sees nothing of the change.
void Unseen(Branch& branch, const std::string& sql) {
  MustSql(branch.AdminUrl(), absl::StrCat("BEGIN; ALTER PUBLICATION assay DROP TABLE items; ", sql,
                                          "; ALTER PUBLICATION assay ADD TABLE items; COMMIT"));
}

int64_t Verification(Branch& branch, const std::string& field) {
  const auto status = branch.Status();
  return status.ok() ? JsonNumber(*status, absl::StrCat("verification.", field)) : -1;
}

// Goal: from a wrong cell to a healthy branch, by the commands that are shown.
TEST(SentinelTest, AWrongCellIsNamedAndTheRepairThatIsShownMendsIt) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  MustSql(a.Url(),
          "INSERT INTO items SELECT i, 'v', i FROM generate_series(1, 1000) i; INSERT INTO sales (v) VALUES ('s')");
  ASSERT_OK(fleet->WaitConverged(kPatience));
  EXPECT_TRUE(Eventually(kPatience, [&] { return Verification(a, "compared") == 2; })) << "by itself, after init";
  RunResult verified = a.Assay({"verify", "--tables"});
  EXPECT_EQ(verified.exit_code, 0) << verified.output;
  EXPECT_THAT(verified.output, AllOf(HasSubstr("public.items: 1,000 rows, as the log has them"),
                                     HasSubstr("2 tables, 1,001 rows, 2,002 cells compared: nothing differs.")));
  EXPECT_THAT(a.Assay({"status"}).output, HasSubstr("2 of 2 tables"));

  Unseen(a, "UPDATE items SET price = 9.99 WHERE id = 500");
  verified = a.Assay({"verify", "--tables", "public.items"});
  EXPECT_EQ(verified.exit_code, 1) << verified.output;
  EXPECT_THAT(verified.output,
              AllOf(HasSubstr("1 DIFFERS"), HasSubstr("row [500], price: '9.99' here, '500.00' in the log"),
                    Not(HasSubstr("public.sales"))));
  EXPECT_THAT(a.Problems(),
              AllOf(HasSubstr("table-differs"), HasSubstr("public.items"), HasSubstr("row [500], column price")));
  EXPECT_THAT(a.Assay({"status"}).output, AllOf(Not(HasSubstr("All is well")), HasSubstr("1 row differs")));
  EXPECT_EQ(a.StopDaemon(), 0);
  ASSERT_OK(a.StartDaemon());
  EXPECT_THAT(a.Problems(), HasSubstr("table-differs")) << "also after a restart";

  EXPECT_EQ(a.StopDaemon(), 0);
  const RunResult shown = a.Assay({"repair"});
  EXPECT_THAT(shown.output, AllOf(HasSubstr("1 row of public.items is not as the log has it"), HasSubstr("9.99")));
  const RunResult applied = a.Assay({"repair", "--apply"});
  ASSERT_EQ(applied.exit_code, 0) << applied.output;
  ASSERT_OK(a.StartDaemon());
  ASSERT_OK(fleet->WaitConverged(kPatience));
  EXPECT_EQ(SqlValue(b.Url(), "SELECT price FROM items WHERE id = 500"), "9.99");
  EXPECT_THAT(a.Problems(), IsEmpty());
  EXPECT_TRUE(Eventually(kPatience, [&] { return Verification(a, "compared") == 2; })) << "by itself, after the repair";
  EXPECT_EQ(Verification(a, "differing_rows"), 0);
  EXPECT_EQ(a.Assay({"verify", "--tables"}).exit_code, 0);
}

TEST(SentinelTest, WhatSomebodyHasPutRightIsNoDifferenceAnyMore) {
  ASSAY_START_FLEET(fleet, 1, {.schema = kSchema});
  Branch& a = fleet->branch(0);
  MustSql(a.Url(), "INSERT INTO items VALUES (1, 'v', 1)");
  Unseen(a, "UPDATE items SET v = 'wrong'");
  EXPECT_EQ(a.Assay({"verify", "--tables"}).exit_code, 1);
  MustSql(a.Url(), "UPDATE items SET v = 'right'");
  EXPECT_EQ(a.Assay({"verify", "--tables"}).exit_code, 0);
  EXPECT_THAT(a.Problems(), IsEmpty());
}

TEST(SentinelTest, WhatCannotBeComparedIsToldApartFromWhatDiffers) {
  ASSAY_START_FLEET(fleet, 1, {.schema = kSchema});
  Branch& a = fleet->branch(0);
  const RunResult unknown = a.Assay({"verify", "--tables", "public.nothing"});
  EXPECT_EQ(unknown.exit_code, 2) << unknown.output;
  EXPECT_EQ(a.Assay({"verify"}).exit_code, 2);
  EXPECT_EQ(a.StopDaemon(), 0);
  EXPECT_EQ(a.Assay({"verify", "--tables"}).exit_code, 3);
  ASSERT_OK(a.StartDaemon());
}

// Goal: no false alarm while everything moves, and no wrong cell missed for all that.
TEST(SentinelTest, BesideSalesAtBothShopsNothingIsSaidToDifferButTheCellThatDoes) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  MustSql(a.Url(), "INSERT INTO items SELECT i, 'v', i FROM generate_series(1, 5000) i");
  ASSERT_OK(fleet->WaitConverged(kPatience));
  Actors at_a(1), at_b(2);
  const auto sell = [](SqlSession& session, std::mt19937_64& random) {
    const uint64_t id = 1 + random() % 4000;
    absl::SleepFor(absl::Milliseconds(10));
    return session
        .Run(absl::StrCat("BEGIN; UPDATE items SET v = 'v", random() % 1000, "', price = price + 1 WHERE id = ", id,
                          "; INSERT INTO sales (v) VALUES ('", id,
                          "'); DELETE FROM sales WHERE id = ", 1 + random() % 5000, "; COMMIT"))
        .status();
  };
  at_a.Start(a.Url(), sell);
  at_b.Start(b.Url(), sell);
  for (int round = 0; round < 6; ++round) {
    const RunResult verified = (round % 2 == 0 ? a : b).Assay({"verify", "--tables"}, absl::Minutes(2));
    EXPECT_EQ(verified.exit_code, 0) << "round " << round << "\n" << verified.output;
  }
  Unseen(b, "UPDATE items SET v = 'wrong' WHERE id = 4500");
  const RunResult verified = b.Assay({"verify", "--tables"}, absl::Minutes(2));
  EXPECT_EQ(verified.exit_code, 1) << verified.output;
  EXPECT_THAT(verified.output, AllOf(HasSubstr("1 DIFFERS"), HasSubstr("row [4500], v: 'wrong' here, 'v' in the log")));
  at_a.Stop();
  at_b.Stop();
  MustSql(b.Url(), "UPDATE items SET v = 'v', price = price + 1 WHERE id = 4500");  // So that the fleet is one again.
  ASSERT_OK(fleet->WaitConverged(kPatience));
  EXPECT_EQ(b.Assay({"verify", "--tables"}).exit_code, 0);
}

TEST(SentinelTest, ADaemonThatIsKilledWhileItComparesGoesOnAndSoDoesAnAlteredTable) {
  ASSAY_START_FLEET(fleet, 1, {.schema = kSchema});
  Branch& a = fleet->branch(0);
  MustSql(a.Url(), "INSERT INTO items SELECT i, 'v', i FROM generate_series(1, 4000) i");
  for (int i = 0; i < 3; ++i) {
    absl::SleepFor(absl::Milliseconds(700 * i));
    a.StopDaemon(SIGKILL);
    ASSERT_OK(a.StartDaemon());
  }
  EXPECT_TRUE(Eventually(kPatience, [&] { return Verification(a, "compared") == 2; }));
  Unseen(a, "UPDATE items SET v = 'wrong' WHERE id = 7");
  MustSql(a.Url(), "ALTER TABLE items ADD COLUMN note text; INSERT INTO items VALUES (99999, 'v', 1, 'n')");
  EXPECT_TRUE(Eventually(kPatience, [&] { return Verification(a, "differing_rows") == 1; }))
      << "nobody asked: the table was altered";
  MustSql(a.Url(), "UPDATE items SET v = 'right' WHERE id = 7");
}

// Django's way to add a column, one branch after the other while both sell: what each ALTER TABLE computed is no event.
TEST(SentinelTest, WhatADefaultComputedIsTheSameEverywhereAlsoForWhoJoinsLater) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  const std::string add =
      "ALTER TABLE items ADD points int DEFAULT 1000 NOT NULL; ALTER TABLE items ALTER points DROP DEFAULT";
  MustSql(a.Url(), "INSERT INTO items SELECT i, 'v', i FROM generate_series(1, 3000) i");
  ASSERT_OK(fleet->WaitConverged(kPatience));
  MustSql(a.Url(), add);
  MustSql(a.Url(), "INSERT INTO items VALUES (5001, 'of a', 1, 5); UPDATE items SET points = 7 WHERE id = 1");
  MustSql(b.Url(), "INSERT INTO items SELECT i, 'of b', i FROM generate_series(6001, 6020) i");
  EXPECT_TRUE(Eventually(kPatience, [&] { return a.Problems().find("rows-wait") != std::string::npos; }))
      << "b's rows have no points";
  // What a's default computed waits for b's column without a word; what somebody edited is named.
  EXPECT_EQ(a.Assay({"verify", "--tables"}).exit_code, 0);
  for (Branch* each : {&a, &b}) EXPECT_EQ(each->Assay({"sync", "now"}).exit_code, 0);
  EXPECT_TRUE(Eventually(kPatience, [&] {
    const auto parked = b.AssayJson({"parked"});
    return parked.ok() && JsonObjects(*parked, "rows").size() == 2;
  }));
  MustSql(b.Url(), add);
  MustSql(b.Url(), "UPDATE items SET points = 8 WHERE id = 2");
  // By itself it does so within two minutes.
  EXPECT_TRUE(Eventually(kPatience, [&] { return b.Assay({"verify", "--tables"}).exit_code == 0; }));
  ASSERT_OK(fleet->WaitConverged(kPatience));
  EXPECT_EQ(SqlValue(a.Url(), "SELECT count(*) FROM items WHERE points = 1000"), "3018");
  EXPECT_EQ(
      SqlValue(b.Url(), "SELECT string_agg(id || ' ' || points, ', ' ORDER BY id) FROM items WHERE points < 1000"),
      "1 7, 2 8, 5001 5");

  const absl::StatusOr<Branch*> late = fleet->AddBranch();
  ASSERT_OK(late.status());
  MustSql((*late)->Url(), "ALTER TABLE items ADD points int DEFAULT 10 NOT NULL");
  ASSERT_OK((*late)->Init());
  ASSERT_OK((*late)->StartDaemon());
  ASSERT_OK(fleet->WaitConverged(kPatience));
  EXPECT_EQ(SqlValue((*late)->Url(), "SELECT count(*) FROM items WHERE points = 1000"), "3018");
  for (int i = 0; i < fleet->size(); ++i) {
    EXPECT_EQ(fleet->branch(i).Assay({"verify", "--tables"}).exit_code, 0);
    EXPECT_THAT(fleet->branch(i).Problems(), IsEmpty());
    EXPECT_THAT(fleet->branch(i).Assay({"conflicts"}).output, Not(HasSubstr("points")));
  }
}

// Of a default that each branch computes for itself, one wins everywhere: no edit, and no conflict.
TEST(SentinelTest, OfTwoDefaultsThatDifferOneIsEverywhere) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  MustSql(a.Url(), "INSERT INTO items SELECT i, 'v', i FROM generate_series(1, 200) i");
  ASSERT_OK(fleet->WaitConverged(kPatience));
  for (Branch* each : {&a, &b})
    MustSql(each->Url(), "ALTER TABLE items ADD made timestamptz DEFAULT clock_timestamp()");
  MustSql(a.Url(), "UPDATE items SET made = '2026-01-01' WHERE id = 1");
  MustSql(b.Url(), "UPDATE items SET made = '2026-02-02' WHERE id = 2");
  ASSERT_OK(fleet->WaitConverged(kPatience));
  for (Branch* each : {&a, &b}) EXPECT_EQ(each->Assay({"verify", "--tables"}).exit_code, 0);
  ASSERT_OK(fleet->WaitConverged(kPatience));
  EXPECT_EQ(SqlValue(b.Url(), "SELECT count(*) FROM items WHERE made < '2026-03-01'"), "2");
  EXPECT_THAT(a.Assay({"conflicts"}).output, Not(HasSubstr("made")));
}

}  // namespace
}  // namespace assay::test
