// Names, values and sizes that nobody sane would choose arrive as they are, and break nothing.
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "tests/fleet/fleet.h"

namespace assay::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kSchema[] = R"(
CREATE TABLE sales (id int PRIMARY KEY, amount numeric(12,2));
CREATE TABLE "My ""odd"" table; DROP TABLE sales; --" ("key '1'" text, "b\c" text, "select" text, "अ" text, PRIMARY KEY ("key '1'", "select"));
CREATE TABLE documents (id int PRIMARY KEY, body text, scan bytea);
)";
constexpr char kOdd[] = R"("My ""odd"" table; DROP TABLE sales; --")";

TEST(HostileTest, OddNamesAndValuesArriveAsTheyAre) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  auto session = SqlSession::Connect(a.Url());
  ASSERT_OK(session.status());
  for (const std::string value : {"'; DROP TABLE sales; --", "\\", "{a,\"b\",NULL}", "NULL", "", "\n\t\x01",
                                  "🪙 सोना", "$1 %s \\x00 E'\\n'"}) {
    ASSERT_OK((*session)
                  ->Run(absl::StrCat("INSERT INTO ", kOdd, " VALUES ($1, $2, $3, $4)"),
                        {value + "k", value, value + "s", value})
                  .status());
  }
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  EXPECT_EQ(SqlValue(b.Url(), absl::StrCat("SELECT count(*) FROM ", kOdd)), "8");
  MustSql(b.Url(),
          absl::StrCat("UPDATE ", kOdd, " SET \"अ\" = 'written at B'; DELETE FROM ", kOdd, " WHERE \"b\\c\" = ''"));
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  EXPECT_EQ(SqlValue(a.Url(), absl::StrCat("SELECT count(*) || string_agg(DISTINCT \"अ\", ',') FROM ", kOdd)),
            "7written at B");
  EXPECT_EQ(SqlValue(a.Url(), "SELECT count(*) FROM sales"), "0");
}

// Whatever becomes of the row, the daemon lives, names it, and everything else flows on.
TEST(HostileTest, AValueOfAHundredMegabytes) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  MustSql(a.Url(), "INSERT INTO documents VALUES (1, repeat('assay ', 17000000), NULL)");
  MustSql(a.Url(), "INSERT INTO sales VALUES (1, 1)");
  EXPECT_TRUE(Shows(b, "SELECT count(*) FROM sales", "1", absl::Seconds(240)))
      << a.Problems() << b.Problems() << a.DaemonLog();
  EXPECT_TRUE(a.DaemonRunning());
  EXPECT_TRUE(b.DaemonRunning());
  EXPECT_TRUE(Eventually(absl::Seconds(240),
                         [&] {
                           return SqlValue(b.Url(), "SELECT count(*) FROM documents") == "1" ||
                                  a.Problems().find("documents") != std::string::npos ||
                                  b.Problems().find("documents") != std::string::npos ||
                                  JsonNumber(*b.Status(), "parked_rows") == 1;
                         }))
      << a.Problems() << b.Problems();
  MustSql(a.Url(), "INSERT INTO sales VALUES (2, 1)");
  EXPECT_TRUE(Shows(b, "SELECT count(*) FROM sales", "2"));
}

// Whoever lists processes or reads logs learns no password.
TEST(HostileTest, NoSecretIsShownAnywhere) {
  ASSAY_START_FLEET(fleet, 1, {.schema = kSchema});
  Branch& a = fleet->branch(0);
  ASSERT_FALSE(a.hub_password().empty());
  std::string shown = absl::StrCat(ReadFile(absl::StrCat("/proc/", a.daemon()->pid(), "/cmdline")), a.DaemonLog(),
                                   a.Assay({"status", "--json"}).output, a.Assay({"doctor"}).output,
                                   a.Assay({"branches"}).output, fleet->hub().Log());
  EXPECT_THAT(shown, Not(HasSubstr(a.hub_password())));
  ASSERT_OK(fleet->hub().Stop());
  ASSERT_TRUE(Eventually(absl::Seconds(45), [&] { return !a.Problems().empty(); }));
  EXPECT_THAT(absl::StrCat(a.DaemonLog(), a.Problems()), Not(HasSubstr(a.hub_password())));
}

TEST(HostileTest, ASecondDaemonOnOneStateDirectoryIsRefused) {
  ASSAY_START_FLEET(fleet, 1, {.schema = kSchema});
  Branch& a = fleet->branch(0);
  RunResult second = RunProgram({a.ProgramPath("assayd"), "--config", a.config_path()}, absl::Seconds(20));
  EXPECT_NE(second.exit_code, 0);
  EXPECT_NE(second.exit_code, 124) << "it went on running";
  EXPECT_THAT(second.output, HasSubstr(a.state_directory())) << second.output;
  MustSql(a.Url(), "INSERT INTO sales VALUES (1, 1)");
  EXPECT_EQ(a.Assay({"status"}).exit_code, 0);
}

}  // namespace
}  // namespace assay::test
