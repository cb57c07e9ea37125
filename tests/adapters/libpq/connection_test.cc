#include "adapters/libpq/connection.h"

#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "adapters/libpq/sqlstate.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/postgres_server.h"

namespace assay {
namespace {

using test::MustSql;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(RedactConninfoTest, PasswordsNeverShow) {
  EXPECT_EQ(RedactConninfo("postgresql://ana:s3cret@db.example:5433/shop?sslpassword=s3cret"),
            "host=db.example port=5433 dbname=shop user=ana");
  EXPECT_EQ(RedactConninfo("host=db.example password=s3cret dbname=shop"), "host=db.example dbname=shop");
  EXPECT_EQ(RedactConninfo("dbname=postgresql://ana:s3cret@h/shop"), "(defaults)");
  EXPECT_EQ(RedactConninfo("host=a password 's3cret"), "(a connection string that cannot be parsed)");
}

// One row: a = 1, b = NULL, and two columns that are both called c.
Result MadeUp() {
  PGresult* made = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
  std::vector<std::string> names = {"a", "b", "c", "c"};
  std::vector<PGresAttDesc> columns;
  for (std::string& name : names) columns.push_back({.name = name.data()});
  EXPECT_EQ(PQsetResultAttrs(made, static_cast<int>(columns.size()), columns.data()), 1);
  const std::vector<std::optional<std::string>> values = {"1", std::nullopt, "t", "x"};
  for (size_t i = 0; i < values.size(); ++i) {
    std::string text = values[i].value_or("");
    EXPECT_EQ(PQsetvalue(made, 0, static_cast<int>(i), values[i].has_value() ? text.data() : nullptr,
                         values[i].has_value() ? static_cast<int>(text.size()) : -1),
              1);
  }
  return Result(made);
}

TEST(ResultTest, IsReadByName) {
  const Result result = MadeUp();
  ASSERT_EQ(result.rows(), 1);
  EXPECT_EQ(result.Int64(0, "a"), 1);
  EXPECT_EQ(result.Text(0, result.Find("a")), "1");
  EXPECT_EQ(result.Value(0, "a"), "1");
  EXPECT_TRUE(result.IsNull(0, "b"));
  EXPECT_EQ(result.Value(0, "b"), std::nullopt);
  EXPECT_EQ(result.Text(0, "b"), "");
}

// A table's own columns may have any names, also twice in a join.
TEST(ResultTest, IsReadByNumberWhenItSaysSo) {
  const Result result = MadeUp();
  EXPECT_TRUE(result.Bool(0, Result::Column::At(2)));
  EXPECT_EQ(result.String(0, Result::Column::At(3)), "x");
}

TEST(ResultDeathTest, ANameThatIsNotOneColumnsIsAMistakeInTheSql) {
  const Result result = MadeUp();
  EXPECT_DEATH((void)result.Text(0, "A"), "0 columns of a result are named \"A\", not one; it has: a b c c");
  EXPECT_DEATH((void)result.Find("c"), "2 columns of a result are named \"c\"");
}

TEST(ConnectionTest, SettingsHoldWhateverDatabaseAndRoleSay) {
  ASSAY_START_POSTGRES(server, {});
  MustSql(server->Url(),
          "ALTER DATABASE postgres SET datestyle = 'SQL, DMY'; ALTER DATABASE postgres SET timezone = 'Asia/Kolkata';"
          "ALTER DATABASE postgres SET synchronous_commit = off; ALTER DATABASE postgres SET statement_timeout = '7s';"
          "ALTER ROLE postgres SET intervalstyle = 'iso_8601'; ALTER ROLE postgres SET extra_float_digits = -3;"
          "ALTER ROLE postgres SET bytea_output = 'escape'; ALTER ROLE postgres SET standard_conforming_strings = off;"
          "ALTER ROLE postgres SET idle_session_timeout = '3s';"
          "ALTER ROLE postgres SET search_path = 'evil'; ALTER ROLE postgres SET default_transaction_read_only = on");
  auto connection = Connection::Open(server->Url(), {.settings = {{"lock_timeout", "250ms"}}});
  ASSERT_TRUE(connection.ok()) << connection.status();
  const auto values =
      (*connection)
          ->Execute(
              "SELECT '2024-03-04'::date AS date, '1 day 02:00'::interval AS interval, 0.1::float8 + 0.2 AS float,"
              " '\\x00ff'::bytea AS bytes, '2024-01-01 00:00+00'::timestamptz AS time,"
              " current_setting('synchronous_commit') AS synchronous_commit,"
              " current_setting('statement_timeout') AS statement_timeout, current_setting('lock_timeout') AS lock_timeout,"
              " current_setting('idle_session_timeout') AS idle_session_timeout,"
              " current_setting('transaction_timeout', true) AS transaction_timeout,"
              " current_schemas(false) AS schemas, current_setting('transaction_read_only') AS read_only");
  ASSERT_TRUE(values.ok()) << values.status();
  EXPECT_EQ(values->Text(0, "date"), "2024-03-04");
  EXPECT_EQ(values->Text(0, "interval"), "1 day 02:00:00");
  EXPECT_EQ(values->Text(0, "float"), "0.30000000000000004");
  EXPECT_EQ(values->Text(0, "bytes"), "\\x00ff");
  EXPECT_EQ(values->Text(0, "time"), "2024-01-01 00:00:00+00");
  EXPECT_EQ(values->Text(0, "synchronous_commit"), "on");
  EXPECT_EQ(values->Text(0, "statement_timeout"), "0");
  EXPECT_EQ(values->Text(0, "lock_timeout"), "250ms");
  EXPECT_EQ(values->Text(0, "idle_session_timeout"), "0");
  // NULL, which reads as empty, before PostgreSQL 17.
  EXPECT_EQ(values->Text(0, "transaction_timeout"), (*connection)->server_version() < 170000 ? "" : "0");
  EXPECT_EQ(values->Text(0, "schemas"), "{}");
  EXPECT_EQ(values->Text(0, "read_only"), "off");
}

TEST(ConnectionTest, ParametersAreNeverSql) {
  ASSAY_START_POSTGRES(server, {});
  auto connection = Connection::Open(server->Url(), {});
  ASSERT_TRUE(connection.ok()) << connection.status();
  const std::string hostile = "'; DROP TABLE x; -- \\ \" $1 ÷";
  const auto echoed =
      (*connection)->Execute("SELECT $1::text AS hostile, $2::text AS nothing", {hostile, std::nullopt});
  ASSERT_TRUE(echoed.ok()) << echoed.status();
  EXPECT_EQ(echoed->Text(0, "hostile"), hostile);
  EXPECT_TRUE(echoed->IsNull(0, "nothing"));
  const std::string odd = "a\"b'c\\d é";
  const auto named = (*connection)
                         ->Execute(absl::StrCat("SELECT ", (*connection)->QuoteLiteral(odd), " AS ",
                                                (*connection)->QuoteIdentifier(odd)));
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_EQ(named->Text(0, odd.c_str()), odd);
  EXPECT_EQ(SqlstateOf((*connection)->Execute("SELECT $1", {absl::string_view("a\0b", 3)}).status()), "22021");
}

TEST(ConnectionTest, PreparedStatementsFollowTheTableAndAreNotTooMany) {
  ASSAY_START_POSTGRES(server, {});
  auto connection = Connection::Open(server->Url(), {});
  ASSERT_TRUE(connection.ok()) << connection.status();
  ASSERT_TRUE((*connection)->ExecuteScript("CREATE TABLE public.t (a int); INSERT INTO public.t VALUES (1)").ok());
  constexpr char kOther[] = "SELECT a FROM public.t FOR UPDATE";
  ASSERT_TRUE((*connection)->ExecutePrepared("SELECT a FROM public.t", {}).ok());
  ASSERT_TRUE((*connection)->ExecutePrepared(kOther, {}).ok());
  ASSERT_TRUE((*connection)->ExecuteScript("ALTER TABLE public.t ALTER a TYPE text USING 'no ' || a").ok());
  EXPECT_EQ(SqlstateOf((*connection)->ExecutePrepared("SELECT a FROM public.t", {}).status()), "0A000");
  EXPECT_TRUE((*connection)->ExecutePrepared(kOther, {}).ok()) << "a read has two statements, and stumbles once";
  const auto again = (*connection)->ExecutePrepared("SELECT a FROM public.t", {});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->Text(0, "a"), "no 1");

