// A row that cannot be written is parked with its cause; everything else flows on, and it drains when the cause is
// gone.
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "tests/fleet/fleet.h"

namespace assay::test {
namespace {

using ::testing::HasSubstr;

constexpr char kSchema[] = R"(
CREATE TABLE products (id int PRIMARY KEY, sku text UNIQUE, price numeric(12,2));
CREATE TABLE sales (id int PRIMARY KEY, product_id int, amount numeric(12,2));
)";

absl::Duration TimeUntil(const std::string& url, const std::string& query, const std::string& value,
                         absl::Duration timeout) {
  absl::Time begin = absl::Now();
  Eventually(timeout, [&] { return SqlValue(url, query) == value; });
  return SqlValue(url, query) == value ? absl::Now() - begin : absl::InfiniteDuration();
}

// One row parked, with everything a person needs to know.
void ExpectParked(Branch& branch, const std::string& table, const std::string& cause) {
  ASSERT_TRUE(Eventually(absl::Seconds(45),
                         [&] {
                           absl::StatusOr<google::protobuf::Struct> parked = branch.AssayJson({"parked"});
                           return parked.ok() && JsonNumber(*parked, "total") > 0;
                         }))
      << branch.Problems() << branch.DaemonLog();
  absl::StatusOr<google::protobuf::Struct> parked = branch.AssayJson({"parked"});
  ASSERT_OK(parked.status());
  EXPECT_EQ(JsonText(*parked, "rows.0.table"), table);
  EXPECT_THAT(JsonText(*parked, "rows.0.cause"), HasSubstr(cause));
  EXPECT_NE(JsonText(*parked, "rows.0.branch"), "");
  EXPECT_THAT(branch.Problems(), HasSubstr("rows-wait")) << "whoever sees the list sees a status at least as new";
}

void ExpectOthersFlow(Fleet& fleet) {
  for (int i = 100; i < 105; ++i) {
    MustSql(fleet.branch(0).Url(), absl::StrCat("INSERT INTO sales VALUES (", i, ", 1, 1)"));
    EXPECT_LT(TimeUntil(fleet.branch(1).Url(), absl::StrCat("SELECT count(*) FROM sales WHERE id = ", i), "1",
                        absl::Seconds(20)),
              absl::Seconds(5));
  }
}

TEST(BlockingTest, AUniqueViolationIsParkedAndDrainsWhenItIsGone) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  ASSERT_EQ(b.Assay({"sync", "pause"}).exit_code, 0);
  MustSql(b.Url(), "INSERT INTO products VALUES (2, 'SAME', 2)");
  // A sale in the same transaction as the row that will not fit: the row is parked, not the transaction.
  MustSql(a.Url(), "BEGIN; INSERT INTO products VALUES (1, 'SAME', 1); INSERT INTO sales VALUES (1, 1, 1); COMMIT");
  ASSERT_EQ(b.Assay({"sync", "resume"}).exit_code, 0);
  ASSERT_NO_FATAL_FAILURE(ExpectParked(b, "public.products", "sku"));
  EXPECT_EQ(SqlValue(b.Url(), "SELECT count(*) FROM sales"), "1");
  ExpectOthersFlow(*fleet);
  EXPECT_EQ(SqlValue(b.Url(), "SELECT id FROM products"), "2") << "nothing is deleted to make a row fit";
  MustSql(b.Url(), "UPDATE products SET sku = 'OTHER' WHERE id = 2");
  ASSERT_EQ(a.Assay({"parked", "retry"}).exit_code, 0);
  ASSERT_EQ(b.Assay({"parked", "retry"}).exit_code, 0);
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  EXPECT_EQ(SqlValue(a.Url(), "SELECT string_agg(sku, ',' ORDER BY id) FROM products"), "SAME,OTHER");
}

TEST(BlockingTest, AColumnThatIsNotThereYetDrainsOnceItAppears) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  MustSql(a.Url(), "INSERT INTO products VALUES (1, 'S1', 1)");
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  MustSql(a.Url(), "ALTER TABLE products ADD COLUMN hallmark text");
  MustSql(a.Url(), "UPDATE products SET hallmark = 'BIS 916', price = 7 WHERE id = 1");
  ASSERT_NO_FATAL_FAILURE(ExpectParked(b, "public.products", "hallmark"));
  ExpectOthersFlow(*fleet);
  MustSql(b.Url(), "ALTER TABLE products ADD COLUMN hallmark text");
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));  // By itself: nobody presses retry.
  EXPECT_EQ(*Sql(b.Url(), "SELECT hallmark, price FROM products"), (Rows{{"BIS 916", "7.00"}}));
}

TEST(BlockingTest, ATableThatIsNotThereYetDrainsOnceItIsEnrolled) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  MustSql(a.Url(), "CREATE TABLE repairs (id int PRIMARY KEY, note text)");
  a.StopDaemon();  // One process per state directory.
  ASSERT_OK(a.Init());
  ASSERT_OK(a.StartDaemon());
  MustSql(a.Url(), "INSERT INTO repairs VALUES (1, 'clasp')");
  ASSERT_NO_FATAL_FAILURE(ExpectParked(b, "public.repairs", "repairs"));
  ExpectOthersFlow(*fleet);
  MustSql(b.Url(), "CREATE TABLE repairs (id int PRIMARY KEY, note text)");
  b.StopDaemon();  // One process per state directory.
  ASSERT_OK(b.Init());
  ASSERT_OK(b.StartDaemon());
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  EXPECT_EQ(SqlValue(b.Url(), "SELECT note FROM repairs"), "clasp");
}

TEST(BlockingTest, AStricterCheckHereParksTheRow) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  MustSql(b.Url(), "ALTER TABLE products ADD CONSTRAINT price_is_positive CHECK (price > 0)");
  MustSql(a.Url(), "INSERT INTO products SELECT g, 'S' || g, g - 3 FROM generate_series(1, 10) g");
  ASSERT_NO_FATAL_FAILURE(ExpectParked(b, "public.products", "price_is_positive"));
  EXPECT_LT(TimeUntil(b.Url(), "SELECT count(*) FROM products", "7", absl::Seconds(20)), absl::Seconds(15))
      << "the other rows of its transaction";
  ExpectOthersFlow(*fleet);
  MustSql(a.Url(), "UPDATE products SET price = 1 WHERE price <= 0");  // Mended where it was made.
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
}

}  // namespace
}  // namespace assay::test
