// Goal: a stream's end counts after what it has brought, and its beginning before what it brings.
// Method: start, fill and stop it by hand.
#include "engine/capture/capture_stream.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

CaptureBatch Batch() {
  CaptureBatch batch;
  batch.items.push_back({.kind = CaptureItem::Kind::kKeepalive});
  return batch;
}
DatabaseEvidence Evidence(const std::string& server) {
  DatabaseEvidence evidence;
  evidence.server = server;
  return evidence;
}

TEST(CaptureStreamTest, NothingRunsBeforeItHasStarted) {
  CaptureStream stream(kNow);
  EXPECT_FALSE(stream.running());
  EXPECT_EQ(stream.link().since, kNow);
  EXPECT_FALSE(stream.HasTurned());
  stream.OnStarted(kNow + absl::Seconds(1));
  EXPECT_TRUE(stream.running());
  EXPECT_TRUE(stream.HasTurned());
  EXPECT_TRUE(stream.TakeRestarted());
  EXPECT_FALSE(stream.TakeRestarted()) << "told once";
  EXPECT_FALSE(stream.HasTurned());
}

TEST(CaptureStreamTest, AnEndCountsOnceAllThatWasBroughtIsWorkedOn) {
  CaptureStream stream(kNow);
  stream.OnStarted(kNow);
  stream.items().Add(Batch());
  stream.OnStopped(absl::UnavailableError("the server shuts down"), kNow, kNow + absl::Seconds(5), Evidence("7"));
  EXPECT_FALSE(stream.running());
  EXPECT_EQ(stream.link().next_try, kNow + absl::Seconds(5)) << "as the host says";
  EXPECT_FALSE(stream.TakeStopped());
  stream.items().DropFront();
  EXPECT_TRUE(stream.TakeStopped());
  EXPECT_FALSE(stream.TakeStopped()) << "told once";
  EXPECT_EQ(stream.TakeStopEvidence()->server, "7");
  EXPECT_FALSE(stream.TakeStopEvidence().has_value());
}

TEST(CaptureStreamTest, AStreamThatBeginsAnewBringsEverythingAgain) {
  CaptureStream stream(kNow);
  stream.OnStarted(kNow);
  stream.items().Add(Batch());
  stream.OnStopped(absl::UnavailableError("the line broke"), kNow, kNow, {});
  stream.OnStarted(kNow);
  EXPECT_TRUE(stream.items().empty());
  EXPECT_FALSE(stream.TakeStopped()) << "that was the stream before";
  EXPECT_TRUE(stream.TakeRestarted());
}

}  // namespace
}  // namespace assay
