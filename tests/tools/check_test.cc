// Goal: no rule of tools/check is vacuous: a tree that keeps it passes, and one that breaks it is told where, and what
// mends it. Method: a small tree with the script itself, this project's settings and two rooms; one violation is
// planted at a time.
#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_directory.h"

namespace assay {
namespace {

using test::RunResult;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kReadme[] = R"(# A tree

Its log is `log/log.h`, and `engine/engine` is [beside it](engine/README.md#what-it-does). So is `engine.h`.
)";

class CheckTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {".clang-format", ".clang-tidy", "tools/check", "tools/lib/common.sh",
                             "tools/lib/readmes.awk", "tools/lib/rooms.awk", "tools/lib/rooms.cmake"}) {
      std::filesystem::create_directories(std::filesystem::path(Path(name)).parent_path());
      std::filesystem::copy_file(absl::StrCat(ASSAY_SOURCE_DIR "/", name), Path(name));
    }
    Write("CMakeLists.txt", R"(cmake_minimum_required(VERSION 3.25)
project(tree LANGUAGES CXX)
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
include_directories(${CMAKE_SOURCE_DIR})
include(tools/lib/rooms.cmake)
assay_layers(log engine)
)");
    Write("log/CMakeLists.txt", "assay_room(tree_log)\n");
    Write("log/log.h", "#pragma once\n\n#include <string>\n\nstd::string Append(std::string event);\n");
    Write("log/log.cc", "#include \"log/log.h\"\n\nstd::string Append(std::string event) { return event; }\n");
    Write("engine/CMakeLists.txt", "assay_room(tree_engine PUBLIC tree_log)\n");
    Write("engine/engine.h", "#pragma once\n\n#include \"log/log.h\"\n\nvoid Step();\n");
    Write("engine/engine.cc", "#include \"engine/engine.h\"\n\nvoid Step() { Append(\"sale\"); }\n");
    Write("engine/README.md", "# What it does\n\nIt steps.\n\n| file | idea |\n|---|---|\n| `engine` | steps |\n");
    Write("log/README.md", "| file | idea |\n|---|---|\n| `log` | appends |\n");
    Write("tools/lib/README.md", "| file |\n|---|\n| `common.sh`, `readmes.awk`, `rooms` |\n");
    Write("README.md", kReadme);
  }

  std::string Path(const std::string& name) const { return absl::StrCat(directory_.path(), "/", name); }
  void Write(const std::string& name, const std::string& content) {
    std::filesystem::create_directories(std::filesystem::path(Path(name)).parent_path());
    test::WriteFile(Path(name), content);
  }
  RunResult Check(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"bash", Path("tools/check")});
    return test::RunProgram(arguments, absl::Seconds(240),
                            {.environment = {{"ASSAY_BUILD_DIR", "build"}, {"CCACHE_DISABLE", "1"}}});
  }

  test::TempDirectory directory_{"check"};
};

TEST_F(CheckTest, TreeThatKeepsTheRulesPasses) {
  const RunResult result = Check({});
  EXPECT_EQ(result.exit_code, 0) << result.output;
  EXPECT_EQ(result.standard_output, "");
  for (const char* rule : {"format", "lines", "scripts", "links", "rooms", "headers", "tidy"}) {
    EXPECT_THAT(result.output, HasSubstr(absl::StrCat("check ", rule, ": good")));
  }
}

struct Violation {
  std::string name;  // Of the test.
  std::string rule;
  std::string file;
  std::string content;
  std::string said;  // On standard output: file, line and remedy.

  friend void PrintTo(const Violation& violation, std::ostream* out) { *out << violation.file; }
};

class CheckFinds : public CheckTest, public ::testing::WithParamInterface<Violation> {};

TEST_P(CheckFinds, Violation) {
  Write(GetParam().file, GetParam().content);
  const RunResult result = Check({GetParam().rule});
  EXPECT_EQ(result.exit_code, 1) << result.output;
  EXPECT_THAT(result.standard_output, HasSubstr(GetParam().said)) << result.output;
}

std::string Long(const std::string& line) { return absl::StrCat(line, std::string(140 - line.size(), 'x'), "\n"); }

