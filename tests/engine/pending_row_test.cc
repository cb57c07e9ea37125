// Goal: what pending events say about a row is their join, whatever their order, and its values are those of the winning versions.
// Method: fold random writes in random order and compare with a plain map from column to (version, value).
#include "engine/pending_row.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <random>

#include "tests/support/origins.h"

namespace assay {
namespace {

using test::Origin;

TEST(PendingRowTest, HoldsTheNewestValueOfEachColumn) {
  std::mt19937 random(1);
  v1::TableSchema::Column declared;
  for (int round = 0; round < 2000; ++round) {
    PendingRow row({{1}, {}}, "key");
    std::map<uint32_t, std::pair<Version, std::optional<std::string>>> expected;
    std::map<uint32_t, PendingRow::Value::Kind> kinds;
    Version written, deleted;
    for (int event = 0; event < 30; ++event) {
      const Version version{{random() % 20 + 1}, Origin(random() % 3 + 1), {static_cast<uint64_t>(event + 1)}};
      if (random() % 8 == 0) {
        row.Fold(version, ChangeKind::kDelete, {});
        deleted = std::max(deleted, version);
        continue;
      }
      written = std::max(written, version);
      std::vector<std::string> texts;
      std::vector<PendingRow::Write> writes;
      texts.reserve(6);
      for (uint32_t column = 0; column < 6; ++column) {
        if (random() % 2 == 0) continue;
        PendingRow::Write& write = writes.emplace_back();
        write.column = {column};
        write.value.kind = static_cast<PendingRow::Value::Kind>(random() % 4 % 3);
        if (write.value.kind == PendingRow::Value::Kind::kText) {
          write.value.text = texts.emplace_back(random() % 3 == 0 ? random() % 300 : random() % 20, static_cast<char>('a' + random() % 26));
        }
        if (write.value.kind != PendingRow::Value::Kind::kNone) write.value.declared = &declared;
        if (auto at = expected.find(column); at != expected.end() && at->second.first > version) continue;
        expected[column] = {version, std::string(write.value.text)};
        kinds[column] = write.value.kind;
      }
      row.Fold(version, ChangeKind::kUpdate, writes);
    }
    EXPECT_EQ(row.incoming().written, written);
    EXPECT_EQ(row.incoming().deleted, deleted);
    EXPECT_EQ(row.newest(), std::max(written, deleted));
    ASSERT_EQ(row.incoming().columns.size(), expected.size());
    size_t index = 0;
    for (const auto& [column, value] : expected) {
      EXPECT_EQ(row.incoming().columns[index].column.value, column);
      EXPECT_EQ(row.incoming().columns[index].version, value.first);
      const PendingRow::Value held = row.ValueAt(index++);
      EXPECT_EQ(held.kind, kinds[column]);
      if (held.kind == PendingRow::Value::Kind::kText) {
        EXPECT_EQ(held.text, *value.second);
      }
      EXPECT_EQ(held.declared, held.kind == PendingRow::Value::Kind::kNone ? nullptr : &declared);
    }
  }
}

TEST(PendingRowTest, ReplacingValuesForEverDoesNotGrowIt) {
  v1::TableSchema::Column declared;
  PendingRow row({{1}, {}}, "key");
  size_t largest = 0;
  for (uint64_t i = 1; i <= 100'000; ++i) {
    const std::string text(i % 200, 'x');
    const PendingRow::Write write{{1}, {PendingRow::Value::Kind::kText, text, &declared}};
    row.Fold({{i}, Origin(1), {i}}, ChangeKind::kUpdate, {&write, 1});
    largest = std::max(largest, row.ByteSize());
    ASSERT_EQ(row.ValueAt(0).text, text);
  }
  EXPECT_LT(largest, 2000u);
  EXPECT_TRUE(row.OnlyOf(Origin(1)));
  EXPECT_FALSE(row.OnlyOf(Origin(2)));
}

}  // namespace
}  // namespace assay
