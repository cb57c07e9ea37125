// Goal: whatever is done to a row's columns, they are what a map from column to version would be, in its order.
// Method: random changes, of few columns and few versions so that runs come about and are broken up; and what a run is
// for, by its bytes.
#include "log/row_versions/column_versions.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace assay {
namespace {

Version At(uint64_t number) { return {.stamp = {number}, .origin = {}, .sequence = {number}}; }

void ExpectSame(const ColumnVersions& columns, const std::map<ColumnId, Version>& expected) {
  ASSERT_EQ(columns.size(), expected.size());
  EXPECT_EQ(columns.empty(), expected.empty());
  size_t index = 0;
  for (const auto& [column, version] : expected) {
    EXPECT_EQ(columns[index], (ColumnVersion{column, version}));
    EXPECT_EQ(columns.ColumnAt(index), column);
    EXPECT_EQ(columns.VersionAt(index), version);
    ++index;
  }
  ColumnVersions appended;
  for (const auto& [column, version] : expected) appended.Append(column, version);
  EXPECT_TRUE(columns == appended);
  for (uint32_t i = 0; i < 12; ++i) {
    const auto at = expected.lower_bound(ColumnId{i});
    EXPECT_EQ(columns.LowerBound({i}), static_cast<size_t>(std::distance(expected.begin(), at)));
    const Version* found = columns.Find({i});
    ASSERT_EQ(found != nullptr, at != expected.end() && at->first.value == i);
    if (found != nullptr) {
      EXPECT_EQ(*found, at->second);
    }
  }
}

TEST(ColumnVersionsTest, AreWhatAMapWouldBe) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    ColumnVersions columns;
    std::map<ColumnId, Version> expected;
    const uint64_t versions = 1 + random() % 4;
    for (int change = 0; change < 30; ++change) {
      const ColumnId column{static_cast<uint32_t>(random() % 11)};
      const Version version = At(1 + random() % versions);
      const size_t at = columns.LowerBound(column);
      if (random() % 10 == 0) {
        const auto drop = [&](const ColumnVersion& each) { return each.column.value % 3 == column.value % 3; };
        columns.EraseIf(drop);
        std::erase_if(expected, [&](const auto& each) { return drop({each.first, each.second}); });
      } else if (columns.Find(column) != nullptr) {
        columns.Set(at, version);
        expected[column] = version;
      } else if (at == columns.size()) {
        columns.Append(column, version);
        expected[column] = version;
      } else {
        columns.Insert(at, column, version);
        expected[column] = version;
      }
      ExpectSame(columns, expected);
      if (HasFatalFailure()) return;
      const ColumnVersions copy = columns;
      EXPECT_TRUE(copy == columns);
    }
  }
}

// A column that is written again and again leaves no more behind than it may.
TEST(ColumnVersionsTest, VersionsThatNoColumnHasAreForgotten) {
  ColumnVersions columns{{{1}, At(1)}, {{2}, At(1)}};
  for (uint64_t i = 2; i < 1000; ++i) columns.Set(i % 2, At(i));
  ExpectSame(columns, {{{1}, At(998)}, {{2}, At(999)}});
  EXPECT_LT(columns.ByteSize(), 20 * sizeof(Version));
}

TEST(ColumnVersionsTest, WhatOneEventWroteCostsNothingPerColumn) {
  ColumnVersions columns;
  for (uint32_t i = 1; i < 100; ++i) columns.Append({i}, At(1));
  EXPECT_EQ(columns.ByteSize(), 0u);
  columns.Set(5, At(1));
  EXPECT_EQ(columns.ByteSize(), 0u);
  columns.Set(5, At(2));
  EXPECT_GT(columns.ByteSize(), 0u);
}

}  // namespace
}  // namespace assay
