// Goal: times and texts come through protobuf as they are, and what protobuf cannot hold becomes something it can.
// Method: there and back again, and the edges.
#include "engine/audit/proto_text.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "proto/admin.pb.h"

namespace assay {
namespace {

TEST(ProtoTextTest, TimesAndDurationsComeBack) {
  for (const absl::Time time : {absl::UnixEpoch(), absl::FromUnixMicros(1'700'000'000'123'456), absl::FromUnixNanos(-1),
                                absl::FromUnixSeconds(-1) + absl::Nanoseconds(999'999'999)}) {
    EXPECT_EQ(FromProto(ToProto(time)), time);
    EXPECT_GE(ToProto(time).nanos(), 0);
  }
  for (const absl::Duration duration : {absl::ZeroDuration(), absl::Milliseconds(1500), absl::Nanoseconds(-1)}) {
    EXPECT_EQ(FromProto(ToProto(duration)), duration);
  }
  EXPECT_EQ(TimeOf(HlcStamp::FromMillis(5000)), absl::FromUnixSeconds(5));
}

TEST(ProtoTextTest, WhatProtobufCannotHoldIsClampedAndWhatMakesNoSenseIsZero) {
  EXPECT_EQ(ToProto(absl::InfiniteFuture()).seconds(), 253402300799) << "the end of year 9999";
  EXPECT_EQ(ToProto(absl::InfinitePast()).seconds(), -62135596800) << "year 1";
  EXPECT_EQ(ToProto(absl::InfiniteDuration()).seconds(), int64_t{36500} * 86400);
  google::protobuf::Duration duration;
  duration.set_seconds(INT64_MAX);
  EXPECT_EQ(FromProto(duration), absl::ZeroDuration());
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(INT64_MAX);
  EXPECT_EQ(FromProto(timestamp), absl::FromUnixSeconds(253402300799));
}

TEST(ProtoTextTest, ATimeThatNeverHappenedIsAbsent) {
  admin::v1::Status status;
  for (const absl::Time never : {absl::InfinitePast(), absl::UnixEpoch(), absl::InfiniteFuture()}) {
    SetTime(never, &status, &admin::v1::Status::mutable_last_pull);
    EXPECT_FALSE(status.has_last_pull());
  }
  SetTime(absl::FromUnixSeconds(100), &status, &admin::v1::Status::mutable_last_pull);
  EXPECT_EQ(status.last_pull().seconds(), 100);
}

// Unicode, table 3-7: overlong forms, surrogates and what is beyond the last plane are no characters.
TEST(ProtoTextTest, WhatIsNoUtf8IsReplacedByteByByte) {
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(CleanText("a\xC2\xA9\xE2\x82\xB9\xF0\x9F\x92\x8Dz", 100), "a\xC2\xA9\xE2\x82\xB9\xF0\x9F\x92\x8Dz");
  EXPECT_EQ(CleanText("\xC0\x80", 100), bad + bad) << "overlong";
  EXPECT_EQ(CleanText("\xE0\x9F\xBF", 100), bad + bad + bad) << "overlong";
  EXPECT_EQ(CleanText("\xF0\x8F\xBF\xBF", 100), bad + bad + bad + bad) << "overlong";
  EXPECT_EQ(CleanText("\xED\xA0\x80", 100), bad + bad + bad) << "a surrogate";
  EXPECT_EQ(CleanText("\xF4\x90\x80\x80", 100), bad + bad + bad + bad) << "beyond U+10FFFF";
  EXPECT_EQ(CleanText("\xE2\x82", 100), bad + bad) << "cut off";
  EXPECT_EQ(CleanText("\x80z", 100), bad + "z");
  EXPECT_EQ(CleanText(std::string("a\0b", 3), 100), std::string("a\0b", 3)) << "a zero is a character";
}

TEST(ProtoTextTest, IsCutBetweenCharacters) {
  EXPECT_EQ(CleanText("a₹c", 4), "a₹");
  EXPECT_EQ(CleanText("a₹c", 3), "a");
  EXPECT_EQ(CleanText("a₹c", 0), "");
  EXPECT_EQ(CleanText("\xff\xff", 5), "\xEF\xBF\xBD") << "what takes its place counts, too";
}

}  // namespace
}  // namespace assay
