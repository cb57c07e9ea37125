// The oracle sees each of the faults it is there for.
#include "tests/fleet/oracle.h"

#include "absl/strings/str_cat.h"
#include "tests/fleet/fleet.h"

namespace assay::test {
namespace {

LoggedRow Write(uint64_t stamp, uint8_t origin, uint64_t sequence, const std::string& value) {
  LoggedRow row{
      .version = {HlcStamp{stamp}, OriginId{{origin}}, Sequence{sequence}}, .table = "public.race", .key = {"r1"}};
  row.operation = v1::RowChange::UPDATE;
  row.written["a"] = value;
  return row;
}

class OracleTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSAY_START_POSTGRES(server, {});
    server_ = std::move(server);
    MustSql(server_->Url(), "CREATE TABLE race (id text PRIMARY KEY, a text); INSERT INTO race VALUES ('r1', 'start')");
    InstallOracle(server_->Url(), "race");
  }
  void App(const std::string& value) { MustSql(server_->Url(), absl::StrCat("UPDATE race SET a = '", value, "'")); }
  void Projection(const std::string& value) {
    MustSql(server_->Url(), absl::StrCat("SET session_replication_role = replica; UPDATE race SET a = '", value, "'"));
  }
  Verdict Judged(const std::vector<LoggedRow>& log) {
    absl::StatusOr<Verdict> verdict = Judge(server_->Url(), "race", {"a"}, log);
    EXPECT_OK(verdict.status());
    return verdict.ok() ? *verdict : Verdict{};
  }
  std::unique_ptr<PostgresServer> server_;
};

TEST_F(OracleTest, FindsNothingWhereNothingIsWrong) {
  App("local");
  Projection("remote");
  App("saw it");
  Verdict verdict = Judged({Write(10, 1, 1, "local"), Write(20, 2, 1, "remote"), Write(30, 1, 2, "saw it")});
  EXPECT_EQ(verdict.local_writes, 2);
  EXPECT_EQ(verdict.projected_writes, 1);
  EXPECT_EQ(verdict.stale_overwrites + verdict.causality_broken + verdict.captured_twice + verdict.not_captured +
                verdict.differs_from_fold,
            0);
}

TEST_F(OracleTest, SeesAStaleOverwriteThatWasMendedLater) {
  App("newer");
  Projection("older");
  Projection("newer");
  Verdict verdict = Judged({Write(10, 2, 1, "older"), Write(20, 1, 1, "newer")});
  EXPECT_EQ(verdict.stale_overwrites, 1);
  EXPECT_EQ(verdict.differs_from_fold, 0);
}

TEST_F(OracleTest, SeesAWriteThatLosesToWhatItSaw) {
  Projection("remote");
  App("saw it");
  EXPECT_EQ(Judged({Write(20, 2, 1, "remote"), Write(10, 1, 1, "saw it")}).causality_broken, 1);
}

TEST_F(OracleTest, SeesAnEchoAndAWriteThatWasNotCaptured) {
  Projection("remote");
  App("lost");
  Verdict verdict = Judged({Write(20, 2, 1, "remote"), Write(30, 1, 1, "remote")});
  EXPECT_EQ(verdict.captured_twice, 1);
  EXPECT_GT(verdict.not_captured, 0);
}

TEST_F(OracleTest, SeesADatabaseThatDiffersFromTheFold) {
  App("local");
  LoggedRow gone = Write(30, 2, 2, "");
  gone.operation = v1::RowChange::DELETE;
  gone.written.clear();
  EXPECT_EQ(Judged({Write(10, 1, 1, "local"), Write(20, 2, 1, "won")}).differs_from_fold, 1);
  EXPECT_EQ(Judged({Write(10, 1, 1, "local"), gone}).differs_from_fold, 1);
}

}  // namespace
}  // namespace assay::test
