// A branch that may read some tables only: what it is not granted it never shows, and what it is granted later comes
// whole, however the table was changed meanwhile.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/fleet/fleet.h"

namespace assay::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kPatience = absl::Seconds(90);
constexpr char kSchema[] = R"(
CREATE TABLE products (sku text PRIMARY KEY, price int);
CREATE TABLE customers (id int PRIMARY KEY, name text, phone text, points int NOT NULL DEFAULT 0);
)";
constexpr char kCustomers[] = "SELECT string_agg(concat_ws(' ', id, name, phone, points), ', ' ORDER BY id) FROM ";

class GrantsTest : public ::testing::Test {
 protected:
  // Three branches, of which the last may read the products of the others and nothing else.
  void SetUp() override {
    auto made = Fleet::Create(3, {.schema = kSchema}, /*start=*/false);
    if (MaySkipWithoutPostgres(made.status())) GTEST_SKIP() << made.status();
    ASSERT_OK(made.status());
    fleet_ = *std::move(made);
    Grant({"public.products"});
    for (int i = 0; i < 3; ++i) {
      ASSERT_OK(fleet_->branch(i).Init());
      ASSERT_OK(fleet_->branch(i).StartDaemon());
    }
    Run(a(), "INSERT INTO products VALUES ('R1', 10)");
    Run(a(), "INSERT INTO customers VALUES (1, 'Asha', '98200', 5), (2, 'Ravi', '98211', 7), (3, 'Uma', NULL, 1)");
    ASSERT_TRUE(Shows(b(), "SELECT count(*) FROM customers", "3"));
    ASSERT_TRUE(Shows(c(), "SELECT count(*) FROM products", "1"));
    Run(b(), "UPDATE customers SET phone = '98299' WHERE id = 1");
  }
  Branch& a() { return fleet_->branch(0); }
  Branch& b() { return fleet_->branch(1); }
  Branch& c() { return fleet_->branch(2); }

  void Grant(std::vector<std::string> tables) {
    tables.insert(tables.begin(), {"grant", c().name(), "--tables"});
    const RunResult granted = fleet_->HubCommand(tables);
    ASSERT_EQ(granted.exit_code, 0) << granted.output;
  }
  static void Run(Branch& branch, const std::string& sql) { MustSql(branch.Url(), sql); }
  void Alter(const std::string& sql) {
    for (int i = 0; i < 3; ++i) Run(fleet_->branch(i), sql);
  }
  static bool Shows(Branch& branch, const std::string& query, const std::string& value) {
    const bool shown = Eventually(kPatience, [&] { return SqlValue(branch.Url(), query) == value; });
    EXPECT_TRUE(shown) << branch.name() << " shows " << SqlValue(branch.Url(), query) << ", and not " << value << "\n"
                       << branch.Problems();
    return shown;
  }
  // What is written before this is at C, as far as C may read it.
  void PassToC(int price) {
    for (Branch* branch : {&a(), &b()}) {
      const std::string sku = absl::StrCat("'until ", price, " of ", branch->name(), "'");
      Run(*branch, absl::StrCat("INSERT INTO products VALUES (", sku, ", ", price, ")"));
      ASSERT_TRUE(Shows(c(), absl::StrCat("SELECT count(*) FROM products WHERE sku = ", sku), "1"));
    }
  }
  // "public.customers 4", of what C may not read.
  std::string Masked() {
    std::string text;
    const absl::StatusOr<google::protobuf::Struct> status = c().Status();
    if (!status.ok()) return std::string(status.status().message());
    for (const google::protobuf::Struct* masked : JsonObjects(*status, "masked"))
      absl::StrAppend(&text, text.empty() ? "" : ", ", JsonText(*masked, "table"), " ", JsonText(*masked, "events"));
    return text;
  }

  std::unique_ptr<Fleet> fleet_;
};

