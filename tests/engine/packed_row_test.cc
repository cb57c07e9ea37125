// Goal: a row holds the key and the texts that it was given, whatever their number and size and however often they are
// replaced. Method: random changes against a plain vector; and by hand what is rare.
#include "engine/packed_row.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/fold/pieces.h"
#include "log/row_versions/row_ref.h"

namespace assay {
namespace {

using Kind = PackedRow::Kind;

TEST(PackedRowTest, HoldsWhatAVectorOfTextsWould) {
  std::mt19937 random(1);
  for (int round = 0; round < 500; ++round) {
    const std::string key(random() % 3 * 20, 'k');
    PackedRow row(key, random() % 4, random() % 100);
    std::vector<std::pair<Kind, std::string>> expected;
    for (int change = 0; change < 60; ++change) {
      if (expected.empty() || random() % 4 == 0) {
        const size_t at = random() % (expected.size() + 1);
        row.Insert(at);
        expected.insert(expected.begin() + static_cast<ptrdiff_t>(at), {Kind::kNone, ""});
      }
      const size_t at = random() % expected.size();
      const Kind kind = static_cast<Kind>(random() % 4 % 3);
      std::string text;
      if (kind == Kind::kText)
        text.assign(random() % 5 == 0 ? random() % 100'000 : random() % 20, static_cast<char>('a' + random() % 26));
      row.Set(at, kind, text);
      expected[at] = {kind, text};
    }
    ASSERT_EQ(row.key(), key);
    ASSERT_EQ(row.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(row.KindAt(i), expected[i].first);
      ASSERT_EQ(row.TextAt(i), expected[i].second);
    }
  }
}

TEST(PackedRowTest, AnEmptyTextIsNoNull) {
  PackedRow row("");
  for (size_t i = 0; i < 3; ++i) row.Insert(i);
  row.Set(0, Kind::kText, "");
  row.Set(1, Kind::kNull);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(row.TextAt(i), "");
  EXPECT_EQ(row.KindAt(0), Kind::kText);
  EXPECT_EQ(row.KindAt(1), Kind::kNull);
  EXPECT_EQ(row.KindAt(2), Kind::kNone);
  EXPECT_EQ(row.key(), "");
}

TEST(PackedRowTest, RoomThatWasAskedForIsEnoughAndAShorterTextTakesItsPlace) {
  PackedRow row("key", 2, 12);
  const size_t bytes = row.ByteSize();
  for (size_t i = 0; i < 2; ++i) row.Insert(i);
  row.Set(0, Kind::kText, "silver");
  row.Set(1, Kind::kText, "copper");
  const char* at = row.TextAt(0).data();
  row.Set(0, Kind::kText, "gold");
  EXPECT_EQ(row.TextAt(0).data(), at);
  EXPECT_EQ(row.ByteSize(), bytes);
  row.Set(0, Kind::kText, "silver");
  EXPECT_EQ(row.TextAt(0), "silver") << "longer than the one before";
  EXPECT_EQ(row.TextAt(1), "copper");
}

TEST(PackedRowTest, WhatLongerTextsLeaveBehindIsGivenBack) {
  PackedRow row("key");
  row.Insert(0);
  row.Insert(1);
  row.Set(1, Kind::kText, "stays");
  for (size_t size = 1; size < 3000; ++size) row.Set(0, Kind::kText, std::string(size, 'x'));
  EXPECT_EQ(row.TextAt(0), std::string(2999, 'x'));
  EXPECT_EQ(row.TextAt(1), "stays");
  EXPECT_LT(row.ByteSize(), 8000u);
  row.Set(0, Kind::kNull);
  row.Set(0, Kind::kText, std::string(3000, 'y'));
  row.Set(0, Kind::kNull);
  for (int i = 0; i < 100; ++i) row.Set(1, Kind::kText, std::string(static_cast<size_t>(i), 'z'));
  EXPECT_LT(row.ByteSize(), 8000u);
}

TEST(PackedRowTest, ACopySharesThePieceUntilOneOfThemIsChanged) {
  std::optional<PackedRow> row(EncodeKey({"7", "a"}));
  row->Add("silver");
  row->Add(std::nullopt);
  PackedRow copy = *row;
  EXPECT_EQ(copy.TextAt(0).data(), row->TextAt(0).data());
  row->Set(0, Kind::kText, "gold");
  EXPECT_EQ(copy.TextAt(0), "silver") << "though there was room for it";
  PackedRow third = copy;
  third.Insert(0);
  EXPECT_EQ(copy.size(), 2u);
  EXPECT_EQ(third.TextAt(1), "silver");
  third = *row;
  row.reset();
  EXPECT_EQ(third.TextAt(0), "gold");
  EXPECT_EQ(copy.KindAt(1), Kind::kNull);
  EXPECT_EQ(copy.KeyParts(), (PackedRow::KeyTexts{"7", "a"}));
}

// One batch is folded and planned in the engine's thread while what was planned of it is written in the database's.
TEST(PackedRowTest, CopiesGoToOtherThreads) {
  PackedRow row("key");
  row.Add("0");
  std::vector<std::thread> threads;
  for (int i = 1; i < 200; ++i) {
    threads.emplace_back([copy = row, expected = std::to_string(i - 1)] { ASSERT_EQ(copy.TextAt(0), expected); });
    row.Set(0, Kind::kText, std::to_string(i));
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(row.TextAt(0), "199");
}

TEST(PackedRowTest, HasManyColumns) {
  PackedRow row("key");
  for (size_t i = 0; i < 5000; ++i) {
    row.Insert(i / 2);
    row.Set(i / 2, Kind::kText, std::to_string(i));
  }
  EXPECT_EQ(row.TextAt(0), "1");
  EXPECT_EQ(row.TextAt(2499), "4999");
  EXPECT_EQ(row.TextAt(4999), "0");
}

TEST(PiecesTest, ElementsStayWhereTheyAre) {
  Pieces<std::string> pieces;
  EXPECT_TRUE(pieces.empty());
  std::vector<const std::string*> at;
  for (int i = 0; i < 5000; ++i) at.push_back(&pieces.emplace_back(std::to_string(i)));
  ASSERT_EQ(pieces.size(), 5000u);
  size_t index = 0;
  for (const std::string& one : std::as_const(pieces)) {
    ASSERT_EQ(&one, at[index]);
    ASSERT_EQ(&pieces[index], at[index]);
    ASSERT_EQ(one, std::to_string(index++));
  }
  EXPECT_EQ(index, 5000u);
  pieces.clear();
  EXPECT_TRUE(pieces.begin() == pieces.end());
}

}  // namespace
}  // namespace assay
