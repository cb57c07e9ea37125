// Goal: two rows have one reference only if they are one row, and references are ordered as their bytes are.
// Method: keys that look alike.
#include "log/row_versions/row_ref.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/escaping.h"

namespace assay {
namespace {

using Key = std::vector<std::string>;

TEST(RowRefTest, AKeyComesBackFromItsBytes) {
  for (const Key& key : {Key{}, Key{""}, Key{"7"}, Key{"", ""}, Key{"a", "b"}, Key{std::string("a\0b", 3), "ü"},
                         Key{std::string(300, 'x')}}) {
    EXPECT_EQ(DecodeKey(EncodeKey(key)).value(), key);
    EXPECT_EQ(HashKey(key), HashEncodedKey(EncodeKey(key)));
  }
}

TEST(RowRefTest, KeysThatJoinToOneTextAreTwo) {
  std::set<KeyHash> hashes;
  const Key keys[] = {{"ab"}, {"a", "b"}, {"", "ab"}, {"ab", ""}, {}, {""}, {"a,b"}, {"aB"}};
  for (const Key& key : keys) hashes.insert(HashKey(key));
  EXPECT_EQ(hashes.size(), std::size(keys));
}

TEST(RowRefTest, BytesThatAreNoKeyAreRefused) {
  const std::string whole = EncodeKey(Key{"ring", "box"});
  for (size_t size = 1; size < whole.size(); ++size) {
    if (size == 5) continue;  // Exactly the first text.
    EXPECT_FALSE(DecodeKey(whole.substr(0, size)).ok()) << size;
  }
}

// A million rows are stored by this: a hash that changed would make every row of the log unknown.
TEST(RowRefTest, TheHashIsTheSameInEveryBuild) {
  EXPECT_EQ(absl::BytesToHexString(View(HashKey(Key{"7"}))), "06f647b157b8557a12979ba04cf5ba22") << "SHA-256 of 01 37";
}

TEST(RowRefTest, ReferencesAreOrderedByTableAndThenAsTheirBytes) {
  const auto ref = [](uint32_t table, size_t at, uint8_t byte) {
    RowRef row{TableId{table}, {}};
    row.key[at] = byte;
    return row;
  };
  EXPECT_LT(ref(1, 0, 0xff), ref(2, 0, 0));
  EXPECT_LT(ref(1, 0, 0x7f), ref(1, 0, 0x80)) << "bytes have no sign";
  EXPECT_LT(ref(1, 15, 0xff), ref(1, 14, 1));
  EXPECT_LT(ref(1, 8, 0xff), ref(1, 7, 1)) << "over the two words that it is compared in";
  EXPECT_EQ(ref(1, 3, 4), ref(1, 3, 4));
}

}  // namespace
}  // namespace assay
