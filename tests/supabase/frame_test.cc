#include "adapters/supabase/frame.h"

#include <string>

#include "gtest/gtest.h"

namespace assay {
namespace {

// Written out by hand from sql/README.md, with its worked example.
std::string Reply() {
  std::string bytes("\x01\x01\x00\x05\xaf\x31\x07\xa4\x00\x00", 10);  // version, more, hub's time
  bytes += std::string("\0\0\0\x01", 4) + std::string(16, '\xa1');    // one head
  bytes += std::string("\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x02\0\0\0\x02", 20) + "cp";
  std::string segment = std::string(16, '\xa1') + std::string("\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\x01", 17);
  segment += std::string("\0\0\0\x02", 4) + "LL" + std::string("\0\0\0\0", 4);  // layout, no leaf hashes
  segment += std::string("\0\0\0\x02", 4);                                      // two parts
  segment += std::string("\0\0\0\x01t\0\0\0\x01\0\0\0\0\x03pay", 17);
  segment += std::string("\0\0\0\0\0\0\0\x01\x01\0\0\0\x04hash", 17);
  bytes += std::string("\0\0\0\x01\0\0\0", 7) + static_cast<char>(segment.size()) + segment;
  return bytes;
}

TEST(FrameTest, PullReplyReadsAsDocumented) {
  auto reply = DecodePullReply(Reply());
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_TRUE(reply->more);
  OriginId origin;
  origin.bytes.fill(0xa1);
  EXPECT_EQ(reply->heads.heads[origin].last.value, 3u);
  EXPECT_EQ(reply->heads.heads[origin].complete.value, 2u);
  EXPECT_EQ(reply->heads.heads[origin].checkpoint, "cp");
  EXPECT_EQ(absl::ToUnixMicros(reply->heads.hub_time), 0x0005af3107a40000);
  ASSERT_EQ(reply->segments.size(), 1u);
  const Segment& segment = reply->segments[0];
  EXPECT_EQ(segment.origin, origin);
  EXPECT_EQ(segment.first.value, 1u);
  EXPECT_EQ(segment.last.value, 2u);
  EXPECT_TRUE(segment.ends_transaction);
  EXPECT_EQ(segment.layout, "LL");
  ASSERT_EQ(segment.parts.size(), 2u);
  EXPECT_EQ(segment.parts[0].table, "t");
  EXPECT_EQ(segment.parts[0].event_count, 1u);
  EXPECT_FALSE(segment.parts[0].masked);
  EXPECT_EQ(segment.parts[0].payload, "pay");
  EXPECT_TRUE(segment.parts[1].masked);
  EXPECT_EQ(segment.parts[1].payload, "hash");
}

TEST(FrameTest, EveryTruncationIsRefused) {
  const std::string reply = Reply();
  for (size_t size = 0; size < reply.size(); ++size) {
    EXPECT_TRUE(absl::IsInvalidArgument(DecodePullReply(reply.substr(0, size)).status())) << size;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(DecodePullReply(reply + "x").status()));
}

TEST(FrameTest, CountsAreNotBelieved) {
  std::string reply = Reply();
  for (size_t at = 10; at < reply.size(); ++at) {
    std::string bad = reply;
    bad[at] = '\xff';  // Must neither crash nor allocate what is declared.
    DecodePullReply(bad).status().IgnoreError();
  }
}

TEST(FrameTest, PushRequestWritesAsDocumented) {
  OriginId origin;
  origin.bytes.fill(0xa1);
  EXPECT_EQ(EncodePush({.origin = origin, .segments = {}, .checkpoint = "cp", .session = "session"}),
            std::string("\x02") + std::string(16, '\xa1') + std::string("\0\0\0\x02" "cp\0\0\0\x07session\0\0\0\0", 21));
}

TEST(FrameTest, PullRequestWritesAsDocumented) {
  OriginId origin;
  origin.bytes.fill(0xa1);
  EXPECT_EQ(EncodePull({.have = {{origin, {5}}}, .bytes_max = 258}),
            std::string("\x01\0\0\0\0\0\0\x01\x02\0\0\0\x01", 13) + std::string(16, '\xa1') +
                std::string("\0\0\0\0\0\0\0\x05", 8));
}

}  // namespace
}  // namespace assay
