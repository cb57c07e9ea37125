// Joining: databases that hold rows already, two installed from one copy, one that comes late, and leaving again.
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "tests/fleet/fleet.h"
#include "tests/fleet/log_reader.h"

namespace assay::test {
namespace {

using ::testing::HasSubstr;

constexpr char kSchema[] = R"(
CREATE TABLE products (id int PRIMARY KEY, name text, price numeric(12,2));
CREATE TABLE vouchers (id serial PRIMARY KEY, note text);
INSERT INTO products SELECT g, 'Bangle ' || g, 50000 FROM generate_series(1, 500) g;
)";

// Rows of `products` are the same at both from the start; nothing is written again (xmin would change).
TEST(EnrolmentTest, TwoCopiesOfOneDatabaseJoinWithoutWritingARow) {
  auto fleet_or = Fleet::Create(2, {.schema = kSchema}, /*start=*/false);
  if (MaySkipWithoutPostgres(fleet_or.status())) GTEST_SKIP();
  ASSERT_OK(fleet_or.status());
  Fleet& fleet = **fleet_or;
  std::vector<std::string> before;
  const char* kVersions = "SELECT md5(string_agg(xmin::text, ',' ORDER BY id)) FROM products";
  for (int i = 0; i < 2; ++i) before.push_back(SqlValue(fleet.branch(i).AdminUrl(), kVersions));
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK(fleet.branch(i).Init());
    ASSERT_OK(fleet.branch(i).StartDaemon());
  }
  ASSERT_OK(fleet.WaitConverged(absl::Seconds(90)));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(SqlValue(fleet.branch(i).AdminUrl(), kVersions), before[i])
        << "rows were written again at " << fleet.branch(i).name();
    EXPECT_EQ(JsonNumber(*fleet.branch(i).Status(), "conflicts"), 0);
  }
}

TEST(EnrolmentTest, ABranchThatJoinsLaterGetsEverything) {
  ASSAY_START_FLEET(fleet, 2, {.schema = "CREATE TABLE products (id int PRIMARY KEY, name text)"});
  MustSql(fleet->branch(0).Url(), "INSERT INTO products SELECT g, 'from the first' FROM generate_series(1, 3000) g");
  MustSql(fleet->branch(1).Url(),
          "UPDATE products SET name = 'never' WHERE false; INSERT INTO products VALUES (5000, 'from the second')");
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  MustSql(fleet->branch(0).Url(), "DELETE FROM products WHERE id <= 10");
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  ASSERT_OK(fleet->branch(0).StopDaemon() == 0 ? absl::OkStatus()
                                               : absl::InternalError("did not stop"));  // Its history is at the hub.
  auto late = fleet->AddBranch();
  ASSERT_OK(late.status());
  ASSERT_OK((*late)->Init());
  ASSERT_OK((*late)->StartDaemon());
  EXPECT_TRUE(Eventually(absl::Seconds(120),
                         [&] { return SqlValue((*late)->Url(), "SELECT count(*) FROM products") == "2991"; }))
      << SqlValue((*late)->Url(), "SELECT count(*) FROM products") << (*late)->Problems();
  ASSERT_OK(fleet->branch(0).StartDaemon());
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
}

// Goal: `assay init` twice changes nothing, and serial keys made offline never collide.
TEST(EnrolmentTest, InitTwiceChangesNothingAndSerialKeysStayApart) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  absl::StatusOr<int64_t> before = CountEvents(fleet->branch(0).state_directory());
  fleet->branch(0).StopDaemon();  // One process per state directory.
  ASSERT_OK(fleet->branch(0).Init());
  ASSERT_OK(fleet->branch(0).StartDaemon());
  absl::SleepFor(absl::Seconds(1));
  EXPECT_EQ(*CountEvents(fleet->branch(0).state_directory()), *before);
  for (int i = 0; i < 2; ++i) ASSERT_EQ(fleet->branch(i).Assay({"sync", "pause"}).exit_code, 0);
  for (int i = 0; i < 2; ++i)
    MustSql(fleet->branch(i).Url(),
            "INSERT INTO vouchers (note) SELECT 'made at ' || current_setting('port') FROM generate_series(1, 100)");
  for (int i = 0; i < 2; ++i) ASSERT_EQ(fleet->branch(i).Assay({"sync", "resume"}).exit_code, 0);
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  EXPECT_EQ(SqlValue(fleet->branch(0).Url(), "SELECT count(*) || ' of ' || count(DISTINCT note) FROM vouchers"),
            "200 of 2");
}

TEST(EnrolmentTest, LeavePutsTheDatabaseBackAsItWas) {
  auto fleet_or = Fleet::Create(1, {.schema = kSchema}, /*start=*/false);
  if (MaySkipWithoutPostgres(fleet_or.status())) GTEST_SKIP();
  ASSERT_OK(fleet_or.status());
  Branch& branch = (*fleet_or)->branch(0);
  const std::string dump = *PostgresBinaries() + "/pg_dump";
  const std::vector<std::string> dump_schema = {dump, "--schema-only", branch.AdminUrl()};
  auto without_nonce = [](std::string text) {  // Newer pg_dump writes a random \restrict line.
    for (const char* word : {"\\restrict", "\\unrestrict"}) {
      for (size_t at; (at = text.find(word)) != std::string::npos;) text.erase(at, text.find('\n', at) - at + 1);
    }
    return text;
  };
  std::string before = without_nonce(RunProgram(dump_schema).output);
  ASSERT_OK(branch.Init());
  EXPECT_NE(without_nonce(RunProgram(dump_schema).output), before);
  RunResult left = branch.Assay({"leave", "--yes"});
  EXPECT_EQ(left.exit_code, 0) << left.output;
  EXPECT_EQ(without_nonce(RunProgram(dump_schema).output), before);
  EXPECT_EQ(SqlValue(branch.AdminUrl(), "SELECT count(*) FROM pg_replication_slots"), "0");
}

TEST(EnrolmentTest, EnrolmentNeverMakesTheAppsStatementsFail) {
  ASSAY_START_FLEET(fleet, 1, {.schema = R"(
      CREATE TABLE keyless (note text); CREATE UNLOGGED TABLE scratch (id int PRIMARY KEY);
      CREATE TABLE products (id int PRIMARY KEY, name text); CREATE VIEW dear AS SELECT * FROM products;)"});
  EXPECT_OK(Sql(fleet->branch(0).Url(),
                "INSERT INTO keyless VALUES ('a'); UPDATE keyless SET note = 'b'; DELETE FROM keyless; "
                "INSERT INTO scratch VALUES (1); UPDATE scratch SET id = 2; INSERT INTO dear VALUES (1, 'x'); "
                "UPDATE dear SET name = 'y'; DELETE FROM dear")
                .status());
  std::string doctor = fleet->branch(0).Assay({"doctor"}).output;
  EXPECT_THAT(doctor, HasSubstr("keyless")) << "a table that is not enrolled is named";
}

}  // namespace
}  // namespace assay::test
