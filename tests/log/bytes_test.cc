// Goal: what was put comes back, and no bytes make a reader pass their end.
// Method: the edges of each coding, each cut short at every place.
#include "log/bytes.h"

#include <gtest/gtest.h>

#include <cstdint>

namespace assay {
namespace {

TEST(BytesTest, NumbersAndBytesComeBack) {
  for (const uint64_t number : {uint64_t{0}, uint64_t{1}, uint64_t{127}, uint64_t{128}, uint64_t{16'383},
                                uint64_t{16'384}, uint64_t{1} << 63, UINT64_MAX}) {
    std::string bytes;
    PutVarint(&bytes, number);
    PutFixed64(&bytes, number);
    ByteReader reader(bytes);
    uint64_t varint = 0, fixed = 0;
    EXPECT_TRUE(reader.Varint(&varint) && reader.Fixed64(&fixed) && reader.empty()) << number;
    EXPECT_EQ(varint, number);
    EXPECT_EQ(fixed, number);
  }
  std::string bytes;
  PutSized(&bytes, std::string("a\0b", 3));
  PutSized(&bytes, "");
  ByteReader reader(bytes);
  absl::string_view text;
  ASSERT_TRUE(reader.Sized(&text));
  EXPECT_EQ(text, absl::string_view("a\0b", 3));
  ASSERT_TRUE(reader.Sized(&text));
  EXPECT_EQ(text, "");
  EXPECT_TRUE(reader.empty());
}

// The formats on disk are made of these (log/FORMAT.md).
TEST(BytesTest, TheBytesAreThoseOfTheFormatPage) {
  std::string bytes;
  PutVarint(&bytes, 300);
  EXPECT_EQ(bytes, "\xAC\x02");
  bytes.clear();
  PutFixed64(&bytes, 0x0102030405060708);
  EXPECT_EQ(bytes, "\x08\x07\x06\x05\x04\x03\x02\x01") << "little-endian";
}

TEST(BytesTest, CutShortNothingIsRead) {
  std::string bytes;
  PutVarint(&bytes, UINT64_MAX);
  for (size_t size = 0; size < bytes.size(); ++size) {
    ByteReader reader(absl::string_view(bytes).substr(0, size));
    uint64_t value = 7;
    EXPECT_FALSE(reader.Varint(&value)) << size;
    EXPECT_EQ(value, 7u) << "nothing is made of half a number";
  }
  for (size_t size = 0; size < 8; ++size) {
    ByteReader reader(absl::string_view("12345678").substr(0, size));
    uint64_t value = 7;
    EXPECT_FALSE(reader.Fixed64(&value));
    EXPECT_EQ(reader.size(), size) << "it stays where it is";
  }
  std::string sized;
  PutSized(&sized, "ring");
  for (size_t size = 0; size < sized.size(); ++size) {
    ByteReader reader(absl::string_view(sized).substr(0, size));
    absl::string_view text;
    EXPECT_FALSE(reader.Sized(&text)) << size;
  }
}

TEST(BytesTest, ALengthBeyondTheEndIsRefusedHoweverLargeItIs) {
  for (const uint64_t count : {uint64_t{5}, UINT64_MAX, UINT64_MAX - 3}) {
    std::string bytes;
    PutVarint(&bytes, count);
    bytes += "ring";
    ByteReader reader(bytes);
    absl::string_view text;
    EXPECT_FALSE(reader.Sized(&text)) << count;
  }
}

TEST(BytesTest, AVarintOfMoreThan64BitsIsNone) {
  for (const char* bytes :
       {"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"}) {
    ByteReader reader(bytes);
    uint64_t value = 0;
    EXPECT_FALSE(reader.Varint(&value));
  }
}

}  // namespace
}  // namespace assay