// Goal: a branch that is granted more has what the others have, from the first row on. Method: C is granted customers
// after rows of it were written under an older declaration and in another type.
TEST_F(GrantsTest, WhatIsGrantedLaterComesWholeHoweverItsTableWasAltered) {
  ASSERT_NO_FATAL_FAILURE(PassToC(1));
  EXPECT_EQ(Masked(), "public.customers 4");
  EXPECT_THAT(c().Assay({"status"}).output, HasSubstr("Not shown to this branch: 4 changes of public.customers"));
  EXPECT_EQ(c().Problems(), "");
  EXPECT_EQ(SqlValue(c().Url(), "SELECT count(*) FROM customers"), "0");

  Alter("ALTER TABLE customers ADD COLUMN note text, ALTER COLUMN points TYPE bigint");
  Run(a(), "UPDATE customers SET note = 'likes gold', points = 5000000000 WHERE id = 1");
  ASSERT_TRUE(Shows(b(), "SELECT note FROM customers WHERE id = 1", "likes gold"));
  Alter("ALTER TABLE customers RENAME COLUMN phone TO mobile");
  Run(a(), "INSERT INTO customers VALUES (4, 'Dev', NULL, 9, NULL)");
  Run(a(), "UPDATE customers SET points = 8, mobile = '98222' WHERE id = 2");
  Run(b(), "DELETE FROM customers WHERE id = 3");
  ASSERT_NO_FATAL_FAILURE(PassToC(2));
  EXPECT_EQ(Masked(), "public.customers 8");
  EXPECT_EQ(c().Problems(), "") << "a declaration and a header are of no table, and nobody misses what it may not read";

  ASSERT_EQ(c().StopDaemon(), 0);  // What is held as hashes is remembered.
  ASSERT_OK(c().StartDaemon());
  Grant({"public.products", "public.customers"});
  c().Assay({"sync", "now"});
  ASSERT_OK(fleet_->WaitConverged(kPatience));
  EXPECT_EQ(SqlValue(c().Url(),
                     "SELECT string_agg(concat_ws(' ', id, name, mobile, points), ', ' ORDER BY id) "
                     "FROM customers"),
            "1 Asha 98299 5000000000, 2 Ravi 98222 8, 4 Dev 9");
  EXPECT_EQ(Masked(), "");
  EXPECT_THAT(c().Assay({"status"}).output, Not(HasSubstr("Not shown")));
  EXPECT_EQ(c().Problems(), "");
}

// A table that is renamed is another one in the log (engine/LIMITS.md): what is granted of it under its new name alone
// is not whole, and what was written under the old one has no table here. Neither may be silent.
TEST_F(GrantsTest, ATableThatWasRenamedWhileItWasMaskedWaitsByName) {
  Alter("ALTER TABLE customers RENAME TO clients");
  Run(a(), "INSERT INTO clients VALUES (4, 'Dev', NULL, 9)");
  Run(a(), "UPDATE clients SET points = 8 WHERE id = 2");
  ASSERT_NO_FATAL_FAILURE(PassToC(1));
  EXPECT_EQ(Masked(), "public.clients 2, public.customers 4");
  EXPECT_EQ(c().Problems(), "");
  Grant({"public.products", "public.clients"});
  c().Assay({"sync", "now"});
  ASSERT_TRUE(Shows(c(), absl::StrCat(kCustomers, "clients"), "4 Dev 9")) << "no row is made of a part of it";
  EXPECT_TRUE(Eventually(kPatience, [&] { return absl::StrContains(c().Problems(), "rows-wait"); })) << c().Problems();
  EXPECT_EQ(Masked(), "public.customers 4");
  Grant({"*"});
  c().Assay({"sync", "now"});
  EXPECT_TRUE(Eventually(kPatience, [&] { return Masked().empty(); })) << Masked();
  EXPECT_TRUE(Eventually(kPatience, [&] {
    return absl::StrContains(c().Assay({"parked"}).output, "public.customers");
  })) << c().Assay({"parked"}).output;
}

