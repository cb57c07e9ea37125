// Goal: what pending events say about a row is their join, whatever their order, and its values are those of the
// winning versions. Method: fold random writes in random order and compare with a plain map from column to (version,
// value).
#include "engine/fold/pending_row.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>

#include "tests/support/origins.h"

namespace assay {
namespace {

using test::Origin;

// A table of `columns` columns as one writer declares it; column i is column i.
ResolvedSchema SchemaOf(uint32_t columns) {
  ResolvedSchema schema;
  for (uint32_t i = 0; i < columns; ++i) {
    schema.schema.add_columns();
    schema.columns.push_back({i});
  }
  return schema;
}

TEST(PendingRowTest, HoldsTheNewestValueOfEachColumn) {
  std::mt19937 random(1);
  const ResolvedSchema schemas[] = {SchemaOf(6), SchemaOf(8)};
  for (int round = 0; round < 2000; ++round) {
    PendingRow row({{1}, {}}, "key", {});
    std::map<uint32_t, const v1::TableSchema::Column*> declared;
    std::map<uint32_t, std::pair<Version, std::optional<std::string>>> expected;
    std::map<uint32_t, PendingRow::Kind> kinds;
    Version written, deleted;
    for (int event = 0; event < 30; ++event) {
      const Version version{{random() % 20 + 1}, Origin(random() % 3 + 1), {static_cast<uint64_t>(event + 1)}};
      if (random() % 8 == 0) {
        row.Fold(version, ChangeKind::kDelete, {}, schemas[0]);
        deleted = std::max(deleted, version);
        continue;
      }
      written = std::max(written, version);
      const ResolvedSchema& schema = schemas[round % 2 == 0 ? 0 : random() % 2];
      std::vector<std::string> texts;
      std::vector<PendingRow::Write> writes;
      texts.reserve(6);
      for (uint32_t column = 0; column < 6; ++column) {
        if (random() % 2 == 0) continue;
        PendingRow::Write& write = writes.emplace_back();
        write.column = {column};
        write.kind = static_cast<PendingRow::Kind>(random() % 4 % 3);
        if (write.kind == PendingRow::Kind::kText) {
          write.text = texts.emplace_back(random() % 3 == 0 ? random() % 300 : random() % 20,
                                          static_cast<char>('a' + random() % 26));
        }
        if (auto at = expected.find(column); at != expected.end() && at->second.first > version) continue;
        expected[column] = {version, std::string(write.text)};
        kinds[column] = write.kind;
        declared[column] = &schema.schema.columns(static_cast<int>(column));
      }
      row.Fold(version, ChangeKind::kUpdate, writes, schema);
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
      if (held.kind == PendingRow::Kind::kText) {
        EXPECT_EQ(held.text, *value.second);
      }
      EXPECT_EQ(held.declared, held.kind == PendingRow::Kind::kNone ? nullptr : declared[column]);
    }
    EXPECT_EQ(row.key(), "key");
  }
}

TEST(PendingRowTest, ReplacingValuesForEverDoesNotGrowIt) {
  const ResolvedSchema schema = SchemaOf(2);
  PendingRow row({{1}, {}}, "key", {});
  size_t largest = 0;
  for (uint64_t i = 1; i <= 100'000; ++i) {
    const std::string text(i % 200, 'x');
    const PendingRow::Write write{{1}, PendingRow::Kind::kText, text};
    row.Fold({{i}, Origin(1), {i}}, ChangeKind::kUpdate, {&write, 1}, schema);
    largest = std::max(largest, row.ByteSize());
    ASSERT_EQ(row.ValueAt(0).text, text);
  }
  EXPECT_LT(largest, 800u);
  EXPECT_EQ(row.steps().size(), 1u) << "its writer had heard of nothing new";
}

// Goal: the column lists of two writers may differ, in what they have and in where they have it.
TEST(PendingRowTest, ADeclarationIsFoundWhereverItsSchemaHasIt) {
  ResolvedSchema ours = SchemaOf(40), theirs = SchemaOf(40);
  std::reverse(theirs.columns.begin(), theirs.columns.end());
  PendingRow row({{1}, {}}, "key", {});
  std::vector<PendingRow::Write> writes;
  for (uint32_t i = 1; i < 40; i += 2) writes.push_back({{i}, PendingRow::Kind::kText, "x"});
  row.Fold({{1}, Origin(1), {1}}, ChangeKind::kInsert, writes, theirs);
  for (size_t i = 0; i < writes.size(); ++i) {
    EXPECT_EQ(row.ValueAt(i).declared, &theirs.schema.columns(39 - static_cast<int>(writes[i].column.value)));
  }
  const PendingRow::Write last{{39}, PendingRow::Kind::kNull, {}};
  row.Fold({{2}, Origin(2), {1}}, ChangeKind::kUpdate, {&last, 1}, ours);
  EXPECT_EQ(row.ValueAt(18).declared, &theirs.schema.columns(2));
  EXPECT_EQ(row.ValueAt(19).declared, &ours.schema.columns(39));
}

}  // namespace
}  // namespace assay
