// Any mix of edits at three branches, with any of them offline for any stretch, ends with the same rows everywhere.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "tests/fleet/actor.h"
#include "tests/fleet/fleet.h"
#include "tests/fleet/oracle.h"

namespace assay::test {
namespace {

constexpr char kSchema[] = R"(
CREATE TABLE stock (id text PRIMARY KEY, a text, b text, c text);
CREATE TABLE notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), shop text, body text);
)";

// Edits of every kind over 60 rows; some transactions touch several.
Actors::Work Editor(const std::string& shop) {
  return [=](SqlSession& session, std::mt19937_64& random) {
    absl::SleepFor(absl::Milliseconds(8));
    auto row = [&] { return absl::StrCat("'r", random() % 60, "'"); };
    auto value = [&] { return absl::StrCat("'", shop, "-", random() % 1000000000, "'"); };
    std::string column(1, static_cast<char>('a' + random() % 3));
    switch (random() % 8) {
      case 0:
        return session.Run(absl::StrCat("DELETE FROM stock WHERE id = ", row())).status();
      case 1:
      case 2: {
        std::string fresh = value();
        return session
            .Run(absl::StrCat("INSERT INTO stock VALUES (", row(), ", ", fresh, ", ", value(),
                              ", NULL) ON CONFLICT (id) DO UPDATE "
                              "SET a = excluded.a, c = NULL"))
            .status();
      }
      case 3:
        return session
            .Run(absl::StrCat("BEGIN; UPDATE stock SET ", column, " = ", value(), " WHERE id = ", row(),
                              "; INSERT INTO notes (shop, body) "
                              "VALUES ('",
                              shop, "', ", value(), "); DELETE FROM stock WHERE id = ", row(), "; COMMIT"))
            .status();
      case 4:
        return session.Run(absl::StrCat("UPDATE stock SET id = ", row(), " WHERE id = ", row()))
            .status();  // Often a key that is taken.
      default:
        return session.Run(absl::StrCat("UPDATE stock SET ", column, " = ", value(), " WHERE id = ", row())).status();
    }
  };
}

void ExpectEverywhereTheFold(Fleet& fleet) {
  absl::StatusOr<std::vector<LoggedRow>> log = ReadLog(fleet.branch(0).state_directory());
  ASSERT_OK(log.status());
  for (int i = 0; i < fleet.size(); ++i) {
    InstallOracle(fleet.branch(i).AdminUrl(), "stock");
    absl::StatusOr<Verdict> verdict = Judge(fleet.branch(i).AdminUrl(), "stock", {"a", "b", "c"}, *log);
    ASSERT_OK(verdict.status());
    EXPECT_EQ(verdict->differs_from_fold, 0) << fleet.branch(i).name() << "\n"
                                             << absl::StrJoin(verdict->examples, "\n");
  }
}

TEST(ConvergenceTest, ThreeBranchesWithOfflineStretches) {
  ASSAY_START_FLEET(fleet, 3, {.schema = kSchema});
  Actors app(7);
  for (int i = 0; i < 3; ++i) {
    for (int n = 0; n < 2; ++n) app.Start(fleet->branch(i).Url(), Editor(fleet->branch(i).name()));
  }
  std::mt19937_64 random(11);
  // Paused, killed, ended in good order, or its PostgreSQL restarted: one after the other, while everyone edits.
  for (int round = 0; round < 8; ++round) {
    Branch& branch = fleet->branch(static_cast<int>(random() % 3));
    absl::SleepFor(absl::Milliseconds(500));
    switch (round % 4) {
      case 0:
        EXPECT_EQ(branch.Assay({"sync", "pause"}).exit_code, 0);
        absl::SleepFor(absl::Seconds(2));
        EXPECT_EQ(branch.Assay({"sync", "resume"}).exit_code, 0);
        break;
      case 1:
        branch.StopDaemon(9);
        absl::SleepFor(absl::Seconds(1));
        ASSERT_OK(branch.StartDaemon());
        break;
      case 2:
        EXPECT_EQ(branch.StopDaemon(), 0);
        absl::SleepFor(absl::Seconds(1));
        ASSERT_OK(branch.StartDaemon());
        break;
      default:
        ASSERT_OK(fleet->hub().Kill());
        absl::SleepFor(absl::Seconds(1));
        ASSERT_OK(fleet->hub().Start());
    }
  }
  Actors::Result edits = app.Stop();
  EXPECT_EQ(edits.other_errors, 0) << edits.first_error;
  std::printf("%lld edits\n", static_cast<long long>(edits.done));
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  ExpectEverywhereTheFold(*fleet);
}

