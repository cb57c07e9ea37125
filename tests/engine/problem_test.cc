// Goal: the catalogue speaks as a shop does, names each kind once and for ever, and has nothing that nobody raises.
// Method: look at every row of it, and read the sources for who raises it.
#include "engine/problem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"

namespace assay {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr absl::Time kNow = absl::FromUnixSeconds(1'750'000'000);

TEST(ProblemCatalogueTest, StandsInTheOrderOfTheKinds) {
  for (size_t i = 0; i < ProblemCatalogue().size(); ++i) {
    EXPECT_EQ(static_cast<size_t>(ProblemCatalogue()[i].kind), i);
  }
}

TEST(ProblemCatalogueTest, NamesAreUniqueAndFitForALabel) {
  const std::regex kebab("[a-z]+(-[a-z]+)*");
  std::set<std::string> names;
  for (const ProblemEntry& entry : ProblemCatalogue()) {
    const std::string name(entry.name);
    EXPECT_TRUE(std::regex_match(name, kebab)) << name;
    EXPECT_TRUE(names.insert(name).second) << name << " is there twice";
  }
}

// Monitors and alerts are written against these: a name that is gone breaks them in silence.
TEST(ProblemCatalogueTest, NamesThatWereGivenOnceStay) {
  std::set<std::string> names;
  for (const ProblemEntry& entry : ProblemCatalogue()) names.insert(std::string(entry.name));
  for (const char* name : {"database-behind-log",
                           "log-behind-database",
                           "gap",
                           "clone",
                           "other-database",
                           "hub-unreachable",
                           "hub-password-refused",
                           "database-away",
                           "disk-full",
                           "log-damaged",
                           "rows-wait",
                           "value-too-large",
                           "chain-garbled",
                           "chain-forked",
                           "clock-off",
                           "table-unrecorded",
                           "identity-not-full",
                           "rows-unreadable",
                           "chain-ahead",
                           "commit-ahead"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
}

TEST(ProblemCatalogueTest, SentencesAndRemediesAreInAShopsWords) {
  const std::regex forbidden(R"(\b(origins?|LSN|slots?|WAL|projections?|SQLSTATE|segments?|SQLite|please|errors?|)"
                             R"(successfully|failed)\b|!)",
                             std::regex::icase);
  const std::regex placeholder(R"(\{[^}]*\})"), known(R"(\{(subject|cause|rows)\})");
  for (const ProblemEntry& entry : ProblemCatalogue()) {
    for (const std::string& text : {std::string(entry.sentence), std::string(entry.remedy)}) {
      EXPECT_FALSE(std::regex_search(text, forbidden)) << entry.name << ": " << text;
      EXPECT_EQ(text.back(), '.') << entry.name << ": " << text;
      EXPECT_TRUE(std::isupper(text[0]) || text[0] == '{' || text[0] == '`') << entry.name << ": " << text;
      EXPECT_EQ(std::count(text.begin(), text.end(), '`') % 2, 0) << entry.name << ": " << text;
      for (std::sregex_iterator it(text.begin(), text.end(), placeholder), end; it != end; ++it) {
        EXPECT_TRUE(std::regex_match(it->str(), known)) << entry.name << ": " << it->str();
      }
    }
  }
}

TEST(ProblemCatalogueTest, OnlyABadOrLateThingChangesTheBranchsWord) {
  for (const ProblemEntry& entry : ProblemCatalogue()) {
    EXPECT_THAT(std::string(entry.state), AnyOf("", "offline", "stopped", "halted")) << entry.name;
    const bool stops = entry.state == "stopped" || entry.state == "halted";
    EXPECT_TRUE(!stops || entry.severity == Severity::kBad) << entry.name;
    EXPECT_TRUE(entry.state.empty() || entry.severity != Severity::kNote) << entry.name;
    EXPECT_EQ(StateFrom({{.kind = entry.kind}}), entry.state) << entry.name;
  }
}

// The kinds that `source` gives to somebody. A comment gives none, nor does a comparison or a case, which only asks.
std::set<std::string> KindsRaisedIn(std::string source) {
  static const std::regex comment(R"(//[^\n]*|/\*[^*]*\*/)");
  static const std::regex question(R"((?:[=!]=|\bcase)\s*(?:Problem)?Kind::k\w+|\bProblemKind::k\w+\s*[=!]=)");
  static const std::regex use(R"((?:^|[^\w:])(?:Problem)?Kind::(k[A-Z][A-Za-z]*))");
  source = std::regex_replace(std::regex_replace(source, comment, ""), question, "");
  std::set<std::string> raised;
  for (std::sregex_iterator it(source.begin(), source.end(), use), end; it != end; ++it) raised.insert((*it)[1].str());
  return raised;
}

TEST(ProblemCatalogueTest, WhatOnlySpeaksOfAKindRaisesNone) {
  EXPECT_THAT(KindsRaisedIn("return ProblemKind::kGap;  // Not ProblemKind::kClone."), ElementsAre("kGap"));
  EXPECT_THAT(KindsRaisedIn("problems.push_back({.kind = ProblemKind::kGap});"), ElementsAre("kGap"));
  EXPECT_THAT(KindsRaisedIn("OfLink(own ? ProblemKind::kGap\n : ProblemKind::kClone)"), ElementsAre("kClone", "kGap"));
  EXPECT_THAT(KindsRaisedIn("{\"ZA001\", Kind::kGap, \"\"}"), ElementsAre("kGap"));
  for (const char* source :
       {"/* ProblemKind::kGap */", "if (worst.kind == ProblemKind::kGap) return;",
        "if (worst.kind !=\n    ProblemKind::kGap) return;", "if (ProblemKind::kGap == kind) return;",
        "case ProblemKind::kGap:", "case Kind::kGap:", "TupleValue::Kind::kGap"}) {
    EXPECT_THAT(KindsRaisedIn(source), IsEmpty()) << source;
  }
}

constexpr const char* kEnumerators[] = {
#define ASSAY_PROBLEM(enumerator, name, severity, state, sentence, remedy) #enumerator,
#include "engine/problem_kinds.def"
#undef ASSAY_PROBLEM
};

std::string TextOf(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// An entry that nobody raises is a promise that nobody keeps.
TEST(ProblemCatalogueTest, EveryKindIsRaisedSomewhere) {
  std::set<std::string> raised;
  for (const char* folder : {"/engine", "/adapters", "/tools"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(std::string(ASSAY_SOURCE_DIR) + folder)) {
      // What reads problems, as the sentence does, raises none.
      if (entry.path().extension() != ".cc" || entry.path().stem() == "status_sentence") continue;
      const std::string text = TextOf(entry.path());
      // Only there can `Kind` be short for it.
      if (absl::StrContains(text, "ProblemKind")) raised.merge(KindsRaisedIn(text));
    }
  }
  for (const char* kind : kEnumerators) EXPECT_TRUE(raised.contains(kind)) << kind;
}

// The kinds that `test` expects, by their enumerators or by their names, in the catalogue's order.
std::vector<std::string> KindsExpectedIn(std::string test) {
  static const std::regex comment(R"(//[^\n]*)");
  static const std::regex absent(R"re(Not\(HasSubstr\("[^"]*"\)\))re");
  test = std::regex_replace(std::regex_replace(test, comment, ""), absent, "");
  std::set<std::string> words;
  static const std::regex enumerator(R"(\bKind::(k[A-Z]\w*)|ProblemKind::(k[A-Z]\w*))"), text(R"re("[^"\n]*")re"),
      name("[a-z]+(-[a-z]+)*");
  for (std::sregex_iterator it(test.begin(), test.end(), enumerator), end; it != end; ++it)
    words.insert((*it)[1].matched ? (*it)[1].str() : (*it)[2].str());
  for (std::sregex_iterator it(test.begin(), test.end(), text), end; it != end; ++it) {
    const std::string literal = it->str();
    for (std::sregex_iterator word(literal.begin(), literal.end(), name); word != end; ++word)
      words.insert(word->str());
  }
  std::vector<std::string> expected;
  for (const ProblemEntry& entry : ProblemCatalogue()) {
    const char* const kind = kEnumerators[static_cast<size_t>(entry.kind)];
    if (words.contains(kind) || words.contains(std::string(entry.name))) expected.push_back(kind);
  }
  return expected;
}

TEST(ProblemCatalogueTest, ATestExpectsWhatItNamesUnlessItIsNotToBeThere) {
  EXPECT_THAT(KindsExpectedIn("EXPECT_EQ(problem.kind, ProblemKind::kGap);"), ElementsAre("kGap"));
  EXPECT_THAT(KindsExpectedIn("EXPECT_EQ(problem.kind, Kind::kGap);"), ElementsAre("kGap"));
  EXPECT_THAT(KindsExpectedIn("EXPECT_EQ(Told(), \"halted: gap, rows-wait\");"), ElementsAre("kGap", "kRowsWait"));
  EXPECT_THAT(KindsExpectedIn("HasSubstr(\"not-a-gap\")  // \"clone\""), IsEmpty());
  EXPECT_THAT(KindsExpectedIn("EXPECT_THAT(Problems(), Not(HasSubstr(\"clone\")));"), IsEmpty());
}

// A problem that no test brings about may be one that nobody can meet, or that everybody meets.
TEST(ProblemCatalogueTest, EveryKindIsExpectedByATestThatBringsItAbout) {
  // Here a test makes the problem, or the status that it follows from, by hand.
  const std::set<std::string> by_hand = {"engine/problem_test.cc",         "engine/problem_findings_test.cc",
                                         "engine/status_sentence_test.cc", "tools/host/change_log_test.cc",
                                         "tools/cli/cli_test.cc",          "adapters/grpc/admin_test.cc"};
  const std::filesystem::path tests = std::string(ASSAY_SOURCE_DIR) + "/tests";
  std::set<std::string> expected;
  for (const std::string& made : by_hand) ASSERT_TRUE(std::filesystem::exists(tests / made)) << made;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(tests)) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with("_test.cc") && !name.ends_with("_fixture.h")) continue;
    if (by_hand.contains(std::filesystem::relative(entry.path(), tests).generic_string())) continue;
    for (const std::string& kind : KindsExpectedIn(TextOf(entry.path()))) expected.insert(kind);
  }
  for (const char* kind : kEnumerators) EXPECT_TRUE(expected.contains(kind)) << kind;
}

TEST(ProblemTest, ASentenceTakesWhatIsKnownAndDoesWithoutTheRest) {
  EXPECT_EQ(SentenceOf({.kind = ProblemKind::kHubUnreachable, .cause = "nobody answers there"}),
            "The hub cannot be reached: nobody answers there.");
  EXPECT_EQ(SentenceOf({.kind = ProblemKind::kHubUnreachable}), "The hub cannot be reached.");
  EXPECT_EQ(SentenceOf({.kind = ProblemKind::kRowsWait, .count = 1}), "1 row cannot be written to PostgreSQL yet.");
  EXPECT_EQ(SentenceOf({.kind = ProblemKind::kRowsWait, .count = 1204}),
            "1,204 rows cannot be written to PostgreSQL yet.");
  EXPECT_EQ(RemedyOf({.kind = ProblemKind::kBranchSwitchedOff, .subject = "pune-1"}),
            "The head office switches it on again: `assay hub activate pune-1`.");
  // Another branch chooses its name.
  EXPECT_EQ(SentenceOf({.kind = ProblemKind::kChainForked, .subject = "{cause}{rows}", .cause = "X"}),
            "The changes of {cause}{rows} are not taken further: they contradict what it sent before.");
}

TEST(ProblemTest, TheWorstDecidesTheWordAndTheFirstOfTheWorstTheSentence) {
  const Problem note{.kind = ProblemKind::kHubHintsMissing}, rows{.kind = ProblemKind::kRowsWait},
      hub{.kind = ProblemKind::kHubUnreachable}, password{.kind = ProblemKind::kHubPasswordRefused},
      away{.kind = ProblemKind::kDatabaseAway}, clone{.kind = ProblemKind::kClone};
  EXPECT_EQ(StateFrom({}), "");
  EXPECT_EQ(StateFrom({note, rows}), "");
  EXPECT_EQ(StateFrom({rows, hub}), "offline");
  EXPECT_EQ(StateFrom({hub, away}), "stopped");
  EXPECT_EQ(StateFrom({away, hub, clone}), "halted");
  EXPECT_EQ(WorstOf({}), nullptr);
  const std::vector<Problem> all = {note, hub, password, away};
  EXPECT_EQ(WorstOf(all), &all[2]);
}

TEST(ProblemTest, ABeginningThatNobodyKnowsIsWhenItWasFirstSeen) {
  std::vector<Problem> problems = {{.kind = ProblemKind::kRowsWait, .count = 2}};
  KeepSince({}, kNow, &problems);
  EXPECT_EQ(problems[0].since, kNow);
  std::vector<Problem> later = {{.kind = ProblemKind::kRowsWait, .count = 3},
                                {.kind = ProblemKind::kChainWaits, .subject = "pune-1"},
                                {.kind = ProblemKind::kHubUnreachable, .since = kNow - absl::Hours(1)}};
  KeepSince(problems, kNow + absl::Minutes(1), &later);
  EXPECT_EQ(later[0].since, kNow) << "the same problem, with one row more";
  EXPECT_EQ(later[1].since, kNow + absl::Minutes(1));
  EXPECT_EQ(later[2].since, kNow - absl::Hours(1)) << "it knows better";
  std::vector<Problem> another = {{.kind = ProblemKind::kChainWaits, .subject = "surat-1"}};
  KeepSince(later, kNow + absl::Minutes(2), &another);
  EXPECT_EQ(another[0].since, kNow + absl::Minutes(2)) << "another branch is another problem";
}

TEST(ProblemTest, AStatusNamesItsProblemWhereverItIsCarried) {
  const absl::Status plain = absl::UnavailableError("no route");
  EXPECT_FALSE(ProblemNamedBy(plain).has_value());
  const absl::Status named = WithProblem(plain, ProblemKind::kHubCertificate, "its certificate: is gone");
  EXPECT_EQ(named.code(), plain.code());
  EXPECT_EQ(named.message(), plain.message());
  const absl::StatusOr<int> carried = named;
  ASSERT_TRUE(ProblemNamedBy(carried.status()).has_value());
  EXPECT_EQ(ProblemNamedBy(carried.status())->kind, ProblemKind::kHubCertificate);
  EXPECT_EQ(ProblemNamedBy(carried.status())->cause, "its certificate: is gone");
  EXPECT_TRUE(WithProblem(absl::OkStatus(), ProblemKind::kClone).ok());
  EXPECT_FALSE(ProblemNamedBy(WithProblem(absl::OkStatus(), ProblemKind::kClone)).has_value());
}

}  // namespace
}  // namespace assay
