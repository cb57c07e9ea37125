// Goal: from each failure that a stage can meet follows the problem that a person would name, and one cause is named
// once. Method: statuses by hand; the hub's and the database's own words are tested with their adapters.
#include "engine/problem_findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "log/row_versions/row_ref.h"
#include "tests/support/origins.h"

namespace assay {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using Kind = ProblemKind;

constexpr absl::Time kNow = absl::FromUnixSeconds(1'750'000'000);

LinkStatus Failing(absl::Status status, uint32_t failures = 1) {
  return {std::move(status), kNow, kNow + absl::Seconds(12), failures};
}

std::vector<Kind> KindsOf(const std::vector<Problem>& problems) {
  std::vector<Kind> kinds;
  for (const Problem& problem : problems) kinds.push_back(problem.kind);
  return kinds;
}

TEST(DatabaseProblemsTest, TheCodeOfAFailureTellsWhatItIs) {
  const LinkStatus well;
  const auto kind = [&](const absl::Status& status) {
    return KindsOf(DatabaseProblems(Failing(status), well, /*halted=*/false));
  };
  EXPECT_THAT(DatabaseProblems(well, well, false), IsEmpty());
  EXPECT_THAT(kind(absl::UnavailableError("refused")), ElementsAre(Kind::kDatabaseAway));
  EXPECT_THAT(kind(absl::UnauthenticatedError("no such user")), ElementsAre(Kind::kDatabaseLogin));
  EXPECT_THAT(kind(absl::PermissionDeniedError("not yours")), ElementsAre(Kind::kDatabaseLogin));
  EXPECT_THAT(kind(absl::FailedPreconditionError("PostgreSQL 13")), ElementsAre(Kind::kCaptureStopped));
  EXPECT_THAT(kind(WithProblem(absl::FailedPreconditionError("minimal"), Kind::kDatabaseSetting, "minimal")),
              ElementsAre(Kind::kDatabaseSetting));
  EXPECT_THAT(DatabaseProblems(Failing(absl::UnavailableError("not tried yet"), 0), well, false), IsEmpty());
  const Problem away = DatabaseProblems(Failing(absl::UnavailableError("refused")), well, false)[0];
  EXPECT_EQ(away.detail, "refused");
  EXPECT_EQ(away.since, kNow);
  EXPECT_EQ(away.next_try, kNow + absl::Seconds(12));
}

TEST(DatabaseProblemsTest, OneDatabaseThatIsAwayIsOneProblem) {
  const LinkStatus away = Failing(absl::UnavailableError("refused"));
  EXPECT_THAT(KindsOf(DatabaseProblems(away, away, false)), ElementsAre(Kind::kDatabaseAway));
  EXPECT_THAT(KindsOf(DatabaseProblems({}, away, false)), ElementsAre(Kind::kRowsNotWritten));
  EXPECT_THAT(KindsOf(DatabaseProblems(away, Failing(absl::PermissionDeniedError("no rights")), false)),
              ElementsAre(Kind::kDatabaseAway, Kind::kRowsNotWritten));
}

TEST(DatabaseProblemsTest, WhatHaltsTheBranchIsNotNamedASecondTimeAsAStoppedCapture) {
  const LinkStatus stopped = Failing(absl::FailedPreconditionError("the slot is gone"));
  EXPECT_THAT(DatabaseProblems(stopped, {}, /*halted=*/true), IsEmpty());
  EXPECT_THAT(KindsOf(DatabaseProblems(Failing(absl::UnavailableError("refused")), {}, true)),
              ElementsAre(Kind::kDatabaseAway));
}

TEST(HubProblemsTest, TheCodeOfAFailureTellsWhatItIsUnlessItsStatusNamesIt) {
  const auto kind = [&](const absl::Status& status) { return KindsOf(HubProblems("pune-1", {Failing(status)})); };
  EXPECT_THAT(HubProblems("pune-1", {LinkStatus{}, LinkStatus{}}), IsEmpty());
  EXPECT_THAT(kind(absl::UnavailableError("")), ElementsAre(Kind::kHubUnreachable));
  EXPECT_THAT(kind(absl::DeadlineExceededError("")), ElementsAre(Kind::kHubUnreachable));
  EXPECT_THAT(kind(absl::AbortedError("")), ElementsAre(Kind::kHubBusy));
  EXPECT_THAT(kind(absl::UnauthenticatedError("")), ElementsAre(Kind::kHubPasswordRefused));
  EXPECT_THAT(kind(absl::PermissionDeniedError("")), ElementsAre(Kind::kHubBranchUnknown));
  EXPECT_THAT(kind(absl::ResourceExhaustedError("")), ElementsAre(Kind::kHubFull));
  EXPECT_THAT(kind(absl::DataLossError("a fork")), ElementsAre(Kind::kHubHasMore));
  EXPECT_THAT(kind(absl::InvalidArgumentError("")), ElementsAre(Kind::kHubDisagrees));
  EXPECT_THAT(kind(WithProblem(absl::PermissionDeniedError(""), Kind::kBranchSwitchedOff)),
              ElementsAre(Kind::kBranchSwitchedOff));
  const Problem refused = HubProblems("pune-1", {Failing(absl::UnauthenticatedError("wrong password"))})[0];
  EXPECT_THAT(RemedyOf(refused), HasSubstr("assay hub password pune-1"));
}

TEST(HubProblemsTest, WhatFailsPushAndPullAlikeIsOneProblem) {
  LinkStatus push = Failing(absl::UnavailableError("push")), pull = Failing(absl::UnavailableError("pull"));
  push.since = kNow + absl::Seconds(1);
  pull.next_try = kNow + absl::Seconds(2);
  const std::vector<Problem> one = HubProblems("pune-1", {push, pull});
  ASSERT_THAT(one, SizeIs(1));
  EXPECT_EQ(one[0].since, kNow) << "the longer of the two";
  EXPECT_EQ(one[0].next_try, kNow + absl::Seconds(2)) << "the sooner of the two";
  EXPECT_THAT(KindsOf(HubProblems("pune-1", {Failing(absl::ResourceExhaustedError("full")), pull})),
              ElementsAre(Kind::kHubFull, Kind::kHubUnreachable));
}

std::pair<ChainName, LinkStatus> Trouble(uint8_t origin, const std::string& branch, bool for_good = false) {
  LinkStatus trouble = Failing(absl::DataLossError("a gap"));
  if (for_good) trouble.next_try = absl::InfiniteFuture();
  return {{test::Origin(origin), branch}, trouble};
}

TEST(ChainProblemsTest, AChainIsNamedByItsBranchAndItsDigitsStandBelow) {
  const std::vector<Problem> problems =
      ChainProblems({Trouble(0xaa, "pune-1"), Trouble(0xbb, "surat-1", true), Trouble(0xcc, "")}, test::Origin(1), 3);
  EXPECT_THAT(KindsOf(problems), ElementsAre(Kind::kChainGarbled, Kind::kChainForked, Kind::kChainGarbled));
  EXPECT_EQ(problems[0].subject, "pune-1");
  EXPECT_THAT(problems[0].detail, HasSubstr(absl::StrCat(test::Origin(0xaa).Hex().substr(0, 8), ": a gap")));
  EXPECT_EQ(problems[0].next_try, kNow + absl::Seconds(12));
  EXPECT_EQ(problems[1].next_try, absl::InfinitePast()) << "no pull mends that";
  EXPECT_THAT(problems[2].subject, HasSubstr(test::Origin(0xcc).Hex().substr(0, 8)));
  EXPECT_THAT(KindsOf(ChainProblems({Trouble(1, "mumbai-1")}, test::Origin(1), 1)),
              ElementsAre(Kind::kOwnChainDiffers));
}

TEST(ChainProblemsTest, WhatIsNotListedIsCounted) {
  const std::vector<Problem> problems = ChainProblems({Trouble(0xaa, "pune-1")}, test::Origin(1), 201);
  ASSERT_THAT(problems, SizeIs(2));
  EXPECT_EQ(problems[1].subject, "other branches");
  EXPECT_EQ(problems[1].detail, "201 chains in all");
}

TEST(RowProblemsTest, RowsThatWaitAndRowsUnderAForgedMarkAreCounted) {
  EXPECT_THAT(RowProblems(0, 0, 0), IsEmpty());
  const std::vector<Problem> problems = RowProblems(2, 0, 1);
  EXPECT_THAT(KindsOf(problems), ElementsAre(Kind::kRowsWait, Kind::kMarkForged));
  EXPECT_EQ(SentenceOf(problems[0]), "2 rows cannot be written to PostgreSQL yet.");
  EXPECT_EQ(SentenceOf(problems[1]), "1 row came with Assay's own mark and not from Assay: recorded as written here.");
}

TEST(ValueProblemsTest, TheFirstFewAreNamedByColumnAndKeyAndTheRestCounted) {
  std::vector<WithheldValue> values(5, {"public.documents", EncodeKey({"R-7", "2"}), "scan", 300 << 20});
  const std::vector<Problem> problems = ValueProblems(values, 256 << 20);
  ASSERT_THAT(problems, SizeIs(kValuesListed + 1));
  EXPECT_EQ(
      SentenceOf(problems[0]),
      "The value of public.documents.scan in row [R-7, 2] stays in this database alone: a row's changes have room "
      "for 256 MB.");
  EXPECT_EQ(problems[0].detail, "300 MB");
  EXPECT_EQ(problems.back().detail, "5 values in all");
  values.resize(kValuesListed);
  EXPECT_THAT(ValueProblems(values, 256 << 20), SizeIs(kValuesListed)) << "none is left to be counted";
}

TEST(TableProblemsTest, EachTableIsNamedWithItsCauseAndTheRestCounted) {
  UnrecordedTables unrecorded{{"public.import", {1, "a table without a primary key"}},
                              {"public.sale", {0, "another key"}}};
  std::vector<Problem> problems = UnrecordedProblems(unrecorded);
  EXPECT_THAT(KindsOf(problems), ElementsAre(Kind::kTableUnrecorded, Kind::kTableUnrecorded));
  EXPECT_EQ(SentenceOf(problems[0]),
            "Not all that was written to the table public.import here is in the log: a table without a primary key.");
  EXPECT_EQ(problems[0].detail, "1 row so far");
  EXPECT_EQ(problems[1].detail, "");
  for (int i = 0; i < 10; ++i) unrecorded[absl::StrCat("public.t", i)];
  problems = UnrecordedProblems(unrecorded);
  ASSERT_THAT(problems, SizeIs(kTablesListed + 1));
  EXPECT_EQ(problems.back().detail, "12 tables in all");
}

TEST(TableProblemsTest, ATableThatDiffersIsNamedWithItsFirstCellAndTheCommandThatListsThem) {
  std::map<std::string, CheckedTable> checked;
  checked["public.equal"] = {.ended_ms = 1, .rows = 9};
  checked["public.never"] = {};
  EXPECT_THAT(DifferenceProblems(checked), IsEmpty());
  checked["public.t"] = {.ended_ms = 60'000, .rows = 9, .differing = 2};
  checked["public.t"].cells_listed = {{EncodeKey({"R-7", "2"}), "price", "12.50", std::nullopt}};
  std::vector<Problem> problems = DifferenceProblems(checked);
  ASSERT_THAT(KindsOf(problems), ElementsAre(Kind::kTableDiffers));
  EXPECT_EQ(SentenceOf(problems[0]),
            "2 rows of the table public.t here are not as the log has them: row [R-7, 2], column price: '12.50' here, "
            "NULL in the log.");
  EXPECT_THAT(RemedyOf(problems[0]), HasSubstr("`assay verify --tables public.t`"));
  EXPECT_EQ(problems[0].since, absl::FromUnixSeconds(60));
  for (int i = 0; i < 10; ++i) checked[absl::StrCat("public.u", i)] = checked["public.t"];
  problems = DifferenceProblems(checked);
  ASSERT_THAT(problems, SizeIs(kTablesListed + 1));
  EXPECT_EQ(problems.back().detail, "11 tables in all");
}

TEST(TableProblemsTest, ARowThatOnlyOneOfTheTwoHasIsToldAsThat) {
  EXPECT_EQ(DifferenceText({EncodeKey({"7"}), "", "present", std::nullopt}),
            "row [7] is here, and in the log it is not known");
  EXPECT_EQ(DifferenceText({EncodeKey({"7"}), "", "present", "deleted"}),
            "row [7] is here, and in the log it is deleted");
  EXPECT_EQ(DifferenceText({EncodeKey({"7"}), "", std::nullopt, "present"}),
            "row [7] is not here, and in the log it is there");
}

TEST(TableProblemsTest, AReplicaIdentityIsNamedWithTheCommandThatMendsIt) {
  const std::vector<Problem> problems = IdentityProblems({{"public.bill_12", ReplicaIdentity::kDefault}});
  EXPECT_THAT(KindsOf(problems), ElementsAre(Kind::kIdentityNotFull));
  EXPECT_THAT(RemedyOf(problems[0]), HasSubstr("`ALTER TABLE public.bill_12 REPLICA IDENTITY FULL`"));
  EXPECT_THAT(IdentityProblems({}), IsEmpty());
}

TEST(TableProblemsTest, RowsThatNobodyCanReadAreNamedByTheirBranchAndTable) {
  const UnreadableTables unreadable{{{test::Origin(0xaa), "public.import"}, {{7}, "a table without a primary key"}}};
  const std::vector<Problem> problems = UnreadableProblems(unreadable, [](const OriginId& origin) {
    return ChainName{origin, "pune-1"};
  });
  EXPECT_THAT(KindsOf(problems), ElementsAre(Kind::kRowsUnreadable));
  EXPECT_EQ(SentenceOf(problems[0]),
            "Changes of pune-1 to public.import make no sense and are left out: a table without a primary key.");
  EXPECT_THAT(problems[0].detail, HasSubstr(EventName(test::Origin(0xaa), Sequence{7})));
}

TEST(AheadProblemsTest, WhatIsDatedAheadIsNamedUntilItIsPast) {
  RecorderCounters counters;
  counters.ahead = Sequence{7};
  counters.ahead_until = kNow + absl::Hours(100);
  const HlcStamp stamp = HlcStamp::FromMillis(absl::ToUnixMillis(kNow + absl::Hours(50)));
  const auto kinds = [&](absl::Duration later) {
    return KindsOf(AheadProblems("pune-1", test::Origin(1), stamp, counters, kNow + later));
  };
  EXPECT_THAT(kinds(absl::ZeroDuration()), ElementsAre(Kind::kChainAhead, Kind::kCommitAhead));
  EXPECT_THAT(kinds(absl::Hours(26)), ElementsAre(Kind::kCommitAhead)) << "a day is near enough for the others";
  EXPECT_THAT(kinds(absl::Hours(100)), IsEmpty());
  const std::vector<Problem> problems = AheadProblems("pune-1", test::Origin(1), stamp, counters, kNow);
  EXPECT_EQ(SentenceOf(problems[0]),
            "A clock was wrong at pune-1: changes from there are dated 2025-06-17 17:06 UTC, and no other branch takes "
            "them before.");
  EXPECT_EQ(problems[1].detail, EventName(test::Origin(1), Sequence{7}));
}

TEST(ClockProblemTest, FiveSecondsAreNearEnoughAndMoreIsSaidInTwoUnits) {
  EXPECT_FALSE(ClockProblem(absl::Seconds(5)).has_value());
  EXPECT_FALSE(ClockProblem(-absl::Seconds(5)).has_value());
  const auto sentence = [](absl::Duration offset) { return SentenceOf(ClockProblem(offset).value()); };
  EXPECT_EQ(sentence(absl::Seconds(432)), "This machine's clock is 7 min 12 s behind the hub's.");
  EXPECT_EQ(sentence(-absl::Seconds(7)), "This machine's clock is 7 s ahead of the hub's.");
  EXPECT_EQ(sentence(absl::Hours(3) + absl::Minutes(4)), "This machine's clock is 3 h 4 min behind the hub's.");
  EXPECT_EQ(sentence(-absl::Hours(24 * 27'000)), "This machine's clock is 27,000 days 0 h ahead of the hub's.");
}

}  // namespace
}  // namespace assay
