// Rows where PostgreSQL holds something else than the fold: each transition changes what it says, and nothing else.
#include "log/local_state/unsettled_rows.h"

#include "tests/log/test_events.h"
#include "tests/log/test_rows.h"

namespace assay {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kNow = 1'000'000;
const RowRef kRow = Row(1, "ring");
const ParkCause kDuplicate{"duplicate key", "23505"};
const ParkCause kNone;

WaitingEvent Waiting(const OriginId& origin, uint64_t sequence) { return {EncodeKey({"ring"}), origin, {sequence}}; }

RowVersions Live(uint64_t stamp, const std::vector<uint32_t>& columns) {
  RowVersions versions;
  versions.written = V(stamp, kB, stamp);
  for (const uint32_t column : columns) versions.columns.Append({column}, V(stamp, kB, stamp));
  return versions;
}

class UnsettledRowsTest : public ::testing::Test, protected TestLog {
 protected:
  UnsettledRowsTest() { EXPECT_OK(file->Begin()); }
  // What is stored, as the next process sees it.
  std::optional<UnsettledRow> Stored(const RowRef& row = kRow) {
    EXPECT_OK(file->Commit());
    EXPECT_OK(Reopen());
    absl::StatusOr<std::optional<UnsettledRow>> found = unsettled->Find(row);
    EXPECT_OK(found.status());
    EXPECT_OK(file->Begin());
    return found.ok() ? *std::move(found) : std::nullopt;
  }
  void ExpectCounts(int64_t all, int64_t parked) {
    EXPECT_EQ(unsettled->count(), all);
    EXPECT_EQ(unsettled->parked_count(), parked);
  }
};

TEST_F(UnsettledRowsTest, RefusedRowIsParkedWithWhatPostgresqlHeld) {
  ASSERT_OK(unsettled->ParkRefused(kRow, Waiting(kA, 4), kDuplicate, Live(3, {1}), kNow));
  const auto row = Stored();
  ASSERT_TRUE(row.has_value());
  EXPECT_EQ(row->row, kRow);
  EXPECT_EQ(row->key, EncodeKey({"ring"}));
  EXPECT_TRUE(row->held_known);
  EXPECT_EQ(row->held, Live(3, {1}));
  EXPECT_TRUE(row->IsThere());
  EXPECT_EQ(row->cause, "duplicate key");
  EXPECT_EQ(row->sqlstate, "23505");
  EXPECT_EQ(row->origin, kA);
  EXPECT_EQ(row->sequence, Sequence{4});
  EXPECT_EQ(row->since_ms, kNow);
  EXPECT_EQ(row->retry_at_ms, kNow + 500);
  EXPECT_EQ(row->attempts, 1u);
  ExpectCounts(1, 1);
}

TEST_F(UnsettledRowsTest, RowRefusedAgainIsParkedSinceTheFirstTimeAndForLonger) {
  ASSERT_OK(unsettled->ParkRefused(kRow, Waiting(kA, 4), kDuplicate, Live(3, {1}), kNow));
  ASSERT_OK(unsettled->ParkRefused(kRow, Waiting(kB, 9), {"no such table", "42P01"}, Live(9, {1, 2}), kNow + 600));
  const auto row = Stored();
  ASSERT_TRUE(row.has_value());
  EXPECT_EQ(row->cause, "no such table");
  EXPECT_EQ(row->sqlstate, "42P01");
  EXPECT_EQ(row->held, Live(3, {1})) << "PostgreSQL took nothing, so it holds what it held";
  EXPECT_EQ(row->origin, kA);
  EXPECT_EQ(row->sequence, Sequence{4});
  EXPECT_EQ(row->since_ms, kNow);
  EXPECT_EQ(row->attempts, 2u);
  EXPECT_EQ(row->retry_at_ms, kNow + 600 + 1000);
  ExpectCounts(1, 1);
}

TEST_F(UnsettledRowsTest, FirstFailureOfARowThatWasDueIsWhatItIsParkedSince) {
  ASSERT_OK(unsettled->MarkDue(kRow, Waiting(kA, 4), Live(3, {1}), kNow));
  ExpectCounts(1, 0);
  ASSERT_OK(unsettled->ParkRefused(kRow, Waiting(kB, 9), kDuplicate, Live(9, {}), kNow + 50));
  const auto row = Stored();
  ASSERT_TRUE(row.has_value());
  EXPECT_EQ(row->origin, kB);
  EXPECT_EQ(row->sequence, Sequence{9});
  EXPECT_EQ(row->since_ms, kNow + 50);
  EXPECT_EQ(row->attempts, 1u);
  EXPECT_EQ(row->held, Live(3, {1}));
  ExpectCounts(1, 1);
}

TEST_F(UnsettledRowsTest, PartlyWrittenRowHoldsWhatWasWritten) {
  ASSERT_OK(unsettled->MarkDifferent(kRow, Waiting(kA, 4), kNow));
  ASSERT_OK(unsettled->ParkPartly(kRow, Waiting(kA, 5), {"no column grade", "42703"}, Live(7, {1, 2}), kNow));
  const auto row = Stored();
  ASSERT_TRUE(row.has_value());
  EXPECT_TRUE(row->held_known);
  EXPECT_EQ(row->held, Live(7, {1, 2}));
  EXPECT_EQ(row->sqlstate, "42703");
  EXPECT_EQ(row->retry_at_ms, kNow + 500);
  ExpectCounts(1, 1);
}

TEST_F(UnsettledRowsTest, SettledRowIsForgottenAndMayBeSettledAgain) {
  ASSERT_OK(unsettled->ParkRefused(kRow, Waiting(kA, 4), kDuplicate, Live(3, {1}), kNow));
  ASSERT_OK(unsettled->Settle(kRow));
  ExpectCounts(0, 0);
  ASSERT_OK(unsettled->Settle(kRow));
  ExpectCounts(0, 0);
  EXPECT_EQ(Stored(), std::nullopt);
}

TEST_F(UnsettledRowsTest, MovedRowIsLookedAtAtOnceAndNotCountedAsAnAttempt) {
  ASSERT_OK(unsettled->ParkRefused(kRow, Waiting(kA, 4), kDuplicate, Live(3, {1}), kNow));
  ASSERT_OK(unsettled->MarkMoved(kRow, Waiting(kB, 9), kNone, /*there_if_wrote=*/true, false, kNow + 600));
  const auto row = Stored();
  ASSERT_TRUE(row.has_value());
  EXPECT_FALSE(row->held_known);
  EXPECT_TRUE(row->IsThere());
  EXPECT_EQ(row->retry_at_ms, 0);
  EXPECT_EQ(row->attempts, 1u);
  EXPECT_EQ(row->since_ms, kNow) << "it was parked";
  EXPECT_EQ(row->cause, "");
  ExpectCounts(1, 0);
}

TEST_F(UnsettledRowsTest, MovedRowThatWasNotWrittenIsThereAsItWasBefore) {
  for (const bool there : {false, true}) {
    ASSERT_OK(unsettled->MarkMoved(kRow, Waiting(kA, 4), kNone, std::nullopt, there, kNow));
    EXPECT_EQ(Stored()->IsThere(), there) << "it was settled";
    ASSERT_OK(unsettled->MarkMoved(kRow, Waiting(kA, 4), kNone, std::nullopt, !there, kNow));
    EXPECT_EQ(Stored()->IsThere(), there) << "it was unsettled, and that tells";
    ASSERT_OK(unsettled->MarkMoved(kRow, Waiting(kA, 4), kNone, !there, there, kNow));
    EXPECT_EQ(Stored()->IsThere(), !there) << "it was written";
    ASSERT_OK(unsettled->Settle(kRow));
  }
  // Of one that PostgreSQL never took the versions are known, and say that it is not there.
  ASSERT_OK(unsettled->ParkRefused(kRow, Waiting(kA, 4), kDuplicate, RowVersions{}, kNow));
  EXPECT_FALSE(Stored()->IsThere());
  ASSERT_OK(unsettled->MarkMoved(kRow, Waiting(kA, 4), kNone, std::nullopt, true, kNow));
  EXPECT_FALSE(Stored()->IsThere());
}

TEST_F(UnsettledRowsTest, DueRowBeginsAnewWhateverWasSaidOfIt) {
  ASSERT_OK(unsettled->ParkRefused(kRow, Waiting(kA, 4), kDuplicate, Live(3, {1}), kNow));
  ASSERT_OK(unsettled->MarkDue(kRow, Waiting(kB, 9), std::nullopt, kNow + 50));
  auto row = Stored();
  ASSERT_TRUE(row.has_value());
  EXPECT_TRUE(row->held_known);
  EXPECT_EQ(row->held, std::nullopt);
  EXPECT_FALSE(row->IsThere());
  EXPECT_EQ(row->cause, "");
  EXPECT_EQ(row->sqlstate, "");
  EXPECT_EQ(row->origin, kB);
  EXPECT_EQ(row->since_ms, kNow + 50);
  EXPECT_EQ(row->retry_at_ms, 0);
  EXPECT_EQ(row->attempts, 0u);
  ExpectCounts(1, 0);
  ASSERT_OK(unsettled->MarkDifferent(kRow, Waiting(kB, 9), kNow + 50));
  row = Stored();
  EXPECT_FALSE(row->held_known);
  EXPECT_TRUE(row->IsThere());
}

TEST_F(UnsettledRowsTest, LostColumnIsTheOnlyThingThatIsLost) {
  ASSERT_OK(unsettled->ParkRefused(kRow, Waiting(kA, 4), kDuplicate, Live(3, {1, 2, 5}), kNow));
  const UnsettledRow before = *Stored();
  EXPECT_EQ(*unsettled->LoseColumn(kRow, ColumnId{2}), true);
  const auto row = Stored();
  ASSERT_TRUE(row.has_value());
  EXPECT_EQ(row->held, Live(3, {1, 5}));
  EXPECT_EQ(row->retry_at_ms, 0);
  EXPECT_EQ(row->cause, before.cause);
  EXPECT_EQ(row->since_ms, before.since_ms);
  EXPECT_EQ(row->attempts, before.attempts);
  ExpectCounts(1, 1);
  EXPECT_EQ(*unsettled->LoseColumn(Row(1, "other"), ColumnId{2}), false);
  ExpectCounts(1, 1);
}

TEST_F(UnsettledRowsTest, LocalEditOfAParkedRowLeavesItParked) {
  ASSERT_OK(unsettled->ParkRefused(kRow, Waiting(kA, 4), kDuplicate, Live(3, {1}), kNow));
  ASSERT_OK(unsettled->NoteLocalEdit(kRow, Waiting(kB, 9), Live(8, {1, 2}), kNow + 50));
  auto row = Stored();
  ASSERT_TRUE(row.has_value());
  EXPECT_EQ(row->held, Live(8, {1, 2}));
  EXPECT_TRUE(row->held_known);
  EXPECT_EQ(row->retry_at_ms, 0);
  EXPECT_EQ(row->cause, "duplicate key");
  EXPECT_EQ(row->origin, kA);
  EXPECT_EQ(row->since_ms, kNow);
  EXPECT_EQ(row->attempts, 1u);
  ExpectCounts(1, 1);
  ASSERT_OK(unsettled->NoteUnseenEdit(kRow, Waiting(kB, 10), /*there=*/false, kNow + 60));
  row = Stored();
  EXPECT_FALSE(row->held_known);
  EXPECT_FALSE(row->IsThere());
  EXPECT_EQ(row->cause, "duplicate key");
  EXPECT_EQ(row->attempts, 1u);
  ExpectCounts(1, 1);
}

TEST_F(UnsettledRowsTest, LocalEditOfASettledRowMakesItDue) {
  ASSERT_OK(unsettled->NoteUnseenEdit(kRow, Waiting(kB, 9), /*there=*/true, kNow));
  const auto row = Stored();
  ASSERT_TRUE(row.has_value());
  EXPECT_TRUE(row->IsThere());
  EXPECT_EQ(row->origin, kB);
  EXPECT_EQ(row->sequence, Sequence{9});
  EXPECT_EQ(row->since_ms, kNow);
  ExpectCounts(1, 0);
}

TEST_F(UnsettledRowsTest, RowsAreDueInTheOrderOfTheirAgeAndListed) {
  ASSERT_OK(unsettled->ParkRefused(Row(1, "parked"), {EncodeKey({"parked"}), kA, {4}}, kDuplicate, {}, 30));
  ASSERT_OK(unsettled->MarkDue(Row(1, "late"), {EncodeKey({"late"}), kA, {4}}, std::nullopt, 20));
  ASSERT_OK(unsettled->MarkDue(Row(1, "early"), {EncodeKey({"early"}), kA, {4}}, std::nullopt, 10));
  EXPECT_EQ(*unsettled->NextRetryMs(), 0);
  const auto due = *unsettled->Due(529, 10);
  ASSERT_THAT(due, SizeIs(2));
  EXPECT_EQ(due[0].row, Row(1, "early"));
  EXPECT_EQ(due[1].row, Row(1, "late"));
  EXPECT_THAT(*unsettled->Due(530, 10), SizeIs(3));
  EXPECT_THAT(*unsettled->Due(530, 2), SizeIs(2));
  EXPECT_THAT(*unsettled->List(UnsettledRows::Which::kAll, 10), SizeIs(3));
  const auto parked = *unsettled->List(UnsettledRows::Which::kParked, 10);
  ASSERT_THAT(parked, SizeIs(1));
  EXPECT_EQ(parked[0].row, Row(1, "parked"));
  for (const auto& key : {"late", "early"}) ASSERT_OK(unsettled->Settle(Row(1, key)));
  EXPECT_EQ(*unsettled->NextRetryMs(), 530);
}

TEST_F(UnsettledRowsTest, RetryNowMakesTheRowsOfATableDue) {
  for (const uint32_t table : {1, 1, 2}) {
    const std::string key = absl::StrCat(unsettled->count());
    ASSERT_OK(unsettled->ParkRefused(Row(table, key), {EncodeKey({key}), kA, {4}}, kDuplicate, {}, kNow));
  }
  EXPECT_THAT(*unsettled->Due(kNow, 10), IsEmpty());
  EXPECT_EQ(*unsettled->RetryNow(TableId{3}), 0);
  EXPECT_EQ(*unsettled->RetryNow(TableId{1}), 2);
  EXPECT_THAT(*unsettled->Due(0, 10), SizeIs(2));
  EXPECT_EQ(*unsettled->RetryNow(std::nullopt), 3);
  EXPECT_THAT(*unsettled->Due(0, 10), SizeIs(3));
  ExpectCounts(3, 3);
}

// A table that some branch has made and this one has not: a try for each of its rows every few seconds, for ever, would
// cost the shop's database a tenth of a core.
TEST_F(UnsettledRowsTest, ManyParkedRowsAreTriedAFewASecond) {
  const ParkCause missing{"table public.extra is not enrolled here", "42P01"};
  const auto park = [&](const RowRef& row, int64_t now_ms) {
    ASSERT_OK(unsettled->ParkRefused(row, {"key", kA, {4}}, missing, {}, now_ms));
  };
  for (int i = 0; i < 3'000; ++i) park(Row(1, absl::StrCat(i)), kNow);
  int64_t portions = 0, tries = 0;
  constexpr int64_t kMinute = 60'000;
  // The first round is over; then each minute is as the one before.
  for (int64_t now_ms = kNow + kMinute; now_ms < kNow + 2 * kMinute;) {
    const auto due = *unsettled->Due(now_ms, 10'000);
    for (const UnsettledRow& row : due) park(row.row, now_ms);
    portions += due.empty() ? 0 : 1;
    tries += static_cast<int64_t>(due.size());
    now_ms = std::max(now_ms + 1, **unsettled->NextRetryMs());
  }
  EXPECT_LE(portions, 24) << "each is a projection";
  EXPECT_GE(portions, 10) << "what appears is noticed soon";
  EXPECT_LE(tries, 6'000);
  EXPECT_GE(tries, 1'500) << "and each has its turn";
}

TEST_F(UnsettledRowsTest, ASuccessMakesTwiceAsManyDueThatWaitForTheSame) {
  constexpr int kRows = 20'000;
  const ParkCause missing{"table public.extra is not enrolled here", "42P01"};
  const auto key = [](int i) { return absl::StrCat(i); };
  for (int i = 0; i < kRows; ++i) {
    ASSERT_OK(unsettled->ParkRefused(Row(1, key(i)), {key(i), kA, {4}}, missing, {}, kNow));
  }
  ASSERT_OK(unsettled->ParkRefused(Row(1, "other"), {"other", kA, {4}}, kDuplicate, {}, kNow));
  ASSERT_OK(unsettled->ParkRefused(Row(2, "elsewhere"), {"elsewhere", kA, {4}}, missing, {}, kNow));
  EXPECT_THAT(*unsettled->Due(kNow, 10'000), IsEmpty());
  // The table has appeared, and one of its rows was among those that were tried.
  ASSERT_OK(unsettled->Settle(Row(1, key(0))));
  int portions = 0;
  for (auto due = *unsettled->Due(kNow, 10'000); !due.empty(); due = *unsettled->Due(kNow, 10'000)) {
    ++portions;
    for (const UnsettledRow& row : due) {
      EXPECT_EQ(row.cause, missing.text);
      EXPECT_EQ(row.row.table, TableId{1});
      ASSERT_OK(unsettled->Settle(row.row));
    }
  }
  EXPECT_LE(portions, 8);
  ExpectCounts(2, 2);
  // A portion that fails makes nobody due.
  for (int i = 0; i < kRows; ++i) {
    ASSERT_OK(unsettled->ParkRefused(Row(1, key(i)), {key(i), kA, {4}}, missing, {}, kNow));
  }
  ASSERT_OK(unsettled->Settle(Row(1, key(0))));
  const auto due = *unsettled->Due(kNow, 10'000);
  EXPECT_THAT(due, SizeIs(UnsettledRows::kPortionMin));
  for (const UnsettledRow& row : due) {
    ASSERT_OK(unsettled->ParkRefused(row.row, {row.key, kA, {4}}, missing, {}, kNow));
  }
  EXPECT_THAT(*unsettled->Due(kNow, 10'000), IsEmpty());
}

// Three rows of table 1 and one of table 2, all parked.
class ForgottenRowsTest : public UnsettledRowsTest {
 protected:
  ForgottenRowsTest() {
    for (const auto& [table, key] :
         std::vector<std::pair<uint32_t, std::string>>{{1, "a"}, {1, "b"}, {1, "c"}, {2, "d"}})
      EXPECT_OK(unsettled->ParkRefused(Row(table, key), {EncodeKey({key}), kA, {4}}, kDuplicate, {}, kNow));
  }
  void ExpectCounted(int64_t parked, int64_t forgotten) {
    for (const bool again : {false, true}) {
      EXPECT_EQ(unsettled->parked_count(), parked) << again;
      EXPECT_EQ(unsettled->forgotten_count(), forgotten) << again;
      if (!again) Stored();
    }
  }
  size_t Listed(UnsettledRows::Which which) { return unsettled->List(which, 10)->size(); }
};

TEST_F(ForgottenRowsTest, AreNeitherCountedNorTriedAndStayListed) {
  EXPECT_EQ(*unsettled->Forget({1}, EncodeKey({"b"}), kNow + 5), 1);
  EXPECT_EQ(*unsettled->Forget({1}, EncodeKey({"b"}), kNow + 6), 0) << "it is forgotten already";
  EXPECT_EQ(*unsettled->Forget({1}, EncodeKey({"z"}), kNow + 6), 0) << "there is no such row";
  ExpectCounted(3, 1);
  EXPECT_EQ(*unsettled->Forget({1}, std::nullopt, kNow + 7), 2);
  ExpectCounted(1, 3);
  EXPECT_EQ(Stored(Row(1, "b"))->forgotten_ms, kNow + 5);
  EXPECT_EQ(Listed(UnsettledRows::Which::kForgotten), 3u);
  EXPECT_EQ(Listed(UnsettledRows::Which::kParked), 1u);
  EXPECT_EQ(*unsettled->RetryNow(std::nullopt), 1) << "all that anybody waits for";
  EXPECT_THAT(*unsettled->Due(kNow + 1'000'000, 10), SizeIs(1));
  ASSERT_OK(unsettled->Settle(Row(2, "d")));
  EXPECT_EQ(*unsettled->NextRetryMs(), std::nullopt);
  ExpectCounted(0, 3);
}

// Goal: nothing is forgotten that has news, or that a person has asked for by the name of its table.
TEST_F(ForgottenRowsTest, ComeBackWithTheNextEventAndWhenTheirTableIsTriedAgain) {
  EXPECT_EQ(*unsettled->Forget({1}, std::nullopt, kNow + 5), 3);
  ASSERT_OK(unsettled->ParkRefused(Row(1, "a"), {EncodeKey({"a"}), kB, {9}}, kDuplicate, {}, kNow + 9));
  ASSERT_OK(unsettled->Settle(Row(1, "b")));
  ExpectCounted(2, 1);
  EXPECT_EQ(Stored(Row(1, "a"))->forgotten_ms, 0);
  EXPECT_EQ(*unsettled->RetryNow(TableId{1}), 2);
  ExpectCounted(3, 0);
  EXPECT_THAT(*unsettled->Due(kNow + 10, 10), SizeIs(2));
}

TEST_F(UnsettledRowsTest, RolledBackTransitionIsForgotten) {
  ASSERT_OK(unsettled->ParkRefused(kRow, Waiting(kA, 4), kDuplicate, {}, kNow));
  ASSERT_OK(file->Commit());
  ASSERT_OK(file->Begin());
  ASSERT_OK(unsettled->Settle(kRow));
  ASSERT_OK(unsettled->MarkDue(Row(1, "other"), Waiting(kA, 4), std::nullopt, kNow));
  ExpectCounts(1, 0);
  file->Rollback();
  ExpectCounts(1, 1);
  EXPECT_TRUE(unsettled->Find(kRow)->has_value());
  ASSERT_OK(file->Begin());
}

TEST_F(UnsettledRowsTest, ReaderInAnotherConnectionFollowsTheWriter) {
  ASSERT_OK_AND_ASSIGN(const auto reader, LogFile::Open("log.db", {.vfs = vfs.name(), .read_only = true}));
  ASSERT_OK_AND_ASSIGN(const auto read_log, EventLog::Open(reader.get()));
  ASSERT_OK_AND_ASSIGN(const auto read_rows, UnsettledRows::Open(reader.get(), read_log.get()));
  ASSERT_OK(unsettled->ParkRefused(kRow, Waiting(kA, 4), kDuplicate, {}, kNow));
  ASSERT_OK(file->Commit());
  ASSERT_OK(read_log->Refresh());
  ASSERT_OK(read_rows->Refresh());
  EXPECT_EQ(read_rows->parked_count(), 1);
  EXPECT_EQ((*read_rows->Find(kRow))->cause, "duplicate key");
  ASSERT_OK(file->Begin());
}

TEST(RetryDelayTest, GrowsToTenSecondsAndInTheEndToAMinute) {
  EXPECT_EQ(RetryDelay(0), absl::Milliseconds(500));
  EXPECT_EQ(RetryDelay(1), absl::Seconds(1));
  EXPECT_EQ(RetryDelay(5), absl::Seconds(10));
  EXPECT_EQ(RetryDelay(50), absl::Seconds(10));
  EXPECT_EQ(RetryDelay(51), absl::Seconds(60));
  EXPECT_EQ(RetryDelay(0xffffffff), absl::Seconds(60));
}

}  // namespace
}  // namespace assay
