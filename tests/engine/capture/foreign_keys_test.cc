#include "engine/capture/foreign_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace assay {
namespace {

using ::testing::IsEmpty;

TableShape Shape() {
  TableShape shape;
  shape.name = {"public", "bill"};
  shape.columns = {{.name = "id"}, {.name = "line"}, {.name = "v"}};
  shape.key = {0, 1};
  return shape;
}

std::vector<TupleValue> Row(absl::string_view id, absl::string_view line) {
  constexpr auto kText = TupleValue::Kind::kText;
  return {{kText, id}, {kText, line}, {kText, "9"}};
}

// The keys of branch 3 of 64.
KeyClasses Third() {
  return {{{"public.bill", "id"}, {.modulus = 64, .residue = 3, .sequence = "public.bill_id_seq"}}};
}

TEST(ForeignKeysTest, KeysOfTheOwnClassAreNobodyElses) {
  ForeignKeys keys;
  keys.SetClasses(Third());
  for (const char* id : {"3", "67", "6403", "-61"}) keys.Look(Shape(), Row(id, "1"));
  EXPECT_THAT(keys.found(), IsEmpty());
}

TEST(ForeignKeysTest, TheNewestKeyOfAnotherClassIsKeptWithItsSequence) {
  ForeignKeys keys;
  keys.SetClasses(Third());
  for (const char* id : {"4", "67", "65"}) keys.Look(Shape(), Row(id, "1"));
  ASSERT_EQ(keys.found().size(), 1u);
  EXPECT_EQ(keys.found().at("public.bill").key, "65");
  EXPECT_EQ(keys.found().at("public.bill").sequence, "public.bill_id_seq");
}

TEST(ForeignKeysTest, WhatNoSequenceFeedsAndWhatIsNoNumberIsNoMatter) {
  ForeignKeys keys;
  keys.Look(Shape(), Row("4", "1"));
  EXPECT_THAT(keys.found(), IsEmpty()) << "nothing is known yet";
  keys.SetClasses(Third());
  keys.Look(Shape(), Row("ring", "4"));
  TableShape other = Shape();
  other.name.table = "other";
  keys.Look(other, Row("4", "1"));
  EXPECT_THAT(keys.found(), IsEmpty());
}

}  // namespace
}  // namespace assay
