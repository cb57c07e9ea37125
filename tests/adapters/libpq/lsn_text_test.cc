// Goal: positions come back as PostgreSQL wrote them, and what is none is refused by name.
// Method: both edges, and texts that are nearly one.
#include "adapters/libpq/lsn_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace assay {
namespace {

TEST(LsnTextTest, APositionComesBack) {
  EXPECT_EQ(ParseLsn("16/B374D848").value(), Lsn{0x16B374D848});
  EXPECT_EQ(ParseLsn("0/0").value(), Lsn{});
  EXPECT_EQ(ParseLsn("FFFFFFFF/FFFFFFFF").value(), Lsn{UINT64_MAX});
  EXPECT_EQ(ParseLsn("1/a").value(), Lsn{(uint64_t{1} << 32) + 10});
  for (const Lsn lsn : {Lsn{}, Lsn{1}, Lsn{0x16B374D848}, Lsn{UINT64_MAX}}) {
    EXPECT_EQ(ParseLsn(lsn.ToString()).value(), lsn);
  }
}

TEST(LsnTextTest, WhatIsNoPositionIsRefusedByName) {
  for (const char* text : {"", "/", "16", "16/", "/16", "16/XY", "16/B374D848Z", "16-B374D848", "100000000/0"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseLsn(text).status())) << text;
  }
  EXPECT_THAT(std::string(ParseLsn("16-17").status().message()), testing::HasSubstr("\"16-17\""));
}

}  // namespace
}  // namespace assay
