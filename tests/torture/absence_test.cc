// A long absence, in small: both branches come back with many changes of the same rows, and one daemon is killed on the
// way. tools/bench has it in full (`--only absence`), with what it costs the shop.
#include <signal.h>

#include <fstream>
#include <set>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "log/annotate.h"
#include "log/event_log.h"
#include "log/local_state/local_state.h"
#include "log/log_file.h"
#include "tests/fleet/actor.h"
#include "tests/fleet/fleet.h"
#include "tests/fleet/log_reader.h"
#include "tests/fleet/progress_watch.h"

namespace assay::test {
namespace {

constexpr int kRows = 10'000;     // Several projections' worth.
constexpr int kChanges = 60'000;  // At each branch.
constexpr double kMemoryMaxMb = 150;

// change(shop, count): each change has a value of its own, in transactions of ten rows.
const char kSchema[] =
    "CREATE TABLE items (id int PRIMARY KEY, v text, price numeric(12,2) DEFAULT 0, note text);"
    "CREATE TABLE sales (id text PRIMARY KEY, item int NOT NULL);"
    "CREATE PROCEDURE change(shop text, rows int, cnt int) LANGUAGE plpgsql AS $$ DECLARE i int := 0; BEGIN WHILE i < cnt LOOP "
    "UPDATE items SET v = shop || '#' || (i + g), price = price + 1 FROM generate_series(0, 9) g WHERE id = (i + g) % rows + 1; COMMIT; i := i + 10; "
    "END LOOP; END $$";

double PeakMegabytes(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/status"));
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    double kilobytes = 0;
    if (words[0] == "VmHWM:" && absl::SimpleAtod(words[1], &kilobytes)) return kilobytes / 1024;
  }
  return 0;
}

Positions At(const Branch& branch) {
  const absl::StatusOr<google::protobuf::Struct> status = branch.Status();
  EXPECT_OK(status.status());
  return status.ok() ? PositionsIn(*status) : Positions();
}

// Of the projection that committed last; asked in the database, because what goes so fast is over before the daemon has
// answered.
std::string LastProjection(SqlSession& session) {
  const absl::StatusOr<Rows> rows = session.Run("SELECT max(batch) FROM assay.progress");
  EXPECT_OK(rows.status());
  return rows.ok() ? (*rows)[0][0] : "";
}

// Of the other branch's chain, as the log has it that a daemon left behind.
absl::StatusOr<int64_t> ProjectedInLog(const Branch& branch) {
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LogFile> file,
                         LogFile::Open(branch.state_directory() + "/log.db", {.read_only = true}));
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<EventLog> log, EventLog::Open(file.get()));
  ASSAY_ASSIGN_OR_RETURN(const std::unique_ptr<LocalState> state, LocalState::Open(file.get(), log.get()));
  int64_t projected = 0;
  for (const OriginId& origin : log->Origins()) projected += static_cast<int64_t>(state->Projected(origin).value);
  return projected;
}