  int most = 0;
  for (int i = 0; i < 200; ++i) {
    const auto one = (*connection)->ExecutePrepared(absl::StrCat("SELECT ", i, " + $1::int AS sum"), {"1"});
    ASSERT_TRUE(one.ok()) << one.status();
    ASSERT_EQ(one->Int64(0, "sum"), i + 1);
    most = std::max(
        most,
        static_cast<int>((*connection)->Execute("SELECT count(*) FROM pg_prepared_statements")->Int64(0, "count")));
  }
  EXPECT_GT(most, 10);
  EXPECT_LE(most, 64);
}

TEST(ConnectionTest, PreparedStatementIsThereForTheWholeSession) {
  ASSAY_START_POSTGRES(server, {});
  auto connection = Connection::Open(server->Url(), {});
  ASSERT_TRUE(connection.ok()) << connection.status();
  for (const char* number : {"1", "2", "no number", "3"}) {
    const auto twice = (*connection)->ExecutePrepared("SELECT 2 * $1::int AS twice", {number});
    if (absl::string_view(number) == "no number") {
      EXPECT_EQ(SqlstateOf(twice.status()), "22P02");
    } else {
      ASSERT_TRUE(twice.ok()) << twice.status();
      EXPECT_EQ(twice->Int64(0, "twice"), 2 * std::stoi(number));
    }
  }
  EXPECT_EQ(SqlstateOf((*connection)->ExecutePrepared("SELECT $1::text", {absl::string_view("a\0b", 3)}).status()),
            "22021");
  EXPECT_EQ(SqlstateOf((*connection)->ExecutePrepared("SELECT FROM nowhere", {}).status()), "42P01");
  const auto prepared = (*connection)->Execute("SELECT name, statement FROM pg_prepared_statements");
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  ASSERT_EQ(prepared->rows(), 1);
  EXPECT_EQ(prepared->Text(0, "statement"), "SELECT 2 * $1::int AS twice");
}

TEST(ConnectionTest, FailedLoginsAreToldApartAndLeakNothing) {
  ASSAY_START_POSTGRES(server, {.tcp_authentication = "scram-sha-256"});
  MustSql(server->Url(), "CREATE ROLE ana LOGIN PASSWORD 'right'");
  const auto open = [&](const std::string& url) { return Connection::Open(url, {}).status(); };
  EXPECT_TRUE(open(server->TcpUrl("postgres", "ana", "right")).ok());
  const absl::Status wrong = open(server->TcpUrl("postgres", "ana", "wr0ng"));
  EXPECT_TRUE(absl::IsUnauthenticated(wrong)) << wrong;
  EXPECT_EQ(SqlstateOf(wrong), "28P01");
  EXPECT_THAT(std::string(wrong.message()), Not(HasSubstr("wr0ng")));
  EXPECT_TRUE(absl::IsFailedPrecondition(open(server->TcpUrl("nowhere", "ana", "right"))));
  EXPECT_TRUE(absl::IsUnavailable(open("host=127.0.0.1 port=1 user=ana password=wr0ng")));
  const absl::Status unreadable = open("host=a password 'wr0ng");
  EXPECT_TRUE(absl::IsInvalidArgument(unreadable));
  EXPECT_THAT(std::string(unreadable.message()), Not(HasSubstr("wr0ng")));
}

TEST(ConnectionTest, TerminatedSessionIsUnavailableFromThenOn) {
  ASSAY_START_POSTGRES(server, {});
  auto connection = Connection::Open(server->Url(), {});
  ASSERT_TRUE(connection.ok()) << connection.status();
  const absl::Status ended = (*connection)->Execute("SELECT pg_terminate_backend(pg_backend_pid())").status();
  EXPECT_TRUE(absl::IsUnavailable(ended)) << ended;
  EXPECT_EQ(SqlstateOf(ended), "57P01");
  EXPECT_FALSE((*connection)->usable());
  EXPECT_TRUE(absl::IsUnavailable((*connection)->Execute("SELECT 1").status()));
}

TEST(ConnectionTest, InterruptEndsABlockingCall) {
  ASSAY_START_POSTGRES(server, {});
  auto interrupt = std::make_shared<Interrupt>();
  auto connection = Connection::Open(server->Url(), {.interrupt = interrupt});
  ASSERT_TRUE(connection.ok()) << connection.status();
  const absl::Time start = absl::Now();
  std::thread other([&] {
    absl::SleepFor(absl::Milliseconds(100));
    interrupt->Trigger();
  });
  EXPECT_TRUE(absl::IsCancelled((*connection)->Execute("SELECT pg_sleep(30)").status()));
  other.join();
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
  EXPECT_TRUE(absl::IsCancelled(Connection::Open(server->Url(), {.interrupt = interrupt}).status()));
}

TEST(ConnectionTest, CallTimeoutIsInDoubt) {
  ASSAY_START_POSTGRES(server, {});
  auto connection = Connection::Open(server->Url(), {.call_timeout = absl::Milliseconds(200)});
  ASSERT_TRUE(connection.ok()) << connection.status();
  EXPECT_TRUE(absl::IsDeadlineExceeded((*connection)->Execute("SELECT pg_sleep(30)").status()));
  EXPECT_FALSE((*connection)->usable());
}

}  // namespace
}  // namespace assay
