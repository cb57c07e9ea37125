// Per row, which version each of its columns has.
#include "tests/log/test_events.h"
#include "tests/log/test_rows.h"

namespace assay {
namespace {

class RowVersionsTest : public ::testing::Test, protected TestLog {};

TEST_F(RowVersionsTest, RowVersionsAreReadBack) {
  RowVersions versions;
  versions.written = V(10, kA, 3);
  versions.deleted = V(9, kB, 1);
  versions.columns = {{{0}, V(10, kA, 3)}, {{1}, V(10, kA, 3)}, {{9}, V(8, kB, 7)}, {{1599}, V(10, kA, 3)}};
  EXPECT_TRUE(versions.IsLive());
  EXPECT_EQ(*versions.Find({9}), V(8, kB, 7));
  EXPECT_EQ(versions.Find({2}), nullptr);
  ASSERT_OK(file->Begin());
  ASSERT_OK(rows->Put(Row(1, "k"), versions));
  ASSERT_OK(rows->Put(Row(1, "gone"), {.deleted = V(1, kA, 1)}));
  EXPECT_EQ(**rows->Get(Row(1, "k")), versions) << "before the commit";
  ASSERT_OK(file->Commit());
  ASSERT_OK(Reopen());
  EXPECT_EQ(**rows->Get(Row(1, "k")), versions);
  EXPECT_FALSE((*rows->Get(Row(1, "gone")))->IsLive());
  EXPECT_EQ(*rows->Get(Row(2, "k")), nullptr);
  EXPECT_EQ(*rows->Get(Row(1, "other")), nullptr);
}

TEST_F(RowVersionsTest, RolledBackRowVersionsAreForgotten) {
  ASSERT_OK(file->Begin());
  ASSERT_OK(rows->Put(Row(1, "k"), {.written = V(1, kA, 1)}));
  ASSERT_OK(file->Commit());
  ASSERT_OK(file->Begin());
  ASSERT_OK(rows->Put(Row(1, "k"), {.written = V(2, kB, 2)}));
  ASSERT_OK(rows->Put(Row(1, "l"), {.written = V(2, kB, 2)}));
  file->Rollback();
  EXPECT_EQ(*rows->Get(Row(1, "l")), nullptr) << "nor is the row that was written last";
  EXPECT_EQ((*rows->Get(Row(1, "k")))->written, V(1, kA, 1));
}

TEST_F(RowVersionsTest, MoreRowsThanTheCacheHoldsAreAllKept) {
  constexpr uint64_t kRows = 30000;
  ASSERT_OK(file->Begin());
  for (uint64_t i = 1; i <= kRows; ++i) ASSERT_OK(rows->Put(Row(1, absl::StrCat(i)), {.written = V(i, kA, i)}));
  const auto expect_all = [&] {
    for (uint64_t i = 1; i <= kRows; ++i) {
      ASSERT_OK_AND_ASSIGN(const auto* versions, rows->Get(Row(1, absl::StrCat(i))));
      ASSERT_NE(versions, nullptr) << i;
      ASSERT_EQ(versions->written, V(i, kA, i));
    }
  };
  ASSERT_NO_FATAL_FAILURE(expect_all());
  ASSERT_OK(file->Commit());
  ASSERT_NO_FATAL_FAILURE(expect_all());
  ASSERT_OK(file->Begin());
  for (uint64_t i = 1; i <= kRows / 2; ++i) ASSERT_OK(rows->Put(Row(1, absl::StrCat(i)), {.written = V(i, kA, i)}));
  ASSERT_OK(rows->Rest());
  file->ReleaseMemory();
  ASSERT_NO_FATAL_FAILURE(expect_all());
  ASSERT_OK(file->Commit());
  ASSERT_NO_FATAL_FAILURE(expect_all());
  ASSERT_OK(Reopen());
  uint64_t count = 0;
  KeyHash last{};
  ASSERT_OK(rows->ForEach({1}, [&](const KeyHash& key, const RowVersions&) {
    EXPECT_LT(last, key);
    last = key;
    ++count;
    return absl::OkStatus();
  }));
  EXPECT_EQ(count, kRows);
  // In portions: each goes on where the one before has ended.
  KeyHash from{};
  for (bool more = true; more;) {
    uint64_t portion = 0;
    ASSERT_OK(rows->ForEachFrom({1}, from, [&](const KeyHash& key, const RowVersions&) -> absl::StatusOr<bool> {
      more = ++portion > 777;
      if (more) from = key;
      count -= !more;
      return !more;
    }));
  }
  EXPECT_EQ(count, 0u);
}

TEST_F(RowVersionsTest, WhatWasCommittedLastCountsWhereverItIsStored) {
  // Enough for several lists; each round changes some rows again, so that they are in the table, in several runs and on
  // the list.
  constexpr uint64_t kRows = 30000;
  uint64_t stamp = 0;
  std::map<KeyHash, uint64_t> expected;
  ASSERT_OK_AND_ASSIGN(const auto reader, LogFile::Open("log.db", {.vfs = vfs.name(), .read_only = true}));
  ASSERT_OK_AND_ASSIGN(const auto read_log, EventLog::Open(reader.get()));
  ASSERT_OK_AND_ASSIGN(const auto read_rows, RowVersionStore::Open(reader.get(), read_log.get()));
  const auto expect_all = [&](RowVersionStore& store) {
    std::vector<std::pair<KeyHash, uint64_t>> found;
    ASSERT_OK(store.ForEach({1}, [&](const KeyHash& key, const RowVersions& versions) {
      found.push_back({key, versions.written.stamp.value});
      return absl::OkStatus();
    }));
    EXPECT_EQ(found, (std::vector<std::pair<KeyHash, uint64_t>>(expected.begin(), expected.end())));
    for (uint64_t i = 0; i < kRows; i += 17) {
      ASSERT_EQ((*store.Get(Row(1, absl::StrCat(i))))->written.stamp.value, expected[HashKey({absl::StrCat(i)})]) << i;
    }
    EXPECT_EQ(*store.Get(Row(1, "unknown")), nullptr);
  };
  for (const uint64_t step : {1, 3, 7, 1000, 5}) {
    SCOPED_TRACE(step);
    ASSERT_OK(file->Begin());
    for (uint64_t i = 0; i < kRows; i += step) {
      ASSERT_OK(rows->Put(Row(1, absl::StrCat(i)), {.written = V(++stamp, kA, stamp)}));
      expected[HashKey({absl::StrCat(i)})] = stamp;
    }
    ASSERT_OK(rows->Put(Row(2, "other"), {.written = V(1, kA, 1)}));
    ASSERT_OK(file->Commit());
    EXPECT_TRUE(rows->untidy());
    for (const bool reopened : {false, true}) {
      if (reopened) {
        ASSERT_OK(Reopen());
      }
      ASSERT_NO_FATAL_FAILURE(expect_all(*rows));
      ASSERT_NO_FATAL_FAILURE(expect_all(*read_rows));
    }
    ASSERT_OK(file->Begin());
    ASSERT_OK(rows->Tidy(3000));
    ASSERT_NO_FATAL_FAILURE(expect_all(*rows));
    file->Rollback();
    ASSERT_NO_FATAL_FAILURE(expect_all(*rows)) << "rolled back";
    ASSERT_OK(file->Begin());
    ASSERT_OK(rows->Tidy(3000));
    ASSERT_OK(file->Commit());
    ASSERT_NO_FATAL_FAILURE(expect_all(*read_rows)) << "by a reader that had opened before";
  }
  while (rows->untidy()) {
    ASSERT_OK(file->Begin());
    ASSERT_OK(rows->Tidy(5000));
    ASSERT_OK(file->Commit());
  }
  ASSERT_NO_FATAL_FAILURE(expect_all(*rows));
  ASSERT_NO_FATAL_FAILURE(expect_all(*read_rows));
  ASSERT_OK(Reopen());
  EXPECT_FALSE(rows->untidy());
  ASSERT_NO_FATAL_FAILURE(expect_all(*rows));
}

TEST_F(RowVersionsTest, DamagedRowVersionsAreRefused) {
  RowVersions versions{.written = V(10, kA, 3), .columns = {{{0}, V(10, kA, 3)}, {{1}, V(8, kB, 7)}}};
  const std::string bytes = versions.Encode(*log);
  EXPECT_EQ(*RowVersions::Decode(bytes, *log), versions);
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_TRUE(absl::IsDataLoss(RowVersions::Decode(bytes.substr(0, size), *log).status()));
  EXPECT_TRUE(absl::IsDataLoss(RowVersions::Decode(bytes + "x", *log).status()));
  std::string column_0_twice = bytes;
  ASSERT_EQ(column_0_twice.back(), 0x02);  // The columns of the second version, as bits.
  column_0_twice.back() = 0x03;
  EXPECT_TRUE(absl::IsDataLoss(RowVersions::Decode(column_0_twice, *log).status()));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] ^= static_cast<char>(1 << bit % 8);
    (void)RowVersions::Decode(flipped, *log);  // Any answer, but an answer.
  }
}

TEST_F(RowVersionsTest, ReaderInAnotherConnectionFollowsTheWriter) {
  ASSERT_OK_AND_ASSIGN(const auto reader, LogFile::Open("log.db", {.vfs = vfs.name(), .read_only = true}));
  ASSERT_OK_AND_ASSIGN(const auto read_log, EventLog::Open(reader.get()));
  ASSERT_OK_AND_ASSIGN(const auto read_rows, RowVersionStore::Open(reader.get(), read_log.get()));
  EXPECT_EQ(*read_rows->Get(Row(1, "k")), nullptr);
  ASSERT_OK(file->Begin());
  ASSERT_OK(rows->Put(Row(1, "k"), {.written = V(1, kB, 1)}));
  ASSERT_OK(file->Commit());
  ASSERT_OK(read_log->Refresh());
  EXPECT_EQ((*read_rows->Get(Row(1, "k")))->written, V(1, kB, 1));
}

}  // namespace
}  // namespace assay
