// Goal: a log that is deleted, replaced or robbed of its journal while it is open is at its path again, with all that
// was committed. Method: a real log file, and what people do to it.
#include "tools/host/log_place.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "log/local_state/local_state.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using State = LogPlace::State;

class LogPlaceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    file_ = LogFile::Open(path_, {}).value();
    Note("first");
    place_.emplace(path_);
    ASSERT_EQ(place_->Look(), State::kThere);
  }
  void Note(const std::string& text) {
    ASSERT_TRUE(file_->Execute(absl::StrCat("INSERT OR REPLACE INTO value VALUES ('test', x'", Hex(text), "')")).ok());
  }
  static std::string Hex(const std::string& text) {
    std::string hex;
    for (const unsigned char c : text) absl::StrAppend(&hex, absl::Hex(c, absl::kZeroPad2));
    return hex;
  }
  // As another process finds it, once this one has let go.
  std::string Noted() {
    file_.reset();
    auto file = LogFile::Open(path_, {.read_only = true});
    EXPECT_TRUE(file.ok()) << file.status();
    if (!file.ok()) return "";
    Statement select = (*file)->Prepare("SELECT value FROM value WHERE name = 'test'").value();
    EXPECT_TRUE(select.Step().value());
    return std::string(select.OnlyBlob());
  }
  std::vector<std::string> Beside() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path()))
      if (entry.path().filename().string().rfind("log.db.", 0) == 0) names.push_back(entry.path().filename());
    return names;
  }

  test::TempDirectory directory_{"log_place"};
  const std::string path_ = directory_.path() + "/log.db";
  std::unique_ptr<LogFile> file_;
  std::optional<LogPlace> place_;
};

TEST_F(LogPlaceTest, DeletedLogIsWrittenAgain) {
  for (const char* end : {"", "-wal", "-shm"}) std::filesystem::remove(path_ + end);
  Note("after it was deleted");
  ASSERT_EQ(place_->Look(), State::kGone);
  ASSERT_TRUE(place_->Save(*file_, absl::Now()).ok());
  EXPECT_EQ(Noted(), "after it was deleted");
  EXPECT_THAT(Beside(), ::testing::IsEmpty());
}

TEST_F(LogPlaceTest, LogThatAnotherTookThePlaceOfIsWrittenAgainAndTheOtherKept) {
  std::filesystem::rename(path_, directory_.path() + "/elsewhere");
  test::WriteFile(path_, "an older copy");
  Note("after it was replaced");
  ASSERT_EQ(place_->Look(), State::kReplaced);
  ASSERT_TRUE(place_->Save(*file_, absl::Now()).ok());
  EXPECT_EQ(Noted(), "after it was replaced");
  EXPECT_THAT(Beside(), ::testing::Contains(::testing::EndsWith(".replaced")));
}

TEST_F(LogPlaceTest, CommitsOfAJournalThatIsGoneAreInTheLog) {
  Note("in the journal alone");
  ASSERT_TRUE(std::filesystem::remove(path_ + "-wal"));
  ASSERT_EQ(place_->Look(), State::kJournalGone);
  ASSERT_TRUE(place_->Save(*file_, absl::Now()).ok());
  EXPECT_EQ(Noted(), "in the journal alone");
}

}  // namespace
}  // namespace assay
