// Replies that are lost after COMMIT are looked up and never repeated blindly; a bad line means slow, and never twice.
#include "tests/support/link.h"

#include <signal.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "tests/fleet/fleet.h"
#include "tests/fleet/log_reader.h"

namespace assay::test {
namespace {

using ::testing::HasSubstr;

// `writes` counts what is really written to t, whoever writes it.
constexpr char kSchema[] = "CREATE TABLE t (id int PRIMARY KEY, v text)";
constexpr char kCountWrites[] =
    "CREATE SCHEMA witness; CREATE TABLE witness.writes (id int, v text);"
    "CREATE FUNCTION witness.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS "
    "$$ BEGIN INSERT INTO witness.writes VALUES (new.id, new.v); RETURN NULL; END $$;"
    "CREATE TRIGGER note AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION witness.note();"
    "ALTER TABLE t ENABLE ALWAYS TRIGGER note";

// The walsender's client confirms: CopyData of 38 bytes that begins with 'r'.
const std::string kStandbyStatus("d\0\0\0\x26r", 6);

class LinkTest : public ::testing::Test {
 protected:
  // Two branches: A's line to the hub and B's line to its own database go over `hub_line` and `database_line`.
  void Start() {
    absl::StatusOr<std::unique_ptr<Fleet>> fleet =
        Fleet::Create(2, {.schema = kSchema, .interval = "2s", .bad_lines = true});
    if (MaySkipWithoutPostgres(fleet.status())) GTEST_SKIP() << fleet.status().message();
    ASSERT_OK(fleet.status());
    fleet_ = *std::move(fleet);
    MustSql(b().AdminUrl(), kCountWrites);
  }
  Branch& a() { return fleet_->branch(0); }
  Branch& b() { return fleet_->branch(1); }
  void Insert(int id) { MustSql(a().Url(), absl::StrCat("INSERT INTO t VALUES (", id, ", 'v", id, "')")); }
  bool IsAtB(int id, absl::Duration timeout) {
    return Eventually(timeout, [&] {
      return SqlValue(b().AdminUrl(), absl::StrCat("SELECT count(*) FROM t WHERE id = ", id)) == "1";
    });
  }
  // Everything once: in the log, and written to B, by whomever.
  void ExpectOnce(int rows) {
    ASSERT_OK(fleet_->WaitConverged(absl::Seconds(60)));
    absl::StatusOr<std::vector<LoggedRow>> log = ReadLog(b().state_directory());
    ASSERT_OK(log.status());
    EXPECT_EQ(log->size(), static_cast<size_t>(rows));
    EXPECT_EQ(SqlValue(b().AdminUrl(), "SELECT count(*) FROM witness.writes"), absl::StrCat(rows));
    EXPECT_EQ(SqlValue(b().AdminUrl(), "SELECT count(*) FROM t"), absl::StrCat(rows));
  }