INSTANTIATE_TEST_SUITE_P(
    Each, CheckFinds,
    ::testing::Values(
        Violation{"Format", "format", "log/log.cc",
                  "#include \"log/log.h\"\n\nstd::string Append(std::string event){return event;}\n",
                  "log/log.cc:3: not as .clang-format has it; run tools/check --fix"},
        Violation{"LongLineOfAPage", "lines", "README.md", Long("A long line "), "README.md:1: 140 columns; break it"},
        Violation{"LongLineOfACMakeFile", "lines", "log/CMakeLists.txt", Long("# A long line "),
                  "log/CMakeLists.txt:1: 140 columns; break it"},
        Violation{"LongLineOfAScript", "lines", "tools/run", absl::StrCat("#!/bin/bash\n", Long("# A long line ")),
                  "tools/run:2: 140 columns; break it"},
        Violation{"ApostropheInAUsage", "scripts", "tools/run", "#!/bin/bash\necho 'the shop's sales'\n",
                  "tools/run:2: "},
        Violation{"UnquotedVariableInAScript", "scripts", "tools/lib/more.sh", "#!/bin/bash\nname=\"$1\"\nrm $name\n",
                  "wiki/SC2086"},
        Violation{"LinkToNowhere", "links", "README.md", "See [it](log/FORMAT.md).\n",
                  "README.md:1: links to log/FORMAT.md, which is not there"},
        Violation{"LinkToNoHeading", "links", "README.md", "\nSee [it](engine/README.md#how-it-does-it).\n",
                  "README.md:2: links to #how-it-does-it, which no heading of engine/README.md has"},
        Violation{"PageNamesAFileThatMoved", "links", "README.md", "Look into `engine/recorder`.\n",
                  "README.md:1: names engine/recorder, which is not there"},
        Violation{"PageNamesASourceThatMoved", "links", "engine/README.md", "# What it does\n\nSee `recorder.h`.\n",
                  "engine/README.md:3: names recorder.h, and no file is called that"},
        Violation{"CommentNamesAFileThatMoved", "links", "log/log.cc", "#include \"log/log.h\"\n// See log/check.h.\n",
                  "log/log.cc:2: names log/check.h, which is not there"},
        Violation{
            "IncludeOfALayerAbove", "rooms", "log/log.cc", "#include \"engine/engine.h\"\n",
            "log/log.cc:1: includes engine/engine.h of tree_engine, which tree_log does not link; it stands above "
            "(log <- engine)"},
        Violation{"IncludeOfALayerAboveInBrackets", "rooms", "log/log.cc", "#include <engine/engine.h>\n",
                  "log/log.cc:1: includes engine/engine.h of tree_engine, which tree_log does not link"},
        Violation{"IncludeOfATestInBrackets", "rooms", "log/log.cc", "#include <tests/support/sql.h>\n",
                  "log/log.cc:1: includes tests/support/sql.h, which is in no room below"},
        Violation{"IncludeOfATest", "rooms", "log/log.cc", "#include \"tests/support/sql.h\"\n",
                  "log/log.cc:1: includes tests/support/sql.h, which is in no room below"},
        Violation{"FileInNoRoom", "rooms", "engine/fold/fold.h", "#include \"log/log.h\"\n",
                  "engine/fold/fold.h:1: is in no room"},
        Violation{"FileThatItsRoomDoesNotName", "rooms", "log/more.cc", "\n",
                  "log/README.md:1: its table does not name more.cc; give it a row"},
        Violation{"RoomNamesAFileThatIsGone", "rooms", "log/README.md",
                  "# Log\n\n| file | idea |\n|---|---|\n| `log`, `stage_store` | appends |\n",
                  "log/README.md:5: its table names stage_store, which is not in log/; name what is there now"},
        Violation{"RoomNamesOutsideItsTable", "rooms", "log/README.md", "# Log\n\nSee `log`.\n",
                  "log/README.md:1: its table does not name log."},
        Violation{"RoomWithoutAReadme", "rooms", "log/demo/schema.sql", "\n",
                  "log/demo/schema.sql:1: is in a room without a README; write log/demo/README.md"},
        Violation{"IncludeWithoutItsFolder", "rooms", "log/log.cc", "#include \"log.h\"\n",
                  "log/log.cc:1: includes \"log.h\" without its folder"},
        Violation{"IncludeOfALibraryThatIsNotLinked", "rooms", "engine/engine.cc", "\n#include <libpq-fe.h>\n",
                  "engine/engine.cc:2: includes libpq-fe.h, and tree_engine links nothing of PostgreSQL::"},
        Violation{"LinkUp", "rooms", "log/CMakeLists.txt", "\nassay_room(tree_log PUBLIC tree_engine)\n",
                  "log/CMakeLists.txt:2: tree_log links tree_engine, which stands above it (log <- engine)"},
        Violation{"Circle", "rooms", "log/CMakeLists.txt", "assay_room(tree_log PUBLIC tree_engine)\n",
                  "tree_log links itself, by way of others"},
        Violation{"HeaderThatForgetsAnInclude", "headers", "engine/more.h", "#pragma once\n\nstd::string More();\n",
                  "engine/more.h:1: does not compile alone (engine/more.h:3: "},
        Violation{"UseAfterMove", "tidy", "log/log.cc",
                  "#include \"log/log.h\"\n\n#include <utility>\n\nstd::string Append(std::string event) {\n"
                  "  std::string first = std::move(event);\n  return first + event;\n}\n",
                  "log/log.cc:7: 'event' used after it was moved; mend it, or say why not with "
                  "NOLINT(bugprone-use-after-move)"},
        Violation{"BugInAHeader", "tidy", "log/log.h",
                  "#pragma once\n\n#include <string>\n\nstd::string Append(std::string event);\n"
                  "inline bool Same(int a) { return a == a; }\n",
                  "log/log.h:6: "},
        Violation{"SourceThatClangCannotRead", "tidy", "log/log.cc", "std::string Append;\n", "log/log.cc:1: "}),
    [](const auto& violation) { return violation.param.name; });

