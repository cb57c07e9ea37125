// Goal: a value goes nowhere that could change it or mean another thing by it. Method: the whole list of what may be,
// as a table, and what looks like it and may not.
#include "engine/fold/type_fit.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace assay {
namespace {

using Pairs = std::vector<std::pair<const char*, const char*>>;

TEST(TypeFitTest, WhatLosesNothingIsAWidening) {
  const Pairs widenings = {
      {"smallint", "integer"},
      {"smallint", "bigint"},
      {"integer", "bigint"},
      {"character varying(50)", "character varying(100)"},
      {"character varying(50)", "character varying"},
      {"character varying(50)", "text"},
      {"character varying", "text"},
      {"text", "character varying"},
      {"bit varying(3)", "bit varying(4)"},
      {"bit varying(3)", "bit varying"},
      {"numeric(9,2)", "numeric(12,2)"},
      {"numeric(9,2)", "numeric"},
      {"time(0) without time zone", "time without time zone"},
      {"timestamp(3) without time zone", "timestamp(6) without time zone"},
      {"timestamp(3) with time zone", "timestamp with time zone"},
  };
  for (const auto& [from, to] : widenings) EXPECT_TRUE(IsWidening({from, ""}, {to, ""})) << from << " to " << to;
}

TEST(TypeFitTest, EverythingElseWaits) {
  const Pairs others = {
      {"bigint", "integer"},
      {"integer", "smallint"},
      {"integer", "numeric"},
      {"integer", "text"},
      {"integer", "real"},
      {"real", "double precision"},  // 0.1 is 0.10000000149011612 there.
      {"numeric(12,2)", "numeric(9,2)"},
      {"numeric(9,2)", "numeric(12,3)"},  // 1.50 is 1.500 there.
      {"numeric", "numeric(12,2)"},
      {"numeric(12,2)", "bigint"},
      {"character varying(100)", "character varying(50)"},
      {"text", "character varying(50)"},
      {"character(8)", "character varying(8)"},
      {"character(8)", "character(9)"},
      {"text", "citext"},
      {"json", "jsonb"},
      {"timestamp without time zone", "timestamp with time zone"},
      {"timestamp(3) without time zone", "timestamp(0) without time zone"},
      {"timestamp without time zone", "time without time zone"},
      {"date", "timestamp without time zone"},
      {"character varying(50)[]", "character varying(100)[]"},
      {"numeric(", "numeric"},
      {"numeric(x)", "numeric"},
      {"", ""},
  };
  for (const auto& [from, to] : others) EXPECT_FALSE(IsWidening({from, ""}, {to, ""})) << from << " to " << to;
}

TEST(TypeFitTest, ATypeThatIsMadeOfOthersIsWhatItIsMadeOf) {
  const TypeText fine{"weight", "weight numeric(10,3)"}, coarse{"weight", "weight numeric(10,2)"};
  EXPECT_FALSE(fine == coarse) << "a name says nothing";
  EXPECT_FALSE(IsWidening(coarse, fine));
  EXPECT_FALSE(IsWidening(fine, {"numeric", ""}));
  EXPECT_FALSE(IsSameKeyType(coarse, fine));
  EXPECT_TRUE(IsSameKeyType(fine, fine));
}

TEST(TypeFitTest, KeysOfAnyWholeNumberOrAnyVaryingTextNameTheSameRows) {
  const Pairs same = {{"integer", "bigint"},
                      {"bigint", "smallint"},
                      {"text", "character varying(8)"},
                      {"character varying(8)", "character varying(6)"},
                      {"uuid", "uuid"},
                      {"character(8)", "character(8)"}};
  for (const auto& [from, to] : same) EXPECT_TRUE(IsSameKeyType({from, ""}, {to, ""})) << from << " and " << to;
  const Pairs others = {{"character(8)", "character varying(8)"},
                        {"character(8)", "character(9)"},
                        {"integer", "text"},
                        {"integer", "numeric"},
                        {"uuid", "text"},
                        {"numeric(9,2)", "numeric(12,2)"}};
  for (const auto& [from, to] : others) EXPECT_FALSE(IsSameKeyType({from, ""}, {to, ""})) << from << " and " << to;
}

}  // namespace
}  // namespace assay