  std::unique_ptr<Fleet> fleet_;
};

TEST_F(LinkTest, AReplyLostAfterCommitIsLookedUpAndNothingIsDoneTwice) {
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  int id = 0;
  for (int round = 0; round < 3; ++round) {
    struct Place {
      Link* line;
      std::string marker;
    };
    for (const Place& place : {Place{a().hub_line(), "assay_hub.push"}, Place{b().hub_line(), "assay_hub.pull"},
                               Place{b().database_line(), "COMMIT"}, Place{b().database_line(), kStandbyStatus},
                               Place{a().database_line(), kStandbyStatus}}) {
      const uint64_t lost = place.line->replies_lost();
      place.line->LoseReplyTo(place.marker);
      Insert(++id);
      EXPECT_TRUE(IsAtB(id, absl::Seconds(60))) << place.marker << "\n" << a().DaemonLog() << b().DaemonLog();
      EXPECT_TRUE(Eventually(absl::Seconds(30), [&] { return place.line->replies_lost() > lost; })) << place.marker;
    }
  }
  ExpectOnce(id);
}

// Cut, dead, flapping, slow: what was sold arrives as soon as the line lets it, and the wire carries each change about
// once.
TEST_F(LinkTest, ABadLineCostsTimeAndNothingElse) {
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  int id = 0;
  Insert(++id);
  ASSERT_TRUE(IsAtB(id, absl::Seconds(30)));

  a().hub_line()->Set(Link::State::kCut);
  Insert(++id);
  EXPECT_FALSE(IsAtB(id, absl::Seconds(3)));
  a().hub_line()->Set(Link::State::kOpen);
  EXPECT_TRUE(IsAtB(id, absl::Seconds(30)));

  // Half open: nobody is told, so only a time limit can notice.
  a().hub_line()->Set(Link::State::kDead);
  Insert(++id);
  EXPECT_FALSE(IsAtB(id, absl::Seconds(5)));
  a().hub_line()->Set(Link::State::kOpen);
  EXPECT_TRUE(IsAtB(id, absl::Seconds(60))) << a().Problems();

  for (int second = 0; second < 10; ++second) {
    a().hub_line()->Set(second % 2 == 0 ? Link::State::kCut : Link::State::kOpen);
    b().hub_line()->Set(second % 2 == 0 ? Link::State::kCut : Link::State::kOpen);
    Insert(++id);
    absl::SleepFor(absl::Seconds(1));
  }
  EXPECT_TRUE(IsAtB(id, absl::Seconds(60)));

  // 64 kbit/s and half a second each way, with more to say than fits into a statement's usual time.
  a().hub_line()->Slow(8000, absl::Milliseconds(500));
  const uint64_t before = a().hub_line()->bytes_to_server();
  MustSql(a().Url(), absl::StrCat("INSERT INTO t SELECT g, encode(sha256(g::text::bytea), 'hex') FROM generate_series(",
                                  id + 1, ", ", id + 800, ") g"));
  id += 800;
  EXPECT_TRUE(IsAtB(id, absl::Seconds(150))) << a().Problems();
  const uint64_t sent = a().hub_line()->bytes_to_server() - before;
  // 800 random hashes of 32 bytes and their Merkle leaves do not shrink below about 52 KB.
  EXPECT_LT(sent, 160'000u) << "the same was sent over and over";
  std::printf("over the slow line: %llu bytes for 800 rows\n", static_cast<unsigned long long>(sent));
  a().hub_line()->Slow(0, absl::ZeroDuration());
  ExpectOnce(id);
}

// Goal: a value that takes longer than the line ever holds gets through, there and back, and sales of the other branch
// do not wait for it. Method: 6 MB that do not shrink, over lines of 1 MB a second that break every 2.5 s.
TEST_F(LinkTest, ALargeValuePassesLinesThatAreSlowAndBreak) {
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  constexpr int kHashes = 6 * 16'384;  // Pairs of them, of 128 hexadecimal digits: 64 bytes that do not shrink.
  for (Branch* branch : {&a(), &b()}) branch->hub_line()->Slow(1'000'000, absl::ZeroDuration());
  const uint64_t sent = a().hub_line()->bytes_to_server(), fetched = b().hub_line()->bytes_to_client();
  MustSql(a().Url(), absl::StrCat("INSERT INTO t SELECT 1, string_agg(encode(sha256(g::text::bytea), 'hex') || "
                                  "encode(sha256((-g)::text::bytea), 'hex'), '') FROM generate_series(1, ",
                                  kHashes, ") g"));
  int sales = 0;
  const auto is_there = [&](Branch& branch, int id) {
    return SqlValue(branch.AdminUrl(), absl::StrCat("SELECT count(*) FROM t WHERE id = ", id)) == "1";
  };
  const absl::Time limit = absl::Now() + absl::Seconds(90);
  while (absl::Now() < limit && !is_there(b(), 1)) {
    absl::SleepFor(absl::Milliseconds(2500));
    for (Branch* branch : {&a(), &b()}) branch->hub_line()->Set(Link::State::kCut);
    absl::SleepFor(absl::Milliseconds(200));
    for (Branch* branch : {&a(), &b()}) branch->hub_line()->Set(Link::State::kOpen);
    MustSql(b().Url(), absl::StrCat("INSERT INTO t VALUES (", 100 + ++sales, ", 'x')"));
  }
  EXPECT_TRUE(is_there(b(), 1)) << a().Problems() << b().Problems();
  EXPECT_TRUE(is_there(a(), 101)) << "it waited for the value";
  EXPECT_LT(a().hub_line()->bytes_to_server() - sent, 2 * kHashes * 64u) << "the same was sent over and over";
  EXPECT_LT(b().hub_line()->bytes_to_client() - fetched, 2 * kHashes * 64u) << "the same was fetched over and over";
  for (Branch* branch : {&a(), &b()}) branch->hub_line()->Slow(0, absl::ZeroDuration());
  ExpectOnce(1 + sales);
}

// Goal: portions that a line never holds for become smaller until they pass. Method: sales of some 100 kB each, of
// which a push and a pull like to take ten, over lines that pass half a megabyte before they break.
TEST_F(LinkTest, WhatIsTooMuchForTheLineComesInSmallerPortions) {
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  constexpr int kSales = 24, kHashes = 1'500;  // Of 64 bytes that do not shrink, as above.
  for (Branch* branch : {&a(), &b()}) branch->hub_line()->Slow(250'000, absl::ZeroDuration());
  ASSERT_EQ(a().Assay({"sync", "pause"}).exit_code, 0);
  for (int id = 1; id <= kSales; ++id) {
    MustSql(a().Url(), absl::StrCat("INSERT INTO t SELECT ", id, ", string_agg(encode(sha256((g + ", id * kHashes,
                                    ")::text::bytea), 'hex') || encode(sha256((-g - ", id * kHashes,
                                    ")::text::bytea), 'hex'), '') FROM generate_series(1, ", kHashes, ") g"));
  }
  ASSERT_EQ(a().Assay({"sync", "resume"}).exit_code, 0);
  const absl::Time limit = absl::Now() + absl::Seconds(150);
  while (absl::Now() < limit && !IsAtB(kSales, absl::Milliseconds(2000))) {
    for (Branch* branch : {&a(), &b()}) branch->hub_line()->Set(Link::State::kCut);
    absl::SleepFor(absl::Milliseconds(200));
    for (Branch* branch : {&a(), &b()}) branch->hub_line()->Set(Link::State::kOpen);
  }
  EXPECT_TRUE(IsAtB(kSales, absl::ZeroDuration())) << a().Problems() << b().Problems();
  for (Branch* branch : {&a(), &b()}) {
    branch->hub_line()->Slow(0, absl::ZeroDuration());
    branch->Assay({"sync", "now"});
  }
  ExpectOnce(kSales);
}

TEST_F(LinkTest, ADaemonThatWasStoppedForAWhileGoesOn) {
  Start();
  if (IsSkipped() || HasFatalFailure()) return;
  for (int index = 0; index < 2; ++index) {
    fleet_->branch(index).daemon()->Signal(SIGSTOP);
    const absl::Time begin = absl::Now();
    for (int id = 1; id <= 50; ++id) Insert(100 * (index + 1) + id);
    EXPECT_LT(absl::Now() - begin, absl::Seconds(10)) << "the app waited for the daemon";
    absl::SleepFor(absl::Seconds(15));
    fleet_->branch(index).daemon()->Signal(SIGCONT);
    EXPECT_TRUE(IsAtB(100 * (index + 1) + 50, absl::Seconds(60)));
  }
  ExpectOnce(100);
}

}  // namespace
}  // namespace assay::test
