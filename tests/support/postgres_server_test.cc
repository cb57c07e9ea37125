// The servers that other tests stand on keep their own promises.
#include "tests/support/postgres_server.h"

#include <filesystem>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "tests/support/pg_bouncer.h"

namespace assay::test {
namespace {

TEST(PostgresServerTest, IsReadyForLogicalDecoding) {
  ASSAY_START_POSTGRES(server, {});
  EXPECT_EQ(SqlValue(server->Url(), "SHOW wal_level"), "logical");
  EXPECT_EQ(SqlValue(server->Url(), "SELECT current_user"), "postgres");
}

TEST(PostgresServerTest, KeepsItsDataOverACrashAndItsPort) {
  ASSAY_START_POSTGRES(server, {});
  ASSERT_TRUE(server->CreateDatabase("erp").ok());
  MustSql(server->Url("erp"), "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
  ASSERT_TRUE(server->Kill().ok());
  EXPECT_FALSE(server->Running());
  EXPECT_TRUE(absl::IsUnavailable(Sql(server->Url("erp"), "SELECT 1").status()));
  absl::Status started = server->Start();
  ASSERT_TRUE(started.ok()) << started;
  EXPECT_EQ(SqlValue(server->Url("erp"), "SELECT count(*) FROM t"), "1");
  EXPECT_THAT(server->Log(), testing::HasSubstr("recovery"));
}

TEST(PostgresServerTest, LeavesNothingBehind) {
  ASSAY_START_POSTGRES(server, {});
  std::string directory = server->data_directory();
  EXPECT_TRUE(std::filesystem::exists(directory));
  server.reset();
  EXPECT_FALSE(std::filesystem::exists(directory));
}

TEST(PostgresServerTest, RefusesAWrongPasswordWhereAskedTo) {
  ASSAY_START_POSTGRES(server, {.tcp_authentication = "scram-sha-256"});
  MustSql(server->Url(), "CREATE ROLE shop LOGIN PASSWORD 'right'");
  EXPECT_TRUE(Sql(server->TcpUrl("postgres", "shop", "right"), "SELECT 1").ok());
  EXPECT_FALSE(Sql(server->TcpUrl("postgres", "shop", "wrong"), "SELECT 1").ok());
}

TEST(PostgresServerTest, RunsUnderAWrongClockWhereAskedTo) {
  ASSAY_START_POSTGRES(server, {.fake_time = "+1h"});
  EXPECT_GT(std::stoll(SqlValue(server->Url(), "SELECT extract(epoch FROM now())::bigint")),
            absl::ToUnixSeconds(absl::Now()) + 3500);
  MustSql(server->Url(), "CREATE TABLE t (id int); INSERT INTO t SELECT generate_series(1, 1000); CHECKPOINT");
}

TEST(SqlTest, ErrorsCarryTheirSqlState) {
  ASSAY_START_POSTGRES(server, {});
  EXPECT_EQ(SqlState(Sql(server->Url(), "SELECT 1/0").status()), "22012");
  absl::StatusOr<Rows> rows = Sql(server->Url(), "SELECT 1, NULL");
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(*rows, (Rows{{"1", "NULL"}}));
}

TEST(PgBouncerTest, PoolsInBothModes) {
  ASSAY_START_POSTGRES(server, {.tcp_authentication = "scram-sha-256"});
  MustSql(server->Url(), "CREATE ROLE shop LOGIN PASSWORD 'right'");
  for (const char* mode : {"session", "transaction"}) {
    absl::StatusOr<std::unique_ptr<PgBouncer>> pooler =
        PgBouncer::Create(*server, {.mode = mode, .users = {{"shop", "right"}}});
    if (MaySkipWithoutPostgres(pooler.status())) GTEST_SKIP();
    ASSERT_TRUE(pooler.ok()) << pooler.status();
    EXPECT_EQ(SqlValue((*pooler)->Url("postgres", "shop"), "SELECT current_user"), "shop") << (*pooler)->Log();
  }
}

}  // namespace
}  // namespace assay::test
