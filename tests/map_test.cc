// Goal: the map in ARCHITECTURE.md is the tree, so that whoever reads it finds every room and no room that is gone.
// Method: the folders named in the page's table "Rooms" against the folders that have sources.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <string>

namespace assay {
namespace {

namespace fs = std::filesystem;

// "engine/fold/" of "| `engine/fold/` | computes what each row should be |".
std::set<std::string> RoomsOnTheMap() {
  std::ifstream page(ASSAY_SOURCE_DIR "/ARCHITECTURE.md");
  const std::regex row(R"(^\| *`([^`]+/)` *\|.*)");
  std::set<std::string> rooms;
  bool here = false;
  for (std::string line; std::getline(page, line);) {
    if (line.rfind("## ", 0) == 0) here = line == "## Rooms";
    std::smatch match;
    if (!here || !std::regex_match(line, match, row)) continue;
    EXPECT_TRUE(rooms.insert(match[1]).second) << match[1] << " twice";
  }
  return rooms;
}

// A folder is a room when sources stand in it; one that has only further folders, or a header, is a corridor.
std::set<std::string> RoomsOfTheTree() {
  const std::set<std::string> sources = {".cc", ".proto", ".sql", ".sh"};
  std::set<std::string> rooms;
  for (const char* top : {"proto", "log", "engine", "adapters", "sql", "tools"}) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(fs::path(ASSAY_SOURCE_DIR) / top)) {
      if (entry.is_regular_file() && sources.contains(entry.path().extension()))
        rooms.insert(fs::relative(entry.path().parent_path(), ASSAY_SOURCE_DIR).generic_string() + "/");
    }
  }
  return rooms;
}

TEST(MapTest, TheRoomsInArchitectureAreThoseOfTheTree) {
  const std::set<std::string> tree = RoomsOfTheTree();
  ASSERT_GT(tree.size(), 15u);
  EXPECT_THAT(RoomsOnTheMap(), testing::ContainerEq(tree)) << "the table under \"## Rooms\" in ARCHITECTURE.md";
}

}  // namespace
}  // namespace assay
