#include "engine/remotes/transfer_size.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

TEST(TransferSizeTest, HalvesWhereCallsRunOutOfTimeAndGrowsBackByWhatComesThrough) {
  TransferSize size;
  const size_t most = size.bytes();
  size.Failed(absl::DeadlineExceededError("statement timeout"));
  EXPECT_EQ(size.bytes(), most / 2);
  size.Failed(absl::UnavailableError("the line broke"));
  EXPECT_EQ(size.bytes(), most / 4);
  size.Failed(absl::InvalidArgumentError("no frame"));
  EXPECT_EQ(size.bytes(), most / 4) << "not for its length";
  size.Succeeded(1000);
  EXPECT_EQ(size.bytes(), most / 4) << "a short one says nothing of a long one";
  size.Succeeded(most / 4);
  EXPECT_GT(size.bytes(), most / 4);
  EXPECT_LT(size.bytes(), most / 3) << "not at once what has just failed";
  for (int i = 0; i < 100; ++i) size.Succeeded(size.bytes());
  EXPECT_EQ(size.bytes(), most);
  for (int i = 0; i < 100; ++i) size.Failed(absl::UnavailableError("offline"));
  EXPECT_GE(size.bytes(), 1024u) << "some of it";
}

}  // namespace
}  // namespace assay
