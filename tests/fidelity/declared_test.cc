// Goal: what a row is, is what its writer's log declares: its key by name, its columns by number, its types by what
// they are made of. Where a branch has it otherwise, the row waits there by name, nothing is written into another row,
// column or type, and it drains by itself once both have the same. Method: one fleet, a table a case, each as one shop
// has it before the other; look at both, make them the same, look again.
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/fidelity/fidelity.h"

namespace assay::test {
namespace {

constexpr absl::Duration kSeconds = absl::Seconds(45);  // For what takes a few, on a machine that is busy.

class DeclaredTest : public ::testing::Test {
 protected:
  void Start(const std::string& schema, bool may_differ = false) {
    auto fleet = Fleet::Create(2, {.schema = schema, .may_differ = may_differ});
    if (MaySkipWithoutPostgres(fleet.status())) GTEST_SKIP() << fleet.status().message();
    ASSERT_TRUE(fleet.ok()) << fleet.status();
    fleet_ = *std::move(fleet);
  }
  Branch& a() { return fleet_->branch(0); }
  Branch& b() { return fleet_->branch(1); }

  // All of `table` becomes this: a row's columns with "," between them, rows with " ".
  static void ExpectRows(Branch& branch, const std::string& table, const std::string& rows) {
    const std::string sql = absl::StrCat(
        "SELECT coalesce(string_agg(trim(whole::text, '()'), ' ' ORDER BY whole), '') FROM ", table, " whole");
    std::string last;
    EXPECT_TRUE(Eventually(
        kSeconds, [&] { return (last = SqlValue(branch.Url(), sql)) == rows; }, absl::Milliseconds(100)))
        << branch.name() << ", " << table << ": " << last << "\n"
        << branch.Problems();
  }
  static void ExpectParked(Branch& branch, const std::string& table, const std::string& cause) {
    std::string told;
    EXPECT_TRUE(Eventually(
        kSeconds,
        [&] {
          const absl::StatusOr<google::protobuf::Struct> parked = branch.AssayJson({"parked"});
          if (!parked.ok()) return false;
          told.clear();
          for (const google::protobuf::Struct* row : JsonObjects(*parked, "rows")) {
            if (JsonText(*row, "table") == "public." + table) absl::StrAppend(&told, JsonText(*row, "cause"), "\n");
          }
          return told.find(cause) != std::string::npos;
        },
        absl::Milliseconds(150)))
        << branch.name() << ", " << table << ": " << told << "\n"
        << branch.Problems();
  }
  void ExpectConverged() {
    ASSERT_OK(fleet_->WaitConverged(absl::Seconds(60)));
    for (Branch* branch : {&a(), &b()}) EXPECT_EQ(branch->Problems(), "") << branch->name();
  }