// Goal: edits of different columns both survive; of the same column the later one; a delete loses to a later edit.
TEST(ConvergenceTest, OfflineEditsMergeColumnByColumn) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  MustSql(a.Url(), "INSERT INTO stock SELECT 'r' || g, 'a', 'b', 'c' FROM generate_series(1, 4) g");
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  for (Branch* branch : {&a, &b}) ASSERT_EQ(branch->Assay({"sync", "pause"}).exit_code, 0);
  MustSql(a.Url(), "UPDATE stock SET a = 'A' WHERE id = 'r1'");
  MustSql(b.Url(), "UPDATE stock SET b = 'B' WHERE id = 'r1'");
  MustSql(a.Url(), "UPDATE stock SET a = 'first' WHERE id = 'r2'");
  MustSql(a.Url(), "DELETE FROM stock WHERE id = 'r3'");
  MustSql(b.Url(), "DELETE FROM stock WHERE id = 'r4'");
  absl::SleepFor(absl::Milliseconds(20));
  MustSql(b.Url(), "UPDATE stock SET a = 'second' WHERE id = 'r2'");
  MustSql(b.Url(), "UPDATE stock SET c = 'edited after the delete' WHERE id = 'r3'");
  for (Branch* branch : {&a, &b}) ASSERT_EQ(branch->Assay({"sync", "resume"}).exit_code, 0);
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  for (Branch* branch : {&a, &b}) {
    absl::StatusOr<Rows> rows = Sql(branch->Url(), "SELECT * FROM stock ORDER BY id");
    EXPECT_EQ(*rows,
              (Rows{{"r1", "A", "B", "c"}, {"r2", "second", "b", "c"}, {"r3", "a", "b", "edited after the delete"}}));
  }
}

// Goal: where the table's policy says so, the later edit takes the whole row.
TEST(ConvergenceTest, AWholeRowPolicyMovesAllColumnsTogether) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema, .more_config = "[tables.\"public.stock\"]\nmerge = \"row\"\n"});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  MustSql(a.Url(), "INSERT INTO stock VALUES ('r1', 'a', 'b', 'c')");
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  for (Branch* branch : {&a, &b}) ASSERT_EQ(branch->Assay({"sync", "pause"}).exit_code, 0);
  MustSql(a.Url(), "UPDATE stock SET a = 'A'");
  absl::SleepFor(absl::Milliseconds(20));
  MustSql(b.Url(), "UPDATE stock SET b = 'B'");
  for (Branch* branch : {&a, &b}) ASSERT_EQ(branch->Assay({"sync", "resume"}).exit_code, 0);
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  EXPECT_EQ(*Sql(a.Url(), "SELECT a, b FROM stock"), (Rows{{"a", "B"}}));
}

// Goal: a write that saw a remote value beats it, whatever the clocks say. Method: A's PostgreSQL runs an hour ahead.
TEST(ConvergenceTest, AWriteThatSawARemoteValueBeatsItThoughItsClockIsAnHourBehind) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema, .fake_time = {{0, "+1h"}}});
  Branch &a = fleet->branch(0), &b = fleet->branch(1);
  ASSERT_GT(std::stoll(SqlValue(a.Url(), "SELECT extract(epoch FROM now())::bigint")),
            std::stoll(SqlValue(b.Url(), "SELECT extract(epoch FROM now())::bigint")) + 3000)
      << "the clocks agree: this proves nothing";
  MustSql(a.Url(), "INSERT INTO stock VALUES ('r1', 'from an hour ahead', 'b', 'c')");
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  MustSql(b.Url(), "UPDATE stock SET a = 'saw it' WHERE id = 'r1'");
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  EXPECT_EQ(SqlValue(a.Url(), "SELECT a FROM stock"), "saw it");
  EXPECT_EQ(SqlValue(b.Url(), "SELECT a FROM stock"), "saw it");
  MustSql(a.Url(), "UPDATE stock SET a = 'and back' WHERE id = 'r1'");
  MustSql(b.Url(), "DELETE FROM stock WHERE a = 'never'");
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  EXPECT_EQ(SqlValue(b.Url(), "SELECT a FROM stock"), "and back");
}

}  // namespace
}  // namespace assay::test
