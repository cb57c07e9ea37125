#include "adapters/hub/frame.h"

#include <string>

#include "gtest/gtest.h"
#include "log/checkpoint.h"

namespace assay {
namespace {

OriginId OriginOf(char c) {
  OriginId origin;
  origin.bytes.fill(static_cast<uint8_t>(c));
  return origin;
}

// A checkpoint of 258 events, as a frame has it and as a text.
std::string CheckpointFrame() {
  return std::string("\x6c\0\0\0\0\0\0\x01\x02", 9) + std::string(32, 'r') + "keyi" + std::string(64, 's');
}
std::string Note(char origin) {
  Checkpoint checkpoint{.origin = OriginOf(origin), .size = 258};
  checkpoint.root.fill('r');
  return CheckpointText(checkpoint, "keyi" + std::string(64, 's'));
}

// Written out by hand from sql/README.md, with its worked example.
std::string Reply() {
  std::string bytes("\x01\x01\x00\x05\xaf\x31\x07\xa4\x00\x00", 10);  // version, more, hub's time
  bytes += std::string("\0\0\0\x02", 4) + std::string(16, '\xa1');    // two heads
  bytes += std::string("\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x02", 16) + CheckpointFrame();
  bytes += std::string(16, '\xb2') + std::string(17, '\0');  // the second: of nothing, no checkpoint
  bytes += std::string("\0\0\0\x01", 4);                     // one segment
  bytes += std::string(16, '\xa1') + std::string("\0\0\0\0\0\0\0\x07\0\0\0\x03\x01", 13);
  bytes += std::string("\0\0\0\x05LL\x01\0\x01\x02", 10);  // layout: its last bytes name the parts; two of them
  bytes += std::string("\0\x01t\0\0\0\0\x03pay", 11) + std::string("\0\0\x01\0\0\0\x04hash", 11);
  return bytes;
}

PullRequest Request() { return {.have = {{OriginOf('\xa1'), {6}}, {OriginOf('\xb2'), {4}}, {OriginOf('\xc3'), {9}}}}; }

TEST(FrameTest, PullReplyReadsAsDocumented) {
  auto pulled = DecodePullReply(Reply(), Request());
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  EXPECT_TRUE(pulled->awaited.empty());
  const PullReply* reply = &pulled->reply;
  EXPECT_TRUE(reply->more);
  const OriginId origin = OriginOf('\xa1');
  EXPECT_EQ(reply->heads.heads.size(), 2u) << "not of b2, of which the hub has nothing";
  EXPECT_EQ(pulled->reply.heads.heads[origin].last.value, 3u);
  EXPECT_EQ(pulled->reply.heads.heads[origin].complete.value, 2u);
  EXPECT_EQ(pulled->reply.heads.heads[origin].checkpoint, Note('\xa1'));
  EXPECT_EQ(pulled->reply.heads.heads[OriginOf('\xc3')].last.value, 9u) << "left out: as the request has it";
  EXPECT_EQ(pulled->reply.heads.heads[OriginOf('\xc3')].complete.value, 9u);
  EXPECT_EQ(absl::ToUnixMicros(reply->heads.hub_time), 0x0005af3107a40000);
  ASSERT_EQ(reply->segments.size(), 1u);
  const Segment& segment = reply->segments[0];
  EXPECT_EQ(segment.origin, origin);
  EXPECT_EQ(segment.first.value, 7u);
  EXPECT_EQ(segment.last.value, 9u);
  EXPECT_TRUE(segment.ends_transaction);
  EXPECT_EQ(segment.layout, std::string("LL\x01\0\x01", 5));
  ASSERT_EQ(segment.parts.size(), 2u);
  EXPECT_EQ(segment.parts[0].table, "t");
  EXPECT_EQ(segment.parts[0].event_count, 1u);
  EXPECT_FALSE(segment.parts[0].masked);
  EXPECT_EQ(segment.parts[0].payload, "pay");
  EXPECT_EQ(segment.parts[1].event_count, 2u);
  EXPECT_TRUE(segment.parts[1].masked);
  EXPECT_EQ(segment.parts[1].payload, "hash");
}

TEST(FrameTest, PartsInPiecesReadAndWriteAsDocumented) {
  std::string bytes = Reply();
  const size_t at = bytes.find(std::string("\0\x01t\0\0\0\0\x03pay", 11));
  bytes.replace(at, 11, std::string("\0\x01t\x02\0\0\0\x08\0\0\0\0\0\x10\0\x01", 16));
  auto pulled = DecodePullReply(bytes, Request());
  ASSERT_TRUE(pulled.ok()) << pulled.status();
  ASSERT_EQ(pulled->awaited.size(), 1u);
  EXPECT_EQ(pulled->awaited[0].segment, 0u);
  EXPECT_EQ(pulled->awaited[0].part, 0u);
  EXPECT_EQ(pulled->awaited[0].bytes, 0x100001u);
  EXPECT_EQ(pulled->reply.segments[0].parts[0].payload, "");
  bytes[at + 8] = '\x01';  // Of 2^56 bytes: nothing that decodes is as large.
  EXPECT_TRUE(absl::IsInvalidArgument(DecodePullReply(bytes, Request()).status()));

  const OriginId origin = OriginOf('\xa1');
  EXPECT_EQ(EncodePieceRequest(origin, {258}, 7),
            "\x01" + std::string(16, '\xa1') + std::string("\0\0\0\0\0\0\x01\x02\0\0\0\x07", 12));
  StagedPart staged{.part = 1};
  staged.content.fill('c');
  PushRequest push{.origin = origin,
                   .segments = {{.origin = origin,
                                 .first = {7},
                                 .last = {7},
                                 .layout = "L",
                                 .leaf_hashes = std::string(32, 'h'),
                                 .parts = {{"", 0, false, "a"}, {"t", 1, false, "load"}}}},
                   .checkpoint = "",
                   .session = "session"};
  EXPECT_EQ(
      EncodeStage(push, staged.content, 3, "piece"),
      "\x01" + std::string(16, '\xa1') + "\x07session" + std::string(32, 'c') + std::string("\0\0\0\x03", 4) + "piece");
  push.segments.push_back(push.segments[0]);  // What follows goes with a push of its own.
  EXPECT_EQ(*EncodePush(push, &staged), "\x01" + std::string(16, '\xa1') + "\x07session" +
                                            std::string("\0\0\0\0\0\0\0\0\x07\0\0\0\x01", 13) +
                                            std::string("\0\0\0\x01\x02\0\0\0\x01L", 10) + std::string(32, 'h') +
                                            std::string("\x02\0\0\0\0\0\0\x01"
                                                        "a\0\x01t\x02\0\0\0\x28\0\0\0\0\0\0\0\x04",
                                                        25) +
                                            std::string(32, 'c'));
}

// Its chain stands still for it, when it does not decode; the reply's others must not.
TEST(FrameTest, LayoutThatNamesNoPartIsLeftToTheReader) {
  std::string bytes = Reply();
  const size_t at = bytes.find(std::string("LL\x01\0\x01", 5));
  for (const char part : {'\x02', '\xff'}) {
    bytes[at + 4] = part;
    auto reply = DecodePullReply(bytes, Request());
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_FALSE(DecodedSegment::Decode(reply->reply.segments[0]).ok());
  }
  bytes[bytes.find(std::string("\0\0\0\x03\x01\0\0\0\x05LL", 11)) + 2] =
      '\x01';  // 259 events, and a layout of 5 bytes.
  auto reply = DecodePullReply(bytes, Request());
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_FALSE(DecodedSegment::Decode(reply->reply.segments[0]).ok());
}

TEST(FrameTest, EveryTruncationIsRefused) {
  const std::string reply = Reply();
  for (size_t size = 0; size < reply.size(); ++size) {
    EXPECT_TRUE(absl::IsInvalidArgument(DecodePullReply(reply.substr(0, size), Request()).status())) << size;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(DecodePullReply(reply + "x", Request()).status()));
}

TEST(FrameTest, CountsAreNotBelieved) {
  std::string reply = Reply();
  for (size_t at = 10; at < reply.size(); ++at) {
    std::string bad = reply;
    bad[at] = '\xff';  // Must neither crash nor allocate what is declared.
    DecodePullReply(bad, Request()).status().IgnoreError();
  }
}

TEST(FrameTest, PushRequestWritesAsDocumented) {
  const OriginId origin = OriginOf('\xa1');
  const Segment segment{.origin = origin,
                        .first = {7},
                        .last = {8},
                        .ends_transaction = true,
                        .layout = "LL",
                        .leaf_hashes = std::string(64, 'h'),
                        .parts = {{"t", 1, false, "pay"}, {"", 1, false, "load"}}};
  Segment next = segment;
  next.first = {9};
  next.last = {10};
  next.ends_transaction = false;
  const std::string rest = std::string("\0\0\0\x02LL", 6) + std::string(64, 'h') +
                           std::string("\x02\0\x01t\0\0\0\0\x03pay\0\0\0\0\0\0\x04load", 23);
  const auto frame =
      EncodePush({.origin = origin, .segments = {segment, next}, .checkpoint = Note('\xa1'), .session = "session"});
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(*frame, "\x01" + std::string(16, '\xa1') + "\x07session" + CheckpointFrame() +
                        std::string("\0\0\0\0\0\0\0\x07\0\0\0\x02", 12) + std::string("\0\0\0\x02\x03", 5) + rest +
                        std::string("\0\0\0\x02\x02", 5) + rest);
  EXPECT_EQ(*EncodePush({.origin = origin, .segments = {}, .checkpoint = "", .session = ""}),
            "\x01" + std::string(16, '\xa1') + std::string(14, '\0'));
}

// Only the place of the first segment is sent: what does not follow it would be taken for what does.
TEST(FrameTest, PushOfWhatTheFrameCannotSayIsRefused) {
  const OriginId origin = OriginOf('\xa1');
  const Segment one{.origin = origin, .first = {1}, .last = {1}}, three{.origin = origin, .first = {3}, .last = {3}},
      other{.origin = OriginOf('\xb2'), .first = {2}, .last = {2}};
  EXPECT_TRUE(absl::IsInvalidArgument(
      EncodePush({.origin = origin, .segments = {one, three}, .checkpoint = {}, .session = {}}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      EncodePush({.origin = origin, .segments = {one, other}, .checkpoint = {}, .session = {}}).status()));
  const std::string note = Note('\xa1');
  for (const std::string& checkpoint :
       {Note('\xb2'), note + "— witness c2ln\n", note.substr(0, note.size() - 1), std::string("cp")}) {
    EXPECT_TRUE(absl::IsInvalidArgument(
        EncodePush({.origin = origin, .segments = {one}, .checkpoint = checkpoint, .session = {}}).status()))
        << checkpoint;
  }
}

TEST(FrameTest, PullRequestWritesAsDocumented) {
  const OriginId origin = OriginOf('\xa1'), other = OriginOf('\xb2');
  EXPECT_EQ(
      EncodePull({.have = {{origin, {5}}, {other, {6}}}, .bytes_max = 258, .checkpoints = {{other, Note('\xb2')}}}),
      std::string("\x01\0\0\0\0\0\0\x01\x02\0\0\0\x02", 13) + std::string(16, '\xa1') +
          std::string("\0\0\0\0\0\0\0\x05", 8) + std::string(8, '\0') + std::string(16, '\xb2') +
          std::string("\0\0\0\0\0\0\0\x06", 8) + std::string(8, 'r'));
}

}  // namespace
}  // namespace assay
