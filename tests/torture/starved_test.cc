// No room on the disk, and clocks that are wrong: nothing is lost, the shop goes on, the status says so, and it mends
// itself.
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "tests/fleet/fleet.h"
#include "tests/fleet/log_reader.h"

namespace assay::test {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr char kSchema[] = "CREATE TABLE t (id int PRIMARY KEY, v text)";

// A disk of its own, of `size` ("16m"), mounted over an empty directory. Only root may.
class SmallDisk {
 public:
  SmallDisk(std::string path, const std::string& size, const std::string& options = "") : path_(std::move(path)) {
    mounted_ = mount("tmpfs", path_.c_str(), "tmpfs", 0, absl::StrCat("size=", size, options).c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) umount2(path_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  // Leaves `free` bytes.
  void Fill(uint64_t free) {
    std::FILE* file = std::fopen(Filler().c_str(), "w");
    const std::string block(4096, 'x');
    while (std::filesystem::space(path_).free > free &&
           std::fwrite(block.data(), 1, block.size(), file) == block.size())
      std::fflush(file);
    std::fclose(file);
  }
  void MakeRoom() { unlink(Filler().c_str()); }

 private:
  std::string Filler() const { return path_ + "/filler"; }
  const std::string path_;
  bool mounted_ = false;
};

// Commits at once, each row by itself, with values that do not shrink.
void Sell(Branch& branch, int first, int count) {
  for (int id = first; id < first + count; ++id) {
    const absl::Time begin = absl::Now();
    MustSql(branch.Url(), absl::StrCat("INSERT INTO t SELECT ", id, ", string_agg(encode(sha256((", id,
                                       " * 1000 + g)::text::bytea), 'hex'), '') "
                                       "FROM generate_series(1, 100) g"));
    EXPECT_LT(absl::Now() - begin, absl::Seconds(5)) << "the app waited";
  }
}

bool Says(Branch& branch, const ::testing::Matcher<const std::string&>& what, absl::Duration timeout) {
  return Eventually(
      timeout, [&] { return ::testing::Value(branch.Problems(), what); }, absl::Milliseconds(300));
}

TEST(StarvedTest, ALogWithoutRoomWaitsForItAndLosesNothing) {
  absl::StatusOr<std::unique_ptr<Fleet>> created =
      Fleet::Create(2, {.schema = kSchema, .interval = "2s"}, /*start=*/false);
  if (MaySkipWithoutPostgres(created.status())) GTEST_SKIP() << created.status().message();
  ASSERT_OK(created.status());
  Fleet& fleet = **created;
  SmallDisk disk(fleet.branch(0).state_directory(), "24m", ",mode=0700");
  if (!disk.mounted()) GTEST_SKIP() << "needs the right to mount a small disk: run as root";
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK(fleet.branch(i).Init());
    ASSERT_OK(fleet.branch(i).StartDaemon());
  }
  Sell(fleet.branch(0), 1, 5);
  ASSERT_OK(fleet.WaitConverged(absl::Seconds(60)));
  disk.Fill(20'000);
  Sell(fleet.branch(0), 100, 100);
  EXPECT_TRUE(Says(fleet.branch(0), AnyOf(HasSubstr("full"), HasSubstr("free space")), absl::Seconds(60)))
      << fleet.branch(0).Problems() << fleet.branch(0).DaemonLog();
  Sell(fleet.branch(0), 300, 20);
  disk.MakeRoom();
  EXPECT_OK(fleet.WaitConverged(absl::Seconds(90)));
  EXPECT_EQ(SqlValue(fleet.branch(1).AdminUrl(), "SELECT count(*) FROM t"), "125");
  EXPECT_EQ(CountEvents(fleet.branch(0).state_directory()).value(),
            CountEvents(fleet.branch(1).state_directory()).value());
  ASSERT_EQ(fleet.branch(0).StopDaemon(), 0);
}

TEST(StarvedTest, AHubWithoutRoomIsNamedAndWaitedFor) {
  absl::StatusOr<std::unique_ptr<Fleet>> created = Fleet::Create(2, {.schema = kSchema, .interval = "2s"});
  if (MaySkipWithoutPostgres(created.status())) GTEST_SKIP() << created.status().message();
  ASSERT_OK(created.status());
  Fleet& fleet = **created;
  // The hub's tables move to a small disk; its WAL stays where it is, since a server that cannot write that does not
  // run at all.
  const std::string base = fleet.hub().data_directory() + "/base";
  ASSERT_OK(fleet.hub().Stop());
  ASSERT_EQ(RunProgram({"cp", "-a", base, base + ".aside"}).exit_code, 0);
  SmallDisk disk(base, "120m");
  if (!disk.mounted()) GTEST_SKIP() << "needs the right to mount a small disk: run as root";
  ASSERT_EQ(RunProgram({"sh", "-c", absl::StrCat("cp -a ", base, ".aside/. ", base)}).exit_code, 0);
  ASSERT_OK(fleet.hub().Start());
  Sell(fleet.branch(0), 1, 5);
  ASSERT_OK(fleet.WaitConverged(absl::Seconds(60)));
  disk.Fill(0);
  Sell(fleet.branch(0), 100, 200);
  EXPECT_TRUE(Says(fleet.branch(0), AnyOf(HasSubstr("full"), HasSubstr("space")), absl::Seconds(60)))
      << fleet.branch(0).Problems() << fleet.branch(0).DaemonLog();
  disk.MakeRoom();
  EXPECT_OK(fleet.WaitConverged(absl::Seconds(90)));
  EXPECT_EQ(SqlValue(fleet.branch(1).AdminUrl(), "SELECT count(*) FROM t"), "205");
  ASSERT_OK(fleet.hub().Stop());
}

// The daemon's clock decides nothing but when it tries again and how old it says things are.
TEST(StarvedTest, ADaemonWhoseClockIsWrongLosesNothingAndSaysSo) {
  absl::StatusOr<std::unique_ptr<Fleet>> created =
      Fleet::Create(2, {.schema = kSchema, .interval = "2s", .daemon = DaemonBuild::kForFakeTime});
  if (MaySkipWithoutPostgres(created.status())) GTEST_SKIP() << created.status().message();
  ASSERT_OK(created.status());
  Fleet& fleet = **created;
  Branch& a = fleet.branch(0);
  int id = 0;
  for (const char* time : {"+1h", "-1h", "@2099-01-01 00:00:00", "@1970-01-02 00:00:00"}) {
    SCOPED_TRACE(time);
    absl::StatusOr<std::map<std::string, std::string>> environment = FakeTime(time);
    if (!environment.ok()) GTEST_SKIP() << environment.status().message();
    ASSERT_EQ(a.StopDaemon(), 0);
    a.set_daemon_environment(*environment);
    ASSERT_OK(a.StartDaemon());
    MustSql(a.Url(), absl::StrCat("INSERT INTO t VALUES (", ++id, ", 'from A')"));
    MustSql(fleet.branch(1).Url(), absl::StrCat("INSERT INTO t VALUES (", ++id, ", 'from B')"));
    EXPECT_OK(fleet.WaitConverged(absl::Seconds(60)));
    EXPECT_TRUE(Says(a, HasSubstr("clock"), absl::Seconds(30))) << a.Problems();
  }
  // And set right again, from years ahead: nothing waits for 2099.
  ASSERT_EQ(a.StopDaemon(), 0);
  a.set_daemon_environment({});
  ASSERT_OK(a.StartDaemon());
  MustSql(a.Url(), absl::StrCat("INSERT INTO t VALUES (", ++id, ", 'from A')"));
  EXPECT_OK(fleet.WaitConverged(absl::Seconds(60)));
}

// Under a running daemon: an hour forth, two back, to 1970, to 2099.
TEST(StarvedTest, AClockThatIsSetWhileTheDaemonRunsStopsNothing) {
  absl::StatusOr<std::unique_ptr<Fleet>> created =
      Fleet::Create(2, {.schema = kSchema, .interval = "2s", .daemon = DaemonBuild::kForFakeTime});
  if (MaySkipWithoutPostgres(created.status())) GTEST_SKIP() << created.status().message();
  ASSERT_OK(created.status());
  Fleet& fleet = **created;
  Branch& a = fleet.branch(0);
  absl::StatusOr<std::map<std::string, std::string>> environment = FakeTime("+0");
  if (!environment.ok()) GTEST_SKIP() << environment.status().message();
  TempDirectory directory("clock");
  const std::string file = directory.path() + "/faketime";
  WriteFile(file, "+0", 0644);
  environment->erase("FAKETIME");
  environment->insert({{"FAKETIME_TIMESTAMP_FILE", file}, {"FAKETIME_NO_CACHE", "1"}});
  ASSERT_EQ(a.StopDaemon(), 0);
  a.set_daemon_environment(*environment);
  ASSERT_OK(a.StartDaemon());
  int id = 0;
  for (const char* time : {"+1h", "-1h", "@1970-01-02 00:00:00", "@2099-01-01 00:00:00", "+0"}) {
    SCOPED_TRACE(time);
    WriteFile(file, time, 0644);
    MustSql(a.Url(), absl::StrCat("INSERT INTO t VALUES (", ++id, ", 'from A')"));
    MustSql(fleet.branch(1).Url(), absl::StrCat("INSERT INTO t VALUES (", ++id, ", 'from B')"));
    EXPECT_OK(fleet.WaitConverged(absl::Seconds(60)));
  }
}

}  // namespace
}  // namespace assay::test
