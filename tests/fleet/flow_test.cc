// A change made at one branch reaches the other: soon, whole, once, and however it was committed.
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "tests/fleet/actor.h"
#include "tests/fleet/fleet.h"
#include "tests/fleet/log_reader.h"

namespace assay::test {
namespace {

constexpr char kSchema[] = R"(
CREATE TABLE invoices (id text PRIMARY KEY, line_count int NOT NULL, note text);
CREATE TABLE lines (invoice_id text NOT NULL REFERENCES invoices ON DELETE CASCADE, no int NOT NULL, amount numeric(12,2), PRIMARY KEY (invoice_id, no));
CREATE TABLE products (id int PRIMARY KEY, name text, price numeric(12,2));
)";

// Milliseconds until `query` at `url` gives `value`; -1 after `timeout`.
double MillisecondsUntil(const std::string& url, const std::string& query, const std::string& value,
                         absl::Duration timeout) {
  auto session = SqlSession::Connect(url);
  if (!session.ok()) return -1;
  absl::Time begin = absl::Now();
  bool seen = Eventually(
      timeout,
      [&] {
        absl::StatusOr<Rows> rows = (*session)->Run(query);
        return rows.ok() && !rows->empty() && rows->front().front() == value;
      },
      absl::Milliseconds(1));
  return seen ? absl::ToDoubleMilliseconds(absl::Now() - begin) : -1;
}

// Goal: without polling (the interval is five minutes), a commit at A is visible at B within a second.
TEST(FlowTest, ACommitIsVisibleElsewhereWithinASecond) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  ASSERT_TRUE(
      Eventually(absl::Seconds(45), [&] { return JsonText(*fleet->branch(1).Status(), "realtime.ok") == "true"; }));
  std::vector<double> times;
  for (int i = 1; i <= 20; ++i) {
    MustSql(fleet->branch(0).Url(), absl::StrCat("INSERT INTO products VALUES (", i, ", 'Bangle', 50000)"));
    double ms = MillisecondsUntil(fleet->branch(1).Url(), absl::StrCat("SELECT count(*) FROM products WHERE id = ", i),
                                  "1", absl::Seconds(10));
    ASSERT_GE(ms, 0) << "row " << i << " never arrived: " << fleet->branch(0).Problems() << fleet->branch(1).Problems();
    times.push_back(ms);
  }
  std::sort(times.begin(), times.end());
  std::printf("visible after: median %.1f ms, slowest %.1f ms\n", times[times.size() / 2], times.back());
  EXPECT_LT(times.back(), 1000);
}

// Goal: hints only make it sooner. Method: realtime off, interval 2 s.
TEST(FlowTest, WithoutHintsTheIntervalBringsIt) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema, .interval = "2s", .realtime = false});
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  MustSql(fleet->branch(0).Url(), "INSERT INTO products VALUES (1, 'Ring', 1)");
  double ms = MillisecondsUntil(fleet->branch(1).Url(), "SELECT count(*) FROM products", "1", absl::Seconds(10));
  EXPECT_GE(ms, 0);
  EXPECT_LT(ms, 5000);
}

