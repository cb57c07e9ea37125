// A table whose rows come without what they were before stops nobody, and claims no more than what was edited.
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/fleet/fleet.h"

namespace assay::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Monthly partitions are made every month, and have PostgreSQL's own replica identity.
TEST(ReplicaIdentityTest, EditsOfDifferentColumnsSurviveInAPartitionThatWasMadeLater) {
  ASSAY_START_FLEET(
      fleet, 2,
      {.schema = "CREATE TABLE bill (id int, day date, amount int, note text, PRIMARY KEY (id, day)) "
                 "PARTITION BY RANGE (day);"
                 "CREATE TABLE bill_11 PARTITION OF bill FOR VALUES FROM ('2026-11-01') TO ('2026-12-01')"});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  for (Branch* branch : {&a, &b}) {
    MustSql(branch->Url(), "CREATE TABLE bill_12 PARTITION OF bill FOR VALUES FROM ('2026-12-01') TO ('2027-01-01')");
  }
  MustSql(a.Url(), "INSERT INTO bill VALUES (1, '2026-11-05', 10, 'n'), (2, '2026-12-05', 10, 'n')");
  ASSERT_OK(fleet->WaitConverged(kPatience));
  for (Branch* branch : {&a, &b}) ASSERT_EQ(branch->Assay({"sync", "pause"}).exit_code, 0);
  MustSql(a.Url(), "UPDATE bill SET amount = 99");
  MustSql(b.Url(), "UPDATE bill SET note = 'from b'");
  for (Branch* branch : {&a, &b}) ASSERT_EQ(branch->Assay({"sync", "resume"}).exit_code, 0);
  ASSERT_OK(fleet->WaitConverged(kPatience));
  EXPECT_EQ(SqlValue(b.Url(), "SELECT string_agg(concat(id, amount, note), ',' ORDER BY id) FROM bill"),
            "199from b,299from b");
  EXPECT_THAT(a.Problems(),
              AllOf(HasSubstr("identity-not-full"), HasSubstr("ALTER TABLE public.bill_12 REPLICA IDENTITY FULL")));
  for (Branch* branch : {&a, &b}) MustSql(branch->Url(), "ALTER TABLE bill_12 REPLICA IDENTITY FULL");
  MustSql(a.Url(), "UPDATE bill SET amount = 98");
  ASSERT_OK(fleet->WaitConverged(kPatience));
  EXPECT_THAT(a.Problems(), Not(HasSubstr("identity-not-full")));
}

}  // namespace
}  // namespace assay::test