TEST(AbsenceTest, BothSidesCatchUpWithExactProgressInLittleMemoryThroughAKill) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  Branch& b = fleet->branch(1);
  MustSql(
      fleet->branch(0).Url(),
      absl::StrCat("INSERT INTO items SELECT g, 'start', 0, repeat('x', 100) FROM generate_series(1, ", kRows, ") g"));
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(60)));

  int64_t heads[2];
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(fleet->branch(i).Assay({"sync", "pause"}).exit_code, 0);
    heads[i] = At(fleet->branch(i)).own_head;
  }
  // B before A, so that all of A's win, and B has them all to write.
  for (int i : {1, 0})
    MustSql(fleet->branch(i).Url(),
            absl::StrCat("CALL change('", fleet->branch(i).name(), "', ", kRows, ", ", kChanges, ")"));
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(Eventually(
        absl::Seconds(60), [&] { return At(fleet->branch(i)).own_head >= heads[i] + kChanges; },
        absl::Milliseconds(200)));
  }

  // Back on line, and B's shop sells on.
  TempDirectory directory("absence");
  Actors till(1);
  till.Start(b.Url(), [](SqlSession& session, std::mt19937_64& random) {
    absl::SleepFor(absl::Milliseconds(25));
    const uint64_t item = random() % kRows + 1;
    return session
        .Run(absl::StrCat("BEGIN; INSERT INTO sales VALUES (gen_random_uuid()::text, ", item,
                          "); UPDATE items SET note = 'sold ", random(), "' WHERE id = ", item, "; COMMIT"))
        .status();
  });
  const absl::StatusOr<std::unique_ptr<SqlSession>> look = SqlSession::Connect(b.AdminUrl());
  ASSERT_OK(look.status());
  std::set<std::string> projections = {LastProjection(**look)};
  std::vector<std::unique_ptr<ProgressWatch>> watches;
  const auto watch = [&](int i) {
    auto started = ProgressWatch::Start(fleet->branch(i), absl::StrCat(directory.path(), "/", watches.size()));
    ASSERT_OK(started.status());
    watches.push_back(*std::move(started));
  };
  watch(0);
  watch(1);
  for (int i = 0; i < 2; ++i) ASSERT_EQ(fleet->branch(i).Assay({"sync", "resume"}).exit_code, 0);
  // One may be of nothing (the note of where the database stands), and the last has perhaps not come back through
  // capture yet.
  ASSERT_TRUE(Eventually(
      absl::Seconds(60), [&] { return projections.insert(LastProjection(**look)), projections.size() > 3; },
      absl::Milliseconds(2)))
      << b.Assay({"status"}).output << b.DaemonLog();
  double peak = PeakMegabytes(b.daemon()->pid());
  b.StopDaemon(SIGKILL);
  const absl::StatusOr<int64_t> middle = ProjectedInLog(b);
  ASSERT_OK(middle.status());
  EXPECT_GT(*middle, heads[0]);
  EXPECT_LT(*middle, heads[0] + kChanges) << "that was not in the middle";
  ASSERT_OK(b.StartDaemon());
  watch(1);
  Positions first;  // That it tells, once it has opened its log.
  ASSERT_TRUE(Eventually(
      absl::Seconds(30), [&] { return (first = At(b)).own_head > 0; }, absl::Milliseconds(2)));
  EXPECT_GE(first.projected, *middle) << "what was written is not forgotten";

  const auto through = [&] {
    for (int i = 0; i < 2; ++i) {
      if (At(fleet->branch(i)).projected < heads[1 - i] + kChanges) return false;
    }
    return true;
  };
  EXPECT_TRUE(Eventually(absl::Seconds(120), through, absl::Milliseconds(200)))
      << fleet->branch(0).Problems() << b.Problems();
  const Actors::Result sold = till.Stop();
  EXPECT_EQ(sold.other_errors, 0) << sold.first_error;
  EXPECT_GT(sold.done, 0);
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(60)));
  peak = std::max(peak, PeakMegabytes(b.daemon()->pid()));
  EXPECT_LT(peak, kMemoryMaxMb);
  EXPECT_LT(PeakMegabytes(fleet->branch(0).daemon()->pid()), kMemoryMaxMb);

  int under_way = 0;
  for (const auto& each : watches) {
    EXPECT_OK(each->Judge());
    under_way += each->under_way();
  }
  EXPECT_GT(under_way, 0);
  for (int i = 0; i < 2; ++i) {
    const absl::StatusOr<google::protobuf::Struct> status = fleet->branch(i).Status();
    ASSERT_OK(status.status());
    for (const char* stage : {"push_progress.total", "pull_progress.total", "projection_progress.total"}) {
      EXPECT_EQ(JsonText(*status, stage), "") << stage << " of a branch that is through";
    }
  }

  // Every change is in the log once.
  const absl::StatusOr<std::vector<LoggedRow>> log = ReadLog(b.state_directory());
  ASSERT_OK(log.status());
  std::set<std::string> values;
  int64_t changes = 0;
  for (const LoggedRow& row : *log) {
    const auto v = row.written.find("v");
    if (row.table != "public.items" || v == row.written.end() || v->second == "start") continue;
    ++changes;
    values.insert(v->second.value_or(""));
  }
  EXPECT_EQ(changes, 2 * kChanges);
  EXPECT_EQ(values.size(), static_cast<size_t>(2 * kChanges));
  std::printf("peak at B %.0f MB, %lld sales meanwhile, slowest %.0f ms, %d statuses under way\n", peak,
              static_cast<long long>(sold.done), sold.slowest_ms, under_way);
}

}  // namespace
}  // namespace assay::test