  std::unique_ptr<Fleet> fleet_;
};

TEST_F(DeclaredTest, ARowHasOneKeyByNameAsTheLogDeclaresIt) {
  ASSERT_NO_FATAL_FAILURE(
      Start("CREATE TABLE line (bill int, pos int, what text, PRIMARY KEY (bill, pos));"
            "CREATE TABLE item (id int PRIMARY KEY, code int NOT NULL UNIQUE, name text);"
            "CREATE TABLE article (sku char(8) PRIMARY KEY, name text);"
            "CREATE TABLE place (t int, o int, p int, PRIMARY KEY (t, o) INCLUDE (p));"
            "CREATE TABLE voucher (number int, series text, total int, PRIMARY KEY (number, series));"));
  MustApp(a(),
          "INSERT INTO item VALUES (1, 2, 'one'), (2, 3, 'two'), (3, 1, 'three'); "
          "INSERT INTO voucher VALUES (1, 'x', 10); INSERT INTO place VALUES (1, 2, 3)");
  ASSERT_OK(fleet_->WaitConverged(kSeconds));

  // The same columns in another order, as one shop's migration made them.
  MustApp(b(), "ALTER TABLE line DROP CONSTRAINT line_pkey, ADD PRIMARY KEY (pos, bill)");
  MustApp(a(), "INSERT INTO line VALUES (7, 1, 'bill 7 line 1')");
  MustApp(b(), "INSERT INTO line (bill, pos, what) VALUES (1, 9, 'bill 1 line 9')");
  for (Branch* branch : {&a(), &b()}) ExpectRows(*branch, "line", "1,9,\"bill 1 line 9\" 7,1,\"bill 7 line 1\"");

  // Key columns that are not the first ones, and one that only comes along in the index.
  MustApp(b(), "UPDATE place SET p = 4");
  ExpectRows(a(), "place", "1,2,4");

  // A key column is renamed at one shop first, into another place of the order of names.
  MustApp(a(), "ALTER TABLE voucher RENAME number TO voucher_number; UPDATE voucher SET total = 20");
  ExpectRows(b(), "voucher", "1,x,20");
  MustApp(b(), "INSERT INTO voucher VALUES (2, 'x', 5)");
  MustApp(b(), "ALTER TABLE voucher RENAME number TO voucher_number; UPDATE voucher SET total = total + 1");
  MustApp(a(), "UPDATE voucher SET total = total + 1 WHERE voucher_number = 1");

  // The key moves to another column at A first: B's row with id 2 is another one.
  MustApp(a(), "ALTER TABLE item DROP CONSTRAINT item_pkey, ADD PRIMARY KEY (code)");
  MustApp(a(), "UPDATE item SET name = 'ONE' WHERE code = 2");
  ExpectParked(b(), "item", "the primary key of table public.item is (code) there and (id) here");
  ExpectRows(b(), "item", "1,2,one 2,3,two 3,1,three");
  MustApp(b(), "ALTER TABLE item DROP CONSTRAINT item_pkey, ADD PRIMARY KEY (code)");
  ExpectRows(b(), "item", "1,2,ONE 2,3,two 3,1,three");

  // A text that is padded in one type and not in the other.
  MustApp(a(), "ALTER TABLE article ALTER sku TYPE varchar(8); INSERT INTO article VALUES ('R-1', 'ring')");
  ExpectParked(b(), "article",
               "key column sku of table public.article is character varying(8) there and character(8) here");
  ExpectRows(b(), "article", "");
  MustApp(b(), "ALTER TABLE article ALTER sku TYPE varchar(8)");
  ExpectRows(b(), "article", "R-1,ring");
  ASSERT_OK(fleet_->WaitConverged(absl::Seconds(60)));
  // What the log has of the rows is under their old key: who joins later would not know them under the new one.
  EXPECT_THAT(a().Problems(), ::testing::StartsWith("table-unrecorded"));
  EXPECT_THAT(a().Problems(), ::testing::HasSubstr("public.item"));
  // B finds that out when it compares the table, which may have been before or after.
  EXPECT_THAT(b().Problems(), ::testing::AnyOf("", ::testing::AllOf(::testing::StartsWith("table-differs"),
                                                                    ::testing::HasSubstr("public.item"))));
}

TEST_F(DeclaredTest, AValueGoesOnlyIntoTheTypeThatItWasWrittenAs) {
  ASSERT_NO_FATAL_FAILURE(
      Start("CREATE DOMAIN weight AS numeric(10,3); CREATE TYPE dims AS (l numeric(10,3), w numeric(10,3));"
            "CREATE TABLE piece (id int PRIMARY KEY, w weight); CREATE TABLE box (id int PRIMARY KEY, d dims);"
            "CREATE TABLE visit (id int PRIMARY KEY, at timestamp);"
            "CREATE TABLE price (id int PRIMARY KEY, price numeric(12,2))",
            /*may_differ=*/true));  // In binary form: the OIDs of types that were made anew.
  MustApp(a(), "INSERT INTO price VALUES (1, 10), (2, 20)");
  ASSERT_OK(fleet_->WaitConverged(kSeconds));

  // One version behind: the names say nothing of it.
  MustApp(b(),
          "ALTER TABLE piece ALTER w TYPE numeric; DROP DOMAIN weight; CREATE DOMAIN weight AS numeric(10,2);"
          "ALTER TABLE piece ALTER w TYPE weight; ALTER TABLE box ALTER d TYPE text; DROP TYPE dims;"
          "CREATE TYPE dims AS (l numeric(10,2), w numeric(10,2)); ALTER TABLE box ALTER d TYPE dims USING d::dims");
  MustApp(a(), "INSERT INTO piece VALUES (1, 8.125); INSERT INTO box VALUES (1, (1.125,2.335))");
  ExpectParked(
      b(), "piece",
      "written as public.weight (public.weight numeric(10,3)) and is public.weight (public.weight numeric(10,2)) here");
  ExpectParked(b(), "box", "written as public.dims (public.dims (l numeric(10,3), w numeric(10,3)))");
  ExpectRows(b(), "piece", "");  // Not with NULL, which nobody meant.

  MustSql(b().AdminUrl(), "ALTER DATABASE erp SET timezone = 'Asia/Kolkata'");
  MustApp(b(), "ALTER TABLE visit ALTER at TYPE timestamptz");
  MustApp(a(), "INSERT INTO visit VALUES (1, '2025-10-09 10:00')");
  ExpectParked(b(), "visit", "written as timestamp without time zone and is timestamp with time zone here");

  // Rupees become paise, at A first.
  const char kPaise[] = "ALTER TABLE price ALTER price TYPE bigint USING (price * 100)::bigint";
  MustApp(a(), kPaise);
  MustApp(a(), "UPDATE price SET price = 1500 WHERE id = 1");
  ExpectParked(b(), "price", "column price was written as bigint and is numeric(12,2) here");
  ExpectRows(b(), "price", "1,10.00 2,20.00");
  ExpectRows(a(), "piece", "1,8.125");
  ExpectRows(a(), "box", "1,\"(1.125,2.335)\"");

  MustApp(b(), kPaise);
  MustApp(b(), "UPDATE price SET price = 2100 WHERE id = 2");
  for (Branch* branch : {&a(), &b()}) ExpectRows(*branch, "price", "1,1500 2,2100");
  MustApp(b(),
          "ALTER TABLE piece ALTER w TYPE numeric; DROP DOMAIN weight; CREATE DOMAIN weight AS numeric(10,3);"
          "ALTER TABLE piece ALTER w TYPE weight; ALTER TABLE box ALTER d TYPE text; DROP TYPE dims;"
          "CREATE TYPE dims AS (l numeric(10,3), w numeric(10,3)); ALTER TABLE box ALTER d TYPE dims USING d::dims;"
          "ALTER TABLE visit ALTER at TYPE timestamp");
  ExpectRows(b(), "piece", "1,8.125");
  ExpectRows(b(), "box", "1,\"(1.125,2.335)\"");
  for (Branch* branch : {&a(), &b()})
    EXPECT_TRUE(Eventually(
        kSeconds, [&] { return branch->Problems().empty(); }, absl::Milliseconds(200)));
}

TEST_F(DeclaredTest, AColumnIsItsNumberBeforeItsName) {
  ASSERT_NO_FATAL_FAILURE(
      Start("CREATE TABLE remark (id int PRIMARY KEY, note text); CREATE TABLE goods (id int PRIMARY KEY, price int);"
            "CREATE TABLE twice (id int PRIMARY KEY, c int, d int)"));
  MustApp(a(),
          "INSERT INTO remark VALUES (1, 'x'), (2, 'y'); INSERT INTO goods VALUES (1, 10), (2, 20);"
          "INSERT INTO twice VALUES (1, 10, 1), (2, 20, 2)");
  ASSERT_OK(fleet_->WaitConverged(kSeconds));

  const char kAnew[] = "ALTER TABLE remark DROP note; ALTER TABLE remark ADD note int";
  MustApp(a(), kAnew);
  MustApp(a(), "UPDATE remark SET note = 5 WHERE id = 1");
  ExpectParked(b(), "remark", "column note was written as integer and is text here");
  ExpectRows(b(), "remark", "1,x 2,y");

  const char kKeepOld[] = "ALTER TABLE goods RENAME price TO price_old; ALTER TABLE goods ADD price int";
  MustApp(a(), kKeepOld);
  MustApp(a(), "UPDATE goods SET price = 999 WHERE id = 1");
  ExpectParked(b(), "goods",
               "column price is another one there by now: the one that is here is called price_old there");
  ExpectRows(b(), "goods", "1,10 2,20");
  MustApp(b(), "UPDATE goods SET price = 21 WHERE id = 2");
  ExpectRows(a(), "goods", "1,10,999 2,21,");

  // A migration that was run again: PostgreSQL has lost what the log knows.
  MustApp(b(), "ALTER TABLE twice DROP c; ALTER TABLE twice ADD c int; UPDATE twice SET d = 100 WHERE id = 1");
  ExpectRows(b(), "twice", "1,100,10 2,2,20");

  MustApp(b(), kAnew);
  MustApp(b(), kKeepOld);
  MustApp(a(), "UPDATE remark SET note = 7 WHERE id = 2; UPDATE goods SET price = 888 WHERE id = 2");
  for (Branch* branch : {&a(), &b()}) {
    ExpectRows(*branch, "remark", "1,5 2,7");
    ExpectRows(*branch, "goods", "1,10,999 2,21,888");
  }
  ASSERT_NO_FATAL_FAILURE(ExpectConverged());
}

// Rows that came with a partition are in no log: what is changed of them is all that the other shop hears.
TEST_F(DeclaredTest, ARowIsMadeOnlyIfItWasSeenWhole) {
  ASSERT_NO_FATAL_FAILURE(
      Start("CREATE TABLE bill (id int, year int, n int, note text, PRIMARY KEY (id, year)) PARTITION BY LIST (year);"
            "CREATE TABLE bill_2024 PARTITION OF bill FOR VALUES IN (2024)",
            /*may_differ=*/true));  // Nothing tells yet of bill 8, which nobody changes.
  MustApp(b(),
          "CREATE TABLE bill_2025 PARTITION OF bill FOR VALUES IN (2025);"
          "ALTER TABLE bill_2025 REPLICA IDENTITY FULL");
  MustApp(a(),
          "CREATE TABLE bill_2025 (LIKE bill INCLUDING ALL); ALTER TABLE bill_2025 REPLICA IDENTITY FULL;"
          "INSERT INTO bill_2025 VALUES (7, 2025, 1, 'seven'), (8, 2025, 1, 'eight');"
          "ALTER TABLE bill ATTACH PARTITION bill_2025 FOR VALUES IN (2025); UPDATE bill SET n = 2 WHERE id = 7");
  ExpectParked(b(), "bill", "the beginning of this row of table public.bill is not known to this branch");
  ExpectRows(b(), "bill", "");
  MustApp(a(), "DELETE FROM bill WHERE id = 7; INSERT INTO bill VALUES (7, 2025, 3, 'seven')");
  ExpectRows(b(), "bill", "7,2025,3,seven");
}

}  // namespace
}  // namespace assay::test