// Goal: a reader at B sees an invoice with all its lines or not at all, at 2 rows and at 300,000.
TEST(FlowTest, AnInvoiceIsNeverSeenWithoutItsLines) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  const std::string torn =
      "SELECT count(*) FROM invoices i FULL JOIN (SELECT invoice_id, count(*) AS n FROM lines GROUP BY 1) l "
      "ON l.invoice_id = i.id WHERE l.n IS DISTINCT FROM i.line_count";
  std::atomic<bool> stop{false};
  std::atomic<int64_t> polls{0}, torn_seen{0};
  std::thread reader([&] {
    auto session = SqlSession::Connect(fleet->branch(1).Url());
    while (!stop && session.ok()) {
      absl::StatusOr<Rows> rows = (*session)->Run(torn);
      if (!rows.ok()) continue;
      ++polls;
      torn_seen += rows->front().front() != "0";
    }
  });
  Actors sellers;
  std::atomic<int> number{0};
  auto sell = [&](SqlSession& session, std::mt19937_64& random) {
    int id = ++number;
    int lines = 1 + static_cast<int>(random() % 3);
    absl::SleepFor(absl::Milliseconds(10));
    return session
        .Run(absl::StrCat("BEGIN; INSERT INTO invoices VALUES ('i", id, "', ", lines, "); INSERT INTO lines SELECT 'i",
                          id, "', g, 1 FROM generate_series(1, ", lines, ") g; COMMIT"))
        .status();
  };
  sellers.Start(fleet->branch(0).Url(), sell);
  sellers.Start(fleet->branch(0).Url(), sell);
  absl::SleepFor(absl::Seconds(5));
  EXPECT_EQ(sellers.Stop().other_errors, 0);
  MustSql(fleet->branch(0).Url(),
          "BEGIN; INSERT INTO invoices VALUES ('big', 299999); "
          "INSERT INTO lines SELECT 'big', g, g FROM generate_series(1, 299999) g; COMMIT");
  absl::Time begin = absl::Now();
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(150)));
  std::printf("300,000 rows in one transaction: %s until both are equal\n",
              absl::FormatDuration(absl::Now() - begin).c_str());
  stop = true;
  reader.join();
  EXPECT_EQ(torn_seen, 0) << "of " << polls << " polls";
  EXPECT_GT(polls, 20);
  EXPECT_EQ(SqlValue(fleet->branch(1).Url(), "SELECT count(*) FROM lines WHERE invoice_id = 'big'"), "299999");
}

// Goal: with the app silent, the number of events stands still, also right after edits on both sides.
TEST(FlowTest, NothingEchoes) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema, .interval = "1s"});
  for (int i = 0; i < 2; ++i) {
    for (int n = 1; n <= 20; ++n) {
      MustSql(fleet->branch(i).Url(), absl::StrCat("INSERT INTO products VALUES (", n, ", 'made at ", i, "', ", n,
                                                   ") ON CONFLICT (id) DO UPDATE SET name = excluded.name"));
    }
  }
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  absl::StatusOr<int64_t> before = CountEvents(fleet->branch(0).state_directory());
  ASSERT_OK(before.status());
  absl::SleepFor(absl::Seconds(5));
  absl::StatusOr<int64_t> after = CountEvents(fleet->branch(0).state_directory());
  EXPECT_EQ(*after, *before);
  EXPECT_EQ(*CountEvents(fleet->branch(1).state_directory()), *before);
  EXPECT_GE(*before, 40);
}

