// A row's name: its table, and the hash of its key.
#include "log/row_versions/row_ref.h"

#include "tests/log/test_events.h"
#include "tests/log/test_rows.h"

namespace assay {
namespace {

TEST(RowRefTest, KeysThatDifferOnlyInTheirCutsHashApart) {
  EXPECT_NE(HashKey({"ab", "c"}), HashKey({"a", "bc"}));
  EXPECT_NE(HashKey({"a"}), HashKey({"a", ""}));
  const std::vector<std::string> key = {"", std::string("\0x", 2), std::string(1000, 'y')};
  EXPECT_EQ(*DecodeKey(EncodeKey(key)), key);
  EXPECT_TRUE(absl::IsDataLoss(DecodeKey("\x05x").status()));
}

}  // namespace
}  // namespace assay
