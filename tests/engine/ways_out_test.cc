// Goal: every state that stops a branch, or loses something until somebody acts, has a way out, and README, status and
// doctor print the same one.
// Method: README's table is held to the catalogue of problems, whose remedies all faces print; and each of its states
// to a test that goes from the state to a branch that is well.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/problem.h"

namespace assay {
namespace {

using ::testing::IsSupersetOf;

constexpr char kHeading[] = "## Ways out";

// By the name of the problem: where the test is, and what it is called.
const std::map<std::string, std::pair<std::string, std::string>> kWays = {
    {"database-behind-log", {"fleet/restore_test.cc", "DatabaseFromAColdCopy"}},
    {"log-behind-database", {"fleet/ways_test.cc", "LogLostAndInitTriedBeforeRepair"}},
    {"gap", {"fleet/restore_test.cc", "SlotThatLostChanges"}},
    {"clone", {"fleet/ways_test.cc", "MachinePutBackToAnImageThatWasTakenWhileItRan"}},
    {"signing-key-lost", {"fleet/ways_test.cc", "KeyLost"}},
    {"own-chain-set-aside", {"fleet/bad_bytes_test.cc", "ADamagedChainIsSetAsideAndItsBranchBeginsAnew"}},
    {"replaced", {"fleet/second_machine_test.cc", "TakesThePlaceOnlyByAPersonsWordAndTheFirstKeepsWhatItHasNotSent"}},
    {"log-damaged", {"fleet/ways_test.cc", "LogDamaged"}},
    {"table-unrecorded", {"fleet/survey_test.cc", "ATableThatIsNoLongerPublishedIsNamedUntilItWasCompared"}},
    {"table-differs", {"fleet/sentinel_test.cc", "AWrongCellIsNamedAndTheRepairThatIsShownMendsIt"}},
    {"publication-gone", {"fleet/ways_test.cc", "PublicationDroppedUnderTheDaemon"}},
    {"installation-gone", {"fleet/ways_test.cc", "SchemaAssayDroppedUnderTheDaemon"}},
    {"sequence-stray",
     {"fleet/survey_test.cc", "TablesThatAreNotTakenAndSequencesThatLeftTheirClassAreNamedAndInitMendsThem"}},
    {"sequence-open", {"tools/survey/survey_test.cc", "ASequenceThatNoColumnTakesNeedsAChoiceByName"}},
    {"key-foreign", {"fleet/ways_test.cc", "KeyOfAnotherBranch"}},
    {"table-refused",
     {"fleet/survey_test.cc", "TablesThatAreNotTakenAndSequencesThatLeftTheirClassAreNamedAndInitMendsThem"}},
    {"attribution-missing", {"tools/survey/survey_test.cc", "ATriggerOrAnIdentityThatWasTakenAwayComesBack"}},
    {"table-not-enrolled", {"fleet/ways_test.cc", "TableMadeLater"}},
    {"table-gone", {"fleet/ways_test.cc", "TableGoneOnPurpose"}},
    {"rows-wait", {"fleet/ways_test.cc", "TableGoneOnPurpose"}},
    {"chain-garbled", {"fleet/bad_bytes_test.cc", "ADamagedChainIsSetAsideAndItsBranchBeginsAnew"}},
    {"chain-set-aside", {"fleet/bad_bytes_test.cc", "ADamagedChainIsSetAsideAndItsBranchBeginsAnew"}},
};

std::string TextOf(const std::string& path) {
  std::ifstream in(absl::StrCat(ASSAY_SOURCE_DIR, "/", path));
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::set<std::string> Quoted(const std::string& text) {
  std::set<std::string> quoted;
  const std::vector<std::string> parts = absl::StrSplit(text, '`');
  for (size_t i = 1; i < parts.size(); i += 2) quoted.insert(parts[i]);
  return quoted;
}

// "assay hub quarantine", of "assay hub quarantine PUNE --lift".
std::set<std::string> Verbs(const std::string& text) {
  std::set<std::string> verbs;
  for (const std::string& command : Quoted(text)) {
    if (!absl::StartsWith(command, "assay ")) continue;
    std::string verb;
    for (const std::string& word : std::vector<std::string>(absl::StrSplit(command, ' '))) {
      if (word.empty() || !std::all_of(word.begin(), word.end(), [](char c) { return absl::ascii_islower(c); })) break;
      absl::StrAppend(&verb, verb.empty() ? "" : " ", word);
    }
    verbs.insert(verb);
  }
  return verbs;
}

const ProblemEntry* EntryNamed(const std::string& name) {
  for (const ProblemEntry& entry : ProblemCatalogue())
    if (entry.name == name) return &entry;
  return nullptr;
}
std::string RemedyFor(const ProblemEntry& entry) { return RemedyOf({.kind = entry.kind, .subject = "PUNE"}); }

// The rows of README's table: the names of problems, and the way out.
std::vector<std::pair<std::set<std::string>, std::string>> Rows() {
  const std::string readme = TextOf("README.md");
  const size_t begin = readme.find(kHeading);
  std::vector<std::pair<std::set<std::string>, std::string>> rows;
  if (begin == std::string::npos) return rows;
  const std::string section = readme.substr(begin, readme.find("\n## ", begin + 1) - begin);
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(section, '\n'))) {
    const std::vector<std::string> cells = absl::StrSplit(line, '|');
    if (cells.size() != 5 || !absl::StrContains(cells[2], '`')) continue;
    rows.emplace_back(Quoted(cells[2]), cells[3]);
  }
  return rows;
}

TEST(WaysOutTest, ReadmeSaysWhatTheCatalogueSays) {
  ASSERT_FALSE(Rows().empty());
  for (const auto& [names, way] : Rows()) {
    EXPECT_FALSE(Verbs(way).empty()) << way;
    for (const std::string& name : names) {
      const ProblemEntry* entry = EntryNamed(name);
      ASSERT_NE(entry, nullptr) << "no problem is called " << name;
      EXPECT_THAT(Verbs(RemedyFor(*entry)), IsSupersetOf(Verbs(way))) << name;
    }
  }
}

// Whatever wants the daemon stopped wants a person who knows what to do.
TEST(WaysOutTest, ReadmeHasEveryStateForWhichTheDaemonIsStopped) {
  std::set<std::string> told;
  for (const auto& [names, way] : Rows()) told.insert(names.begin(), names.end());
  for (const ProblemEntry& entry : ProblemCatalogue()) {
    if (!absl::StrContains(absl::AsciiStrToLower(entry.remedy), "stop assayd") || Verbs(RemedyFor(entry)).empty())
      continue;
    // Its way is at another branch, and in that one's status.
    if (entry.kind == ProblemKind::kChainAhead) continue;
    EXPECT_TRUE(told.contains(std::string(entry.name))) << entry.name;
  }
}

TEST(WaysOutTest, EveryStateHasATestThatGoesFromItToABranchThatIsWell) {
  for (const auto& [names, way] : Rows()) {
    for (const std::string& name : names) {
      const auto found = kWays.find(name);
      ASSERT_NE(found, kWays.end()) << name;
      const auto& [file, test] = found->second;
      EXPECT_TRUE(std::regex_search(TextOf("tests/" + file), std::regex("TEST(_F)?\\(\\w+, " + test + "\\)")))
          << file << " has no test called " << test;
    }
  }
}

}  // namespace
}  // namespace assay
