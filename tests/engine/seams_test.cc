// Goal: the engine stays a pure machine: no time, threads, randomness, sockets or databases of its own.
// Method: read its sources for the names that would bring them in. (What a room may include is for `tools/check
// rooms`.)
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <string>

namespace assay {
namespace {

TEST(EngineSeamsTest, ReachesNoTimeThreadRandomnessOrSocket) {
  const std::regex forbidden(
      R"(libpq-fe|sqlite3\.h|grpcpp|std::thread|std::mutex|std::chrono|absl::Now\(|std::random|BitGen|\brand\(|getenv)");
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(ASSAY_SOURCE_DIR "/engine")) {
    if (entry.path().extension() != ".cc" && entry.path().extension() != ".h") continue;
    ++files;
    std::ifstream in(entry.path());
    std::string line;
    for (int number = 1; std::getline(in, line); ++number) {
      EXPECT_FALSE(std::regex_search(line, forbidden)) << entry.path() << ":" << number << ": " << line;
    }
  }
  EXPECT_GT(files, 60);
}

}  // namespace
}  // namespace assay