// A room beside another one of its layer is as far away as one above, as long as it is not linked.
TEST_F(CheckTest, FindsAnIncludeOfARoomThatIsNotLinked) {
  Write("engine/CMakeLists.txt",
        "add_subdirectory(audit)\nadd_subdirectory(fold)\nassay_room(tree_engine PUBLIC tree_log)\n");
  Write("engine/README.md",
        "| here | idea |\n|---|---|\n| `audit/`, `fold/fold.h` | rooms within |\n| `engine` | steps |\n");
  Write("engine/audit/README.md", "| file |\n|---|\n| `audit` |\n");
  Write("engine/fold/README.md", "| file |\n|---|\n| `fold` |\n");
  Write("engine/audit/CMakeLists.txt", "assay_room(tree_audit PUBLIC tree_log)\n");
  Write("engine/audit/audit.cc", "#include \"engine/fold/fold.h\"\n");
  Write("engine/fold/CMakeLists.txt", "assay_room(tree_fold PUBLIC tree_log)\n");
  Write("engine/fold/fold.h", "#pragma once\n#include \"log/log.h\"\n");
  Write("engine/fold/fold.cc", "#include \"engine/fold/fold.h\"\n");
  const RunResult result = Check({"rooms"});
  EXPECT_EQ(result.exit_code, 1) << result.output;
  EXPECT_EQ(result.standard_output,
            "engine/audit/audit.cc:1: includes engine/fold/fold.h of tree_fold, which tree_audit does not link; link "
            "it in engine/audit/CMakeLists.txt, or let an interface say what is needed\n");
}

TEST_F(CheckTest, LeavesTablesExamplesAndUnbreakableLinesAlone) {
  Write("README.md",
        absl::StrCat(Long("| a table's row | "), Long("https://example.com/"), "```\n", Long("assay log "), "```\n"));
  const RunResult result = Check({"lines"});
  EXPECT_EQ(result.exit_code, 0) << result.output;
}

TEST_F(CheckTest, FixFormats) {
  Write("log/log.cc", "#include \"log/log.h\"\n\nstd::string Append(std::string event){return event;}\n");
  const RunResult result = Check({"--fix", "format"});
  EXPECT_EQ(result.exit_code, 0) << result.output;
  EXPECT_THAT(test::ReadFile(Path("log/log.cc")), HasSubstr("event) { return event; }"));
}

// What was found good is not looked at again; so a change of what it includes has to bring it back.
TEST_F(CheckTest, LooksAgainWhenAnIncludedFileHasChanged) {
  Write("engine/more.h",
        "#pragma once\n\n#include \"log/log.h\"\n\ninline std::string More() { return Append(\"\"); }\n");
  ASSERT_EQ(Check({"headers"}).exit_code, 0);
  Write("log/log.h", "#pragma once\n\n#include <string>\n\nstd::string Add(std::string event);\n");
  for (int run = 0; run < 2; ++run) {  // And what was found is found again until it is mended.
    const RunResult result = Check({"headers"});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_THAT(result.standard_output, HasSubstr("engine/more.h:1: does not compile alone"));
  }
}

TEST_F(CheckTest, SeesALinkThatCameAfterTheTreeWasConfigured) {
  ASSERT_EQ(Check({"rooms"}).exit_code, 0);
  Write("log/CMakeLists.txt", "assay_room(tree_log PUBLIC tree_engine)\n");
  const RunResult result = Check({"rooms"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.standard_output, HasSubstr("log/CMakeLists.txt:1: tree_log links tree_engine"));
}

TEST_F(CheckTest, RuleThatCannotBeRunIsNoPass) {
  Write("CMakeLists.txt", "no_such_command()\n");
  const RunResult result = Check({"rooms"});
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("could not configure"), HasSubstr("rooms could not be run"), Not(HasSubstr("good"))));
}

TEST_F(CheckTest, NamesTheRulesWhenAskedForOneThatThereIsNot) {
  const RunResult result = Check({"spelling"});
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.output, HasSubstr("there is no rule spelling; the rules are: format lines scripts"));
}

}  // namespace
}  // namespace assay