// Goal: however it was committed, it arrives; what was rolled back does not.
TEST(FlowTest, EveryWayToCommitArrives) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  Branch& a = fleet->branch(0);
  auto session = SqlSession::Connect(a.Url());
  ASSERT_OK(session.status());
  EXPECT_OK((*session)->CopyIn("COPY products FROM STDIN", "1\tcopied\t1.00\n2\tcopied\t2.00\n3\tto truncate\t\\N\n"));
  MustSql(
      a.Url(),
      "BEGIN; INSERT INTO products VALUES (4, 'kept', 1); SAVEPOINT s; INSERT INTO products VALUES (5, 'undone', 1); "
      "ROLLBACK TO s; INSERT INTO products VALUES (6, 'after savepoint', 1); COMMIT");
  MustSql(a.Url(), "BEGIN; INSERT INTO products VALUES (7, 'rolled back', 1); ROLLBACK");
  MustSql(a.Url(), "BEGIN; INSERT INTO products VALUES (8, 'prepared', 1); PREPARE TRANSACTION 'two-phase'");
  MustSql(a.Url(), "COMMIT PREPARED 'two-phase'");
  MustSql(a.AdminUrl(),
          "SET session_replication_role = replica; INSERT INTO products VALUES (9, 'superuser, triggers off', 1)");
  MustSql(
      a.Url(),
      "INSERT INTO invoices VALUES ('i1', 500); INSERT INTO lines SELECT 'i1', g, g FROM generate_series(1, 500) g");
  MustSql(
      a.Url(),
      "INSERT INTO invoices VALUES ('i2', 500); INSERT INTO lines SELECT 'i2', g, g FROM generate_series(1, 500) g");
  MustSql(a.Url(), "UPDATE products SET id = 10 WHERE id = 6");
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  EXPECT_EQ(SqlValue(fleet->branch(1).Url(), "SELECT string_agg(id || ' ' || name, ', ' ORDER BY id) FROM products"),
            "1 copied, 2 copied, 3 to truncate, 4 kept, 8 prepared, 9 superuser, triggers off, 10 after savepoint");

  MustSql(a.Url(), "DELETE FROM invoices WHERE id = 'i1'");  // 500 lines go with it.
  MustSql(a.Url(), "TRUNCATE products");
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  EXPECT_EQ(SqlValue(fleet->branch(1).Url(), "SELECT count(*) FROM products"), "0");
  EXPECT_EQ(SqlValue(fleet->branch(1).Url(), "SELECT string_agg(DISTINCT invoice_id, ',') FROM lines"), "i2");

  absl::StatusOr<std::vector<LoggedRow>> log = ReadLog(a.state_directory());
  ASSERT_OK(log.status());
  std::map<std::string, int> deletes;
  for (const LoggedRow& row : *log) {
    deletes[row.table] += row.operation == v1::RowChange::DELETE;
    EXPECT_TRUE(row.table != "public.products" || row.key[0] != "5") << "undone work is in the log";
    EXPECT_TRUE(row.table != "public.products" || row.key[0] != "7") << "rolled-back work is in the log";
  }
  EXPECT_EQ(deletes["public.lines"], 500);
  EXPECT_EQ(deletes["public.products"], 7 + 1);  // The truncated, and the key that changed.
}

// Goal: rows that a TRUNCATE never saw survive it.
TEST(FlowTest, ATruncateSparesWhatItNeverSaw) {
  ASSAY_START_FLEET(fleet, 2, {.schema = kSchema});
  MustSql(fleet->branch(0).Url(), "INSERT INTO products VALUES (1, 'old', 1)");
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  ASSERT_EQ(fleet->branch(1).Assay({"sync", "pause"}).exit_code, 0);
  MustSql(fleet->branch(1).Url(), "INSERT INTO products VALUES (2, 'made at B meanwhile', 1)");
  MustSql(fleet->branch(0).Url(), "TRUNCATE products");
  ASSERT_EQ(fleet->branch(1).Assay({"sync", "resume"}).exit_code, 0);
  ASSERT_OK(fleet->WaitConverged(absl::Seconds(90)));
  EXPECT_EQ(SqlValue(fleet->branch(0).Url(), "SELECT string_agg(id::text, ',') FROM products"), "2");
}

// Goal: who did it is in the log where it was said.
TEST(FlowTest, TheLogSaysWhoDidIt) {
  ASSAY_START_FLEET(fleet, 1, {.schema = kSchema});
  MustSql(fleet->branch(0).Url(),
          "BEGIN; SET LOCAL assay.application_user = 'asha'; SET LOCAL assay.terminal = 'till-2'; "
          "INSERT INTO products VALUES (1, 'Ring', 1); COMMIT");
  ASSERT_TRUE(Eventually(absl::Seconds(45), [&] {
    absl::StatusOr<std::vector<LoggedRow>> log = ReadLog(fleet->branch(0).state_directory());
    return log.ok() && !log->empty();
  }));
  LoggedRow row = ReadLog(fleet->branch(0).state_directory())->back();
  EXPECT_EQ(row.header.attribution().application_user(), "asha");
  EXPECT_EQ(row.header.attribution().terminal(), "till-2");
  EXPECT_EQ(row.header.attribution().database_user(), "erp");
  EXPECT_THAT(fleet->branch(0).Assay({"log", "ls"}).output, testing::HasSubstr("asha"));
}

}  // namespace
}  // namespace assay::test
