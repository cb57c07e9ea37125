// What PostgreSQL hands over and no log can take stops nobody: its table is named, everything else flows on, and a
// repair brings it in.
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/fleet/fleet.h"

namespace assay::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(UnrecordedTest, WhatBecomesOfKeysAndIdentitiesStopsNobody) {
  ASSAY_START_FLEET(fleet, 2,
                    {.schema = "CREATE TABLE items (id int PRIMARY KEY, code int NOT NULL UNIQUE, v text);"
                               "CREATE TABLE bill (id int PRIMARY KEY, v text);"
                               "CREATE TABLE import (id int PRIMARY KEY, v text);"
                               "CREATE TABLE sales (id int PRIMARY KEY, v text)"});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  MustSql(a.Url(), "INSERT INTO items VALUES (1, 7, 'a'), (2, 8, 'b'); INSERT INTO bill VALUES (1, 'x'), (2, 'y')");
  ASSERT_OK(fleet->WaitConverged(kPatience));
  // As other replication tools ask for it, and back.
  MustSql(a.Url(), "ALTER TABLE items REPLICA IDENTITY USING INDEX items_code_key");
  MustSql(a.Url(), "BEGIN; DELETE FROM items WHERE id = 1; INSERT INTO sales VALUES (1, 'with it'); COMMIT");
  MustSql(a.Url(), "ALTER TABLE items REPLICA IDENTITY FULL");
  // As every migration tool writes a new key.
  MustSql(a.Url(),
          "BEGIN; ALTER TABLE bill ADD uid int; UPDATE bill SET uid = id + 100;"
          "ALTER TABLE bill DROP CONSTRAINT bill_pkey, ADD PRIMARY KEY (uid); COMMIT");
  MustSql(a.Url(), "INSERT INTO bill VALUES (3, 'z', 103)");
  // Filled for the first time, and dropped.
  MustSql(a.Url(),
          "BEGIN; INSERT INTO import VALUES (1, 'x'); DROP TABLE import; INSERT INTO sales VALUES (2, ''); COMMIT");
  MustSql(a.Url(), "INSERT INTO sales VALUES (3, '')");
  EXPECT_TRUE(Shows(b, "SELECT string_agg(id::text, ',' ORDER BY id) FROM sales", "1,2,3"))
      << a.Problems() << b.Problems() << a.DaemonLog();
  EXPECT_TRUE(Eventually(absl::Seconds(5), [&] { return a.Problems().find("import") != std::string::npos; }));
  EXPECT_THAT(a.Problems(), AllOf(HasSubstr("table-unrecorded"), HasSubstr("public.items"), HasSubstr("public.bill"),
                                  Not(HasSubstr("log-damaged"))));
  EXPECT_THAT(b.Problems(), Not(HasSubstr("chain-unreadable")));
  EXPECT_EQ(SqlValue(b.Url(), "SELECT count(*) FROM items"), "2") << "the deletion is not in the log";

  EXPECT_EQ(a.StopDaemon(), 0);
  const RunResult preview = a.Assay({"repair"});
  EXPECT_THAT(preview.output, AllOf(HasSubstr("gap"), HasSubstr("public.items")));
  const RunResult applied = a.Assay({"repair", "--apply"});
  ASSERT_EQ(applied.exit_code, 0) << applied.output;
  ASSERT_OK(a.StartDaemon());
  EXPECT_TRUE(Shows(b, "SELECT string_agg(id::text, ',') FROM items", "2")) << a.Problems() << b.Problems();
  EXPECT_THAT(a.Problems(), Not(HasSubstr("table-unrecorded")));
  MustSql(a.Url(), "INSERT INTO sales VALUES (4, '')");
  EXPECT_TRUE(Shows(b, "SELECT count(*) FROM sales", "4")) << a.Problems() << b.Problems();
}

}  // namespace
}  // namespace assay::test