// Goal: a grant that is taken away for a while costs nothing once it is given back, and C's own rows of the table go to
// the others all the time.
TEST_F(GrantsTest, AGrantThatIsTakenAwayAndGivenBackLosesNothing) {
  Grant({"*"});
  ASSERT_OK(fleet_->WaitConverged(kPatience));
  EXPECT_EQ(Masked(), "");
  Grant({"public.products"});
  ASSERT_NO_FATAL_FAILURE(PassToC(1));
  Run(a(), "UPDATE customers SET points = 100 WHERE id = 1; INSERT INTO customers VALUES (4, 'Dev', NULL, 9)");
  Run(b(), "DELETE FROM customers WHERE id = 2");
  Run(c(), "UPDATE customers SET phone = 'of c' WHERE id = 3; INSERT INTO customers VALUES (5, 'of c', NULL, 2)");
  ASSERT_NO_FATAL_FAILURE(PassToC(2));
  ASSERT_TRUE(Shows(a(), "SELECT phone FROM customers WHERE id = 3", "of c"));
  EXPECT_EQ(SqlValue(c().Url(), absl::StrCat(kCustomers, "customers")),
            "1 Asha 98299 5, 2 Ravi 98211 7, 3 Uma of c 1, 5 of c 2")
      << "what it was shown stays, and what it may not read does not come";
  EXPECT_EQ(Masked(), "public.customers 3");
  EXPECT_EQ(c().Problems(), "");
  Grant({"*"});
  c().Assay({"sync", "now"});
  ASSERT_OK(fleet_->WaitConverged(kPatience));
  EXPECT_EQ(SqlValue(c().Url(), absl::StrCat(kCustomers, "customers")),
            "1 Asha 98299 100, 3 Uma of c 1, 4 Dev 9, 5 of c 2");
  EXPECT_EQ(Masked(), "");
}

// Goal: who wrote a transaction, and what it had seen, is there for every reader of a part of it. Method: its first
// rows are of a table that C may not read, and it writes over what C has written.
TEST_F(GrantsTest, AHeaderIsThereWhicheverTablesAreMasked) {
  Run(c(), "UPDATE products SET price = 20 WHERE sku = 'R1'");
  ASSERT_TRUE(Shows(a(), "SELECT price FROM products WHERE sku = 'R1'", "20"));
  Run(a(),
      "BEGIN; SET LOCAL assay.application_user = 'asha'; INSERT INTO customers VALUES (6, 'Zoya', NULL, 1); "
      "UPDATE products SET price = 30 WHERE sku = 'R1'; COMMIT");
  ASSERT_TRUE(Shows(c(), "SELECT price FROM products WHERE sku = 'R1'", "30"));
  EXPECT_EQ(JsonNumber(*c().Status(), "conflicts"), 0) << "A had seen the 20";
  EXPECT_THAT(c().Assay({"log", "ls", "--table", "public.products", "--key", "R1"}).output,
              AllOf(HasSubstr("asha"), HasSubstr("30")));
  Grant({"*"});
  c().Assay({"sync", "now"});
  ASSERT_OK(fleet_->WaitConverged(kPatience));
}

TEST_F(GrantsTest, AGrantOfATableThatNobodyHasIsRefused) {
  ASSERT_NO_FATAL_FAILURE(PassToC(1));
  const RunResult slip = fleet_->HubCommand({"grant", c().name(), "--tables", "public.nosuch"});
  EXPECT_NE(slip.exit_code, 0);
  EXPECT_THAT(slip.output, HasSubstr("no branch has sent a row of public.nosuch"));
  Run(a(), "UPDATE products SET price = 11 WHERE sku = 'R1'");
  EXPECT_TRUE(Shows(c(), "SELECT price FROM products WHERE sku = 'R1'", "11")) << "nothing was changed";
  Grant({"*"});
  c().Assay({"sync", "now"});
  ASSERT_OK(fleet_->WaitConverged(kPatience));
}

}  // namespace
}  // namespace assay::test
