#include "log/row_versions/packed_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "tests/log/test_events.h"

namespace assay {
namespace {

std::vector<RowRef> RandomRows(int count) {
  std::mt19937_64 random(7);
  std::vector<RowRef> rows(count);
  for (RowRef& row : rows) {
    row.table = {static_cast<uint32_t>(random() % 3)};
    // Few different bytes, so that keys differ late as well as early.
    for (uint8_t& byte : row.key) byte = random() % 2 == 0 ? 0x00 : 0xFF;
  }
  return rows;
}

TEST(PackedRowsTest, RowsAreInTheOrderOfTheirBytes) {
  const std::vector<RowRef> rows = RandomRows(300);
  for (const RowRef& a : rows) {
    for (const RowRef& b : rows) {
      const auto as_bytes = [](const RowRef& row) { return std::tuple(row.table.value, View(row.key)); };
      ASSERT_EQ(a < b, as_bytes(a) < as_bytes(b));
      ASSERT_EQ(a == b, as_bytes(a) == as_bytes(b));
    }
  }
}

TEST(PackedRowsTest, ARowIsFoundAmongOthersOrIsNotThere) {
  std::vector<RowRef> rows = RandomRows(400);
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  PackedRowsWriter packed;
  // Every other one.
  for (size_t i = 0; i < rows.size(); i += 2) packed.Add(rows[i], absl::StrCat("versions of ", i));
  for (size_t i = 0; i < rows.size(); ++i) {
    ASSERT_OK_AND_ASSIGN(PackedRowsReader reader, PackedRowsReader::Open(packed.bytes()));
    ASSERT_OK_AND_ASSIGN(const bool found, reader.Find(rows[i]));
    ASSERT_EQ(found, i % 2 == 0);
    if (found) {
      ASSERT_EQ(reader.versions(), absl::StrCat("versions of ", i));
    }
  }
}

TEST(PackedRowsTest, DamageOnTheWayIsToldAndNotPassedBy) {
  PackedRowsWriter packed;
  std::vector<RowRef> rows = RandomRows(2);
  std::sort(rows.begin(), rows.end());
  packed.Add(rows[0], "x");
  const std::string cut = packed.bytes() + "\x01half a key";
  ASSERT_OK_AND_ASSIGN(PackedRowsReader reader, PackedRowsReader::Open(cut));
  EXPECT_TRUE(absl::IsDataLoss(reader.Find(rows[1]).status()));
}

}  // namespace
}  // namespace assay
