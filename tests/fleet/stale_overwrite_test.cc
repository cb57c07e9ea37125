// No projection ever replaces a newer local write, and when everything is quiet PostgreSQL equals the fold: the
// protocol is told in engine/projection/README.md.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "tests/fleet/actor.h"
#include "tests/fleet/fleet.h"
#include "tests/fleet/oracle.h"

namespace assay::test {
namespace {

constexpr char kSchema[] = "CREATE TABLE race (id text PRIMARY KEY, a text NOT NULL, b text NOT NULL)";

// One column of one of 200 rows, a value never used before. `pace` between two writes.
Actors::Work Writer(const std::string& name, absl::Duration pace) {
  auto count = std::make_shared<std::atomic<int64_t>>(0);
  return [=](SqlSession& session, std::mt19937_64& random) {
    absl::SleepFor(pace);
    const char* column = random() % 2 == 0 ? "a" : "b";
    return session
        .Run(absl::StrCat("UPDATE race SET ", column, " = $1 WHERE id = $2"),
             {absl::StrCat(name, "-", ++*count), absl::StrCat("r", random() % 200)})
        .status();
  };
}

void Print(const char* where, const Verdict& verdict) {
  std::printf(
      "%s: %lld local and %lld projected writes; stale overwrites %lld, causality broken %lld, captured twice %lld, not captured "
      "%lld, differs from the fold %lld\n",
      where, static_cast<long long>(verdict.local_writes), static_cast<long long>(verdict.projected_writes),
      static_cast<long long>(verdict.stale_overwrites), static_cast<long long>(verdict.causality_broken),
      static_cast<long long>(verdict.captured_twice), static_cast<long long>(verdict.not_captured),
      static_cast<long long>(verdict.differs_from_fold));
}

int64_t ProjectedWrites(Branch& branch) {
  return std::stoll(SqlValue(branch.AdminUrl(), "SELECT count(*) FROM oracle.race WHERE projected"));
}

// 8 writers at B on the rows that 3 writers at A keep changing, for `time` and until each has projected `meetings`
// times onto the other's writes (a loaded machine takes longer to come to that); then quiet, and the verdict at both.
void Race(Fleet& fleet, absl::Duration time, int64_t meetings, std::vector<Verdict>* verdicts,
          absl::Status* converged) {
  for (int i = 0; i < 2; ++i) InstallOracle(fleet.branch(i).AdminUrl(), "race");
  Actors at_a(100), at_b(200);
  for (int i = 0; i < 3; ++i) at_a.Start(fleet.branch(0).Url(), Writer(absl::StrCat("A", i), absl::Milliseconds(5)));
  for (int i = 0; i < 8; ++i) at_b.Start(fleet.branch(1).Url(), Writer(absl::StrCat("B", i), absl::Milliseconds(4)));
  absl::SleepFor(time);
  EXPECT_TRUE(Eventually(
      absl::Minutes(3),
      [&] { return ProjectedWrites(fleet.branch(0)) > meetings && ProjectedWrites(fleet.branch(1)) > meetings; },
      absl::Seconds(1)))
      << "the two hardly met: this run proves nothing";
  Actors::Result a = at_a.Stop(), b = at_b.Stop();
  EXPECT_EQ(a.other_errors, 0) << a.first_error;
  EXPECT_EQ(b.other_errors, 0) << b.first_error;
  std::printf("app: %lld writes at A, %lld at B; the slowest took %.0f ms\n", static_cast<long long>(a.done),
              static_cast<long long>(b.done), std::max(a.slowest_ms, b.slowest_ms));
  *converged = fleet.WaitConverged(absl::Seconds(120));
  absl::StatusOr<std::vector<LoggedRow>> log = ReadLog(fleet.branch(1).state_directory());
  ASSERT_OK(log.status());
  for (int i = 0; i < 2; ++i) {
    absl::StatusOr<Verdict> verdict = Judge(fleet.branch(i).AdminUrl(), "race", {"a", "b"}, *log);
    ASSERT_OK(verdict.status());
    Print(i == 0 ? "A" : "B", *verdict);
    verdicts->push_back(*std::move(verdict));
  }
}

void StartRows(Fleet& fleet) {
  MustSql(fleet.branch(0).Url(), "INSERT INTO race SELECT 'r' || g, 'start', 'start' FROM generate_series(0, 199) g");
  ASSERT_OK(fleet.WaitConverged(absl::Seconds(90)));
}

TEST(StaleOverwriteTest, EightWritersAgainstAStreamOfRemoteEvents) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  ASSERT_NO_FATAL_FAILURE(StartRows(*fleet));
  std::vector<Verdict> verdicts;
  absl::Status converged;
  ASSERT_NO_FATAL_FAILURE(Race(*fleet, absl::Seconds(30), /*meetings=*/200, &verdicts, &converged));
  EXPECT_OK(converged);
  for (const Verdict& verdict : verdicts) {
    SCOPED_TRACE(absl::StrJoin(verdict.examples, "\n"));
    EXPECT_EQ(verdict.stale_overwrites, 0);
    EXPECT_EQ(verdict.causality_broken, 0);
    EXPECT_EQ(verdict.captured_twice, 0);
    EXPECT_EQ(verdict.not_captured, 0);
    EXPECT_EQ(verdict.differs_from_fold, 0);
  }
}

// Goal: the test above can see the fault. Method: the projection that does not look before it writes.
TEST(StaleOverwriteTest, TheNaiveProjectionIsCaught) {
  // Ten seconds see a handful of them on a loaded machine, and now and then none. Each round is a fleet of its own: the
  // oracle tells writes apart by their values.
  int64_t caught = 0;
  for (int round = 0; round < 5 && caught == 0; ++round) {
    ASSAY_START_FLEET(fleet, 2, {.schema = kSchema, .daemon = DaemonBuild::kNaive});
    ASSERT_NO_FATAL_FAILURE(StartRows(*fleet));
    std::vector<Verdict> verdicts;
    absl::Status converged;
    ASSERT_NO_FATAL_FAILURE(Race(*fleet, absl::Seconds(10), /*meetings=*/200, &verdicts, &converged));
    for (const Verdict& verdict : verdicts) caught += verdict.stale_overwrites + verdict.differs_from_fold;
  }
  EXPECT_GT(caught, 0);
}

}  // namespace
}  // namespace assay::test
