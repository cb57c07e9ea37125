// Goal: a digest tells whatever two rows differ in, and is the same in every build, since it is stored with an intent.
// Method: compare digests of rows that differ in one thing; two known values stand for all builds.
#include "engine/projection/row_digest.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/origins.h"

namespace assay {
namespace {

using Texts = std::vector<std::pair<std::string, std::optional<std::string>>>;

uint64_t Digest(const Texts& columns) {
  ValuesHash hash;
  for (const auto& [name, value] : columns) {
    hash.Add(name, value.has_value() ? std::optional<absl::string_view>(*value) : std::nullopt);
  }
  return hash.Finish();
}

RowVersions Row() {
  RowVersions row;
  row.written = {HlcStamp{10}, test::Origin(1), Sequence{3}};
  row.columns = {{ColumnId{1}, row.written}, {ColumnId{2}, {HlcStamp{9}, test::Origin(2), Sequence{7}}}};
  return row;
}

TEST(RowDigestTest, WhateverValuesDifferInIsTold) {
  const Texts rows[] = {
      {},
      {{"name", "ring"}},
      {{"name", "rinG"}},
      {{"name", "ring "}},
      {{"name", ""}},
      {{"name", std::nullopt}},
      {{"title", "ring"}},
      {{"name", "ring"}, {"price", "9"}},
      {{"price", "9"}, {"name", "ring"}},
      {{"name", "ring"}, {"price", std::nullopt}},
      {{"namer", "ing"}},
      {{"name", std::string("ring\0", 5)}},
      {{"name", "eight bytes, and then some"}},
      {{"name", "eight bytes, and then somE"}},
      {{"name", "Eight bytes, and then some"}},
      {{"name", std::string(8, '\0')}},
      {{"name", std::string(7, '\0')}},
      {{"name", std::string(9, '\0')}},
  };
  std::set<uint64_t> digests;
  for (const Texts& row : rows) digests.insert(Digest(row));
  EXPECT_EQ(digests.size(), std::size(rows));
}

TEST(RowDigestTest, AValueIsTheSameWhetherItIsToBeWrittenOrWasCaptured) {
  ValuesHash written, captured;
  written.Add("name", std::optional<absl::string_view>("ring"));
  written.Add("price", std::optional<absl::string_view>());
  captured.Add("name", TupleValue{TupleValue::Kind::kText, "ring"});
  captured.Add("price", TupleValue{});
  EXPECT_EQ(written.Finish(), captured.Finish());
}

TEST(RowDigestTest, WhateverVersionsDifferInIsTold) {
  const Version other{HlcStamp{11}, test::Origin(3), Sequence{4}};
  std::set<uint64_t> digests = {VersionsDigest(RowVersions{}), VersionsDigest(Row())};
  const auto with = [&](auto change) {
    RowVersions row = Row();
    change(row);
    digests.insert(VersionsDigest(row));
  };
  with([&](RowVersions& row) { row.written.stamp = {11}; });
  with([&](RowVersions& row) { row.written.sequence = {4}; });
  with([&](RowVersions& row) { row.written.origin = test::Origin(3); });
  with([&](RowVersions& row) { row.written.origin.bytes[15] ^= 1; });
  with([&](RowVersions& row) { row.written.origin.bytes[0] ^= 1; });
  with([&](RowVersions& row) { row.deleted = other; });
  with([&](RowVersions& row) { row.columns.Set(0, other); });
  with([&](RowVersions& row) { row.columns.Set(1, other); });
  with([&](RowVersions& row) { row.columns = {{ColumnId{1}, row.written}}; });
  with([&](RowVersions& row) { row.columns = {{ColumnId{1}, row.written}, {ColumnId{3}, row.columns[1].version}}; });
  EXPECT_EQ(digests.size(), 12u);
}

TEST(RowDigestTest, ARowThatWasNeverStoredIsOneWithoutVersions) {
  EXPECT_EQ(VersionsDigest(nullptr), VersionsDigest(RowVersions{}));
  const RowVersions row = Row();
  EXPECT_EQ(VersionsDigest(&row), VersionsDigest(row));
}

// An intent that one build has stored is read by the next: another digest would take its own echo for somebody's write.
TEST(RowDigestTest, IsTheSameInEveryBuild) {
  EXPECT_EQ(Digest({{"name", "größe 宝石, 18 karat"}, {"note", std::nullopt}}), 0x7507ABF66396C030u);
  EXPECT_EQ(VersionsDigest(Row()), 8425219301487448861u);
}

}  // namespace
}  // namespace assay
