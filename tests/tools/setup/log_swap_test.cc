#include "tools/setup/log_swap.h"

#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using ::testing::Pair;
using ::testing::UnorderedElementsAre;

const absl::Time kNow = absl::FromUnixSeconds(1'795'000'000);
constexpr char kSuffix[] = ".20261118-110640.replaced";

// A branch whose repair has made a new log: all it needs is to change places.
class LogSwapTest : public ::testing::Test {
 protected:
  LogSwapTest() {
    test::WriteFile(State("log.db"), "old log");
    test::WriteFile(State("log.db-wal"), "old wal");
    test::WriteFile(State("signing.key"), "old key");
    EXPECT_TRUE(MakeFolderAnew(NewLogFolder(directory_.path())).ok());
    test::WriteFile(New("log.db"), "new log");
    test::WriteFile(New("signing.key"), "new key");
  }

  std::string State(const std::string& name) { return directory_.path() + "/" + name; }
  std::string New(const std::string& name) { return NewLogFolder(directory_.path()) + "/" + name; }
  // Everything in the state directory, with what it holds.
  std::map<std::string, std::string> Files() {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_.path())) {
      if (entry.is_directory()) continue;
      files[std::filesystem::relative(entry.path(), directory_.path())] = test::ReadFile(entry.path());
    }
    return files;
  }
  void ExpectSwapped() {
    EXPECT_FALSE(std::filesystem::exists(NewLogFolder(directory_.path())));
    EXPECT_THAT(Files(), UnorderedElementsAre(Pair("log.db", "new log"), Pair("signing.key", "new key"),
                                              Pair(std::string("log.db") + kSuffix, "old log"),
                                              Pair(std::string("log.db") + kSuffix + "-wal", "old wal"),
                                              Pair(std::string("signing.key") + kSuffix, "old key")));
  }

  test::TempDirectory directory_{"log_swap"};
};

TEST_F(LogSwapTest, KeepsTheOldLogUnderAnotherName) {
  const absl::StatusOr<std::string> suffix = SwapLogs(directory_.path(), kNow);
  ASSERT_TRUE(suffix.ok()) << suffix.status();
  EXPECT_EQ(*suffix, kSuffix);
  ExpectSwapped();
}

// Goal: wherever a swap stops, the next one finishes it.
// Method: do its first moves by hand, as many as there are before the last, and swap again.
TEST_F(LogSwapTest, IsFinishedByTheNextWhereverItStopped) {
  const std::vector<std::pair<std::string, std::string>> moves = {
      {State("log.db-wal"), State("log.db") + kSuffix + "-wal"},
      {State("log.db"), State("log.db") + kSuffix},
      {State("signing.key"), State("signing.key") + kSuffix},
      {New("signing.key"), State("signing.key")},
  };
  const test::TempDirectory kept("log_swap_before");
  const std::string before = kept.path() + "/state";
  std::filesystem::copy(directory_.path(), before, std::filesystem::copy_options::recursive);
  for (size_t done = 1; done <= moves.size(); ++done) {
    SCOPED_TRACE(done);
    std::filesystem::remove_all(directory_.path());
    std::filesystem::copy(before, directory_.path(), std::filesystem::copy_options::recursive);
    for (size_t i = 0; i < done; ++i) std::filesystem::rename(moves[i].first, moves[i].second);
    EXPECT_TRUE(SwapLogs(directory_.path(), kNow).ok());
    ExpectSwapped();
  }
}

TEST_F(LogSwapTest, FolderAnewIsEmptyAndNobodyElsesToEnter) {
  ASSERT_TRUE(MakeFolderAnew(NewLogFolder(directory_.path())).ok());
  EXPECT_TRUE(std::filesystem::is_empty(NewLogFolder(directory_.path())));
  struct stat info;
  ASSERT_EQ(stat(NewLogFolder(directory_.path()).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  const absl::Status nowhere = MakeFolderAnew(State("missing/folder"));
  EXPECT_TRUE(absl::IsFailedPrecondition(nowhere));
  EXPECT_TRUE(absl::StrContains(nowhere.message(), "missing/folder"));
}

}  // namespace
}  // namespace assay
